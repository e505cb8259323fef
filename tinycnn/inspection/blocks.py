"""A network as a row of cuboids, one for each array that it computes from an image.

::

    layers, shapes -> blocks -> an SVG picture for notebooks and pages, or `plots.plot_network`
"""

from __future__ import annotations

import math
from html import escape
from typing import Any, NamedTuple

from tinycnn.support import html

# Of a block: inches for the largest map, for the longest row of channels, between blocks, and least of all.
TALLEST, WIDEST, GAP, LEAST = 1.6, 0.9, 0.42, 0.06
SLANT = 0.4  # of the height that the back is moved by
LETTER, LINE = 0.075, 0.17  # inches: of the text below, the mean width of a letter and the height of a line
PIXELS = 90  # of an inch, in a page
Point = tuple[float, float]
COLOURS = {
    "Conv2D": "#9ecae1",
    "Dense": "#fdae6b",
    "MaxPooling2D": "#a1d99b",
    "AveragePooling2D": "#a1d99b",
    "GlobalAveragePooling2D": "#a1d99b",
    "GlobalMaxPooling2D": "#a1d99b",
    "UpSampling2D": "#c7e9c0",
    "BatchNormalization": "#bcbddc",
}
INPUT, OTHER = "#ffffff", "#d9d9d9"
#: Layers whose arrays have no block of their own.
UNSEEN = ("Activation", "Dropout", "Flatten", "GaussianNoise", "ReLU", "Softmax")


class Block(NamedTuple):
    """One array of a network as a cuboid: its sizes are square roots of the numbers, so that all are visible.

    Attributes
    ----------
    text : tuple of str
        Lines below it: the layer's name, its type, and the shape of its output.
    colour : str
    left, width, height, depth : float
        In inches; the width stands for the channels, the height for rows and columns. The depth is how far
        the back is moved, up and to the right.
    """

    text: tuple[str, ...]
    colour: str
    left: float
    width: float
    height: float
    depth: float

    @property
    def faces(self) -> list[tuple[list[Point], float]]:
        """The corners of front, top and side, and the opacity of each; y points up, the middle is at 0."""
        right, d, top = self.left + self.width, self.depth, self.height / 2
        front = [(self.left, -top), (right, -top), (right, top), (self.left, top)]
        upper = [(self.left, top), (right, top), (right + d, top + d), (self.left + d, top + d)]
        side = [(right, -top), (right + d, d - top), (right + d, top + d), (right, top)]
        return [(front, 1.0), (upper, 0.7), (side, 0.5)]


def blocks(model: Any) -> list[Block]:
    """Return the input and the output of each layer of a built model, as cuboids from left to right.

    Dropout, noise, Flatten and activations have no block of their own: they are named under the block before
    them.

    Raises
    ------
    ValueError
        When the model is not built, or has no layers.
    """
    if model.input_shape is None or not model.layers:
        raise ValueError(f"{model.name}: call model.build(input_shape) before it is drawn")
    arrays: list[tuple[list[str], str, tuple[int, ...]]] = [(["input"], INPUT, model.input_shape)]
    for layer in model.layers:
        kind, shape = type(layer).__name__, layer.compute_output_shape(layer.built_shape)
        if kind in UNSEEN:
            arrays[-1][0].append(f"+ {layer.name}")
        else:
            arrays.append(([layer.name, *_details(layer)], COLOURS.get(kind, OTHER), shape))
    side = max(max(shape[0], shape[1]) if len(shape) == 3 else 1 for _, _, shape in arrays)
    deep = max(shape[-1] for _, _, shape in arrays)
    found, left = [], 0.0
    for text, colour, shape in arrays:
        width = max(LEAST, WIDEST * math.sqrt(shape[-1] / deep))
        is_map = len(shape) == 3
        height = max(LEAST, TALLEST * math.sqrt(max(shape[:2]) / side)) if is_map else TALLEST / 2
        depth = SLANT * height if is_map else 0.0
        lines = (*text[:1], "x".join(map(str, shape)), *text[1:])
        found.append(Block(lines, colour, left, width, height, depth))
        left += max(width + depth, LETTER * max(map(len, lines))) + GAP
    return found


def _details(layer: Any) -> list[str]:
    """Return what a reader of a diagram asks of a layer: its window, and its activation."""
    window = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    details = [] if window is None else [f"window {window[0]}x{window[1]}"]
    activation = getattr(layer, "activation", None)
    return details + ([activation] if activation and activation != "linear" else [])


def network_svg(model: Any) -> str:
    """Return a built network as an SVG picture, a row of cuboids; its text has the colour of the page.

    Raises
    ------
    ValueError
        When the model is not built, or has no layers.
    """
    row = blocks(model)
    top = TALLEST * (0.5 + SLANT) + 0.05
    right = row[-1].left + max(row[-1].width, LETTER * max(map(len, row[-1].text))) + 0.1
    bottom = TALLEST / 2 + 0.25 + LINE * max(len(block.text) for block in row)
    parts = []
    for block in row:
        for corners, opacity in block.faces:
            points = " ".join(f"{PIXELS * (x + 0.1):.1f},{PIXELS * (top - y):.1f}" for x, y in corners)
            parts.append(
                f'<polygon points="{points}" fill="{block.colour}" fill-opacity="{opacity}" stroke="#555"/>'
            )
        for number, line in enumerate(block.text):
            x, y = PIXELS * (block.left + 0.1), PIXELS * (top + TALLEST / 2 + 0.2 + LINE * number)
            weight = ' font-weight="bold"' if number == 0 else ""
            parts.append(f'<text x="{x:.1f}" y="{y:.1f}"{weight}>{escape(line)}</text>')
    label = escape(f"{model.name}: " + ", ".join(" ".join(block.text[:2]) for block in row))
    width, height = PIXELS * (right + 0.1), PIXELS * (top + bottom)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'style="max-width: {width:.0f}px; width: 100%" role="img" aria-label="{label}" '
        f'font-family="sans-serif" font-size="11" fill="currentColor">{"".join(parts)}</svg>'
    )


def network_html(model: Any) -> str:
    """Return what a notebook shows of a model: its picture, and its layers in a table."""
    if model.input_shape is None or not model.layers:
        return f"<pre>{escape(repr(model))}</pre>"
    rows = [
        (
            layer.name,
            type(layer).__name__,
            (None, *layer.compute_output_shape(layer.built_shape)),
            f"{layer.count_params(layer.built_shape):,}",
        )
        for layer in model.layers
    ]
    table = html.table(("layer", "type", "output shape", "parameters"), rows, numbers=1)
    return f"<div>{network_svg(model)}{table}{model.count_params():,} parameters in all</div>"
