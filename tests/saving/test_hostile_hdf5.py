"""Hostile HDF5 files: links, data elsewhere, sizes that are not there, and everything of the wrong kind."""

import math
import os
import subprocess
import sys
import zlib
from contextlib import nullcontext

import h5py
import numpy as np
import pytest

from tests.saving.hostile_files import MIB, TEXTS, refused, saved
from tests.saving.saved_models import edit_json, golden_copy
from tinycnn import load_model
from tinycnn.saving import hdf5

KERNEL = "model_weights/dense/dense/kernel:0"


@pytest.fixture
def changed(tmp_path):
    """A copy of a golden file, open to be changed; closed by the test."""
    path = golden_copy(tmp_path)
    with h5py.File(path, "r+") as file:
        file.path = path
        yield file


PATHS = ["model_weights", "model_weights/dense", "model_weights/dense/dense", KERNEL, "optimizer_weights"]
PATHS += ["optimizer_weights/Adam", "optimizer_weights/Adam/m/dense"]


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("kind", ["soft", "external"])
def test_links(changed, tmp_path, name, kind):
    """To another place in the file, or to another file that does have what is asked for."""
    (tmp_path / "others").mkdir()
    other = golden_copy(tmp_path / "others")
    changed.move(name, "elsewhere")
    changed[name] = h5py.SoftLink("/elsewhere") if kind == "soft" else h5py.ExternalLink(other, name)
    changed.close()
    refused(changed.path, "is a link to elsewhere, which is not followed")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
@pytest.mark.parametrize("name", ["model_weights", "optimizer_weights"])
def test_the_target_of_an_external_link_is_not_opened(changed, tmp_path, name):
    """To open a pipe that nobody writes to would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    del changed[name]
    changed[name] = h5py.ExternalLink(tmp_path / "pipe", "/")
    changed.close()
    code = "import sys; from tinycnn import load_model; load_model(sys.argv[1])"
    command = [sys.executable, "-c", code, changed.path]
    done = subprocess.run(command, timeout=60, capture_output=True, text=True, check=False)
    assert "is a link to elsewhere" in done.stderr


def test_a_hard_link_is_the_same_array_by_another_name(changed):
    """It leads nowhere else, and so is allowed."""
    changed.move(KERNEL, "elsewhere")
    changed[KERNEL] = changed["elsewhere"]
    changed.close()
    load_model(changed.path)


def test_a_circle_of_groups(changed):
    """A group within itself, by a hard link: it is not walked, so it does no harm."""
    changed["model_weights/dense/dense/self"] = changed["model_weights"]
    changed.close()
    load_model(changed.path)


def test_external_storage(changed, tmp_path):
    """An array whose bytes are in a file of the reader's: its password, for instance."""
    (tmp_path / "secret").write_bytes(b"s" * 4 * 28 * 9)
    del changed[KERNEL]
    changed.create_dataset(KERNEL, (28, 9), "f4", external=[(tmp_path / "secret", 0, 4 * 28 * 9)])
    changed.close()
    refused(changed.path, "is not an array within this file")


def test_virtual_data(changed, tmp_path):
    """An array that is put together from other files."""
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = np.ones((28, 9), "f4")
    layout = h5py.VirtualLayout((28, 9), "f4")
    layout[...] = h5py.VirtualSource(tmp_path / "other.h5", "x", (28, 9))
    del changed[KERNEL]
    changed.create_virtual_dataset(KERNEL, layout)
    changed.close()
    refused(changed.path, "is not an array within this file")


@pytest.mark.parametrize(
    "path", ["../dense_1", "dense/../dense_1", "/model_weights/dense", "", ".", "dense//dense"]
)
def test_names_that_are_paths_elsewhere(changed, path):
    """In the list of layers, which the reader follows."""
    changed["model_weights"].attrs["layer_names"] = ["conv2d", path]
    changed.close()
    refused(changed.path, "holds nothing at")


def declared(file, shape, **options):
    """Replace an array by one that was never written, so that it takes no room in the file."""
    del file[KERNEL]
    file.create_dataset(KERNEL, shape, "f4", chunks=(1,) * len(shape), **options)
    file.close()


@pytest.mark.parametrize(
    "shape", [(2**34,), (2**20, 2**20), (2**33, 2**31), (2**32, 2**32), (2**63 - 1, 2), (2**30, 2**30, 2**30)]
)
def test_arrays_that_declare_more_than_there_is(changed, shape):
    """Also where the product does not fit into 64 bits, or fits only by wrapping round."""
    declared(changed, shape)
    refused(changed.path, "declare .* bytes, in a file of")


def test_one_array_many_times(changed):
    """Each is small, all together are not."""
    del changed[KERNEL]
    changed.create_dataset(KERNEL, (2**20,), "f4", chunks=(2**10,))
    changed["model_weights/dense"].attrs["weight_names"] = ["dense/kernel:0"] * 400
    changed.close()
    refused(changed.path, "declare .* bytes, in a file of")


def test_one_enormous_chunk(changed):
    """The array is small, the chunk that it is cut from is not."""
    del changed[KERNEL]
    options = {"maxshape": (None, None), "chunks": (2**15, 2**13), "compression": "gzip"}
    changed.create_dataset(KERNEL, (28, 9), "f4", **options)
    changed.close()
    refused(changed.path, "declare .* bytes, in a file of")


@pytest.mark.parametrize("nested", [False, True])
def test_a_chunk_that_unpacks_to_more_than_it_declares(changed, nested):
    """64 MB of zeros in 64 KB; HDF5 would go on unpacking."""
    del changed[KERNEL]
    options = {"chunks": (28, 9), "compression": "gzip", "fletcher32": nested}
    data = changed.create_dataset(KERNEL, (28, 9), "f4", **options)
    data.id.write_direct_chunk((0, 0), bomb(64 * MIB))
    changed.close()
    refused(changed.path, "a chunk unpacks to more than it declares")


def bomb(size):
    """A gzip stream of many zeros."""
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(size // MIB)), packer.flush()])


def test_a_chunk_that_is_no_gzip(changed):
    """HDF5 finds out."""
    del changed[KERNEL]
    data = changed.create_dataset(KERNEL, (28, 9), "f4", chunks=(28, 9), compression="gzip")
    data.id.write_direct_chunk((0, 0), b"no gzip at all")
    changed.close()
    refused(changed.path)


def test_too_many_chunks(changed, monkeypatch):
    """Looking at each takes time."""
    monkeypatch.setattr(hdf5, "MOST_CHUNKS", 200)
    array = changed[KERNEL][()]
    del changed[KERNEL]
    changed.create_dataset(KERNEL, data=array, chunks=(1, 1), compression="gzip")
    changed.close()
    refused(changed.path, "expected at most 200 chunks")


@pytest.mark.parametrize("options", [{"compression": "lzf"}, {"scaleoffset": 3}])
def test_other_compression(changed, options):
    """What cannot be measured beforehand is not unpacked."""
    del changed[KERNEL]
    changed.create_dataset(KERNEL, data=np.ones((28, 9), "f4"), **options)
    changed.close()
    refused(changed.path, "expected no compression or gzip")


@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("attribute", ["model_config", "training_config", "tinycnn"])
def test_json_that_is_none(tmp_path, attribute, content):
    """In each of the three attributes. An empty object says nothing, which two of them may."""
    path = saved(tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        file.attrs[attribute] = content
    if attribute != "model_config" and content.startswith(("{}", '{"format": "')):
        warned = pytest.warns(UserWarning, match="not compiled")
        with warned if attribute == "training_config" else nullcontext():
            load_model(path)
    else:
        refused(path)


REFERENCES = h5py.ref_dtype
ATTRIBUTES = {
    "a number": 5,
    "numbers": np.arange(3.0),
    "a table": np.array([[b"a", b"b"], [b"c", b"d"]]),
    "nothing": h5py.Empty("S5"),
    "not UTF-8": np.array([b"\xff\xfe"]),
    "one text": "dense",
    "lists": np.array([np.array([1, 2]), np.array([3])], dtype=object),
    "too many": ["x"] * (hdf5.MOST_NAMES - 200),
}


@pytest.mark.parametrize("kind", ["references", *ATTRIBUTES])
@pytest.mark.parametrize(
    "where", ["/model_config", "model_weights/layer_names", "optimizer_weights/weight_names"]
)
def test_attributes_of_the_wrong_kind(changed, where, kind):
    """Where text, or a list of names, is expected."""
    holder, _, name = where.rpartition("/")
    if kind == "references":
        changed[holder or "/"].attrs.create(name, [changed.ref, changed.ref], dtype=REFERENCES)
    elif kind == "lists":
        changed[holder or "/"].attrs.create(name, ATTRIBUTES[kind], dtype=h5py.vlen_dtype(int))
    else:
        changed[holder or "/"].attrs[name] = ATTRIBUTES[kind]
    changed.close()
    refused(changed.path)


def test_more_names_than_an_attribute_honestly_holds(changed, monkeypatch):
    """Each of variable length could be the same megabyte of text."""
    monkeypatch.setattr(hdf5, "MOST_NAMES", 7)
    changed.close()
    refused(changed.path, "layer_names: expected at most 7 names at once, received 8")


def test_missing_attributes(changed):
    """And their pieces."""
    del changed["model_weights/dense"].attrs["weight_names"]
    changed.close()
    refused(changed.path, "/model_weights/dense has no attribute weight_names")


def test_weights_alone(changed):
    """As `save_weights` of Keras writes them."""
    del changed.attrs["model_config"]
    changed.close()
    refused(changed.path, "no model_config")


KINDS = {
    "a group": h5py.Group,
    "text": np.array([b"abc"] * 9),
    "nothing": h5py.Empty("f4"),
    "complex": np.ones((28, 9), complex),
    "records": np.zeros((28, 9), [("a", "f4"), ("b", "i8")]),
    "arrays of arrays": np.zeros(28, [("a", "f4", 9)])["a"][:, :0],
    "another shape": np.ones((9, 28), "f4"),
}


@pytest.mark.parametrize("kind", [*KINDS, "references", "lists", "many texts"])
def test_arrays_of_the_wrong_kind(changed, kind):
    """Where numbers are expected."""
    del changed[KERNEL]
    if kind == "a group":
        changed.create_group(KERNEL)
    elif kind == "references":
        changed.create_dataset(KERNEL, data=[changed.ref] * 9, dtype=REFERENCES)
    elif kind == "lists":
        changed.create_dataset(KERNEL, (28, 9), dtype=h5py.vlen_dtype("f4"))
    elif kind == "many texts":
        changed.create_dataset(KERNEL, (28, 9), dtype=h5py.string_dtype())
    else:
        changed[KERNEL] = KINDS[kind]
    changed.close()
    refused(changed.path)


def test_an_array_where_a_group_is_expected(changed):
    """One level up."""
    del changed["model_weights/dense"]
    changed["model_weights/dense"] = np.ones((28, 9), "f4")
    changed.close()
    refused(changed.path)


@pytest.mark.parametrize("iteration", [-1, 1.5, math.nan, [6, 7]])
def test_steps_of_the_optimizer_that_are_no_number_of_steps(changed, iteration):
    """Adam would divide by zero at the step before the first."""
    del changed["optimizer_weights/iteration:0"]
    changed["optimizer_weights/iteration:0"] = iteration
    changed.close()
    refused(changed.path, "iterations: expected a whole number >= 0")


OWN = {
    "seed": [-1, "5", 1.5, True, [1], {}],
    "epochs_trained": [-1, "5", 2.5, None, [], True],
    "steps_trained": [-1, "5", None],
    "algorithms": [{"conv2d_1": "fastest"}, {"flatten_1": "naive"}, {"conv2d_1": ["naive"]}, 5, ["conv2d_1"]],
    "optimizer": [
        *(
            5,
            "adam",
            {"name": "adam"},
            {"name": "evil", "config": {}},
            {"name": "adam", "config": {"evil": 1}},
        ),
        {"name": "adam", "config": {"learning_rate": {"class_name": "os.system", "config": {}}}},
        {"name": "sgd", "config": {"weight_decay": {"*": "all"}}},
    ],
    "loss": [5, "mean_squared_error", {"name": "huge", "config": {}}, {"name": "mean_squared_error"}],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in OWN.items() for value in values])
def test_own_words_of_the_wrong_kind(tmp_path, key, value):
    """The attribute that Keras ignores."""
    path = edit_json(saved(tmp_path / "m.h5"), lambda own: own.update({key: value}), "tinycnn")
    refused(path)
