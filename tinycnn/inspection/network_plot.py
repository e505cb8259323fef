"""A network as boxes and arrows: a box for each layer, an arrow for each array between two of them.

::

    layers -> layer_text, shapes -> boxes with places, arrows -> SVG -> Picture

Nothing is needed for it but Python: Graphviz, which is often used for such pictures, is a program of its own.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tinycnn.inspection import blocks
from tinycnn.inspection.layer_text import arguments_of, count, shape_text
from tinycnn.inspection.picture import LIGHT, Picture, check_path, framed
from tinycnn.support import checks, svg

# In pixels: sizes of letters, from line to line, around the text of a box, least length of an arrow, of its
# head, around the picture.
NAME, LETTERS, LINE, PAD, ARROW, HEAD, MARGIN = 13, 12, 17, 12, 32, 7, 16
LEAST = 130  # width of a box
MOST = {"TB": 400.0, "LR": 200.0}  # width of the text in a box
LINES = 4  # of arguments, at most
STYLES = ("blocks", "boxes")


@dataclass(frozen=True)
class Options:
    """What a picture shows; see `plot_network`."""

    rankdir: str = "TB"
    show_shapes: bool = True
    show_layer_names: bool = True
    show_layer_activations: bool = True
    show_params: bool = True
    show_dtype: bool = False
    show_trainable: bool = False

    def __post_init__(self) -> None:
        checks.choice("rankdir", self.rankdir, MOST)
        for name, value in vars(self).items():
            if name != "rankdir":
                checks.flag(name, value)


class Line(NamedTuple):
    """A line of text in a box."""

    text: str
    bold: bool = False

    @property
    def width(self) -> float:
        """An upper bound, in pixels."""
        return (NAME if self.bold else LETTERS) * svg.width(self.text, self.bold)


class Box(NamedTuple):
    """A box: its lines, the text that a reader with the mouse on it sees, and how it is drawn.

    Attributes
    ----------
    kind : "layer" or "end"
        Whether it is a layer, or the input or the output of the network.
    """

    lines: tuple[Line, ...]
    about: str
    colour: str
    kind: str = "layer"
    dashed: bool = False

    @property
    def width(self) -> float:
        """With the space around the text, in pixels."""
        return max(line.width for line in self.lines) + 2 * PAD

    @property
    def height(self) -> float:
        """With the space around the text, in pixels."""
        return LINE * len(self.lines) + PAD


def plot_network(
    model: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    style: str = "boxes",
    rankdir: str = "TB",
    show_shapes: bool = True,
    show_layer_names: bool = True,
    show_layer_activations: bool = True,
    show_params: bool = True,
    show_dtype: bool = False,
    show_trainable: bool = False,
) -> Picture:
    """Draw a network as an SVG picture, which notebooks show. No other program or library is needed.

    Parameters
    ----------
    model : Sequential
        One that is not built is drawn without shapes and numbers of parameters.
    path : path, optional
        An .svg file to write.
    style : "boxes" or "blocks"
        A box for each layer with its arguments, or a row of cuboids as large as the arrays, which is of a
        built model and has no other options. `tinycnn.inspection.plots.plot_blocks` draws the same cuboids
        by matplotlib.
    rankdir : "TB" or "LR"
        From top to bottom, or from left to right.
    show_shapes : bool
        The shape of each array, without the batch axis, beside its arrow.
    show_layer_names, show_layer_activations, show_params : bool
        In the boxes. Arguments that have their defaults are left out.
    show_dtype : bool
        The dtype of each array, beside its arrow.
    show_trainable : bool
        Whether the parameters of a layer are trained; boxes of layers that are not have a dashed edge.

    Returns
    -------
    Picture
        Its text is `str(picture)`, and `picture.save("network.svg")` writes it.

    Raises
    ------
    TypeError
        For something that is no model.
    ValueError
        For a model without layers, a path that does not end in .svg, or options beside "blocks".
    """
    layers = getattr(model, "layers", None)
    if not isinstance(layers, list) or not hasattr(model, "input_shape"):
        raise checks.ArgumentTypeError(f"model: expected a tinycnn.Sequential, received {model!r}")
    if not layers:
        raise ValueError(f"{model.name}: expected at least one layer, received none; call model.add(layer)")
    if path is not None:
        check_path(path)
    options = Options(
        rankdir,
        show_shapes,
        show_layer_names,
        show_layer_activations,
        show_params,
        show_dtype,
        show_trainable,
    )
    if checks.choice("style", style, STYLES) == "boxes":
        picture = Picture(boxes_svg(model, options))
    elif options == Options():
        picture = Picture(blocks.network_picture(model))
    else:
        raise ValueError(f"style: expected 'boxes' with these options, received 'blocks' and {options}")
    if path is not None:
        picture.save(path)
    return picture


def boxes_svg(model: Any, options: Options) -> str:
    """Return the picture of a model as boxes, as SVG."""
    ends = [Box((Line(name, True),), name, LIGHT[0], "end") for name in ("input", "output")]
    boxes = [ends[0], *(layer_box(layer, options) for layer in model.layers), ends[1]]
    labels = [svg.shortened(label, MOST["TB"] / LETTERS) for label in arrow_labels(model, options)]
    draw = top_to_bottom if options.rankdir == "TB" else left_to_right
    elements, size = draw(boxes, labels)
    total = f", {count(model.count_params(), 'parameters')}" if model.input_shape is not None else ""
    title = f"{model.name}: {count(len(model.layers), 'layers')}{total}"
    return framed(elements, size, title, "; ".join(box.about for box in boxes))


def layer_box(layer: Any, options: Options) -> Box:
    """Return the box of a layer."""
    room, kind = MOST[options.rankdir], type(layer).__name__
    words = [svg.clean(word) for word in arguments_of(layer, options.show_layer_activations)]
    name = svg.clean(layer.name if options.show_layer_names and layer.name else kind) or kind
    if name != kind:
        words.insert(0, kind)
    lines = [Line(svg.shortened(name, room / NAME, bold=True), bold=True)]
    lines += [Line(text) for text in wrapped(words, room / LETTERS)]
    params = layer.count_params(layer.input_shape) if layer.input_shape is not None else 0
    state = " (trainable)" if layer.trainable else " (not trainable)"
    state = state if options.show_trainable and params else ""
    if params and (options.show_params or state):
        lines.append(Line(count(params, "parameters") + state))
    about = f"{layer.name or kind} ({kind})"
    if layer.input_shape is not None:
        shapes = layer.input_shape, layer.compute_output_shape(layer.input_shape)
        about += f": {shape_text(shapes[0])} to {shape_text(shapes[1])}, {count(params, 'parameters')}"
    return Box(tuple(lines), about, blocks.colour_of(layer), dashed=bool(state) and not layer.trainable)


def wrapped(words: Sequence[str], most: float) -> list[str]:
    """Return words, separated by commas, in lines of at most this width in em."""
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]}, {word}" if lines else word
        if lines and svg.width(longer) <= most:
            lines[-1] = longer
        else:
            lines.append(svg.shortened(word, most))
    return lines if len(lines) <= LINES else [*lines[: LINES - 1], svg.DOTS]


def arrow_labels(model: Any, options: Options) -> list[str]:
    """Return the text beside each arrow: the input, and the output of each layer."""
    dtypes = [model.dtype, *(layer.dtype for layer in model.layers)]
    shapes: list[Any] = [None] * len(dtypes)
    if model.input_shape is not None:
        outputs = (layer.compute_output_shape(layer.input_shape) for layer in model.layers)
        shapes = [model.input_shape, *outputs]
    labels = []
    for shape, dtype in zip(shapes, dtypes, strict=True):
        parts = [shape_text(shape)] if options.show_shapes and shape is not None else []
        labels.append(", ".join([*parts, dtype.name] if options.show_dtype else parts))
    return labels


def top_to_bottom(boxes: Sequence[Box], labels: Sequence[str]) -> tuple[str, tuple[float, float]]:
    """Return the elements of a column of boxes, and their size. Layers have one width."""
    wide = max(LEAST, *(box.width for box in boxes))
    beside = max(Line(label).width for label in labels) + HEAD + 4
    middle, y, parts = MARGIN + wide / 2, float(MARGIN), []
    for number, box in enumerate(boxes):
        own = wide if box.kind == "layer" else box.width
        parts.append(drawn(box, middle - own / 2, y, own))
        y += box.height
        if number < len(labels):
            parts.append(arrow((middle, y), (middle, y + ARROW)))
            parts.append(label_text(labels[number], middle + HEAD + 4, y + ARROW / 2 + 3, "start"))
            y += ARROW
    return "".join(parts), (max(wide, wide / 2 + beside) + 2 * MARGIN, y + MARGIN)


def left_to_right(boxes: Sequence[Box], labels: Sequence[str]) -> tuple[str, tuple[float, float]]:
    """Return the elements of a row of boxes, and their size."""
    high = max(box.height for box in boxes)
    middle, x, parts = MARGIN + high / 2, float(MARGIN), []
    for number, box in enumerate(boxes):
        parts.append(drawn(box, x, middle - box.height / 2, box.width))
        x += box.width
        if number < len(labels):
            length = max(ARROW, Line(labels[number]).width + 2 * HEAD)
            parts.append(arrow((x, middle), (x + length, middle)))
            parts.append(label_text(labels[number], x + length / 2, middle - HEAD, "middle"))
            x += length
    return "".join(parts), (x + MARGIN, high + 2 * MARGIN)


def drawn(box: Box, x: float, y: float, width: float) -> str:
    """Return a box at a place, with its text in the middle."""
    dashes = ' stroke-dasharray="5 3"' if box.dashed else ""
    round_ = min(6.0, box.height / 2) if box.kind == "layer" else box.height / 2
    parts = [
        f'<g class="{box.kind}"><title>{svg.escaped(box.about)}</title>'
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{box.height:.1f}" rx="{round_:.1f}" '
        f'fill="{box.colour}" stroke="#555555"{dashes}/>'
    ]
    for number, line in enumerate(box.lines):
        size = f'font-size="{NAME}" font-weight="bold"' if line.bold else f'font-size="{LETTERS}"'
        base = y + PAD / 2 + LINE * number + 0.75 * LINE
        parts.append(
            f'<text x="{x + width / 2:.1f}" y="{base:.1f}" {size} text-anchor="middle" '
            f'fill="{LIGHT[1]}">{svg.escaped(line.text)}</text>'
        )
    return "".join([*parts, "</g>"])


def arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Return an arrow between two points."""
    angle = math.degrees(math.atan2(end[1] - start[1], end[0] - start[0]))
    length = math.dist(start, end)
    return (
        f'<g class="arrow" transform="translate({start[0]:.1f} {start[1]:.1f}) rotate({angle:.0f})">'
        f'<line x1="0" y1="0" x2="{length - HEAD:.1f}" y2="0" stroke="currentColor" stroke-width="1.2"/>'
        f'<polygon points="{length:.1f},0 {length - HEAD:.1f},{HEAD / 2} {length - HEAD:.1f},-{HEAD / 2}" '
        'fill="currentColor"/></g>'
    )


def label_text(text: str, x: float, y: float, anchor: str) -> str:
    """Return the text beside an arrow, if there is any."""
    if not text:
        return ""
    return (
        f'<text class="array" x="{x:.1f}" y="{y:.1f}" font-size="{LETTERS}" text-anchor="{anchor}" '
        f'fill="currentColor">{svg.escaped(text)}</text>'
    )
