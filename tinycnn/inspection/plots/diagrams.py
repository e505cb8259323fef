"""Diagrams: a network as a row of blocks, and measured kernels under a roofline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tinycnn.inspection.blocks import LINE, SLANT, TALLEST, blocks, text_width
from tinycnn.inspection.plots.canvas import TRAINING, VALIDATION, Target, axes_of, finish


def plot_blocks(model: Any, path: Target = None, title: str = "", *, ax: Any = None) -> Any:
    """Draw a network as a row of cuboids, one for each array that it computes from an image.

    Height stands for rows and columns, width for channels, both by their square roots.

    Parameters
    ----------
    model : Sequential
        Built.
    path : path, optional
        A file to write; its suffix is the format: .png, .svg, .pdf.
    title : str
    ax : Axes, optional
        Axes to draw on; by default those of a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    ValueError
        When the model is not built, or has no layers.
    """
    row = blocks(model)
    right = row[-1].left + max(1.4, text_width(row[-1].text))
    text = TALLEST / 2 + 0.2 + LINE * max(len(block.text) for block in row)  # from the middle down
    axes = axes_of(ax, right + 0.2, TALLEST * (0.5 + SLANT) + text + 0.3, path)
    from matplotlib.patches import Polygon

    for block in row:
        for corners, opacity in block.faces:
            face = Polygon(corners, facecolor=block.colour, alpha=opacity, edgecolor="#444444", linewidth=0.7)
            axes.add_patch(face)
        for number, line in enumerate(block.text):
            weight = "bold" if number == 0 else "normal"
            y = -TALLEST / 2 - 0.2 - LINE * number
            axes.text(block.left, y, line, fontsize=7, va="top", fontweight=weight, parse_math=False)
    axes.set(xlim=(-0.1, right), ylim=(-text, TALLEST * (0.5 + SLANT) + 0.1), aspect="equal")
    axes.axis("off")
    return finish(axes, path, title)


def plot_roofline(
    points: Mapping[str, tuple[float, float]] | Sequence[tuple[str, float, float]],
    gflops: float,
    gbytes: float,
    path: Target = None,
    title: str = "",
    *,
    ax: Any = None,
) -> Any:
    """Draw measured kernels under the limits of the machine (Williams, Waterman and Patterson, CACM 2009).

    The slope is the limit of the memory, the level line that of the arithmetic. A point above the level line
    has saved operations: Winograd, or a sparse gradient.

    Parameters
    ----------
    points : mapping of str to (float, float), or sequence of (str, float, float)
        By name, FLOP per byte of memory traffic, and measured GFLOP/s. Several points may have one name.
    gflops, gbytes : float
        Measured peaks: GFLOP/s and GB/s, as `python benchmarks/conv.py` prints them.
    path, title, ax
        See `plot_blocks`.

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    ValueError
        Without points, or for figures that are not positive.
    """
    if isinstance(points, Mapping):
        points = [(name, *figures) for name, figures in points.items()]
    figures = [*(value for point in points for value in point[1:]), gflops, gbytes]
    if not points or not all(math.isfinite(value) and value > 0 for value in figures):
        raise ValueError(f"points: expected at least one, and positive figures, received {points!r}")
    axes = axes_of(ax, 6.0, 4.2, path)
    ridge = gflops / gbytes
    xs = [point[1] for point in points]
    low, high = min(*xs, ridge) / 2, max(*xs, ridge) * 4  # with room for the names of points
    axes.loglog([low, ridge, high], [low * gbytes, gflops, gflops], color="black", linewidth=1.2)
    axes.annotate(f"{gflops:.0f} GFLOP/s", (ridge, gflops), (4, 4), textcoords="offset points")
    axes.annotate(f"{gbytes:.0f} GB/s", (low, low * gbytes), (12, 4), textcoords="offset points")
    for name, x, y in points:
        below = y <= min(x * gbytes, gflops)
        axes.plot(x, y, "o", color=TRAINING if below else VALIDATION)
        axes.annotate(name, (x, y), (6, -3), textcoords="offset points", fontsize=8)
    axes.set(xlabel="FLOP per byte", ylabel="GFLOP/s", xlim=(low, high))
    axes.grid(which="both", alpha=0.2)
    return finish(axes, path, title)
