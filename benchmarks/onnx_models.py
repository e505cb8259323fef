"""Conversion of tinycnn's convolutions and networks to ONNX models, and a session that runs them.

::

    model -> network(model) -> ONNX bytes -> session(bytes, threads) -> run(x)

ONNX orders images as (N, C, H, W) and filters as (F, C, KH, KW). A network transposes its images once, at its
input, so it takes the same arrays as tinycnn. If a Dense follows a Flatten, the rows of its kernel are
reordered accordingly.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from cases import Conv

import tinycnn
from tinycnn.layers import Conv2D, Dense, Dropout, Flatten, Layer, MaxPooling2D

OPSET = 17
IR_VERSION = 8  # the version of opset 17, which old runtimes read too
ACTIVATIONS = {"relu": ("Relu", {}), "softmax": ("Softmax", {"axis": 1})}


def rows_turned(kernel: np.ndarray, feature_map: tuple[int, ...]) -> np.ndarray:
    """Return a Dense kernel for features flattened as (C, H, W) instead of (H, W, C)."""
    units = kernel.shape[1]
    return kernel.reshape(*feature_map, units).transpose(2, 0, 1, 3).reshape(-1, units)


def _finished(nodes: list[Any], constants: list[Any], shape: list[Any], out: list[Any]) -> bytes:
    """Return the model of a graph from "x", of `shape`, to the output of its last node, of shape `out`."""
    from onnx import TensorProto, checker, helper

    entry = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    end = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, out)
    graph = helper.make_graph(nodes, "tinycnn", [entry], [end], constants)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def _conv_attributes(kernel: Any, strides: Any, padding: Any, dilation: Any) -> dict[str, Any]:
    (top, bottom), (left, right) = padding
    return {
        "kernel_shape": list(kernel),
        "strides": list(strides),
        "pads": [top, left, bottom, right],
        "dilations": list(dilation),
    }


def one_conv(conv: Conv, w: np.ndarray, b: np.ndarray) -> bytes:
    """Return the model of one convolution, for images (N, C, H, W)."""
    from onnx import helper, numpy_helper

    constants = [
        numpy_helper.from_array(np.ascontiguousarray(w.transpose(3, 2, 0, 1)), "w"),
        numpy_helper.from_array(b, "b"),
    ]
    attributes = _conv_attributes(conv.kernel, conv.strides, conv.padding, conv.dilation)
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], **attributes)
    return _finished([node], constants, ["N", conv.channels, *conv.size], ["N", conv.filters, *conv.out])


class _Graph:
    """A graph under construction: a sequence of nodes, each with the output of the previous one as input."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.last = "x"

    def add(self, operator: str, *constants: np.ndarray, **attributes: Any) -> None:
        """Append a node with its constants."""
        from onnx import helper, numpy_helper

        names = [f"{operator}_{len(self.constants) + i}" for i in range(len(constants))]
        self.constants += [
            numpy_helper.from_array(np.ascontiguousarray(array), name)
            for array, name in zip(constants, names, strict=True)
        ]
        output = f"y_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, [self.last, *names], [output], **attributes))
        self.last = output

    def add_layer(self, layer: Layer, feature_map: tuple[int, ...] | None) -> None:
        """Append the nodes of a layer; `feature_map` is the input shape of a Flatten before it, or None."""
        if isinstance(layer, Conv2D):
            kernel = layer.params["kernel"].transpose(3, 2, 0, 1)
            how = _conv_attributes(layer.kernel_size, *layer.geometry())
            self.add("Conv", kernel, layer.params["bias"], **how)
        elif isinstance(layer, MaxPooling2D) and layer.padding == "valid":
            self.add("MaxPool", kernel_shape=list(layer.pool_size), strides=list(layer.strides))
        elif isinstance(layer, Flatten):
            self.add("Flatten")
        elif isinstance(layer, Dense):
            kernel = layer.params["kernel"]
            self.add(
                "Gemm", rows_turned(kernel, feature_map) if feature_map else kernel, layer.params["bias"]
            )
        elif not isinstance(layer, Dropout):  # which does nothing at inference
            raise ValueError(f"onnx: expected a layer of a kind in mnist_cnn, received {layer!r}")
        if (activation := getattr(layer, "activation", None)) is not None:
            operator, attributes = ACTIVATIONS[activation]
            self.add(operator, **attributes)


def network(model: tinycnn.Sequential) -> bytes:
    """Return the model of a whole network at inference, for images (N, H, W, C)."""
    graph = _Graph()
    graph.add("Transpose", perm=[0, 3, 1, 2])
    feature_map = None
    for layer in model.layers:
        graph.add_layer(layer, feature_map)
        if isinstance(layer, Flatten):
            feature_map = layer.input_shape
        elif isinstance(layer, Dense):
            feature_map = None
    shapes = ["N", *(model.input_shape or ())], ["N", len(model.get_weights()[-1])]
    return _finished(graph.nodes, graph.constants, *shapes)


def session(model: bytes, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that runs a model in ONNX Runtime, on `threads` threads of the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    running = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(x: np.ndarray) -> np.ndarray:
        result: np.ndarray = running.run(None, {"x": x})[0]
        return result

    return run
