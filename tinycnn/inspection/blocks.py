"""A network as a row of cuboids, one for each array that it computes from an image.

::

    layers, shapes -> blocks -> an SVG picture for notebooks, pages and files, or `plots.plot_blocks`
"""

from __future__ import annotations

import math
from html import escape
from typing import Any, NamedTuple

from tinycnn.inspection.picture import framed
from tinycnn.support import html, svg

# Of a block: inches for the largest map, for the longest row of channels, between blocks, and least of all.
TALLEST, WIDEST, GAP, LEAST = 1.6, 0.9, 0.42, 0.06
SLANT = 0.4  # of the height that the back is moved by
PIXELS, LETTERS = 90, 11  # of an inch, in a page; of the letters of the text below
SMALLEST = 8  # pixels of letters where a page is narrower than the picture; then it scrolls
EM, LINE = LETTERS / PIXELS, 0.17  # inches: the size of its letters, and the height of a line
LONGEST = 22.0  # em of a line, at most
Point = tuple[float, float]
COLOURS = {
    **dict.fromkeys(("Conv2D", "DepthwiseConv2D", "SeparableConv2D"), "#9ecae1"),
    "Dense": "#fdae6b",
    **dict.fromkeys(("MaxPooling2D", "AveragePooling2D"), "#a1d99b"),
    **dict.fromkeys(("GlobalMaxPooling2D", "GlobalAveragePooling2D"), "#a1d99b"),
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


def colour_of(layer: Any) -> str:
    """Return the colour of a kind of layer; that of its base class, if it has none of its own."""
    return next((COLOURS[cls.__name__] for cls in type(layer).__mro__ if cls.__name__ in COLOURS), OTHER)


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
            arrays.append(([layer.name, *_details(layer)], colour_of(layer), shape))
    side = max(max(shape[0], shape[1]) if len(shape) == 3 else 1 for _, _, shape in arrays)
    deep = max(shape[-1] for _, _, shape in arrays)
    found, left = [], 0.0
    for text, colour, shape in arrays:
        width = max(LEAST, WIDEST * math.sqrt(shape[-1] / deep))
        is_map = len(shape) == 3
        height = max(LEAST, TALLEST * math.sqrt(max(shape[:2]) / side)) if is_map else TALLEST / 2
        depth = SLANT * height if is_map else 0.0
        whole = (*text[:1], "x".join(map(str, shape)), *text[1:])
        lines = tuple(svg.shortened(svg.clean(line), LONGEST, not i) for i, line in enumerate(whole))
        found.append(Block(lines, colour, left, width, height, depth))
        left += max(width + depth, text_width(lines)) + GAP
    return found


def text_width(lines: tuple[str, ...]) -> float:
    """Return an upper bound of the width of lines, of which the first is bold, in inches."""
    return EM * max(svg.width(line, bold=not number) for number, line in enumerate(lines))


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
    elements, (width, height), label = _elements(model)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'style="max-width: {width:.0f}px; min-width: {width * SMALLEST / LETTERS:.0f}px; width: 100%" '
        f'role="img" aria-label="{svg.escaped(label)}" '
        f'font-family="sans-serif" font-size="{LETTERS}" fill="currentColor">{elements}</svg>'
    )


def network_picture(model: Any) -> str:
    """Return the same as a picture for a file, on a background of its own; see `network_svg`."""
    elements, size, label = _elements(model)
    return framed(f'<g font-size="{LETTERS}" fill="currentColor">{elements}</g>', size, model.name, label)


def _elements(model: Any) -> tuple[str, tuple[float, float], str]:
    """Return faces and text as SVG, width and height in pixels, and a description in words."""
    row = blocks(model)
    top = TALLEST * (0.5 + SLANT) + 0.05
    right = row[-1].left + max(row[-1].width, text_width(row[-1].text)) + 0.1
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
            parts.append(f'<text x="{x:.1f}" y="{y:.1f}"{weight}>{svg.escaped(line)}</text>')
    label = f"{model.name}: " + ", ".join(" ".join(block.text[:2]) for block in row)
    return "".join(parts), (PIXELS * (right + 0.1), PIXELS * (top + bottom)), label


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
    row = f'<div style="overflow-x: auto">{network_svg(model)}</div>'
    return f"<div>{row}{table}{model.count_params():,} parameters in all</div>"
