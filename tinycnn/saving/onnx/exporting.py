"""Translation of tinycnn's layers to ONNX's operators, for inference.

::

    Snapshot -> layers with shapes -> EXPORTED[class](graph, layer, weights) for each -> Graph -> bytes

Each layer is one node of the same name, and nodes `name/...` where it takes several. Layers that only act in
training are left out. The weights are written as float32, those of a float64 model rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinycnn.activations import NEGATIVE_SLOPE
from tinycnn.kernels import geometry
from tinycnn.layers import Layer
from tinycnn.saving.onnx.graph import Graph
from tinycnn.saving.snapshot import Snapshot
from tinycnn.saving.structure import layers
from tinycnn.support import checks

Weights = dict[str, np.ndarray]
DATA_FORMATS = ("channels_last", "channels_first")


def to_bytes(snapshot: Snapshot, data_format: str = "channels_last") -> bytes:
    """Return the ONNX model of a snapshot.

    Parameters
    ----------
    snapshot : Snapshot
    data_format : "channels_last" or "channels_first"
        Whether its images are (N, H, W, C) or (N, C, H, W).

    Raises
    ------
    ValueError
        For another `data_format`, and for weights that do not fit into the file.
    """
    first = checks.choice("data_format", data_format, DATA_FORMATS) == "channels_first"
    graph = Graph(snapshot.config["name"], tuple(snapshot.config["input_shape"]), first)
    arrays: dict[str, Weights] = {}
    for full_name, array in snapshot.weights:
        name, _, weight = full_name.rpartition("/")
        arrays.setdefault(name, {})[weight] = array
    found = [layer for layer, _ in layers(snapshot.config)]
    for index, layer in enumerate(found):
        graph.layer, shape = type(layer).__name__, layer.compute_output_shape(graph.shape)
        if isinstance_named(layer, "Flatten"):
            _flatten(graph, layer, found[index + 1 :])
        else:
            EXPORTED[type(layer).__name__](graph, layer, arrays.get(str(layer.name), {}))
        graph.shape = shape
    return graph.model()


def isinstance_named(layer: Layer, *names: str) -> bool:
    """Return whether a layer is of one of the classes with these names."""
    return type(layer).__name__ in names


def _flatten(graph: Graph, layer: Any, later: list[Layer]) -> None:
    """Write a Flatten. Before a Dense, whose rows can be sorted, the image stays as it is stored."""
    if graph.channels_first and not _meets_dense(later):
        graph.to_channels_last(layer.name)
    if graph.channels_first:
        graph.order = graph.shape
    graph.channels_first = False
    if len(graph.shape) != 1:
        graph.add("Flatten", layer.name, axis=1)


def _meets_dense(later: list[Layer]) -> bool:
    """Return whether a vector comes to a Dense before its order matters."""
    rest = (x for x in later if not isinstance_named(x, *INDIFFERENT))
    return isinstance_named(next(rest, None), "Dense")  # type: ignore[arg-type]


def _conv(graph: Graph, layer: Any, weights: Weights) -> None:
    kernel = weights["kernel"].transpose(3, 2, 0, 1)  # (KH, KW, C, F) -> (F, C, KH, KW)
    _convolution(graph, layer, layer.name, kernel, weights.get("bias"))
    _activation(graph, layer)


def _depthwise(graph: Graph, layer: Any, weights: Weights) -> None:
    _convolution(graph, layer, layer.name, _by_channel(weights["kernel"]), weights.get("bias"))
    _activation(graph, layer)


def _separable(graph: Graph, layer: Any, weights: Weights) -> None:
    _convolution(graph, layer, f"{layer.name}/depthwise", _by_channel(weights["depthwise_kernel"]), None)
    pointwise = weights["pointwise_kernel"].transpose(3, 2, 0, 1)
    graph.add("Conv", layer.name, *_present(kernel=pointwise, bias=weights.get("bias")), kernel_shape=[1, 1])
    _activation(graph, layer)


def _by_channel(kernel: np.ndarray) -> np.ndarray:
    """Return a depthwise kernel (KH, KW, C, M) as (C * M, 1, KH, KW)."""
    KH, KW, C, M = kernel.shape
    return kernel.transpose(2, 3, 0, 1).reshape(C * M, 1, KH, KW)


def _convolution(graph: Graph, layer: Any, name: str, kernel: np.ndarray, bias: np.ndarray | None) -> None:
    graph.to_channels_first(layer.name)
    pads = geometry.resolve_padding(
        layer.padding, graph.shape[:2], layer.kernel_size, layer.strides, layer.dilation_rate
    )
    graph.add(
        "Conv",
        name,
        *_present(kernel=kernel, bias=bias),
        group=graph.shape[-1] // kernel.shape[1],
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.strides),
        dilations=list(layer.dilation_rate),
        pads=_sides(pads),
    )


def _present(**constants: np.ndarray | None) -> Iterator[tuple[str, np.ndarray]]:
    return ((name, array) for name, array in constants.items() if array is not None)


def _sides(pads: checks.Pads) -> list[int]:
    """Return padding as ONNX has it: top, left, bottom, right."""
    (top, bottom), (left, right) = pads
    return [top, left, bottom, right]


def _dense(graph: Graph, layer: Any, weights: Weights) -> None:
    kernel = graph.sorted(weights["kernel"])
    graph.order = None
    graph.add("Gemm", layer.name, *_present(kernel=kernel, bias=weights.get("bias")))
    _activation(graph, layer)


def _normalization(graph: Graph, layer: Any, weights: Weights) -> None:
    graph.to_channels_first(layer.name)
    one = np.ones_like(weights["moving_mean"])
    arrays = {
        "gamma" if layer.scale else "ones": weights.get("gamma", one),
        "beta" if layer.center else "zeros": weights.get("beta", 0 * one),
        "moving_mean": weights["moving_mean"],
        "moving_variance": weights["moving_variance"],
    }
    constants = [(name, graph.sorted(array)) for name, array in arrays.items()]
    graph.add("BatchNormalization", layer.name, *constants, epsilon=layer.epsilon, momentum=layer.momentum)


def _pooling(operator: str) -> Callable[..., None]:
    def write(graph: Graph, layer: Any, weights: Weights) -> None:
        graph.to_channels_first(layer.name)
        pads = geometry.resolve_padding(
            layer.padding, graph.shape[:2], layer.pool_size, layer.strides, (1, 1)
        )
        sizes = {"kernel_shape": list(layer.pool_size), "strides": list(layer.strides)}
        graph.add(operator, layer.name, **sizes, pads=_sides(pads))  # padding is not counted in a mean

    return write


def _global_pooling(operator: str) -> Callable[..., None]:
    def write(graph: Graph, layer: Any, weights: Weights) -> None:
        graph.to_channels_first(layer.name)
        graph.add(operator, layer.name)
        graph.add("Flatten", f"{layer.name}/flatten", axis=1)
        graph.channels_first = False

    return write


def _upsampling(graph: Graph, layer: Any, weights: Weights) -> None:
    """Write a Resize: each pixel again, or between the centres of pixels, as Keras does."""
    graph.to_channels_first(layer.name)
    attributes = {
        "nearest": {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        "bilinear": {"coordinate_transformation_mode": "half_pixel"},
    }[layer.interpolation]
    scales = np.array([1, 1, *layer.size], np.float32)
    mode = "linear" if layer.interpolation == "bilinear" else "nearest"
    graph.add("Resize", layer.name, ("roi", None), ("scales", scales), mode=mode, **attributes)


def _zero_padding(graph: Graph, layer: Any, weights: Weights) -> None:
    graph.to_channels_first(layer.name)
    (top, bottom), (left, right) = layer.padding
    pads = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
    graph.add("Pad", layer.name, ("pads", pads), mode="constant")


def _reshape(graph: Graph, layer: Any, weights: Weights) -> None:
    graph.to_channels_last(layer.name)
    sizes = np.array([0, *layer.compute_output_shape(graph.shape)], np.int64)  # 0: as many as there are
    graph.add("Reshape", layer.name, ("shape", sizes))


def _activation_layer(graph: Graph, layer: Any, weights: Weights) -> None:
    _write_activation(graph, layer.name, layer.activation)


def _activation(graph: Graph, layer: Any) -> None:
    """Write the activation of a convolution or a Dense, whose output has the current order but not shape."""
    graph.shape = layer.compute_output_shape(graph.shape)
    _write_activation(graph, f"{layer.name}/{layer.activation}", layer.activation)


def _write_activation(graph: Graph, name: str, activation: str | None) -> None:
    if activation == "softmax":
        graph.add("Softmax", name, axis=1 if graph.channels_first else len(graph.shape))
    elif activation == "leaky_relu":
        graph.add("LeakyRelu", name, alpha=NEGATIVE_SLOPE)
    elif activation not in (None, "linear"):
        graph.add({"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}[activation], name)


def _softmax(graph: Graph, layer: Any, weights: Weights) -> None:
    rank = len(graph.shape)
    axis = layer.axis if layer.axis > 0 else layer.axis + rank + 1
    if graph.channels_first:
        axis = 1 if axis == rank else axis + 1
    graph.add("Softmax", layer.name, axis=axis)


def _relu(graph: Graph, layer: Any, weights: Weights) -> None:
    """Write min(x, max_value) where x > threshold, else negative_slope * (x - threshold)."""
    slope, threshold, largest = layer.negative_slope, layer.threshold, layer.max_value
    name = layer.name
    if threshold and slope:
        _two_pieces(graph, name, threshold, slope)
    elif threshold:
        graph.add("ThresholdedRelu", name, alpha=threshold)
    elif slope:
        graph.add("LeakyRelu", name, alpha=slope)
    elif largest is None:
        graph.add("Relu", name)
    if largest is not None:
        bounded_below = not (threshold or slope)
        least = ("min", np.zeros((), np.float32) if bounded_below else None)
        part = name if bounded_below else f"{name}/max_value"
        graph.add("Clip", part, least, ("max", np.array(largest, np.float32)))


def _nothing(graph: Graph, layer: Any, weights: Weights) -> None:
    """Write nothing for a layer that does nothing at inference."""


def _two_pieces(graph: Graph, name: str, threshold: float, slope: float) -> None:
    """Write x where x > threshold, else slope * (x - threshold); no single operator does."""
    x, edge = graph.value, np.array(threshold, np.float32)
    above = graph.add("Greater", f"{name}/above", ("threshold", edge))
    graph.value = x
    graph.add("Sub", f"{name}/distance", ("threshold", edge))
    line = graph.add("Mul", f"{name}/line", ("slope", np.array(slope, np.float32)))
    graph.value = above
    graph.add("Where", name, ("x", x), ("line", line))


#: How each layer is written; a Flatten depends on the layers after it.
EXPORTED: dict[str, Callable[[Graph, Any, Weights], None]] = {
    "Activation": _activation_layer,
    "AveragePooling2D": _pooling("AveragePool"),
    "BatchNormalization": _normalization,
    "Conv2D": _conv,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise,
    "Dropout": _nothing,
    "GaussianNoise": _nothing,
    "GlobalAveragePooling2D": _global_pooling("GlobalAveragePool"),
    "GlobalMaxPooling2D": _global_pooling("GlobalMaxPool"),
    "MaxPooling2D": _pooling("MaxPool"),
    "ReLU": _relu,
    "Reshape": _reshape,
    "SeparableConv2D": _separable,
    "Softmax": _softmax,
    "UpSampling2D": _upsampling,
    "ZeroPadding2D": _zero_padding,
}
#: Layers for which the order of a vector does not matter.
INDIFFERENT = ("Activation", "BatchNormalization", "Dropout", "Flatten", "GaussianNoise", "ReLU", "Softmax")
