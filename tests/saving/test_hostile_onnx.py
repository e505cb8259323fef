"""ONNX models that were made to do harm, or are merely broken: each is refused by name.

The dangers are those of ONNX's own reader in 2026: data beside the model that are elsewhere, by a path
through a link or dots (CVE-2026-27489), a symbolic link (CVE-2026-34447) or a hard link (CVE-2026-34446);
their entries, which became attributes of an object (CVE-2026-34445); models that are fetched without a
question (CVE-2026-28500); and small files that bring down the converter of versions (CVE-2026-44512). And
shapes that take all memory, as in the other formats.
"""

import itertools
import os
import socket
import sys

import numpy as np
import pytest

from tests.saving.hostile_files import refused
from tests.saving.onnx_models import chain, dense, model, node, onnx, saved, tensor
from tinycnn import load_model

pytestmark = pytest.mark.smoke

SECRET = np.arange(15, dtype=np.float32).tobytes()


def external(path, location, size=60, **entries):
    """A model whose weights are in another file; it is written to `path`."""
    weights, _ = dense()
    content = model([node("Gemm", "w", "b")], weights, ("N", 5))
    moved = content.graph.initializer[0]
    moved.ClearField("raw_data")
    moved.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": str(size), **entries}.items():
        if value is not None:
            moved.external_data.add(key=key, value=value)
    path.write_bytes(content.SerializeToString())
    return path


@pytest.fixture
def secret(tmp_path):
    """A file of the reader's, outside of the model's folder, and the path of a model."""
    (tmp_path / "secret").write_bytes(SECRET)
    folder = tmp_path / "model"
    folder.mkdir()
    return tmp_path / "secret", folder / "m.onnx"


def test_data_beside_the_model_are_read(tmp_path):
    """As PyTorch writes them."""
    (tmp_path / "m.data").write_bytes(b"12345678" + SECRET + b"more")
    loaded = load_model(external(tmp_path / "m.onnx", "m.data", offset="8"))
    np.testing.assert_array_equal(loaded.get_weights()[0].ravel(), np.arange(15))


@pytest.mark.parametrize("absolute", [True, False])
def test_cve_2026_27489_a_path_out_of_the_folder(secret, absolute):
    """By dots, or from the root."""
    target, path = secret
    refused(external(path, str(target) if absolute else "../secret"), "location: expected the name of a file")


@pytest.mark.parametrize(
    "location",
    ["", ".", "..", "a/b", "a\\b", "./m.data", "C:m.data", "m.data\0", "//host/share", "a/../m.data"],
)
def test_cve_2026_27489_names_that_are_paths(tmp_path, location):
    """Plain names alone are taken; a folder may be a link."""
    (tmp_path / "m.data").write_bytes(SECRET)
    refused(external(tmp_path / "m.onnx", location), "location: expected the name of a file")


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_cve_2026_34447_a_symbolic_link(secret):
    """Beside the model, with a name of no harm."""
    target, path = secret
    (path.parent / "m.data").symlink_to(target)
    refused(external(path, "m.data"), "regular file with one name")
    (path.parent / "folder").symlink_to(target.parent)
    refused(external(path, "folder/secret"), "location: expected the name of a file")


def test_cve_2026_34446_a_hard_link(secret):
    """It is a regular file, with two names."""
    target, path = secret
    os.link(target, path.parent / "m.data")
    refused(external(path, "m.data"), "regular file with one name")


@pytest.mark.parametrize("key", ["__class__", "basepath", "info", "Location", "_x", "location"])
def test_cve_2026_34445_entries_that_are_no_entries(tmp_path, key):
    """None of them becomes an attribute; a key that comes twice is refused as well."""
    (tmp_path / "m.data").write_bytes(SECRET)
    path = external(tmp_path / "m.onnx", "m.data")
    content = onnx.ModelProto.FromString(path.read_bytes())
    content.graph.initializer[0].external_data.add(key=key, value="m.data")
    path.write_bytes(content.SerializeToString())
    refused(path, "external_data: expected location, offset, length, checksum")


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ({"length": "59"}, "length: expected 60"),
        ({"length": "60000000000000"}, "length: expected 60"),
        ({"length": "-60"}, "a number of bytes"),
        ({"length": "\uff160"}, "a number of bytes"),
        ({"length": "9" * 5000}, "a number of bytes"),
        ({"offset": "1"}, "which has 60"),
        ({"offset": "99999999999999"}, "which has 60"),
        ({"offset": "-1"}, "a number of bytes"),
        ({"offset": "0x0"}, "a number of bytes"),
    ],
)
def test_cve_2026_34445_places_outside_of_the_data(tmp_path, entries, match):
    """What is declared is compared with what there is."""
    (tmp_path / "m.data").write_bytes(SECRET)
    refused(external(tmp_path / "m.onnx", "m.data", **entries), match)


def test_cve_2026_27489_a_device_and_a_folder(tmp_path):
    """What is not a regular file is not opened: a pipe would wait for ever."""
    (tmp_path / "folder").mkdir()
    refused(external(tmp_path / "m.onnx", "folder"), "regular file")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        refused(external(tmp_path / "m.onnx", "pipe"), "regular file")
    refused(external(tmp_path / "m.onnx", "absent"), "absent")


def test_cve_2026_27489_data_of_a_constant_too(secret):
    """The same rules hold wherever a tensor may be."""
    target, path = secret
    value = onnx.TensorProto(data_type=1, dims=[5, 3], data_location=1)
    value.external_data.add(key="location", value=str(target))
    constant = onnx.helper.make_node("Constant", [], ["w"], value=value)
    refused(saved(path, [constant, node("MatMul", "w")], shape=("N", 5)), "location: expected the name")


@pytest.mark.parametrize("location", ["https://example.org/m.data", "file:m.data", "example.org"])
def test_cve_2026_28500_nothing_is_fetched(tmp_path, monkeypatch, location):
    """There is no hub: an address is a file's name that does not exist, or no name."""

    def connect(*arguments):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    refused(external(tmp_path / "m.onnx", location))


def test_cve_2026_44512_nothing_of_onnx_but_its_parser_sees_the_file(tmp_path, monkeypatch):
    """A small file of an old opset; no converter, no checker and no shape inference is called."""
    from onnx import version_converter

    def called(*arguments, **options):
        raise AssertionError("a function of ONNX that reads models was called")

    for place, name in (
        (onnx, "load"),
        (onnx.checker, "check_model"),
        (onnx.shape_inference, "infer_shapes"),
        (onnx.numpy_helper, "to_array"),
        (version_converter, "convert_version"),
    ):
        monkeypatch.setattr(place, name, called)
    old = saved(tmp_path / "m.onnx", [node("Clip", min=0.0)], opset=7)
    load_model(old)
    for content in (b"\x08", old.read_bytes()[:-1], old.read_bytes()[:40]):
        (tmp_path / "cut.onnx").write_bytes(content)
        refused(tmp_path / "cut.onnx")


@pytest.mark.parametrize("opset", [-1, 0, 6, 99, 2**62])
def test_opsets_that_are_not_known(tmp_path, opset):
    refused(saved(tmp_path / "m.onnx", [node("Relu")], opset=opset), "one opset of ONNX from 7")


def edited(path, change, nodes=None, shape=("N", 5)):
    """A model of one Gemm that something was done to."""
    weights, _ = dense()
    content = model(nodes or [node("Gemm", "w", "b", name="gemm")], weights, shape)
    change(content)
    path.write_bytes(content.SerializeToString())
    return path


def weight(content):
    return content.graph.initializer[0]


def set_dims(*dims):
    return lambda content: weight(content).dims.__setitem__(slice(None), dims)


@pytest.mark.parametrize(
    "dims",
    [
        [2**31, 2**33],
        [2**62, 4],
        [10**9, 10**9],
        [-5, -3],
        [5, -3],
        [5, 4],
        [5],
        [],
        [0, 3],
        [1] * 9 + [15],
        [3, 5],
    ],
    ids=str,
)
def test_shapes_that_the_numbers_do_not_fill(tmp_path, dims):
    """Sizes are multiplied as Python's integers, which do not overflow, before memory is taken."""
    refused(edited(tmp_path / "m.onnx", set_dims(*dims)))


@pytest.mark.parametrize("kind", [0, 2, 3, 4, 5, 8, 12, 14, 15, 16, 17, 20, 21, 22, 23, 99, -1])
def test_types_that_are_not_read(tmp_path, kind):
    """Bytes, text, complex numbers, bfloat16, eight and four bits, and what is no type."""
    refused(
        edited(tmp_path / "m.onnx", lambda m: setattr(weight(m), "data_type", kind)), "expected a type of"
    )


def test_half_precision_becomes_float32(tmp_path):
    w = np.arange(15, dtype=np.float16).reshape(5, 3) / 8
    for numbers in (tensor("w", w), onnx.helper.make_tensor("w", 10, (5, 3), w.ravel())):
        loaded = load_model(saved(tmp_path / "m.onnx", [node("MatMul", "w")], [numbers], ("N", 5)))
        np.testing.assert_array_equal(loaded.get_weights()[0], w.astype(np.float32))
        assert loaded.dtype == "float32"


def two_places(content):
    weight(content).float_data.extend(range(15))


def other_field(content):
    weight(content).ClearField("raw_data")
    weight(content).int64_data.extend(range(15))


def too_few(content):
    weight(content).ClearField("raw_data")
    weight(content).float_data.extend(range(14))


def nothing_stored(content):
    weight(content).ClearField("raw_data")


def segment(content):
    weight(content).segment.begin = 3


def twice(content):
    content.graph.initializer.append(weight(content))


def sparse(content):
    content.graph.sparse_initializer.add().dims.extend([5, 3])


def function(content):
    content.functions.add(name="Gemm", domain="")


def recursive(content):
    """A function that calls itself."""
    own = content.functions.add(name="f", domain="own")
    own.node.add(op_type="f", domain="own")
    content.graph.node[0].op_type, content.graph.node[0].domain = "f", "own"


def custom(content):
    content.graph.node[0].domain = "com.microsoft"


def cycle(content):
    content.graph.node.insert(0, onnx.helper.make_node("Add", ["x", "y"], ["z"]))
    content.graph.node[1].input[0] = "z"


def own_input(content):
    content.graph.node[0].input[0] = "y"


def output_twice(content):
    content.graph.node.append(content.graph.node[0])


def two_inputs(content):
    content.graph.input.append(onnx.helper.make_tensor_value_info("more", 1, ["N", 5]))


def no_input(content):
    del content.graph.input[:]


def two_outputs(content):
    content.graph.output.append(onnx.helper.make_tensor_value_info("more", 1, ["N", 5]))


def no_output(content):
    del content.graph.output[:]


def constant_output(content):
    content.graph.output[0].name = "w"


def text_input(content):
    content.graph.input[0].type.tensor_type.elem_type = 8


def sequence_input(content):
    content.graph.input[0].type.sequence_type.elem_type.tensor_type.elem_type = 1


def size_unknown(content):
    content.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "C"


def size_negative(content):
    content.graph.input[0].type.tensor_type.shape.dim[1].dim_value = -5


def size_huge(content):
    content.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2**40


def axes_many(content):
    for _ in range(60):
        content.graph.input[0].type.tensor_type.shape.dim.add(dim_value=2)


def wrong_type(content):
    content.graph.node[0].attribute.add(name="transB", type=1, f=1.0)


def subgraph(content):
    content.graph.node[0].attribute.add(name="body", type=5, g=content.graph)


def reference(content):
    content.graph.node[0].attribute.add(name="alpha", type=1, ref_attr_name="alpha")


def attribute_twice(content):
    for _ in range(2):
        content.graph.node[0].attribute.add(name="alpha", type=1, f=1.0)


def attribute_unknown(content):
    content.graph.node[0].attribute.add(name="fused_activation", type=2, i=1)


def two_opsets(content):
    content.opset_import.add(domain="ai.onnx", version=14)


def no_outputs(content):
    content.graph.node[0].ClearField("output")
    content.graph.output[0].name = "x"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (two_places, "tensor 'w': expected its numbers once"),
        (other_field, "tensor 'w': expected 15 numbers in float_data"),
        (too_few, "tensor 'w': expected 15 numbers in float_data, received 14"),
        (nothing_stored, "tensor 'w': expected 60 bytes"),
        (segment, "expected a whole tensor"),
        (twice, "received a name twice"),
        (sparse, "no sparse tensors"),
        (function, "expected no functions"),
        (recursive, "expected no functions"),
        (custom, "node 'gemm' \\(Gemm\\): expected an operator of ONNX, received domain 'com.microsoft'"),
        (cycle, "node 'z' \\(Add\\): input 'y' is not known here"),
        (own_input, "node 'gemm' \\(Gemm\\): input 'y' is not known here"),
        (output_twice, "node 'gemm' \\(Gemm\\): expected a new name"),
        (two_inputs, "expected one input, received 2: 'x', 'more'"),
        (no_input, "expected one input, received 0"),
        (two_outputs, "expected one output, received 2: 'y', 'more'"),
        (no_output, "expected one output, received 0"),
        (constant_output, "output 'w': expected one that is computed"),
        (text_input, "input 'x': expected a tensor of numbers"),
        (sequence_input, "input 'x': expected a tensor of numbers"),
        (size_unknown, "input 'x': expected fixed sizes"),
        (size_negative, "input 'x': expected fixed sizes"),
        (size_huge, "input 'x': expected fixed sizes"),
        (axes_many, "input 'x': expected fixed sizes"),
        (wrong_type, "node 'gemm' \\(Gemm\\): transB: expected the type 'i', received 'f'"),
        (subgraph, "node 'gemm' \\(Gemm\\): expected numbers and texts as attributes, received 'body'"),
        (reference, "expected numbers and texts as attributes, received 'alpha'"),
        (attribute_twice, "expected numbers and texts as attributes, received 'alpha'"),
        (attribute_unknown, "'fused_activation' is no attribute"),
        (two_opsets, "one opset of ONNX"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_no_stack_of_layers(tmp_path, change, match):
    """With the name of the node, the tensor or the input."""
    refused(edited(tmp_path / "m.onnx", change), match)


def conv(**attributes):
    return [node("Conv", "w", name="conv", **attributes)], [tensor("w", np.ones((3, 2, 2, 2), np.float32))]


HUGE = [2**31, 2**62, 2**63 - 1]


@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": [0, 1]},
        {"strides": [-1, 1]},
        {"strides": [1]},
        {"strides": [1] * 100},
        *({"strides": [huge, 1]} for huge in HUGE),
        {"pads": [-1, 0, 0, 0]},
        {"pads": [0, 0]},
        *({"pads": [huge, 0, 0, 0]} for huge in HUGE),
        {"dilations": [0, 1]},
        {"dilations": [2**30, 1]},
        *({"dilations": [huge, 1]} for huge in HUGE),
        {"kernel_shape": [3, 2]},
        {"kernel_shape": [2**31, 2**31]},
        {"kernel_shape": [-2, -2]},
        {"group": 0},
        {"group": -1},
        {"group": 2},
        {"group": 2**62},
        {"auto_pad": "SAME"},
        {"auto_pad": "A" * 100_000},
        {"auto_pad": b"\xff"},
        {"strides": 1},
        {"group": 1.0},
    ],
    ids=lambda value: str(value)[:40],
)
def test_sizes_of_windows(tmp_path, attributes):
    """Out of range, of the wrong number, larger than a machine's integers."""
    refused(saved(tmp_path / "m.onnx", *conv(**attributes)), "node 'conv' \\(Conv\\)")


@pytest.mark.parametrize(
    "shape", [(3, 3, 2, 2), (3, 2, 2), (3, 2, 2, 2, 2), (0, 2, 2, 2), (3, 2, 9, 9)], ids=str
)
def test_kernels_that_do_not_fit(tmp_path, shape):
    weights = [tensor("w", np.ones(shape, np.float32))]
    refused(saved(tmp_path / "m.onnx", [node("Conv", "w", name="conv")], weights), "node 'conv'")


def doubling(count=40):
    """Constants that are put together with themselves again and again: a short file, and 2**40 numbers."""
    names = ["c", *(f"c{number}" for number in range(count))]
    pairs = itertools.pairwise(names)
    nodes = [onnx.helper.make_node("Concat", [a, a], [b], axis=0) for a, b in pairs]
    return [*nodes, node("Add", names[-1])], [tensor("c", np.ones(2, np.float32))]


def growing():
    """A row plus a column: 2**24 numbers of 2 * 2**12."""
    rows, columns = np.ones((2**13, 1), np.float32), np.ones((1, 2**13), np.float32)
    add = onnx.helper.make_node("Add", ["rows", "columns"], ["w"])
    return [add, node("Add", "w")], [tensor("rows", rows), tensor("columns", columns)]


def filled():
    """A small file that asks for 2**40 numbers."""
    fill = onnx.helper.make_node("ConstantOfShape", ["shape"], ["w"])
    return [fill, node("Add", "w")], [tensor("shape", np.array([2**20, 2**20]))]


def many_casts():
    """Copies of one array, one after another: none is used but the last."""
    casts = [onnx.helper.make_node("Cast", ["w"], [f"w{i}"], to=11) for i in range(100)]
    sums = [
        onnx.helper.make_node("Add", [f"s{i}" if i else "w0", f"w{i}"], [f"s{i + 1}"]) for i in range(100)
    ]
    return [*casts, *sums, node("Add", "s100")], [tensor("w", np.ones(10**5, np.float32))]


def many_nodes():
    return chain(*(node("Relu") for _ in range(10_001))), []


@pytest.mark.parametrize("make", [doubling, growing, filled, many_casts, many_nodes])
def test_small_files_that_take_memory(tmp_path, make):
    """It is asked for before it is taken."""
    refused(saved(tmp_path / "m.onnx", *make()), memory=30 * 2**20)


def nested(*tags, count=5000):
    """A file of very many empty messages: two bytes each, in messages of these tags."""
    content = bytes([tags[-1], 0]) * count
    for tag in tags[-2::-1]:
        length, size = len(content), bytearray()
        while length > 127:
            size.append(length & 127 | 128)
            length >>= 7
        content = bytes([tag, *size, length]) + content
    return b"\x08\x08B\x02\x10\x0d" + content


GRAPH, NODE, TENSOR, INPUT, ATTRIBUTE, OPSET = 0x3A, 0x0A, 0x2A, 0x5A, 0x2A, 0x42


@pytest.mark.parametrize(
    "tags",
    [(OPSET,), (GRAPH, NODE), (GRAPH, TENSOR), (GRAPH, INPUT), (GRAPH, NODE, ATTRIBUTE), (GRAPH, NODE, NODE)],
    ids=str,
)
def test_empty_messages_are_counted_before_they_are_parsed(tmp_path, monkeypatch, tags):
    """The parser would take hundred bytes for each two of the file."""
    monkeypatch.setattr("tinycnn.saving.onnx.wire.MOST", 4000)
    (tmp_path / "m.onnx").write_bytes(nested(*tags))
    refused(tmp_path / "m.onnx", "expected at most 4000 fields of protobuf")


@pytest.mark.parametrize("shape", [("N", 2**30), ("N", 2**30, 2**30), ("N", 2**30, 2**30, 2**30)], ids=str)
def test_a_number_for_each_of_very_many_channels(tmp_path, shape):
    """A constant of one number would become a layer with as many as the input is declared to have."""
    half = [tensor("half", np.float32(0.5))]
    refused(saved(tmp_path / "m.onnx", [node("Mul", "half")], half, shape), "at most 65536 channels")


@pytest.mark.parametrize("scale", [2**20, 2.0**40, float("inf"), float("nan"), -1, 0, 1.5], ids=str)
def test_images_that_grow_very_large(tmp_path, scale):
    """The places of new pixels are computed, so there must not be too many."""
    scales = tensor("scales", np.array([1, 1, scale, 1], np.float32))
    nodes = [node("Resize", "", "scales", coordinate_transformation_mode="asymmetric", nearest_mode="floor")]
    refused(saved(tmp_path / "m.onnx", nodes, [scales]))


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"<!DOCTYPE html>", b"PK\x05\x06", b"\x89HDF\r\n\x1a\n"]
)
def test_files_that_are_something_else(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    refused(tmp_path / "m.onnx")


def test_protobuf_that_is_nested_too_deeply(tmp_path):
    """Graphs in attributes of nodes of graphs."""
    content = b""
    for tag in ([0x32, 0x2A, 0x0A] * 2000)[:5999]:  # AttributeProto.g, NodeProto.attribute, GraphProto.node
        length, prefix = len(content), bytearray()
        while length > 127:
            prefix.append(length & 127 | 128)
            length >>= 7
        content = bytes([tag, *prefix, length]) + content
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08" + content)
    refused(tmp_path / "m.onnx")


def test_flipped_bytes_are_refused_or_harmless(tmp_path):
    """A file with a wrong byte loads with other numbers, or is refused; nothing else happens."""
    weights, _ = dense()
    good = model([node("Gemm", "w", "b")], weights, ("N", 5)).SerializeToString()
    path = tmp_path / "m.onnx"
    rng = np.random.default_rng(0)
    refusals = 0
    for place in range(len(good)):
        changed = bytearray(good)
        changed[place] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        try:
            load_model(path)
        except ValueError as error:
            refusals += str(path) in str(error)
    assert refusals > len(good) // 4
