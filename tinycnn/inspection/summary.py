"""Summary of a network as a table of text, in the form of Keras.

::

    layers, output shapes, parameter counts -> lines of fixed columns
"""

from collections.abc import Sequence

from tinycnn.kernels.explanation import FORWARD, Row
from tinycnn.layers import Layer

# The ends of the columns as shares of the line, and the length of the line, as in Keras 2.
COLUMN_ENDS = (0.45, 0.85, 1.0)
LINE_LENGTH = 65
ALGORITHM_WIDTH = 24


def summary_text(
    layers: Sequence[Layer],
    shapes: Sequence[tuple[int, ...]],
    rows: Sequence[Row] | None = None,
    line_length: int = LINE_LENGTH,
) -> str:
    """Return the summary table.

    Parameters
    ----------
    layers : sequence of Layer
        Built.
    shapes : sequence of tuple
        The output shapes of the layers, without the batch axis.
    rows : sequence of Row, optional
        If given, a fourth column shows the algorithm of each forward pass, as `kernels.explain` does.
    line_length : int
        Characters in the first three columns; names that do not fit are cut.
    """
    ends = [int(line_length * share) for share in COLUMN_ENDS]
    titles = ["Layer (type)", "Output Shape", "Param #"]
    if rows is not None:
        ends.append(ends[-1] + ALGORITHM_WIDTH)
        titles.append("Algorithm")
    thin, thick = "_" * ends[-1], "=" * ends[-1]
    lines = [thin, _row(titles, ends), thick]
    for layer, shape in zip(layers, shapes, strict=True):
        name = f"{layer.name} ({type(layer).__name__})"
        fields = [
            name,
            str((None, *shape)),
            str(layer.count_params(layer.input_shape or ())),
            algorithm(layer, rows or ()),
        ]
        lines += [_row(fields[: len(ends)], ends), thin]
    lines[-1] = thick
    trainable = sum(p.size for layer in layers if layer.trainable for p in layer.params.values())
    total = sum(layer.count_params(layer.input_shape or ()) for layer in layers)
    lines += [
        f"Total params: {total:,}",
        f"Trainable params: {trainable:,}",
        f"Non-trainable params: {total - trainable:,}",
        thin,
    ]
    return "\n".join(lines)


def _row(fields: Sequence[str], ends: Sequence[int]) -> str:
    """Return the fields in one line, each cut and padded to its column, with a space between columns."""
    line = ""
    for field, end in zip(fields, ends, strict=True):
        line = (line[:-1] + " " if line else "") + field
        line = line[:end].ljust(end)
    return line


def algorithm(layer: Layer, rows: Sequence[Row]) -> str:
    """Return the algorithm of the layer's forward pass, with "(auto)" if the layer did not request it."""
    chosen = [row.algorithm for row in rows if row.layer == layer.name and row.direction == FORWARD]
    automatic = " (auto)" if vars(layer).get("algorithm") == "auto" else ""
    return f"{chosen[0]}{automatic}" if chosen else ""
