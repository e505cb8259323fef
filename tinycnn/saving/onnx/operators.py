"""Operators on images and vectors, as layers.

::

    Conv, Gemm, MatMul, BatchNormalization, pools, activations -> Network.add
    Add, Sub, Mul, Div of a constant for each channel, Scaler -> in the layer before, or BatchNormalization
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinycnn.activations import NEGATIVE_SLOPE
from tinycnn.saving.onnx import arranging, pieces, scaling, windows
from tinycnn.saving.onnx.layout import flat
from tinycnn.saving.onnx.network import Network
from tinycnn.saving.onnx.nodes import DATA, Node


def _normalization(net: Network, node: Node) -> None:
    read, names = node.attributes, ("gamma", "beta", "moving_mean", "moving_variance")
    arrays = [node.constant(index, name, 1) for index, name in enumerate(names, 1)]
    for name, off in (("training_mode", 0), ("spatial", 1), ("is_test", 1)):
        read.expect(name, read.whole(name, off), off)
    read.whole("consumed_inputs", 0)
    C = net.layout.size(net.layout.stored[0])
    if any(array.shape != (C,) for array in arrays):
        node.refuse(f"expected four arrays of {C} channels, received shapes {[a.shape for a in arrays]}")
    places = net.channels(node, net.layout.stored[0])
    weights = {name: array[places] for name, array in zip(names, arrays, strict=True)}
    momentum, epsilon = read.real("momentum", 0.9), read.real("epsilon", 1e-5)
    net.add(node, "BatchNormalization", weights, momentum=momentum, epsilon=epsilon)


def _gemm(net: Network, node: Node) -> None:
    read = node.attributes
    read.expect("transA", read.whole("transA", 0), 0)
    alpha, beta = read.real("alpha", 1.0), read.real("beta", 1.0)
    kernel = node.constant(1, "weights", 2)
    kernel = kernel.T if read.whole("transB", 0) else kernel
    if len(net.layout.stored) != 1:
        node.refuse(f"expected vectors, received shape (N, {net.layout.shape(net.layout.stored)}")
    bias = node.constant(2, "bias") * beta if node.given(2) else None
    units = kernel.shape[1]
    if bias is not None:
        if bias.size not in (1, units) or bias.ndim > 2 or (bias.size > 1 and bias.shape[-1] != units):
            node.refuse(f"bias: expected shape ({units},), received {bias.shape}")
        bias = np.broadcast_to(bias.ravel(), (units,))
    _dense(net, node, kernel * alpha if alpha != 1 else kernel, bias)


def _matmul(net: Network, node: Node) -> None:
    if node.inputs[0] is not DATA:
        node.refuse("expected the images first and constant weights second")
    _dense(net, node, node.constant(1, "weights", 2), None)


def _dense(net: Network, node: Node, kernel: np.ndarray, bias: np.ndarray | None) -> None:
    *before, features = net.layout.stored
    units = kernel.shape[1]
    if flat(before) or net.layout.size(features) != len(kernel):
        shape = net.layout.shape(net.layout.stored)
        node.refuse(f"expected vectors of {len(kernel)} numbers, received shape (N, {str(shape)[1:]}")
    net.flatten(node)
    weights = {"kernel": kernel[net.layout.places(features, net.layout.ours[0])]}
    weights |= {} if bias is None else {"bias": bias}
    shape = net.add(node, "Dense", weights, units=units, use_bias=bias is not None)
    net.layout.compute(shape, channels_first=False)
    net.layout.stored = [*before, *net.layout.stored]


def _arithmetic(net: Network, node: Node) -> None:
    """Read an Add, Sub, Mul or Div of images and a constant."""
    first = node.inputs[0] is DATA
    constant = node.constant(1 if first else 0, "operand").astype(np.float64)
    one, zero = np.ones(1), np.zeros(1)
    with np.errstate(all="ignore"):
        pair = {
            ("Add", True): (one, constant),
            ("Add", False): (one, constant),
            ("Sub", True): (one, -constant),
            ("Sub", False): (-one, constant),
            ("Mul", True): (constant, zero),
            ("Mul", False): (constant, zero),
            ("Div", True): (1 / constant, zero),
        }.get((node.operator, first))
    if pair is None:
        node.refuse("expected the images to be divided by a constant, received the opposite")
    factor, shift = (_by_channel(net, node, array) for array in pair)
    net.scale(node, factor, shift)


def _scaler(net: Network, node: Node) -> None:
    """Read a Scaler, which is scikit-learn's StandardScaler: (x - offset) * scale for each feature."""
    shape = net.layout.shape(net.layout.stored)
    if len(shape) != 1:
        node.refuse(f"expected vectors, received shape {('N', *shape)}")
    offset, scale = (
        np.array(node.attributes.reals(name, [default], most=shape[0]), np.float64)
        for name, default in (("offset", 0.0), ("scale", 1.0))
    )
    if not {offset.size, scale.size} <= {1, shape[0]}:
        sizes = f"{offset.size} and {scale.size}"
        node.refuse(f"offset and scale: expected 1 or {shape[0]} numbers each, received {sizes}")
    factor, shift = (_by_channel(net, node, array) for array in (scale, -offset * scale))
    net.scale(node, factor, shift)


def _by_channel(net: Network, node: Node, array: np.ndarray) -> np.ndarray:
    """Return an operand as one number, or one for each channel in tinycnn's order."""
    if array.size == 1:
        return array.ravel()
    stored = net.layout.stored
    sizes = (1,) * (len(stored) + 1 - array.ndim) + array.shape
    used = [axis for axis, size in enumerate(sizes) if size != 1]
    if len(sizes) != len(stored) + 1 or len(used) != 1 or used[0] == 0:
        node.refuse(f"expected one number, or one for each channel, received shape {array.shape}")
    axis = stored[used[0] - 1]
    if array.size != net.layout.size(axis):
        node.refuse(f"expected {net.layout.size(axis)} numbers, received shape {array.shape}")
    return array.ravel()[net.channels(node, axis)]


def _activation(name: str) -> Callable[[Network, Node], None]:
    def read(net: Network, node: Node) -> None:
        _activate(net, node, name)

    return read


def _activate(net: Network, node: Node, name: str) -> None:
    """Add an activation: of the last layer, if it has none yet, else as a layer."""
    if net.can_fuse(node):
        net.layers[-1]["config"]["activation"] = name
    elif node.layer == "ReLU" and name == "relu":
        net.add(node, "ReLU")
    else:
        net.add(node, "Activation", activation=name)


def _leaky_relu(net: Network, node: Node) -> None:
    slope = node.attributes.real("alpha", 0.01)
    if slope == NEGATIVE_SLOPE and node.layer != "ReLU":
        _activate(net, node, "leaky_relu")
    else:
        net.add(node, "ReLU", negative_slope=slope)


def _prelu(net: Network, node: Node) -> None:
    slope = node.scalar(1, "slope", 0.0)
    net.add(node, "ReLU", negative_slope=slope)


def _thresholded_relu(net: Network, node: Node) -> None:
    """Read x where x > alpha, else 0."""
    net.add(node, "ReLU", threshold=node.attributes.real("alpha", 1.0))


def _two_pieces(net: Network, node: Node) -> None:
    """Read what `pieces.join` made of a ReLU with a threshold and a slope."""
    threshold, other, slope = (node.scalar(index, "operand", 0.0) for index in (1, 2, 3))
    if threshold != other:
        node.refuse(f"expected one threshold, received {threshold} and {other}")
    net.add(node, "ReLU", negative_slope=slope, threshold=threshold)


def _clip(net: Network, node: Node) -> None:
    read = node.attributes
    if node.operator in ("Max", "Min"):
        if len(node.inputs) != 2:
            node.refuse(f"expected images and one constant, received {len(node.inputs)} inputs")
        number = node.scalar(1 if node.inputs[0] is DATA else 0, "operand", 0.0)
        low, high = (number, math.inf) if node.operator == "Max" else (-math.inf, number)
    elif node.opset < 11:
        low, high = read.real("min", -math.inf), read.real("max", math.inf)
    else:
        low, high = node.scalar(1, "min", -math.inf), node.scalar(2, "max", math.inf)
    biggest = float(np.finfo(np.float32).max)
    low, high = (-math.inf if low <= -biggest else low), (math.inf if high >= biggest else high)
    last: dict[str, Any] = net.layers[-1] if net.layers else {"class_name": "", "config": {}}
    if (
        low == -math.inf
        and high >= 0
        and last["class_name"] == "ReLU"
        and last["config"]["max_value"] is None
    ):
        last["config"]["max_value"] = None if high == math.inf else high
    elif low == 0 and high == math.inf:
        _activate(net, node, "relu")
    elif low == 0 <= high or (low == -math.inf and high >= 0 and net.is_not_negative()):
        net.add(node, "ReLU", max_value=high)
    else:
        node.refuse(f"expected a minimum of 0 and a maximum above it, received {low} and {high}")


def _softmax(net: Network, node: Node) -> None:
    """Read a Softmax. Before opset 13 it is along all axes from `axis` on, and by default from 1."""
    stored = net.layout.stored
    axis = node.attributes.whole("axis", -1 if node.opset >= 13 else 1)
    axis += len(stored) + 1 if axis < 0 else 0
    if not 1 <= axis <= len(stored):
        node.refuse(f"axis: expected one of 1 to {len(stored)}, received {axis}")
    factors = sorted(stored[axis - 1] if node.opset >= 13 else flat(stored[axis - 1 :]))
    is_one_axis = any(sorted(own) == factors for own in net.layout.ours)
    if not is_one_axis and factors == sorted(flat(net.layout.ours)):
        net.flatten(node)
    found = [number for number, own in enumerate(net.layout.ours) if sorted(own) == factors]
    if not found:
        node.mismatch(f"axis: expected one axis of the images, received {axis}")
    if found[-1] != len(net.layout.ours) - 1:
        net.add(node, "Softmax", axis=found[-1] + 1)
    elif node.layer == "Softmax":
        net.add(node, "Softmax")
    else:
        _activate(net, node, "softmax")


def _global_pool(net: Network, node: Node) -> None:
    net.images(node)
    _reduce(net, node, [1, 2], keep=True)


def _reduction(net: Network, node: Node) -> None:
    """Read a ReduceMean or ReduceMax over the pixels of an image, wherever its channels are."""
    read, rank = node.attributes, len(net.layout.stored) + 1
    axes, keep = node.axes(1, 18), read.whole("keepdims", 1)
    read.whole("noop_with_empty_axes", 0)
    gone = sorted({axis + rank if axis < 0 else axis for axis in axes or []})
    if not gone or gone[0] < 1 or gone[-1] >= rank:
        node.refuse(f"axes: expected those of H and W, received {axes}")
    _reduce(net, node, [axis - 1 for axis in gone], keep=bool(keep))


def _reduce(net: Network, node: Node, gone: list[int], keep: bool) -> None:
    layout = net.layout
    reduced = [layout.stored[axis] for axis in gone]
    kept = [axis for number, axis in enumerate(layout.stored) if number not in gone]
    if flat(reduced):
        ours = layout.ours
        fits = len(ours) == 3 and sorted(ours[0] + ours[1]) == sorted(flat(reduced)) and ours[2] == flat(kept)
        if not fits:
            if len(reduced) != 2:
                node.mismatch(f"axes: expected those of H and W at once, received {len(reduced)} in all")
            net.arrange(node, [*reduced, flat(kept)])
        kind = "GlobalMaxPooling2D" if "Max" in node.operator else "GlobalAveragePooling2D"
        sizes = layout.shape(layout.stored)
        layout.compute(net.add(node, kind), channels_first=False)
        channels, layout.stored = layout.stored[0], [[] for _ in sizes]
        places = [number for number, size in enumerate(sizes) if number not in gone and size != 1]
        if len(places) > 1:
            node.refuse("expected one axis of channels beside H and W")
        if places:
            layout.stored[places[0]] = channels
    if not keep:
        layout.stored = [axis for number, axis in enumerate(layout.stored) if number not in gone]


def _nothing(net: Network, node: Node) -> None:
    """Read what does nothing at inference: Identity, Dropout, Cast among floats."""
    read = node.attributes
    if node.operator == "Cast":
        read.expect("to", read.whole("to", None), 1, 10, 11)
        read.whole("saturate", 1), read.text("round_mode", "up")
    if node.operator == "Dropout":
        read.real("ratio", 0.5), read.whole("seed", 0)
        if node.given(2) and node.constant(2, "training_mode").any():
            node.refuse("training_mode: expected False, received True")


#: How each operator on images is read.
OPERATORS: dict[str, Callable[[Network, Node], None]] = {
    "Add": _arithmetic,
    "AveragePool": windows.pool,
    "BatchNormalization": _normalization,
    "Cast": _nothing,
    "Clip": _clip,
    "Conv": windows.conv,
    "Div": _arithmetic,
    "Dropout": _nothing,
    "Flatten": arranging.flatten,
    "Gather": arranging.gather,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "Identity": _nothing,
    "LeakyRelu": _leaky_relu,
    "MatMul": _matmul,
    "Max": _clip,
    "MaxPool": windows.pool,
    "Min": _clip,
    "Mul": _arithmetic,
    "PRelu": _prelu,
    "Pad": windows.pad,
    "ReduceMax": _reduction,
    "ReduceMean": _reduction,
    "Relu": _activation("relu"),
    "Reshape": arranging.reshape,
    "Resize": scaling.resize,
    "Scaler": _scaler,
    "Sigmoid": _activation("sigmoid"),
    "Softmax": _softmax,
    "Squeeze": arranging.squeeze,
    "Sub": _arithmetic,
    "Tanh": _activation("tanh"),
    "ThresholdedRelu": _thresholded_relu,
    "Tile": scaling.tile,
    "Transpose": arranging.transpose,
    pieces.JOINED: _two_pieces,
    "Unsqueeze": arranging.unsqueeze,
    "Upsample": scaling.resize,
}
