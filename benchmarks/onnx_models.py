"""ONNX models of tinycnn's convolutions and networks, and a session that runs them.

::

    model -> network(model) -> ONNX bytes -> session(bytes, threads) -> run(x)

ONNX orders images as (N, C, H, W) and filters as (F, C, KH, KW). A whole network is written by tinycnn and
takes the same arrays as tinycnn.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cases import Conv

import tinycnn

OPSET = 17
IR_VERSION = 8  # the version of opset 17, which old runtimes read too


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
        numpy_helper.from_array(np.ascontiguousarray(conv.filters_first(w)), "w"),
        numpy_helper.from_array(b, "b"),
    ]
    attributes = _conv_attributes(conv.kernel, conv.strides, conv.padding, conv.dilation)
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], group=conv.groups, **attributes)
    return _finished([node], constants, ["N", conv.channels, *conv.size], ["N", conv.outputs, *conv.out])


def network(model: tinycnn.Sequential) -> bytes:
    """Return the model of a whole network at inference, for images (N, H, W, C)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model.export(path)
        return path.read_bytes()


def session(model: bytes, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that runs a model in ONNX Runtime, on `threads` threads of the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    running = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    entry = running.get_inputs()[0].name

    def run(x: np.ndarray) -> np.ndarray:
        result: np.ndarray = running.run(None, {entry: x})[0]
        return result

    return run
