"""Small ONNX models, made node by node."""

import itertools

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason='the extra onnx is not installed: pip install "tinycnn[onnx]"')

FLOAT = 1
X, Y = "x", "y"  # the input and the output of each


def tensor(name, array):
    """An initializer."""
    return onnx.numpy_helper.from_array(np.asarray(array), name)


def node(operator, *inputs, output=Y, name="", domain="", **attributes):
    """A node from "x" and more inputs to "y"."""
    return onnx.helper.make_node(operator, [X, *inputs], [output], name, domain=domain, **attributes)


def model(nodes, tensors=(), shape=("N", 2, 5, 4), opset=13, **others):
    """A ModelProto; `shape` is that of the input, with the batch."""
    ends = [onnx.helper.make_tensor_value_info(name, FLOAT, sizes) for name, sizes in ((X, shape), (Y, None))]
    graph = onnx.helper.make_graph(list(nodes), "small", ends[:1], ends[1:], list(tensors))
    opsets = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8, **others)


def saved(path, *arguments, **options):
    """The path of the same in a file."""
    content = model(*arguments, **options)
    path.write_bytes(content.SerializeToString())
    return path


def chain(*nodes):
    """The same nodes, each with the output of the one before as its first input."""
    for number, (one, following) in enumerate(itertools.pairwise(nodes)):
        one.output[0] = following.input[0] = f"between_{number}"
    return list(nodes)


def dense(rows=5, units=3, seed=0):
    """The weights and the bias of a Gemm, as tensors, and as arrays."""
    rng = np.random.default_rng(seed)
    w, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((rows, units), (units,)))
    return [tensor("w", w), tensor("b", b)], (w, b)
