"""Hostile .npz archives: pickles, bombs, headers and members of the wrong kind."""

import math
import os
import pickle
import zipfile

import numpy as np
import pytest

from tests.saving.hostile_files import MIB, TEXTS, edit_header, npy, refused, rewrite, saved, seal
from tinycnn import load_model


def test_a_pickle_in_an_archive(tmp_path):
    """Not even when nothing else is wrong with it; it is never loaded."""

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    path = tmp_path / "m.npz"
    for name in ("model.json", "weights/1"):
        rewrite(saved(path), {name: npy(np.array([Evil()], dtype=object))})
        refused(path)
        assert not (tmp_path / "owned").exists()
    path.write_bytes(b"\x80\x04N.")
    refused(path)


def test_a_pickle_of_the_size_that_it_declares(tmp_path):
    """So that nothing is wrong with it but what it is."""

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    content = pickle.dumps(Evil())
    content += bytes(-len(content) % 8)
    path = saved(tmp_path / "m.npz")
    rewrite(path, {"weights/1": npy_header(array_header(f"({len(content) // 8},)", "'|O'"), content)})
    refused(path, "allow_pickle=False")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS)
def test_json_that_is_none_in_an_archive(tmp_path, content):
    """The header of an .npz file."""
    path = tmp_path / "m.npz"
    rewrite(saved(path), {"model.json": npy(np.array(content))})
    refused(path)


HEADERS = {
    "no format": lambda h: h.pop("format"),
    "another format": lambda h: h.update(format="tinycnn-2"),
    "no config": lambda h: h.pop("config"),
    "config of the wrong kind": lambda h: h.update(config=[]),
    "no layers": lambda h: h["config"].update(layers=[]),
    "layers of the wrong kind": lambda h: h["config"].update(layers=5),
    "a layer of the wrong kind": lambda h: h["config"]["layers"].append("Dense"),
    "a layer without a class": lambda h: h["config"]["layers"][0].pop("class_name"),
    "a layer of another class": lambda h: h["config"]["layers"][0].update(class_name="Lambda"),
    "a class that is no text": lambda h: h["config"]["layers"][0].update(class_name={"a": 1}),
    "an unknown argument": lambda h: h["config"]["layers"][0]["config"].update(evil=1),
    "an argument that is missing": lambda h: h["config"]["layers"][0]["config"].pop("filters"),
    "padding of the wrong kind": lambda h: h["config"]["layers"][0]["config"].update(padding=None),
    "trainable of the wrong kind": lambda h: h["config"]["layers"][0].update(trainable="no"),
    "another dtype": lambda h: h["config"].update(dtype="float64"),
    "no dtype": lambda h: h["config"].update(dtype={"a": 1}),
    "a seed of the wrong kind": lambda h: h["config"].update(seed="5"),
    "weights of the wrong kind": lambda h: h.update(weights=5),
    "too many weights": lambda h: h["weights"].append("dense_1/more"),
    "too few weights": lambda h: h["weights"].pop(),
    "a kind of moment too many": lambda h: h["slots"].update(velocity_hat=0),
    "moments that would be arguments": lambda h: h["slots"].update(p=0, g=0),
    "too few moments": lambda h: h["slots"].update(momentum=3),
    "a negative number of moments": lambda h: h["slots"].update(momentum=-1),
    "very many moments": lambda h: h["slots"].update(momentum=10**15),
    "no number of moments": lambda h: h["slots"].update(momentum="4"),
    "moments of the wrong kind": lambda h: h.update(slots=["momentum"]),
    "moments without training": lambda h: h.update(training=None),
    "training of the wrong kind": lambda h: h.update(training=5),
    "another optimizer": lambda h: h["training"]["optimizer"].update(name="lion"),
    "an optimizer that is no text": lambda h: h["training"]["optimizer"].update(name=["adam"]),
    "an unknown setting": lambda h: h["training"]["optimizer"]["config"].update(evil=1),
    "a rate that is no number": lambda h: h["training"]["optimizer"]["config"].update(learning_rate=math.nan),
    "another loss": lambda h: h["training"]["loss"].update(name="hinge"),
    "a loss of the wrong kind": lambda h: h["training"].update(loss="mse"),
    "another metric": lambda h: h["training"].update(metrics=["auc"]),
    "metrics of the wrong kind": lambda h: h["training"].update(metrics=5),
    "a negative number of steps": lambda h: h["training"].update(iterations=-1),
    "half a step": lambda h: h["training"].update(iterations=0.5),
    "no progress": lambda h: h.pop("progress"),
    "progress of the wrong kind": lambda h: h["progress"].update(epochs_trained="1"),
    "negative progress": lambda h: h["progress"].update(steps_trained=-1),
}


@pytest.mark.parametrize("change", HEADERS.values(), ids=HEADERS)
def test_headers_of_archives(tmp_path, change):
    """Each with one thing wrong."""
    path = saved(tmp_path / "m.npz")
    edit_header(path, change)
    refused(path)


def npy_header(header, data=b"", version=(1, 0)):
    """A member put together by hand: magic, version, length, header, data."""
    content = header.encode() + b"\n"
    size = len(content).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + size + content + data


def array_header(shape, descr="'<f4'"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"


MEMBERS = {
    "a huge shape": npy_header(array_header(f"({10**12},)")),
    "a shape beyond 64 bits": npy_header(array_header(f"({2**33}, {2**31})")),
    "a shape that wraps round to what is stored": npy_header(array_header(f"({2**62}, 4)"), bytes(0)),
    "a negative shape": npy_header(array_header("(-5,)"), bytes(20)),
    "two negatives": npy_header(array_header("(-5, -1)"), bytes(20)),
    "more data than declared": npy_header(array_header("(5,)"), bytes(24)),
    "less data than declared": npy_header(array_header("(5,)"), bytes(16)),
    "a shape of the wrong kind": npy_header(array_header("5"), bytes(20)),
    "an expression": npy_header(array_header("(__import__('os').getpid(),)"), bytes(20)),
    "objects": npy_header(array_header("(5,)", "'|O'"), b"\x80\x04N."),
    "a header that is nested too deeply": npy_header("(" * 5000),
    "a long header": npy_header("{" + " " * 50_000),
    "no header": b"\x93NUMPY\x01\x00",
    "another version": npy_header(array_header("(5,)"), bytes(20), (3, 0)),
    "another magic": b"NUMPY" + bytes(40),
    "nothing": b"",
    "integers": npy(np.arange(5)),
    "half precision": npy(np.ones(5, np.float16)),
    "big-endian": npy(np.ones(5, ">f4")),
    "text": npy(np.array(["a"] * 5)),
    "records": npy(np.zeros(5, [("a", "f4")])),
    "another dtype": npy(np.ones(5)),
    "another shape": npy(np.ones((5, 1), np.float32)),
    "missing": None,
}


@pytest.mark.parametrize("content", MEMBERS.values(), ids=MEMBERS)
@pytest.mark.parametrize("name", ["weights/1", "slots/momentum/1", "model.json"])
def test_members_of_archives(tmp_path, name, content):
    """Arrays of NumPy's format that are not what the layers need: here, float32 of shape (5,)."""
    path = saved(tmp_path / "m.npz")
    rewrite(path, {name: content})
    refused(path)


def test_an_archive_member_of_the_right_kind_is_read(tmp_path):
    """So that the test above fails for the right reasons."""
    path = saved(tmp_path / "m.npz")
    rewrite(path, {"weights/1": npy_header(array_header("(5,)"), bytes(20))})
    assert not load_model(path)["conv2d_1"].params["bias"].any()
    rewrite(path, {"weights/1": npy_header(array_header("(5,)"), b"\0\0\x80?" * 5, (2, 0))})
    assert (load_model(path)["conv2d_1"].params["bias"] == 1).all()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_members(tmp_path, method):
    """A bomb would be one of these."""
    path = saved(tmp_path / "m.npz")
    rewrite(path, {"weights/0": bytes(50 * MIB)}, compression=method)
    assert path.stat().st_size < MIB
    refused(path, "without compression, received compressed ones")


def test_members_that_overlap(tmp_path):
    """Many entries of the table of contents for the same bytes: no member is too large, but all are."""
    path = saved(tmp_path / "m.npz")
    rewrite(path, {"weights/0": npy(np.ones(MIB, np.float32))})
    with zipfile.ZipFile(path, "a") as archive:
        original = archive.getinfo("weights/0.npy")
        for i in range(1000):
            copy = zipfile.ZipInfo(f"slots/momentum/{i}.npy")
            for field in ("CRC", "compress_size", "file_size", "header_offset"):
                setattr(copy, field, getattr(original, field))
            archive.filelist.append(copy)
        archive._didModify = True
    seal(path)
    refused(path, "expected members of at most")


def test_an_encrypted_member(tmp_path):
    """There is no password to ask for."""
    path = saved(tmp_path / "m.npz")
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)
    seal(path)
    refused(path)
