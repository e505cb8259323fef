"""Tables of measured data parallelism, beside what the model of `distributed_model.py` expects.

::

    rounds of each job -> step_table, curve_table, allreduce_table, check_table, overlap_table, torch_table
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from distributed_jobs import Job, TorchJob, merged_points, merged_steps
from distributed_model import Curve, Link, allreduce, step
from reporting import Column, Table

Measured = Sequence[tuple[Job | TorchJob, list[dict[str, Any]]]]
KINDS = {"plain": "", "shards": "fixed order", "normalised": "batch norm."}
SHAPE = [Column("ranks", 5, "d"), Column("threads", 7, "d")]
SPREAD = [Column("ms", 8, ".2f"), Column("least", 8, ".2f"), Column("most", 8, ".2f")]


def step_table(measured: Measured) -> Table:
    """Return the table of steps of `fit`, with the shares of a step that are communication."""
    columns = [*SHAPE, Column("what", 12), Column("batch", 5, "d"), *SPREAD, Column("images/s", 8, ".0f")]
    columns += [Column("speed-up", 8, ".2f"), Column("waiting", 7, ".1%"), Column("transfer", 8, ".1%")]
    columns += [Column("statistics", 10, ".1%"), Column("MB", 6, ".2f")]
    table = Table("Training steps of mnist_cnn (measured)", columns)
    table.notes += [
        "threads: of each rank. least, most: medians of single rounds. speed-up: over 1 rank of 1 thread.",
        "waiting: until the slowest rank has its gradients. transfer: until they are added up. statistics:",
        "sums of batch normalisation, with waiting. MB: gradients and statistics that a rank gives away.",
    ]
    rows = [row for _, rounds in measured for row in merged_steps(rounds)]
    base = {
        (row["kind"], row["batch"]): row["ms"] for row in rows if (row["ranks"], row["threads"]) == (1, 1)
    }
    for row in rows:
        seconds = row["ms"] / 1e3
        shares = {"waiting": row["waited"] / seconds, "transfer": row["transferred"] / seconds}
        shares["statistics"] = row["seconds of totals"] / seconds
        sent = {"MB": (row["bytes"] + row["bytes of totals"]) / 1e6}
        slow = base.get((row["kind"], row["batch"]))
        faster = {"speed-up": slow / row["ms"]} if slow else {}
        table.rows.append(row | shares | sent | faster | {"what": KINDS[row["kind"]]})
    return table


def curve_table(measured: Measured) -> Table:
    """Return the table of steps without communication, by the images of a rank."""
    columns = [*SHAPE, Column("images of a rank", 16, "d"), Column("ms", 8, ".2f")]
    columns += [Column("ms an image", 11, ".3f"), Column("of one rank", 11, ".2f")]
    table = Table("Steps of ranks for themselves, all at once (measured)", columns)
    table.notes.append(
        "of one rank: time divided by that of one rank alone; above 1, ranks share more than they should."
    )
    alone: dict[int, dict[int, float]] = {}
    for job, rounds in measured:
        points = merged_points(rounds, "curve")
        if job.ranks == 1:
            alone[job.threads] = dict(points)
        for images, seconds in points:
            row = {
                "ranks": job.ranks,
                "threads": job.threads,
                "images of a rank": images,
                "ms": 1e3 * seconds,
            }
            row["ms an image"] = row["ms"] / images
            first = alone.get(job.threads, {}).get(images)
            table.rows.append(row | ({"of one rank": seconds / first} if first else {}))
    return table


def curves(measured: Measured) -> dict[tuple[int, int], Curve]:
    """Return the measured curve of each (ranks, threads)."""
    found = {}
    for job, rounds in measured:
        if points := merged_points(rounds, "curve"):
            found[job.ranks, job.threads] = Curve(points)
    return found


def exchanges(measured: Measured) -> list[tuple[int, int, float]]:
    """Return (ranks, bytes, seconds) of Allreduces of ranks with one thread each."""
    return [
        (job.ranks, size, seconds)
        for job, rounds in measured
        if job.threads == 1
        for size, seconds in merged_points(rounds, "allreduce")
    ]


def allreduce_table(points: Sequence[tuple[int, int, float]], link: Link, residual: float) -> Table:
    """Return the table of Allreduces: measured, and expected from constants that the fewest ranks gave."""
    columns = [Column("ranks", 5, "d"), Column("bytes", 9, "d"), Column("us expected", 11, ".1f")]
    columns += [Column("us measured", 11, ".1f"), Column("measured/expected", 17, ".2f")]
    table = Table("Allreduce in shared memory", columns)
    fewest = min(ranks for ranks, _, _ in points)
    table.notes += [
        f"Fitted to {fewest} ranks: alpha {1e6 * link.alpha:.2f} us, beta {1e9 * link.beta:.3f} ns a byte "
        f"({1e-9 / link.beta:.1f} GB/s); rms of the relative residuals {residual:.0%}.",
        "More ranks are predicted with the same constants.",
    ]
    for ranks, size, seconds in points:
        expected = 1e6 * allreduce(link, ranks, size)
        row = {"ranks": ranks, "bytes": size, "us expected": expected, "us measured": 1e6 * seconds}
        table.rows.append(row | {"measured/expected": 1e6 * seconds / expected})
    return table


def check_table(steps: Table, shapes: dict[tuple[int, int], Curve], link: Link, size: int) -> Table:
    """Return the table of steps that the model expects, beside the measured ones."""
    columns = [*SHAPE, Column("batch", 6, "d"), Column("alone: ms expected", 18, ".2f")]
    columns += [Column("ms expected", 11, ".2f"), Column("ms measured", 11, ".2f")]
    columns += [Column("measured/expected", 17, ".2f")]
    table = Table("Steps: expected and measured", columns)
    table.notes += [
        "expected: a step of the rank's images while all ranks compute, and the Allreduce of the gradients.",
        "alone: the same from the steps of one rank while the other cores rest.",
    ]
    for row in steps.rows:
        ranks, threads, batch = (row[name] for name in ("ranks", "threads", "batch"))
        busy, alone = shapes.get((ranks, threads)), shapes.get((1, threads))
        if row["kind"] != "plain" or busy is None or ranks > batch:
            continue
        new = {"ranks": ranks, "threads": threads, "batch": batch, "ms measured": row["ms"]}
        new["ms expected"] = 1e3 * step(busy, link, ranks, batch, size)
        if alone is not None:
            new["alone: ms expected"] = 1e3 * step(alone, link, ranks, batch, size)
        table.rows.append(new | {"measured/expected": new["ms measured"] / new["ms expected"]})
    return table


def overlap_table(measured: Measured, batch: int) -> Table:
    """Return the table of the experiment: the Allreduce behind the backward pass."""
    columns = [
        *SHAPE,
        Column("batch", 6, "d"),
        Column("ms plain", 9, ".2f"),
        Column("ms overlapped", 13, ".2f"),
    ]
    columns += [Column("gain", 7, ".1%"), Column("least", 7, ".1%"), Column("most", 7, ".1%")]
    table = Table("Experiment: Allreduce of the dense layers during the convolutions' backward pass", columns)
    table.notes.append("Steps by hand, in turn. least, most: of single rounds.")
    for job, rounds in measured:
        both = [one["overlap"] for one in rounds if "overlap" in one]
        if not both:
            continue
        plain, other = (np.concatenate([one[form] for one in both]) for form in ("plain", "overlapped"))
        gains = [1 - np.median(one["overlapped"]) / np.median(one["plain"]) for one in both]
        row = {"ranks": job.ranks, "threads": job.threads, "batch": batch, "least": min(gains)}
        row |= {
            "ms plain": 1e3 * np.median(plain),
            "ms overlapped": 1e3 * np.median(other),
            "most": max(gains),
        }
        table.rows.append(
            {key: value.item() if isinstance(value, np.generic) else value for key, value in row.items()}
            | {"gain": 1 - row["ms overlapped"] / row["ms plain"]}
        )
    return table


def torch_table(steps: Table, measured: Measured) -> Table:
    """Return the table of tinycnn beside PyTorch, with the same ranks, threads and batches."""
    columns = [Column("library", 36), *SHAPE, Column("batch", 6, "d"), *SPREAD]
    columns += [Column("images/s", 9, ".0f"), Column("ratio", 6, ".2f")]
    table = Table("tinycnn over MPI and PyTorch's DistributedDataParallel over gloo (measured)", columns)
    table.notes.append("ratio: median time relative to tinycnn.")
    rows = [{"library": rounds[0]["version"]} | row for _, rounds in measured for row in merged_steps(rounds)]
    for batch in dict.fromkeys(row["batch"] for row in rows):
        same = [row for row in rows if row["batch"] == batch]
        shape = {name: same[0][name] for name in ("ranks", "threads", "batch")} | {"kind": "plain"}
        own = next(row for row in steps.rows if shape.items() <= row.items())
        table.rows += [
            row | {"ratio": row["ms"] / own["ms"]} for row in [{"library": "tinycnn"} | own, *same]
        ]
    return table
