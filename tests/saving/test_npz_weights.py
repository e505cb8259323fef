"""Plain NumPy archives, of weights alone: names, orders, compression, and hostile ones."""

import io
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from tests.networks import conv_and_dense
from tests.saving.hostile_files import MIB, npy
from tests.saving.saved_models import trained
from tests.saving.test_torch_state import network, same_weights
from tinycnn import Sequential, load_model
from tinycnn.layers import Dense, Flatten
from tinycnn.saving import to_torch_state_dict

pytestmark = pytest.mark.smoke


@pytest.fixture(params=[np.savez, np.savez_compressed], ids=["stored", "compressed"])
def write(request):
    return request.param


@pytest.mark.parametrize("kind", ["layers", "dots", "order", "torch", "float64", "fortran"])
def test_files_of_numpy(tmp_path, write, kind):
    """By names, by order, or as PyTorch's; whatever order the axes have in memory."""
    model, other = network(seed=1), network(seed=2)
    own = dict(model.named_weights())
    arrays = {
        "layers": own,
        "dots": {name.replace("/", "."): array for name, array in own.items()},
        "order": dict(zip([f"arr_{i}" for i in range(len(own))], own.values(), strict=True)),
        "torch": to_torch_state_dict(model),
        "float64": {name: array.astype(">f8") for name, array in own.items()},
        "fortran": {name: np.asfortranarray(array) for name, array in reversed(own.items())},
    }[kind]
    write(tmp_path / "w.npz", **arrays)
    other.load_weights(tmp_path / "w.npz")
    same_weights(other, model)


def test_a_list_of_weights_in_order(tmp_path, write):
    """As NumPy names them."""
    model, other = network(seed=1), network(seed=2)
    write(tmp_path / "w.npz", *model.get_weights())
    other.load_weights(tmp_path / "w.npz")
    same_weights(other, model)


def test_our_own_archives_are_still_read(tmp_path):
    """Whole models, which have layers and a digest."""
    model = trained(conv_and_dense(optimizer="adam"))
    model.save(tmp_path / "m.npz")
    other = conv_and_dense()
    other.load_weights(tmp_path / "m.npz")
    same_weights(other, model)
    content = bytearray((tmp_path / "m.npz").read_bytes())
    at = content.index(b"model.json.npy")
    while at >= 0:  # also in the table of contents: a damaged archive of ours is none of NumPy's
        content[at : at + 5] = b"xodel"
        at = content.find(b"model.json.npy")
    (tmp_path / "m.npz").write_bytes(content)
    with pytest.raises(ValueError, match="the file is damaged"):
        other.load_weights(tmp_path / "m.npz")


def small():
    return Sequential([Flatten(), Dense(3)], seed=1, input_shape=(2, 2, 1))


def archive(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def refused(path, match, memory=2 * MIB):
    """By name, before memory is taken, and nothing changes."""
    model = small()
    before = model.get_weights()
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=match) as caught:
            model.load_weights(path)
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1200
    assert all(np.array_equal(a, b) for a, b in zip(model.weights, before, strict=True))


def header(shape, descr="'<f4'", order=False):
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


KERNEL, BIAS = npy(np.ones((4, 3), np.float32)), npy(np.ones(3, np.float32))
BOMB = bytes(6 * MIB)
MEMBERS = {
    "a bomb that says what it is": (header(f"({6 * MIB // 4},)") + BOMB, "received"),
    "a bomb after an array": (KERNEL + BOMB, "expected 48 bytes for the shape"),
    "a bomb in a header": (b"\x93NUMPY\x02\x00" + struct.pack("<I", len(BOMB)) + BOMB, "EOF"),
    "a shape that wraps round": (header(f"({2**62}, 4)"), "bytes for the shape"),
    "negative sizes": (header("(-4, -3)") + bytes(48), "bytes for the shape"),
    "nothing but a 0": (header(f"(0, {2**62})"), "weights: expected"),
    "less than it declares": (KERNEL[:-1], "expected 48 bytes for the shape"),
    "objects": (header("(4, 3)", "'|O'") + bytes(96), "expected an array of float16, .* received object"),
    "integers": (npy(np.ones((4, 3), np.int32)), "received int32"),
    "complex numbers": (npy(np.ones((4, 3), np.complex64)), "received complex64"),
    "records": (npy(np.zeros((4, 3), [("a", "f4")])), "expected an array of float16"),
    "the transposed": (npy(np.ones((3, 4), np.float32)), r"dense_1/kernel \(4, 3\).* \(3, 4\)"),
    "an expression": (header("(__import__('os').getpid(),)") + bytes(48), "cannot be loaded"),
    "nested": (b"\x93NUMPY\x01\x00" + struct.pack("<H", 300) + b"(" * 300, "cannot be loaded"),
    "another version": (b"\x93NUMPY\x03\x00" + KERNEL[8:], r"expected version 1\.0 or 2\.0"),
    "another magic": (b"NUMPY" + bytes(60), "cannot be loaded"),
    "nothing": (b"", "cannot be loaded"),
}


@pytest.mark.parametrize(("content", "match"), MEMBERS.values(), ids=MEMBERS)
def test_members_that_are_no_weights(tmp_path, content, match):
    """Compressed, since then a file can unpack to more than it is."""
    refused(archive(tmp_path / "w.npz", {"dense_1/kernel.npy": content, "dense_1/bias.npy": BIAS}), match)


def test_the_members_above_are_refused_for_what_they_are(tmp_path):
    """A good one in their place is read."""
    path, model = tmp_path / "w.npz", small()
    model.load_weights(archive(path, {"dense_1/bias.npy": BIAS, "dense_1/kernel.npy": KERNEL}))
    assert (model.parameters == 1).all()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression(tmp_path, method):
    """NumPy writes none of these."""
    refused(
        archive(tmp_path / "w.npz", {"arr_0.npy": KERNEL, "arr_1.npy": BIAS}, method), "stored or deflated"
    )


def test_a_pickle(tmp_path):
    """CVE-2025-1550 and others: it is never loaded."""

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    np.savez(
        tmp_path / "w.npz", **{"dense_1/kernel": np.array([[Evil()] * 3] * 4), "dense_1/bias": np.ones(3)}
    )
    refused(tmp_path / "w.npz", "cannot be loaded")
    assert not (tmp_path / "owned").exists()


def test_other_names(tmp_path):
    """Both lists; a member that is no array; one that is there twice; more than a model could have."""
    path = tmp_path / "w.npz"
    refused(
        archive(path, {"a.npy": KERNEL, "b.npy": BIAS}),
        r"dense_1/kernel \(4, 3\), .*received a \(4, 3\), b \(3,\)",
    )
    refused(archive(path, {"arr_0.npy": KERNEL}), r"expected dense_1/kernel .*received arr_0 \(4, 3\)")
    refused(archive(path, {"arr_0.npy": KERNEL, "arr_1.npy": BIAS, "arr_2.npy": BIAS}), r"received arr_0")
    refused(archive(path, {"arr_0.npy": KERNEL, "arr_1.npy": BIAS, "note.txt": b"x"}), "expected an array")
    refused(archive(path, {}), "received none")
    archive(path, {"arr_0.npy": KERNEL, "arr_1.npy": BIAS, "arr_2.npy": BIAS})
    path.write_bytes(path.read_bytes().replace(b"arr_2", b"arr_1"))
    refused(path, "each once, received 3")


def test_a_member_with_a_wrong_checksum(tmp_path):
    """A flipped bit among the values."""
    path = archive(tmp_path / "w.npz", {"arr_0.npy": KERNEL, "arr_1.npy": BIAS}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[content.index(KERNEL) + len(KERNEL) - 1] ^= 1
    path.write_bytes(content)
    refused(path, "CRC")


def test_members_that_say_that_they_are_smaller(tmp_path):
    """The size in the table of contents is that of the array; 6 MB follow in the stream."""
    path = archive(tmp_path / "w.npz", {"arr_0.npy": KERNEL + BOMB, "arr_1.npy": BIAS})
    content = path.read_bytes()
    wrong, right = struct.pack("<I", len(KERNEL + BOMB)), struct.pack("<I", len(KERNEL))
    path.write_bytes(content.replace(wrong, right))
    refused(path, "CRC")


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"\x80\x04N.", b"\x93NUMPY\x01\x00", bytes(100)])
def test_files_that_are_something_else(tmp_path, content):
    (tmp_path / "w.npz").write_bytes(content)
    refused(tmp_path / "w.npz", "cannot be loaded")


def test_such_a_file_is_no_model(tmp_path):
    """And a model that is not built cannot take it."""
    np.savez(tmp_path / "w.npz", *small().get_weights())
    with pytest.raises(ValueError, match=r"w\.npz: .*expected an array 'model\.json'"):
        load_model(tmp_path / "w.npz")
    with pytest.raises(ValueError, match=r"w\.npz: .*call model\.build\(input_shape\) first"):
        Sequential([Dense(3)]).load_weights(tmp_path / "w.npz")


def test_a_stream_is_not_left_open(tmp_path):
    """A file that was refused can be removed, on Windows too."""
    path = archive(tmp_path / "w.npz", {"arr_0.npy": io.BytesIO(KERNEL).getvalue()})
    refused(path, "received")
    path.unlink()
