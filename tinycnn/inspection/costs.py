"""Costs of a network, a layer a row: multiplications, memory, receptive field and time.

::

    layers, shapes -> arithmetic -> MACs, parameters, bytes, receptive field
    a copy of the layers, one by one -> clock -> milliseconds, forward and backward
"""

from __future__ import annotations

import copy
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinycnn.inspection.fields import reads, takes_all
from tinycnn.inspection.summary import algorithm
from tinycnn.layers import (
    LAYERS,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    Layer,
    Reshape,
    SeparableConv2D,
    UpSampling2D,
)
from tinycnn.support import checks

Field = tuple[int, int]
REPEATS = 5  # of each measurement; the median counts
TITLES = ("layer", "output", "params", "MACs", "KiB", "field", "forward ms", "backward ms", "algorithm")
LEFT = (0, 8)  # columns of text; the others are aligned to the right


class Cost(NamedTuple):
    """What one layer costs.

    Attributes
    ----------
    layer, kind : str
        Name and type; "together" and "" for all layers.
    output_shape : tuple of int
        Without the batch axis.
    params : int
        Values in the weights.
    macs : int or None
        Multiply-accumulate operations that the definition needs for one image, forward. A backward pass needs
        about twice as many. Comparisons, additions alone and exponentials are not counted, nor are products
        of an element by one number, as in a ReLU with a slope. None for a layer
        that is not of this library; the sum of all is without it.
    activation_bytes : int
        Size of the output for one image.
    receptive_field : (int, int) or None
        Rows and columns of the image that one output depends on, at most those of the image. None from the
        first layer on that is not of this library.
    forward_ms, backward_ms : float
        Milliseconds for the batch, training.
    algorithm : str
        What computes the forward pass; empty where there is no choice.
    """

    layer: str
    kind: str
    output_shape: tuple[int, ...]
    params: int
    macs: int | None
    activation_bytes: int
    receptive_field: Field | None
    forward_ms: float
    backward_ms: float
    algorithm: str


def costs(model: Any, batch_size: int = 32) -> list[Cost]:
    """Return the cost of each layer, and of all together in the last row.

    The layers are timed one by one; the last row is the time of the model, whose layers may run fused. That
    takes less than the sum. Kernels are compiled before. The model is not changed.

    Parameters
    ----------
    model : Sequential
        Built.
    batch_size : int
        Images, of uniformly distributed noise, in each pass that is timed.

    Raises
    ------
    ValueError
        When the model has no layers or is not built.

    Examples
    --------
    >>> from tinycnn import Sequential
    >>> from tinycnn.layers import Conv2D, Flatten
    >>> model = Sequential([Conv2D(4, 3), Conv2D(2, 3), Flatten()], seed=0, input_shape=(8, 8, 1))
    >>> [(cost.macs, cost.receptive_field) for cost in costs(model, batch_size=1)]
    [(1296, (3, 3)), (1152, (5, 5)), (0, (5, 5)), (2448, (5, 5))]
    """
    batch_size = checks.whole("batch_size", batch_size, 1)
    if model.input_shape is None or not model.layers:
        raise ValueError(f"{model.name}: call model.build(input_shape) before its costs are counted")
    rows = model.plan(batch_size).rows()
    twin = copy.deepcopy(model)
    x = np.random.default_rng(0).random((batch_size, *model.input_shape)).astype(model.dtype)
    timed, y = [], x
    for layer in twin.layers:
        milliseconds, y = _milliseconds(layer, y)
        timed.append(milliseconds)
    found = [
        Cost(
            layer.name or "",
            type(layer).__name__,
            shape,
            layer.count_params(layer.built_shape),
            macs(layer),
            math.prod(shape) * layer.dtype.itemsize,
            field,
            forward,
            backward,
            algorithm(layer, rows),
        )
        for layer, shape, field, (forward, backward) in zip(
            model.layers, _output_shapes(model.layers), receptive_fields(model.layers), timed, strict=True
        )
    ]
    (forward, backward), _ = _milliseconds(twin, x)
    together = found[-1]._replace(
        layer="together",
        kind="",
        params=sum(cost.params for cost in found),
        macs=sum(cost.macs or 0 for cost in found),
        activation_bytes=sum(cost.activation_bytes for cost in found),
        forward_ms=forward,
        backward_ms=backward,
        algorithm="",
    )
    return [*found, together]


def macs(layer: Layer) -> int | None:
    """Return the multiply-accumulate operations of a built layer for one image, forward, by definition."""
    if not _known(layer):
        return None
    outputs = math.prod(layer.compute_output_shape(layer.built_shape))
    if isinstance(layer, Conv2D):
        return outputs * math.prod(layer.params["kernel"].shape[:3])  # KH * KW * C for each output
    if isinstance(layer, DepthwiseConv2D):
        return outputs * math.prod(layer.kernel_size)  # KH * KW for each output
    if isinstance(layer, SeparableConv2D):  # each weight for each pixel of the output
        depthwise, pointwise = layer.params["depthwise_kernel"], layer.params["pointwise_kernel"]
        return outputs // layer.filters * (depthwise.size + pointwise.size)
    if isinstance(layer, Dense):
        return outputs * layer.built_shape[0]
    if isinstance(layer, UpSampling2D):
        return 4 * outputs if layer.interpolation == "bilinear" else 0  # of two rows and two columns
    return outputs if isinstance(layer, BatchNormalization) else 0  # one scale and shift for each


def _known(layer: Layer) -> bool:
    """Return whether a layer is of this library; a class of the user's may compute anything."""
    return type(layer) in LAYERS.values()


def receptive_fields(layers: Sequence[Layer]) -> list[Field | None]:
    """Return for each layer how many rows and columns of the image one of its outputs depends on.

    It is the largest number over all outputs: near an edge, padding is no part of the image. None from the
    first layer on that is not of this library. (Araujo, Norris and Sim, "Computing receptive fields of
    convolutional neural networks", Distill, 2019, have the formulas for windows.)
    """
    known = list(itertools.takewhile(_known, layers))
    fields = zip(*(_fields_along(axis, layers[0].built_shape, known) for axis in (0, 1)), strict=True)
    return [*fields, *[None] * (len(layers) - len(known))]


def _fields_along(axis: int, image: tuple[int, ...], layers: Sequence[Layer]) -> Iterator[int]:
    """Yield the field of each layer along one axis; a vector counts as one row and one column."""
    spans = [(pixel, pixel) for pixel in range(_length(image, axis))]  # what each output depends on
    for layer in layers:
        outputs = _length(layer.output_shape, axis)
        if takes_all(layer, axis):
            spans = [_span(spans, 0, len(spans))] * outputs
        elif len(layer.built_shape) == 3 and not isinstance(layer, Flatten | Reshape):
            spans = [_span(spans, *reads(layer, axis, output, output)) for output in range(outputs)]
        yield max(last - first + 1 for first, last in spans)


def _length(shape: tuple[int, ...], axis: int) -> int:
    return shape[axis] if len(shape) == 3 else 1


def _span(spans: Sequence[Field], first: int, last: int) -> Field:
    """Return the first and the last pixel that elements first to last depend on; (0, -1) for none."""
    seen = [span for span in spans[first : max(last + 1, 0)] if span[0] <= span[1]]
    return (min(a for a, _ in seen), max(b for _, b in seen)) if seen else (0, -1)


def _output_shapes(layers: Sequence[Layer]) -> list[tuple[int, ...]]:
    return [layer.compute_output_shape(layer.built_shape) for layer in layers]


def _milliseconds(runs: Any, x: np.ndarray) -> tuple[tuple[float, float], np.ndarray]:
    """Return the median times of a forward and a backward pass of a layer or model, and its output."""
    y = runs.forward(x, training=True)
    dy = np.full_like(y, 1 / y.size)
    runs.backward(dy)  # everything is compiled now
    forward, backward = [], []
    for _ in range(REPEATS):
        forward.append(_clock(lambda: runs.forward(x, training=True)))
        backward.append(_clock(lambda: runs.backward(dy)))
    return (statistics.median(forward), statistics.median(backward)), y


def _clock(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def cost_text(rows: Sequence[Cost], batch_size: int) -> str:
    """Return costs as a table; `batch_size` is the one that they were measured with."""
    cells = [TITLES, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(_aligned(i, cell, widths[i]) for i, cell in enumerate(row)).rstrip() for row in cells]
    rule = "-" * max(map(len, lines))
    lines = [lines[0], rule, *lines[1:-1], rule, lines[-1]]
    return "\n".join(
        [
            *lines,
            "MACs: multiply-accumulate operations for one image, forward, by definition. KiB: the output for",
            "one image. field: pixels of the image that one output depends on. ms: a training pass of",
            f"{batch_size} images, the layers one by one; together: the model, whose layers may run fused.",
        ]
    )


def _aligned(column: int, cell: str, width: int) -> str:
    return cell.ljust(width) if column in LEFT else cell.rjust(width)


def _cells(cost: Cost) -> tuple[str, ...]:
    name = f"{cost.layer} ({cost.kind})" if cost.kind else cost.layer
    return (
        name,
        "x".join(map(str, cost.output_shape)),
        f"{cost.params:,}",
        "?" if cost.macs is None else f"{cost.macs:,}",
        f"{cost.activation_bytes / 1024:.1f}",
        "?" if cost.receptive_field is None else "x".join(map(str, cost.receptive_field)),
        f"{cost.forward_ms:.2f}",
        f"{cost.backward_ms:.2f}",
        cost.algorithm,
    )
