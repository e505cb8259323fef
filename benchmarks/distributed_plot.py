"""Picture of data parallelism: measured points, and the curves that were computed from them.

::

    tables of distributed.py -> Allreduce by bytes | weak scaling | strong scaling | steps by batch -> PNG

Points are measured, lines are computed.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reporting import Table
from roofline import COLOURS, MARKERS

Rows = list[dict[str, Any]]


def draw(path: Path, found: dict[str, Table]) -> bool:
    """Draw a panel for each kind of table that was made; return whether there was any.

    Parameters
    ----------
    path : Path
        Its suffix is the format.
    found : dict of Table
        By the names that `distributed.py` gives them.
    """
    from matplotlib.figure import Figure

    panels: dict[str, Callable[..., None]] = {
        "allreduce": _allreduce,
        "weak": _weak,
        "strong": _strong,
        "batches": _batches,
    }
    drawn = [name for name in panels if name in found and any(map(_is_drawn, found[name].rows))]
    if not drawn:
        return False
    figure = Figure(figsize=(4.7 * min(2, len(drawn)), 4.1 * -(-len(drawn) // 2)), layout="constrained")
    axes = list(figure.subplots(-(-len(drawn) // 2), min(2, len(drawn)), squeeze=False).flat)
    for name, panel in zip(drawn, axes, strict=False):
        panels[name](panel, found)
        panel.grid(which="both", alpha=0.2)
        panel.legend(fontsize=7, framealpha=0.6)
    for panel in axes[len(drawn) :]:
        panel.remove()
    figure.suptitle("Data parallelism of mnist_cnn: points are measured, lines are computed")
    figure.savefig(path, dpi=120)
    return True


def _is_drawn(row: dict[str, Any]) -> bool:
    """Return whether a row has a point: not where no run reached the target."""
    return row.get("reached") != 0


def _powers(axis: Any) -> None:
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _allreduce(axes: Any, found: dict[str, Table]) -> None:
    rows = found["allreduce"].rows
    for index, ranks in enumerate(dict.fromkeys(row["ranks"] for row in rows)):
        same = sorted((row for row in rows if row["ranks"] == ranks), key=lambda row: row["bytes"])
        sizes = [row["bytes"] for row in same]
        axes.plot(sizes, [row["us measured"] for row in same], MARKERS[index], color=COLOURS[index], ms=4)
        label = f"{ranks} ranks"
        axes.plot(sizes, [row["us expected"] for row in same], color=COLOURS[index], label=label)
    axes.set_xscale("log", base=10)
    axes.set_yscale("log")
    axes.set_xlabel("bytes")
    axes.set_ylabel("microseconds")
    axes.set_title("Allreduce in shared memory", fontsize=10)


def _measured(found: dict[str, Table], weak: bool, batch: int) -> tuple[list[int], list[float]]:
    """Return ranks and efficiencies (weak) or speed-ups of the steps of ranks with one thread."""
    plain = [row for row in found["steps"].rows if row["kind"] == "plain" and row["threads"] == 1]
    base = next((row["ms"] for row in plain if (row["ranks"], row["batch"]) == (1, batch)), None)
    same = [row for row in plain if row["batch"] == (batch * row["ranks"] if weak else batch)]
    return [row["ranks"] for row in same] if base else [], [base / row["ms"] for row in same] if base else []


def _weak(axes: Any, found: dict[str, Table]) -> None:
    table = found["weak"]
    ranks = [row["ranks"] for row in table.rows]
    for index, column in enumerate(table.columns[2:]):
        efficiencies = [row[column.key] for row in table.rows]
        axes.plot(ranks, efficiencies, color=COLOURS[index], label=column.key)
    batch = table.rows[0]["batch"]
    if "steps" in found:
        measured = _measured(found, True, batch)
        axes.plot(*measured, "o", color="black", ms=5, label="measured, shared memory")
    axes.set_xscale("log", base=2)
    _powers(axes.xaxis)
    axes.set_xlabel("ranks")
    axes.set_ylabel("efficiency, of one rank")
    axes.set_title(f"Weak scaling, {batch} images a rank", fontsize=10)


def _strong(axes: Any, found: dict[str, Table]) -> None:
    table = found["strong"]
    batches = list(dict.fromkeys(row["batch"] for row in table.rows))
    for index, column in enumerate(table.columns[3:]):
        for style, batch in zip((":", "--", "-"), batches, strict=True):
            same = [row for row in table.rows if row["batch"] == batch]
            label = f"{column.key}, batch {batch:,}"
            line = [row["ranks"] for row in same], [row[column.key] for row in same]
            axes.plot(*line, style, color=COLOURS[index], label=label)
    if "steps" in found:
        measured = _measured(found, False, batches[0])
        axes.plot(*measured, "o", color="black", ms=5, label=f"measured, batch {batches[0]}")
    _in_powers(axes, "ranks", "speed-up", "Strong scaling")


def _in_powers(axes: Any, x: str, y: str, title: str) -> None:
    """Give axes powers of 2, labels and a title."""
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    _powers(axes.xaxis)
    _powers(axes.yaxis)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, fontsize=10)


def _batches(axes: Any, found: dict[str, Table]) -> None:
    rows = found["batches"].rows
    reached = [row for row in rows if row["reached"]]
    middle = [row["steps measured"] for row in reached]
    spread = [
        [steps - row["least"] for steps, row in zip(middle, reached, strict=True)],
        [row["most"] - steps for steps, row in zip(middle, reached, strict=True)],
    ]
    x = [row["batch"] for row in reached]
    axes.errorbar(x, middle, spread, fmt="o", color="black", ms=5, capsize=3, label="measured, least to most")
    expected = [row.get("steps expected", math.nan) for row in rows]
    axes.plot([row["batch"] for row in rows], expected, color=COLOURS[0], label="fitted")
    perfect = [expected[0] * rows[0]["batch"] / row["batch"] for row in rows]
    axes.plot([row["batch"] for row in rows], perfect, ":", color="grey", label="in proportion")
    _in_powers(axes, "images in a batch", "steps", "Steps to the target accuracy")
