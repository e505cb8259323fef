"""The reader of HDF5 in Python, beside h5py: every form in which models may have been written."""

import h5py
import numpy as np
import pytest

from tinycnn.saving import h5
from tinycnn.saving.h5 import source

LIBVERS = ["earliest", "v108", "v110", "latest"]
GROWING = ["earliest", ("v108", "v108")]  # without the newest form of an array that grows along one axis


def assert_same_file(path):
    """Names, attributes and values are those that h5py reads."""
    with h5.File(path) as ours, h5py.File(path) as theirs:
        assert_same_group(ours.root, theirs)


def assert_same_group(ours, theirs):
    assert set(ours.attributes) == set(theirs.attrs)
    for name, value in theirs.attrs.items():
        attribute = ours.attributes[name]
        if attribute.datatype.text is not None:
            texts = [t.decode() if isinstance(t, bytes) else t for t in np.ravel(np.asarray(value, object))]
            assert attribute.texts(10**7) == texts
    assert all(name in ours for name in theirs)
    for name, item in theirs.items():
        if isinstance(item, h5py.Group):
            assert_same_group(ours[name], item)
        else:
            values = ours[name].read()
            assert (values.dtype, values.shape) == (item.dtype, item.shape)
            np.testing.assert_array_equal(values, item[()])


@pytest.fixture(params=LIBVERS)
def new_file(request, tmp_path):
    """An empty file in each form, behind a block of the user's in one of them; compared after the test."""
    options = {"libver": request.param, "userblock_size": 1024 if request.param == "v110" else 0}
    with h5py.File(tmp_path / "x.h5", "w", **options) as file:
        yield file
    assert_same_file(tmp_path / "x.h5")


@pytest.mark.parametrize("count", [0, 1, 8, 9, 40, 300, pytest.param(1500, marks=pytest.mark.slow)])
def test_groups_of_many_members(new_file, count):
    """In one node or a tree of several levels; in the header, or in a heap of growing blocks."""
    for i in range(count):
        new_file.create_group(f"group {i} {'x' * (i % 30)}")


@pytest.mark.parametrize("count", [0, 1, 8, 9, 100, pytest.param(400, marks=pytest.mark.slow)])
def test_many_attributes(new_file, count):
    """In the header and its continuations, or in a heap."""
    for i in range(count):
        new_file.attrs[f"fixed{i}"] = np.array([b"abc", b"de%d" % i])
        new_file.attrs[f"variable{i}"] = ["x" * i, "\u00e9", ""]
        new_file.attrs[f"one{i}"] = "text" * i
        new_file.attrs[f"number{i}"] = i


@pytest.mark.parametrize("size", [100, 5000, 60_000, 70_000, 3_000_000])
def test_long_texts(new_file, size):
    """Above 64 KB, the older form has only texts of variable length."""
    new_file.attrs["variable"] = "x" * size
    if size < 64_000 or new_file.libver[0] != "earliest":
        new_file.attrs["fixed"] = np.bytes_(b"y" * size)


@pytest.mark.parametrize("dtype", ["f2", "<f4", ">f4", "<f8", ">f8", "i1", "u1", "<i2", ">u4", "<i8"])
def test_numbers(new_file, dtype):
    """Of every size and byte order, and of 0 to 4 axes."""
    for shape in [(), (7,), (0, 3), (13, 11), (3, 5, 7, 2)]:
        values = (np.random.default_rng(1).standard_normal(shape) * 50).astype(dtype)
        new_file.create_dataset(str(shape), data=values)


@pytest.mark.parametrize("libver", LIBVERS)
@pytest.mark.parametrize("name", ["bfloat16", np.bytes_(b"bfloat16")])
@pytest.mark.parametrize("options", [{}, {"chunks": (5, 2), "compression": "gzip"}])
def test_bfloat16(tmp_path, libver, name, options):
    """Keras 3 writes them as opaque data with their name: the upper halves of float32."""
    values = np.random.default_rng(1).standard_normal((7, 3)).astype("f4").view("<u4") >> 16 << 16
    with h5py.File(tmp_path / "x.h5", "w", libver=libver) as file:
        for key, array, own in [("a", values, options), ("one", values[0, 0], {}), ("none", values[:0], {})]:
            halves = (array >> 16).astype("<u2").view("V2")
            file.create_dataset(key, data=halves, **own).attrs["dtype"] = name
    with h5.File(tmp_path / "x.h5") as file:
        for key, array in [("a", values), ("one", values[0, 0]), ("none", values[:0])]:
            found = file.root[key].read()
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, array.view("<f4"))


OPTIONS = {
    "plain": {},
    "gzip": {"compression": "gzip"},
    "shuffle": {"shuffle": True},
    "checksum": {"fletcher32": True},
    "all": {"compression": "gzip", "shuffle": True, "fletcher32": True},
}


@pytest.mark.parametrize("chunks", [(13, 11), (4, 3), (20, 11), (1, 1), (5, 20)])
@pytest.mark.parametrize("largest", [(22, 20), (None, None)])
def test_chunks(new_file, chunks, largest):
    """One or many, also larger than the array; of an array that grows, or could have."""
    values = np.random.default_rng(2).standard_normal((13, 11))
    for name, options in OPTIONS.items():
        new_file.create_dataset(name, data=values, chunks=chunks, maxshape=largest, **options)


@pytest.mark.parametrize("chunks", [(13, 11), (4, 3), (20, 11), (1, 1), (5, 20)])
@pytest.mark.parametrize("new_file", GROWING, indirect=True)
def test_chunks_that_grow_along_one_axis(new_file, chunks):
    """In the forms that keep them in a tree; for the newest, see the next test."""
    values = np.random.default_rng(2).standard_normal((13, 11))
    for name, options in OPTIONS.items():
        new_file.create_dataset(name, data=values, chunks=chunks, maxshape=(None, 20), **options)


def test_arrays_that_grow_along_one_axis(tmp_path):
    """In the newest form, their chunks are in a structure of its own, which the reader does not know."""
    with h5py.File(tmp_path / "x.h5", "w", libver="latest") as file:
        file.create_dataset("x", data=np.ones((4, 3)), maxshape=(None, 3))
    with h5.File(tmp_path / "x.h5") as file, pytest.raises(ValueError, match="write it without maxshape"):
        file.root["x"]


def test_a_long_table_of_chunks_has_pages(new_file):
    """Above 1024 chunks; some pages are empty, since the array could have grown."""
    values = np.arange(6000.0).reshape(60, 100)
    new_file.create_dataset("x", data=values, chunks=(1, 2), maxshape=(70, 130))
    new_file.create_dataset("y", data=values, chunks=(2, 2), compression="gzip")


def test_compact_values(new_file):
    """Inside the header."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    values = np.arange(15.0).reshape(3, 5)
    space = h5py.h5s.create_simple(values.shape)
    data = h5py.h5d.create(new_file.id, b"x", h5py.h5t.NATIVE_DOUBLE, space, properties)
    data.write(h5py.h5s.ALL, h5py.h5s.ALL, values)


def test_values_that_were_never_written(tmp_path):
    """HDF5 would make them up, as zeros."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("whole", (5, 3), "f4")
        file.create_dataset("chunks", (5, 3), "f4", chunks=(2, 3))[:2] = 1
    with h5.File(tmp_path / "x.h5") as file:
        for name in ("whole", "chunks"):
            with pytest.raises(ValueError, match="never written"):
                file.root[name].read()


@pytest.mark.parametrize(
    ("data", "expected"), [(b"", 0xDEADBEEF), (b"Four score and seven years ago", 0x17770551)]
)
def test_the_checksum_is_that_of_its_author(data, expected):
    """Bob Jenkins, lookup3.c: hashlittle of these texts with a seed of 0."""
    assert source.checksum(data) == expected
