"""A network as a table of text, in the form that Keras' users know.

::

    layers with names, output shapes, parameter counts -> lines of fixed columns
"""

from collections.abc import Sequence

from tinycnn.kernels.explanation import FORWARD, Pass
from tinycnn.layers import Layer

# Where the columns end, as shares of the line, and the line's length: Keras 2's.
COLUMN_ENDS = (0.45, 0.85, 1.0)
LINE_LENGTH = 65
ALGORITHM_WIDTH = 24


def summary_text(
    layers: Sequence[Layer],
    shapes: Sequence[tuple[int, ...]],
    passes: Sequence[Pass] | None = None,
    line_length: int = LINE_LENGTH,
) -> str:
    """Return the table.

    Parameters
    ----------
    layers : sequence of built layers
    shapes : sequence of tuple
        Their output shapes, without the batch axis.
    passes : sequence of Pass, optional
        With it, a fourth column names the algorithm of each layer's forward pass, as `kernels.explain` does.
    line_length : int
        Length of the three columns; names that do not fit are cut.
    """
    ends = [int(line_length * share) for share in COLUMN_ENDS]
    titles = ["Layer (type)", "Output Shape", "Param #"]
    if passes is not None:
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
            _algorithm(layer, passes or ()),
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
    """Return the fields side by side, each cut and padded to its column, with a space between columns."""
    line = ""
    for field, end in zip(fields, ends, strict=True):
        line = (line[:-1] + " " if line else "") + field
        line = line[:end].ljust(end)
    return line


def _algorithm(layer: Layer, passes: Sequence[Pass]) -> str:
    """Return the algorithm of the layer's forward pass, and "auto" when it was not asked for by the layer."""
    chosen = [row.algorithm for row in passes if row.layer == layer.name and row.step == FORWARD]
    automatic = " (auto)" if getattr(layer, "algorithm", "") == "auto" else ""
    return f"{chosen[0]}{automatic}" if chosen else ""
