"""One number of a network, taken apart: the terms that it is the sum of, forward and backward.

::

    y[index]  = sum of input * weight + bias      over the window, the row of a matrix, ...
    dx[index] = sum of dy    * weight             over all outputs that x[index] is part of: the chain rule

Inputs, weights, gradients and results are read from the layer and its trace. The indices follow from the
geometry of the layer, and what is multiplied is shown beside what the layer computed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinycnn import activations
from tinycnn.inspection.fields import CONVOLUTIONS, WINDOWED, kernel_of, softmax_axis, window_geometry
from tinycnn.inspection.trace import Step
from tinycnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GaussianNoise,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
    ReLU,
    Reshape,
    SeparableConv2D,
    Softmax,
    UpSampling2D,
    ZeroPadding2D,
)
from tinycnn.support import checks

Index = tuple[int, ...]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Terms:
    """A number as a sum of products.

    Attributes
    ----------
    operation : str
        "sum", "maximum", "mean", "interpolation", "copy", "normalisation", or the name of an activation.
    positions : int ndarray of shape (n, axes)
        Where each factor is: indices of the layer's input; for a gradient, of its output. The padding has
        positions outside of the input.
    factors : ndarray of shape (n,)
        The numbers there: of the input, or of the gradient of the output.
    weights : ndarray of shape (n,)
        What each is multiplied by.
    bias : float
    value : float
        What the layer computed. It is the sum of the products and the bias, up to rounding; for an activation
        that does not work element by element or is not linear, forward, its result.
    """

    operation: str
    positions: np.ndarray
    factors: np.ndarray
    weights: np.ndarray
    bias: float
    value: float

    @property
    def products(self) -> np.ndarray:
        """The terms (n,)."""
        return self.factors * self.weights


def forward_terms(step: Step, index: Index) -> Terms:
    """Return what one output of a layer is made of.

    Parameters
    ----------
    step : Step
        Of a trace.
    index : tuple of int
        Of the output, without the batch axis.

    Raises
    ------
    ValueError
        For an index outside of the output.
    TypeError
        For a layer of a class that is not of this library.

    Examples
    --------
    >>> import numpy as np
    >>> from tinycnn import Sequential
    >>> from tinycnn.inspection.trace import trace
    >>> from tinycnn.layers import Dense
    >>> model = Sequential([Dense(2)], seed=0, input_shape=(3,), dtype="float64")
    >>> step = trace(model, np.arange(3.0)).steps[0]
    >>> terms = forward_terms(step, (1,))
    >>> terms.factors, bool(np.isclose(terms.products.sum() + terms.bias, step.y[1]))
    (array([0., 1., 2.]), True)
    """
    index = _checked("index", index, step.y.shape)
    layer, x, operation = step.layer, step.x, operation_of(step.layer)
    positions = _inputs_of(layer, index, x.shape, step.y.shape)
    factors = np.array([x[p] if _inside(p, x.shape) else 0 for p in positions], x.dtype)
    weights, bias = _forward_weights(step, index, positions)
    return Terms(operation, np.array(positions), factors, weights, bias, float(step.y[index]))


def backward_terms(step: Step, index: Index) -> Terms:
    """Return what the gradient of the loss by one input of a layer is made of; see `forward_terms`.

    Parameters
    ----------
    step : Step
        Of a trace with a label.
    index : tuple of int
        Of the input, without the batch axis.

    Raises
    ------
    ValueError
        For an index outside of the input, or a trace without a label.
    TypeError
        For a layer of a class that is not of this library.
    """
    if step.dx is None or step.dy is None:
        raise ValueError("step: expected one of a trace with a label, by which there are gradients")
    index = _checked("index", index, step.x.shape)
    layer, shape, operation = step.layer, step.y.shape, operation_of(step.layer)
    positions = _outputs_of(layer, index, step.x.shape, shape)
    weights = np.array([_weight(step, position, index) for position in positions], step.x.dtype)
    factors = np.array([step.dy[position] for position in positions], step.dy.dtype)
    where = np.array(positions).reshape(len(positions), len(shape))
    return Terms(operation, where, factors, weights, 0.0, float(step.dx[index]))


def operation_of(layer: Any) -> str:
    """Return the name of what a layer does, as in `Terms`; raise TypeError for a class of one's own."""
    if isinstance(layer, Activation | ReLU | Softmax):
        return layer.activation or "linear"
    names: dict[type, str] = {
        Conv2D: "sum",
        DepthwiseConv2D: "sum",
        SeparableConv2D: "sum",
        Dense: "sum",
        MaxPooling2D: "maximum",
        AveragePooling2D: "mean",
        GlobalAveragePooling2D: "mean",
        GlobalMaxPooling2D: "maximum",
        UpSampling2D: "interpolation",
        BatchNormalization: "normalisation",
        **dict.fromkeys((Dropout, Flatten, GaussianNoise, Reshape, ZeroPadding2D), "copy"),
    }
    if type(layer) not in names:
        raise TypeError(f"{layer.label}: expected a layer of tinycnn, received a {type(layer).__name__}")
    return names[type(layer)]


def _forward_weights(step: Step, index: Index, positions: list[Index]) -> tuple[np.ndarray, float]:
    """Return the weight of each input of an output, and the bias."""
    layer = step.layer
    bias = 0.0
    if isinstance(layer, Conv2D | SeparableConv2D):
        weights = kernel_of(layer)[..., index[-1]].ravel()  # in the order of the window
    else:
        weights = np.array([_weight(step, index, position) for position in positions], step.x.dtype)
    if isinstance(layer, CONVOLUTIONS | Dense) and layer.use_bias:
        bias = float(layer.params["bias"][index[-1]])
    elif isinstance(layer, BatchNormalization):
        bias = float(step.y[index] - step.x[index] * weights[0])
    return weights, bias


def _weight(step: Step, output: Index, position: Index) -> float:
    """Return the derivative of one output of a layer by one of its inputs."""
    layer = step.layer
    if isinstance(layer, Conv2D):
        return float(layer.params["kernel"][(*_tap(layer, output, position), position[-1], output[-1])])
    if isinstance(layer, DepthwiseConv2D):
        c, m = divmod(output[-1], layer.depth_multiplier)
        return float(layer.params["kernel"][(*_tap(layer, output, position), c, m)])
    if isinstance(layer, SeparableConv2D):
        filters = layer.params["depthwise_kernel"][(*_tap(layer, output, position), position[-1])]
        first = position[-1] * layer.depth_multiplier
        return float(
            filters @ layer.params["pointwise_kernel"][0, 0, first : first + filters.size, output[-1]]
        )
    if isinstance(layer, Dense):
        return float(layer.params["kernel"][position[0], output[0]])
    if isinstance(layer, GlobalAveragePooling2D):
        return 1 / (step.x.shape[0] * step.x.shape[1])
    if isinstance(layer, AveragePooling2D):
        return 1 / sum(_inside(p, step.x.shape) for p in _window(layer, output, step.x.shape))
    if isinstance(layer, MaxPooling2D):
        inside = [p for p in _window(layer, output, step.x.shape) if _inside(p, step.x.shape)]
        return float(position == max(inside, key=lambda p: step.x[p]))  # the first among equals
    if isinstance(layer, GlobalMaxPooling2D):
        return float(position[:2] == np.unravel_index(step.x[..., output[0]].argmax(), step.x.shape[:2]))
    if isinstance(layer, UpSampling2D):
        return layer.taps(0, output[0])[position[0]] * layer.taps(1, output[1])[position[1]]
    if isinstance(layer, BatchNormalization):
        channel = position[-1]
        scale = layer.params["gamma"][channel] if layer.scale else 1.0
        return float(scale / np.sqrt(layer.state["moving_variance"][channel] + layer.epsilon))
    if isinstance(layer, ReLU):
        return float(layer.derivative(step.x[position]))
    if isinstance(layer, Activation | Softmax):
        return _slope(layer, step, output, position)
    return 1.0


def _slope(layer: Any, step: Step, output: Index, position: Index) -> float:
    """Return the derivative of an activation, by the library's own gradient of one output."""
    unit = np.zeros_like(step.y)
    unit[output] = 1
    axis = softmax_axis(layer, step.y.ndim)
    if axis is not None:
        return float(activations.softmax_gradient(step.y, unit, axis)[position])
    return float(activations.get(layer.activation).gradient(step.y, unit)[position])


def _inputs_of(layer: Any, index: Index, x_shape: Index, y_shape: Index) -> list[Index]:
    """Return the positions in the input that one output is made of."""
    axis = softmax_axis(layer, len(index))
    if axis is not None:
        return _along(axis, index, x_shape)
    if isinstance(layer, Dense):
        return list(np.ndindex(x_shape))
    if isinstance(layer, GlobalAveragePooling2D | GlobalMaxPooling2D):
        return [(*pixel, index[0]) for pixel in np.ndindex(x_shape[:2])]
    if isinstance(layer, WINDOWED):
        return list(_window(layer, index, x_shape))
    if isinstance(layer, UpSampling2D):
        return list(itertools.product(layer.taps(0, index[0]), layer.taps(1, index[1]), index[2:]))
    return [_moved(index, y_shape, x_shape)]


def _outputs_of(layer: Any, index: Index, x_shape: Index, y_shape: Index) -> list[Index]:
    """Return the positions in the output that one input is part of."""
    axis = softmax_axis(layer, len(index))
    if axis is not None:
        return _along(axis, index, y_shape)
    if isinstance(layer, Dense):
        return list(np.ndindex(y_shape))
    if isinstance(layer, GlobalAveragePooling2D | GlobalMaxPooling2D):
        return [index[-1:]]
    if isinstance(layer, WINDOWED):
        return list(_windows_of(layer, index, y_shape))
    if isinstance(layer, UpSampling2D):
        rows, columns = (
            [output for output in range(y_shape[axis]) if index[axis] in layer.taps(axis, output)]
            for axis in (0, 1)
        )
        return list(itertools.product(rows, columns, index[2:]))
    return [_moved(index, x_shape, y_shape)]


def _moved(index: Index, shape: Index, other: Index) -> Index:
    """Return where a value is when an array is reshaped from `shape` to `other`, in row-major order."""
    return _ints(np.unravel_index(np.ravel_multi_index(index, shape), other))


def _window(layer: Any, output: Index, shape: Index) -> Iterator[Index]:
    """Yield the positions in the input that one output reads, row by row, also those in the padding.

    A convolution reads all channels, a pool or a depthwise convolution that of its output.
    """
    row, column, channel = output
    (KH, KW), (SH, SW), ((top, _), (left, _)), (DH, DW) = window_geometry(layer)
    channels = range(shape[2])
    if not isinstance(layer, Conv2D | SeparableConv2D):
        channels = range(channel // _multiplier(layer), channel // _multiplier(layer) + 1)
    for i, j, c in itertools.product(range(KH), range(KW), channels):
        yield row * SH - top + i * DH, column * SW - left + j * DW, c


def _windows_of(layer: Any, position: Index, shape: Index) -> Iterator[Index]:
    """Yield the outputs whose windows have one position of the input."""
    size, strides, pads, dilation = window_geometry(layer)
    along = [
        [
            (position[axis] + pads[axis][0] - tap * dilation[axis]) // strides[axis]
            for tap in range(size[axis])
            if (position[axis] + pads[axis][0] - tap * dilation[axis]) % strides[axis] == 0
        ]
        for axis in (0, 1)
    ]
    channels = range(shape[2])
    if not isinstance(layer, Conv2D | SeparableConv2D):
        channels = range(position[2] * _multiplier(layer), (position[2] + 1) * _multiplier(layer))
    for output in itertools.product(*along, channels):
        if _inside(output, shape):
            yield output


def _tap(layer: Any, output: Index, position: Index) -> Pair:
    """Return which element of the kernel meets a position of the input for an output."""
    _, strides, pads, dilation = window_geometry(layer)
    taps = (
        (position[axis] + pads[axis][0] - output[axis] * strides[axis]) // dilation[axis] for axis in (0, 1)
    )
    return tuple(taps)  # type: ignore[return-value]


def _along(axis: int, index: Index, shape: Index) -> list[Index]:
    """Return the positions along an axis."""
    return [(*index[:axis], i, *index[axis + 1 :]) for i in range(shape[axis])]


def _multiplier(layer: Any) -> int:
    """Return how many output channels a layer makes of each, if it looks at each alone."""
    return layer.depth_multiplier if isinstance(layer, DepthwiseConv2D) else 1


def _inside(position: Index, shape: Index) -> bool:
    return all(0 <= p < size for p, size in zip(position, shape, strict=True))


def _ints(index: Any) -> Index:
    return tuple(int(i) for i in index)


def _checked(name: str, index: Any, shape: Index) -> Index:
    found = tuple(checks.whole(name, i, 0) for i in index)
    if len(found) != len(shape) or not _inside(found, shape):
        raise ValueError(f"{name}: expected one inside of shape {shape}, received {found}")
    return found
