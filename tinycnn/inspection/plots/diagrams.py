"""Diagrams: a network as a row of blocks, and measured kernels under a roofline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tinycnn.inspection.plots.canvas import TRAINING, VALIDATION, Target, axes_of, finish

# Of a block: inches for the largest map, for the longest row of channels, between blocks, and least of all.
TALLEST, WIDEST, GAP, LEAST = 1.6, 0.9, 0.42, 0.06
SLANT = 0.4  # of the depth that is drawn sideways
COLOURS = {
    "Conv2D": "#9ecae1",
    "Dense": "#fdae6b",
    "MaxPooling2D": "#a1d99b",
    "AveragePooling2D": "#a1d99b",
    "GlobalAveragePooling2D": "#a1d99b",
    "BatchNormalization": "#bcbddc",
}
INPUT, OTHER = "#ffffff", "#d9d9d9"


class Block(NamedTuple):
    """One array of a network as a cuboid: its sizes are square roots of the numbers, so that all are visible.

    Attributes
    ----------
    text : tuple of str
        Lines below it: the layer's name, its type, and the shape of its output.
    colour : str
    left, width, height : float
        In inches; the width stands for the channels, the height for rows and columns.
    """

    text: tuple[str, ...]
    colour: str
    left: float
    width: float
    height: float


def blocks(model: Any) -> list[Block]:
    """Return the input and the output of each layer of a built model, as cuboids from left to right.

    Dropout, Flatten and activations have no block of their own: they are named under the block before them.
    """
    arrays: list[tuple[list[str], str, tuple[int, ...]]] = [(["input"], INPUT, model.input_shape)]
    for layer in model.layers:
        kind, shape = type(layer).__name__, layer.compute_output_shape(layer.built_shape)
        if kind in ("Activation", "Dropout", "Flatten"):
            arrays[-1][0].append(f"+ {layer.name}")
        else:
            arrays.append(([layer.name, *_details(layer)], COLOURS.get(kind, OTHER), shape))
    side = max(max(shape[0], shape[1]) if len(shape) == 3 else 1 for _, _, shape in arrays)
    deep = max(shape[-1] for _, _, shape in arrays)
    found, left = [], 0.0
    for text, colour, shape in arrays:
        width = max(LEAST, WIDEST * math.sqrt(shape[-1] / deep))
        height = max(LEAST, TALLEST * math.sqrt(max(shape[:2]) / side)) if len(shape) == 3 else TALLEST / 2
        lines = (*text[:1], "x".join(map(str, shape)), *text[1:])
        found.append(Block(lines, colour, left, width, height))
        left += max(width + SLANT * (height if len(shape) == 3 else 0), 0.075 * max(map(len, lines))) + GAP
    return found


def _details(layer: Any) -> list[str]:
    """Return what a reader of a diagram asks of a layer: its window, and its activation."""
    window = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    details = [] if window is None else [f"window {window[0]}x{window[1]}"]
    activation = getattr(layer, "activation", None)
    return details + ([activation] if activation and activation != "linear" else [])


def plot_network(model: Any, path: Target = None, title: str = "", *, ax: Any = None) -> Any:
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
    if model.input_shape is None or not model.layers:
        raise ValueError(f"{model.name}: call model.build(input_shape) before it is drawn")
    row = blocks(model)
    right = row[-1].left + 1.4
    axes = axes_of(ax, right + 0.2, TALLEST * (1 + SLANT) + 1.4, path)
    from matplotlib.patches import Polygon

    for block in row:
        left, width, high = block.left, block.width, block.height
        deep = SLANT * high if block.text[1].count("x") == 2 else 0.0
        bottom = TALLEST / 2 - high / 2
        back = [(x + deep, y + deep) for x, y in ((left, bottom + high), (left + width, bottom + high))]
        far = left + width + deep, bottom + deep
        front = [(left, bottom), (left + width, bottom), (left + width, bottom + high), (left, bottom + high)]
        top, side = [front[3], front[2], back[1], back[0]], [front[1], far, back[1], front[2]]
        for corners, shade in ((front, 1.0), (top, 0.7), (side, 0.5)):
            axes.add_patch(
                Polygon(corners, facecolor=block.colour, alpha=shade, edgecolor="#444444", linewidth=0.7)
            )
        for number, line in enumerate(block.text):
            weight = "bold" if number == 0 else "normal"
            axes.text(left, -0.25 - 0.17 * number, line, fontsize=7, va="top", fontweight=weight)
    lines = max(len(block.text) for block in row)
    axes.set(xlim=(-0.1, right), ylim=(-0.35 - 0.17 * lines, TALLEST * (1 + SLANT)), aspect="equal")
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
        See `plot_network`.

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
