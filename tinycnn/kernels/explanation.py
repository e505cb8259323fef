"""Which algorithm computes each pass of a network, and why, as a table.

::

    kernels.choose -> layer.passes() -> stage.passes() -> model.passes() -> explain -> text

Here is only how the answers look. Whoever runs a pass answers for it, by the very functions that decide when
it runs: a layer for itself, a stage for the layers that it joins, a network for all of them.
"""

import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

from tinycnn.checks import Pair

# The passes of a layer.
FORWARD, RELU_GRADIENT, INPUT_GRADIENT, FILTER_GRADIENT = (
    "forward",
    "ReLU gradient",
    "input gradient",
    "filter gradient",
)
# What stands in the table for several passes that have the same answer.
TOGETHER = {
    (INPUT_GRADIENT, FILTER_GRADIENT): "both gradients",
    (FORWARD, INPUT_GRADIENT): "both passes",
    (FORWARD, INPUT_GRADIENT, FILTER_GRADIENT): "all passes",
}
TITLES = ("layer", "pass", "algorithm", "why")
WIDTH = 100
LAYER_WIDTH = 24  # of the longest name that is not cut


class Pass(NamedTuple):
    """A pass of a layer: what computes it, and why that."""

    layer: str
    step: str
    algorithm: str
    reason: str


def explain(model: Any) -> str:
    """Print which algorithm each layer got for each pass, and why; return the text.

    It is what runs now: an algorithm that is asked for by `use_algorithm` or by the environment shows, and so
    does whether the model is compiled. Of one that is, the table shows `train_step` and `predict`, in stages
    where there are such; of one that is not, `forward` and `backward`, layer by layer.

    Parameters
    ----------
    model : Sequential or Layer
        Built.

    Returns
    -------
    str
        The table, in lines of at most 100 columns. A request that an algorithm cannot fulfil, and for which
        it will raise when it is run, is told as "refused".

    Raises
    ------
    ValueError
        Before the model is built, or for something that has no layers.

    Examples
    --------
    >>> import tinycnn
    >>> from tinycnn.layers import Conv2D, Flatten, MaxPooling2D
    >>> layers = [Conv2D(32, 3), Conv2D(64, 3, activation="relu"), MaxPooling2D(), Flatten()]
    >>> model = tinycnn.Sequential(layers, input_shape=(28, 28, 1))
    >>> model.compile()
    >>> text = tinycnn.kernels.explain(model)
    layer            pass             algorithm        why
    -----------------------------------------------------------------------------------------------
    conv2d_1         forward          direct           1 to 32 channels: too few for winograd
                     input gradient   none             nobody needs the gradient of the images
                     filter gradient  direct           1 to 32 channels: too few for winograd
    conv2d_2         forward          winograd F(4,3)  3x3, 32 channels: 4.0x fewer multiplications
                     both gradients   pooled           skips zeros: pool, ReLU leave <= 25 %
    max_pooling2d_1  forward          epilogue         while the sums of conv2d_2 are in the cache
                     input gradient   pooled           in the gradients of conv2d_2
    <BLANKLINE>
    No choice to make: flatten_1.
    Up to 8 images are predicted one by one, conv2d_1 to flatten_1 in one call of compiled code.
    """
    if not callable(getattr(model, "passes", None)):
        raise ValueError(f"model: expected a Sequential or a layer, received {type(model).__name__}")
    if not model.built:
        name = model.name or type(model).__name__
        raise ValueError(f"{name}: expected build(input_shape) before explain, received none")
    rows: list[Pass] = model.passes()
    told = {row.layer for row in rows}
    silent = [layer.label for layer in getattr(model, "layers", [model]) if layer.label not in told]
    notes = [f"No choice to make: {', '.join(silent)}."] if silent else []
    if getattr(model, "optimizer", model) is None:
        notes.append("Not compiled: forward and backward, layer by layer; compile may join layers in stages.")
    notes += getattr(model, "notes", list)()
    text = table(rows, notes)
    print(text)
    return text


def table(rows: Sequence[Pass], notes: Sequence[str] = ()) -> str:
    """Return the rows as text, and the notes below them."""
    fields = [TITLES, *_joined(rows)]
    widths = [max(len(row[column]) for row in fields) for column in range(3)]
    widths[0] = min(widths[0], LAYER_WIDTH)
    room = WIDTH - sum(widths) - 2 * len(widths)
    lines: list[str] = []
    for row in fields:
        left = "".join(field[:width].ljust(width + 2) for field, width in zip(row, widths, strict=False))
        reason = textwrap.wrap(row[3], room)
        lines += [(left + reason[0]).rstrip(), *(" " * len(left) + line for line in reason[1:])]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join([*lines, *([""] if notes else []), *(textwrap.fill(note, WIDTH) for note in notes)])


def _joined(rows: Sequence[Pass]) -> list[tuple[str, str, str, str]]:
    """Return the rows, a layer's name once, and passes with one answer in one row."""
    joined = []
    for layer, own in groupby(rows, lambda row: row.layer):
        name = layer
        for (algorithm, reason), same in groupby(own, lambda row: row[2:]):
            steps = tuple(row.step for row in same)
            for step in [TOGETHER[steps]] if steps in TOGETHER else steps:
                joined.append((name, step, algorithm, reason))
                name = ""
    return joined


def minimal_filtering(m: int, r: int, tiled: Pair, outputs: Pair) -> tuple[str, str]:
    """Return the name of Winograd's F(m, r), and how many multiplications it saves on an image.

    Parameters
    ----------
    m, r : int
        Size of an output tile, and of the filter.
    tiled : (int, int)
        Size of what is cut into tiles; what the last ones run over is computed too.
    outputs : (int, int)
        OH and OW: the definition multiplies r * r times for each, in every pass.
    """
    places = -(-tiled[0] // m) * -(-tiled[1] // m) * (m + r - 1) ** 2
    ratio = outputs[0] * outputs[1] * r * r / places
    if ratio < 1:
        return f"F({m},{r})", f"{1 / ratio:.1f}x more multiplications"
    return f"F({m},{r})", f"{ratio:.1f}x fewer multiplications"
