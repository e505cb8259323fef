"""Tables of what the model computes for up to 1,024 ranks; nothing here was measured.

::

    Setting: a link, the curve of one rank -> computed_allreduce, weak_table, strong_table, target_table
"""

from collections.abc import Sequence
from typing import NamedTuple

from distributed_model import (
    ALGORITHMS,
    NETWORKS,
    Curve,
    Link,
    allreduce,
    mpich_algorithm,
    step,
)
from reporting import Column, Table

RANKS = [2**power for power in range(11)]  # 1 to 1,024
WEAK = 128  # images of each rank
STRONG = (128, 1024, 8192)  # images of all ranks together


class Setting(NamedTuple):
    """A link, and what a rank on it computes with.

    Attributes
    ----------
    link : Link
    curve : Curve
        Seconds of a step of one rank, measured.
    threads : int
        Of a rank.
    """

    link: Link
    curve: Curve
    threads: int


def settings(shared: Link, addition: float, shapes: dict[tuple[int, int], Curve]) -> list[Setting]:
    """Return the settings: ranks of one thread in shared memory, and a rank on each machine of a network.

    Parameters
    ----------
    shared : Link
        Measured.
    addition : float
        Seconds for each byte that is added to another, measured.
    shapes : dict
        Measured curves by (ranks, threads).
    """
    most = max(threads for ranks, threads in shapes if ranks == 1)
    found = [Setting(shared, shapes[1, 1], 1)]
    for link in NETWORKS:
        found.append(Setting(link._replace(gamma=addition), shapes[1, most], most))
    return found


def assumptions(rows: Sequence[Setting]) -> list[str]:
    """Return a sentence for each setting."""
    texts = []
    for link, _, threads in rows:
        kind = "measured" if link.gamma == 0 else "assumed"
        constants = f"alpha {1e6 * link.alpha:.3g} us, beta {1e9 * link.beta:.3g} ns a byte, {kind}"
        if link.gamma:
            constants += f"; gamma {1e9 * link.gamma:.3g} ns a byte, measured"
        texts.append(f"{link.name}: {constants}; ranks of {threads} thread{'s' * (threads > 1)}.")
    return texts


def _column(key: str, form: str) -> Column:
    return Column(key, max(len(key), 6), form)


def computed_allreduce(rows: Sequence[Setting], size: int) -> Table:
    """Return the table of an Allreduce of the gradients, by algorithm."""
    columns = [
        Column("link", 14),
        Column("ranks", 6, "d"),
        *(_column(f"{name}, ms", ".3f") for name in ALGORITHMS),
    ]
    table = Table(f"Allreduce of {size:,} bytes (computed)", columns, notes=assumptions(rows))
    for link, *_ in rows:
        for ranks in RANKS[1:]:
            times = {f"{name}, ms": 1e3 * allreduce(link, ranks, size, name) for name in ALGORITHMS}
            table.rows.append({"link": link.name, "ranks": ranks} | times)
    return table


def efficiency(setting: Setting, ranks: int, size: int) -> float:
    """Return the share of `ranks` times the speed of one rank that they reach with `WEAK` images each."""
    link, curve, _ = setting
    return step(curve, link, 1, WEAK, size) / step(curve, link, ranks, WEAK * ranks, size)


def speed_up(setting: Setting, ranks: int, batch: int, size: int) -> float:
    """Return how many times as fast as one rank several take a step of a batch."""
    link, curve, _ = setting
    return step(curve, link, 1, batch, size) / step(curve, link, ranks, batch, size)


def weak_table(rows: Sequence[Setting], size: int) -> Table:
    """Return the table of weak scaling."""
    columns = [
        Column("ranks", 6, "d"),
        Column("batch", 8, "d"),
        *(_column(row.link.name, ".1%") for row in rows),
    ]
    table = Table(f"Weak scaling, {WEAK} images a rank: efficiency (computed)", columns)
    table.notes.append(
        f"Allreduce: {mpich_algorithm(size)}. Ranks of one setting are compared with one of its own."
    )
    for ranks in RANKS:
        shares = {row.link.name: efficiency(row, ranks, size) for row in rows}
        table.rows.append({"ranks": ranks, "batch": WEAK * ranks} | shares)
    return table


def strong_table(rows: Sequence[Setting], size: int) -> Table:
    """Return the table of strong scaling."""
    columns = [Column("batch", 6, "d"), Column("ranks", 6, "d"), Column("images of a rank", 16, "d")]
    columns += [_column(row.link.name, ".2f") for row in rows]
    table = Table("Strong scaling: speed-up over one rank (computed)", columns)
    table.notes.append("A batch of 128 images has parts for 128 ranks.")
    for batch in STRONG:
        for ranks in (ranks for ranks in RANKS if ranks <= batch):
            gains = {row.link.name: speed_up(row, ranks, batch, size) for row in rows}
            table.rows.append({"batch": batch, "ranks": ranks, "images of a rank": batch // ranks} | gains)
    return table


def fastest_batch(setting: Setting, ranks: int, size: int, steps: dict[int, float]) -> tuple[float, int]:
    """Return (seconds to the target, batch) of the batch that is fastest on up to `ranks` ranks."""
    link, curve, _ = setting
    return min(
        (count * step(curve, link, min(ranks, batch), batch, size), batch) for batch, count in steps.items()
    )


def target_table(rows: Sequence[Setting], size: int, steps: dict[int, float]) -> Table:
    """Return the table of the time to the target, with the fastest batch for each number of ranks.

    Parameters
    ----------
    rows : sequence of Setting
    size : int
        Bytes of the gradients.
    steps : dict
        Measured steps to the target, by batch.
    """
    columns = [Column("ranks", 6, "d")]
    for row in rows:
        columns += [_column(f"{row.link.name}: batch", "d"), _column(f"{row.link.name}: gain", ".1f")]
    table = Table("Time to the target accuracy with the fastest batch (computed)", columns)
    table.notes.append(
        "gain: over one rank. Of the batches whose steps were measured; the times are computed."
    )
    for ranks in RANKS:
        new: dict[str, float] = {"ranks": ranks}
        for row in rows:
            one, _ = fastest_batch(row, 1, size, steps)
            seconds, batch = fastest_batch(row, ranks, size, steps)
            new |= {f"{row.link.name}: batch": batch, f"{row.link.name}: gain": one / seconds}
        table.rows.append(new)
    return table
