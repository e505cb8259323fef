"""Which algorithm computes each pass of a network, and why, as a table of text.

::

    model.plan() -> rows (layer, direction, choice) -> sentences -> table

The decisions are data (`selection.Choice`); the words for them are here and nowhere else.
"""

import math
import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

from tinycnn.kernels.selection import LARGE_BATCH, Choice, Request
from tinycnn.support import checks

FORWARD, RELU_GRADIENT, INPUT_GRADIENT, FILTER_GRADIENT = (
    "forward",
    "ReLU gradient",
    "input gradient",
    "filter gradient",
)
# What stands in the table for several directions that have the same answer.
TOGETHER = {
    (INPUT_GRADIENT, FILTER_GRADIENT): "both gradients",
    (FORWARD, INPUT_GRADIENT): "both passes",
    (FORWARD, INPUT_GRADIENT, FILTER_GRADIENT): "all passes",
}
#: The sentence for each `Choice.cause`; the names in braces are fields of the row or of its choice.
SENTENCES = {
    "requested": "requested by {requester}",
    "refused": "refused: {refusal}; requested by {requester}",
    "unsupported": "not winograd: {refusal}",
    "channels": "{channels[0]} to {channels[1]} channels: too few for winograd",
    "outputs": "{outputs} outputs; winograd pays from {least_outputs} on",
    "winograd": "{channels[0]} to {channels[1]} channels: {saving}",
    "windows": "compiled loops over the windows",
    "not for pools": "{requester} is for convolutions",
    "channels apart": "each channel has filters of its own",
    "both halves": "each channel has filters of its own; and the 1x1 convolution after it",
    "not for depthwise": "{requester} is for convolutions that add channels",
    "nothing compiled": "NumPy under {requester}",
    "no compiler": "NumPy, since kernels cannot be compiled",
    "small product": "a product this small is done before threads start",
    "blocks": "in blocks that fit the caches",
    "row": "one image: the rows of the matrix in parallel",
    "bias gradient": "with the gradient of the bias, in one pass",
    "in cache": "on the sums of {of}, while they are in the cache",
    "after": "on the whole output of {of}",
    "non-zeros": "only over non-zeros: {of} leave at most {share} %",
    "in gradients": "inside the gradients of {of}",
    "unneeded": "no layer needs the gradient of the images",
}
REQUESTERS = {
    "": "",
    "layer": 'the layer, algorithm="{}"',
    "context": 'use_algorithm("{}")',
    "environment": "TINYCNN_ALGORITHM={}",
}
TITLES = ("layer", "pass", "algorithm", "why")
WIDTH = 100
LAYER_WIDTH = 24  # longer names are cut


class Row(NamedTuple):
    """One pass of one layer, and what computes it.

    Attributes
    ----------
    layer, direction : str
        The layer's name; "forward" or one of the gradients above.
    choice : Choice
    variant : str
        Of Winograd's algorithm: "F(4,3)".
    multiplications : float
        By how much that reduces the multiplications of the definition; below 1 it needs more.
    of : str
        The layer, or the layers, that the reason speaks of.
    share : int
        Percent of a gradient that can be non-zero.
    """

    layer: str
    direction: str
    choice: Choice
    variant: str = ""
    multiplications: float = 1.0
    of: str = ""
    share: int = 100

    @property
    def algorithm(self) -> str:
        """The algorithm with its variant: "winograd F(4,3)"."""
        return f"{self.choice.algorithm} {self.variant}".rstrip()

    @property
    def reason(self) -> str:
        """The sentence of the last column."""
        saving = f"{self.multiplications:.1f}x fewer multiplications"
        if self.multiplications < 1:
            saving = f"{1 / self.multiplications:.1f}x more multiplications"
        fields = self._asdict() | self.choice._asdict()
        fields |= {"saving": saving, "requester": requester(self.choice.request)}
        return SENTENCES[self.choice.cause].format(**fields)


def requester(request: Request) -> str:
    """Return who made a request, as its author wrote it."""
    return REQUESTERS[request.by].format(request.algorithm)


def minimal_filtering(m: int, r: int, tiled: tuple[int, int], outputs: tuple[int, int]) -> tuple[str, float]:
    """Return the name of Winograd's F(m, r), and by what factor it reduces the multiplications of an image.

    Parameters
    ----------
    m, r : int
        Sizes of an output tile and of the filter.
    tiled : (int, int)
        Size of the map that is cut into tiles; tiles at the edge are computed whole.
    outputs : (int, int)
        OH and OW: the definition multiplies r * r times for each output, in every pass.
    """
    points = math.ceil(tiled[0] / m) * math.ceil(tiled[1] / m) * (m + r - 1) ** 2
    return f"F({m},{r})", outputs[0] * outputs[1] * r * r / points


def explain(model: Any, batch_size: int = LARGE_BATCH) -> str:
    """Print which algorithm computes each pass of each layer, and why; return the text.

    The table shows what runs now, under the requests of `use_algorithm` and of the environment. For a
    compiled model it is what `train_step` runs, with fused layers; before `compile`, what `forward` and
    `backward` run.

    Parameters
    ----------
    model : Sequential
        Built.
    batch_size : int
        Images in a batch. Small batches get other algorithms.

    Returns
    -------
    str
        Lines of at most 100 columns. A request that cannot be fulfilled is shown as "refused"; it raises when
        it runs.

    Raises
    ------
    ValueError
        When the model is not built, or is none.

    Examples
    --------
    >>> import tinycnn
    >>> from tinycnn.layers import Conv2D, Flatten, MaxPooling2D
    >>> layers = [Conv2D(32, 3), Conv2D(64, 3, activation="relu"), MaxPooling2D(), Flatten()]
    >>> model = tinycnn.Sequential(layers, input_shape=(28, 28, 1))
    >>> model.compile()
    >>> text = tinycnn.kernels.explain(model)
    layer            pass             algorithm        why
    ---------------------------------------------------------------------------------------------------
    conv2d_1         forward          direct           1 to 32 channels: too few for winograd
                     input gradient   none             no layer needs the gradient of the images
                     filter gradient  direct           1 to 32 channels: too few for winograd
    conv2d_2         forward          winograd F(4,3)  32 to 64 channels: 4.0x fewer multiplications
                     both gradients   sparse           only over non-zeros: pool, ReLU leave at most 25
                                                       %
    max_pooling2d_1  forward          epilogue         on the sums of conv2d_2, while they are in the
                                                       cache
                     input gradient   sparse           inside the gradients of conv2d_2
    <BLANKLINE>
    No choice to make: flatten_1.
    Up to 8 images are predicted one by one, conv2d_1 to flatten_1 in one compiled call.
    """
    if not callable(getattr(model, "plan", None)):
        raise ValueError(f"model: expected a Sequential, received {type(model).__name__}")
    if not model.built:
        raise ValueError(f"{model.name}: call model.build(input_shape) before explain")
    plan, few = model.plan(checks.whole("batch_size", batch_size, 1)), model.plan(1, training=False)
    notes = plan.notes() + (few.notes() if few.one_by_one else [])
    if model.optimizer is None:
        notes.append("Not compiled: forward and backward run layer by layer; compile may fuse layers.")
    text = table(plan.rows(), notes)
    print(text)
    return text


def table(rows: Sequence[Row], notes: Sequence[str] = ()) -> str:
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


def _joined(rows: Sequence[Row]) -> list[tuple[str, str, str, str]]:
    """Return the rows as text, a layer's name once, and directions with one answer in one row."""
    joined = []
    for layer, own in groupby(rows, lambda row: row.layer):
        name = layer
        for (algorithm, reason), same in groupby(own, lambda row: (row.algorithm, row.reason)):
            directions = tuple(row.direction for row in same)
            for direction in [TOGETHER[directions]] if directions in TOGETHER else directions:
                joined.append((name, direction, algorithm, reason))
                name = ""
    return joined
