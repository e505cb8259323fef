"""Mutations of ONNX models: nodes, attributes, tensors and shapes that are changed in the parsed message."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.saving.mutations import NUMBERS, pick

# fmt: off
OPERATORS = [
    "Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "ConstantOfShape",
    "Conv", "Div", "Dropout", "Expand", "Flatten", "Gather", "Gemm", "GlobalAveragePool",
    "GlobalMaxPool", "Identity", "If", "LeakyRelu", "Loop", "MatMul", "Max", "MaxPool", "Min", "Mul",
    "Pad", "Range", "ReduceMean", "Relu", "Reshape", "Resize", "Shape", "Slice", "Softmax", "Squeeze",
    "Sub", "Tile", "Transpose", "Unsqueeze", "Upsample",
]
# fmt: on
WHOLE = [number for number in NUMBERS if number < 2**63] + [-1, -2, -(2**63)]
ATTRIBUTES = ["auto_pad", "axis", "dilations", "group", "kernel_shape", "pads", "perm", "strides"]
LOCATIONS = ["x", "../x", "/etc/passwd", "input.onnx"]
NAMES = ["", "x", "input", "y" * 2000, "../x", "\ud7ff"]


def with_computed_shapes():
    """Return a model whose Reshape gets its shape from Shape, Gather and Concat, as PyTorch writes it."""
    rng = np.random.default_rng(2)
    tensors = [
        numpy_helper.from_array(rng.standard_normal((4, 2, 3, 2)).astype(np.float32), "w"),
        numpy_helper.from_array(rng.standard_normal((3, 4 * 4 * 4)).astype(np.float32), "v"),
        numpy_helper.from_array(np.array(0), "zero"),
        numpy_helper.from_array(np.array([-1]), "rest"),
        numpy_helper.from_array(np.array([0]), "first"),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], kernel_shape=[3, 2]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Shape", ["b"], ["c"]),
        helper.make_node("Gather", ["c", "zero"], ["d"], axis=0),
        helper.make_node("Unsqueeze", ["d", "first"], ["e"]),
        helper.make_node("Concat", ["e", "rest"], ["f"], axis=0),
        helper.make_node("Reshape", ["b", "f"], ["g"]),
        helper.make_node("Gemm", ["g", "v"], ["h"], transB=1),
        helper.make_node("Softmax", ["h"], ["y"], axis=-1),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", ("N", 2, 6, 5)), ("y", ("N", 3)))
    ]
    graph = helper.make_graph(nodes, "computed", ends[:1], ends[1:], tensors)
    opset = helper.make_opsetid("", 13)
    return helper.make_model(graph, opset_imports=[opset], ir_version=7).SerializeToString()


def changed(rng, content):
    """Return a model with one to three changes; it stays a message that protobuf can parse."""
    model = onnx.ModelProto()
    model.ParseFromString(content)
    for _ in range(pick(rng, [1, 1, 2, 3])):
        graph = model.graph
        way = pick(rng, [_change_node, _change_node, _change_attribute, _change_tensor, _change_ends])
        if graph.node and graph.initializer and graph.input:
            way(rng, model)
    return model.SerializeToString()


def _change_node(rng, model):
    nodes = model.graph.node
    node, other = pick(rng, nodes), pick(rng, nodes)
    how = int(rng.integers(8))
    if how == 0:
        node.op_type = pick(rng, OPERATORS)
    elif how == 1 and node.input:  # a branch, a cycle, a wrong tensor, or nothing
        names = [*NAMES, *other.input, *other.output, pick(rng, model.graph.initializer).name]
        node.input[int(rng.integers(len(node.input)))] = pick(rng, names)
    elif how == 2 and node.output:
        node.output[0] = pick(rng, [*NAMES, *other.output])
    elif how == 3:
        nodes.remove(node)
    elif how == 4:
        nodes.insert(int(rng.integers(len(nodes) + 1)), node)
    elif how == 5:
        node.domain = pick(rng, ["ai.onnx", "ai.onnx.ml", "com.microsoft", "x"])
    elif how == 6:
        node.input.append(pick(rng, NAMES))
    else:
        node.CopyFrom(other)


def _change_attribute(rng, model):
    node = pick(rng, model.graph.node)
    if not node.attribute or rng.random() < 0.2:
        name = pick(
            rng, ["strides", "pads", "dilations", "group", "axis", "perm", "kernel_shape", "auto_pad"]
        )
        node.attribute.append(
            helper.make_attribute(name, pick(rng, [-1, 0, 2**62, [0, 0], [2, 2], "SAME_UPPER", 0.5]))
        )
        return
    attribute = pick(rng, node.attribute)
    how = int(rng.integers(5))
    if how == 0 and attribute.ints:
        attribute.ints[int(rng.integers(len(attribute.ints)))] = pick(rng, WHOLE)
    elif how == 1:
        attribute.i = pick(rng, WHOLE)
    elif how == 2:
        attribute.type = int(rng.integers(15))
    elif how == 3 and attribute.ints:
        attribute.ints.append(pick(rng, WHOLE))
    elif how == 4:
        node.attribute.remove(attribute)


def _change_tensor(rng, model):
    tensor = pick(rng, model.graph.initializer)
    how = int(rng.integers(7))
    if how == 0 and tensor.dims:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = pick(rng, WHOLE)
    elif how == 1:
        tensor.dims.append(pick(rng, [1, 1, 0, 2, 2**62]))
    elif how == 2:
        tensor.data_type = int(rng.integers(24))
    elif how == 3:
        tensor.raw_data = tensor.raw_data[: int(rng.integers(len(tensor.raw_data) + 1))]
    elif how == 4:
        tensor.raw_data += bytes(int(rng.integers(9)))
    elif how == 5:
        tensor.float_data.extend([0.5, np.nan])
    else:
        tensor.data_location = TensorProto.EXTERNAL
        for key, values in (
            ("location", ["x", "../x", "/etc/passwd", "input.onnx"]),
            ("offset", WHOLE),
            ("length", WHOLE),
        ):
            tensor.external_data.add(key=key, value=str(pick(rng, values)))


def _change_ends(rng, model):
    value = pick(rng, [*model.graph.input, *model.graph.output])
    sizes = value.type.tensor_type.shape.dim
    how = int(rng.integers(6))
    if how == 0 and sizes:
        pick(rng, sizes).dim_value = pick(rng, WHOLE)
    elif how == 1:
        sizes.add(dim_value=pick(rng, WHOLE))
    elif how == 2:
        value.type.tensor_type.elem_type = int(rng.integers(24))
    elif how == 3:
        value.name = pick(rng, NAMES)
    elif how == 4:
        model.graph.input.append(pick(rng, [*model.graph.input, *model.graph.output]))
    else:
        model.opset_import[0].version = pick(rng, WHOLE)
