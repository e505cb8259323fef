"""Damaged structures of HDF5: circles, wrong sizes, wrong checksums. All are refused, none hangs.

HDF5's own library loops for ever on some of these files, or crashes. tests/saving/fuzz.py looks for more.
"""

import struct
import time

import h5py
import numpy as np
import pytest

from tests.saving.hostile_files import refused, saved
from tests.saving.mutations import resealed
from tests.saving.saved_models import golden_copy
from tinycnn.saving import h5
from tinycnn.saving.h5 import source


def overwrite(path, at, data):
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)


def find(path, mark, number=0):
    """Return the place of a signature, the first or a later one."""
    content, at = path.read_bytes(), -1
    for _ in range(number + 1):
        at = content.index(mark, at + 1)
    return at


def refused_soon(path, match=None):
    started = time.process_time()
    refused(path, match)
    assert time.process_time() - started < 5


@pytest.fixture
def old(tmp_path):
    """A file of Keras 2, in the older form of HDF5."""
    return golden_copy(tmp_path)


@pytest.mark.parametrize("size", [0, 1, 8, 2**16, 2**32, 2**64 - 1])
@pytest.mark.parametrize("number", range(1, 4))
def test_sizes_in_a_global_heap(old, size, number):
    """Of an object with a text. HDF5's library looks at an object of no size again and again."""
    at = find(old, b"GCOL") + 16
    for _ in range(number):
        at += 16 + -(-struct.unpack_from("<Q", old.read_bytes(), at + 8)[0] // 8) * 8
    overwrite(old, at + 8, struct.pack("<Q", size))
    refused_soon(old, "global heap|expected JSON")


@pytest.mark.parametrize("size", [0, 15, 2**24, 2**63])
def test_the_size_of_a_global_heap(old, size):
    overwrite(old, find(old, b"GCOL") + 8, struct.pack("<Q", size))
    refused_soon(old, "global heap: expected at most")


def test_a_tree_that_is_its_own_child(old):
    """Of the root group: a node of level 1 whose child is itself."""
    at = find(old, b"TREE")
    overwrite(old, at + 5, bytes([1]))
    overwrite(old, at + 32, struct.pack("<Q", at))
    refused_soon(old, "goes round in a circle|expected a level below")


def test_two_trees_that_are_each_others_children(old):
    first, second = find(old, b"TREE"), find(old, b"TREE", 1)
    for at, other, level in ((first, second, 2), (second, first, 1)):
        overwrite(old, at + 5, bytes([level]))
        overwrite(old, at + 32, struct.pack("<Q", other))
    refused_soon(old, "goes round in a circle|expected a level below")


@pytest.mark.parametrize("count", [0, 1000, 65535])
def test_the_number_of_entries_of_a_tree(old, count):
    overwrite(old, find(old, b"TREE") + 6, struct.pack("<H", count))
    refused_soon(old)


def test_a_continuation_that_continues_itself(old):
    """In the header of the root group, which HDF5 puts at 96."""
    content = old.read_bytes()
    at = 96 + 16
    while struct.unpack_from("<H", content, at)[0] != 0x10:
        at += 8 + struct.unpack_from("<H", content, at + 2)[0]
    place, size = struct.unpack_from("<2Q", content, at + 8)
    overwrite(old, place, struct.pack("<2H4x2Q", 0x10, 16, place, size))
    refused_soon(old, "goes round in a circle")


@pytest.mark.parametrize("place", [2**40, 2**63, 2**64 - 2])
@pytest.mark.parametrize("mark", [b"TREE", b"HEAP", b"SNOD"])
def test_addresses_outside_of_the_file(old, mark, place):
    """Of what the first structure of a kind points at."""
    offset = {b"TREE": 32, b"HEAP": 24, b"SNOD": 16}[mark]
    overwrite(old, find(old, mark) + offset, struct.pack("<Q", place))
    refused_soon(old, "the end of the file")


def test_the_root_group_within_itself(tmp_path):
    """By a hard link; a path through it is followed step by step, so it ends."""
    path = saved(tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        file["model_weights/again"] = file["/"]
        file["model_weights"].attrs["layer_names"] = [b"again/model_weights/" * 100 + b"again"] * 50
    refused_soon(path)


def test_one_group_as_many_layers(tmp_path):
    """Each of a thousand layers is the same group of a thousand arrays: a million arrays from 60 KB."""
    path = saved(tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        group = file["model_weights"]
        group.create_group("g")["x"] = np.float32(1)
        group["g"].attrs["weight_names"] = np.array([b"x"] * 10_000)
        group.attrs["layer_names"] = np.array([b"g"] * 10_000)
    refused_soon(path, "expected at most")


def test_a_long_list_of_the_same_text(tmp_path):
    """Thousands of references to one text of a megabyte."""
    path = saved(tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        file["model_weights"].attrs["layer_names"] = ["x" * 2**20, *"y" * 3000]
    content = bytearray(path.read_bytes())
    heaps = [at for at in range(0, len(content), 8) if content[at : at + 4] == b"GCOL"]
    at = max(content.find(struct.pack("<IQ", 2**20, heap)) for heap in heaps)
    reference = content[at : at + 16]
    for i in range(3001):
        content[at + 16 * i : at + 16 * (i + 1)] = reference
    path.write_bytes(content)
    refused_soon(path, "expected at most 4194304 characters")


@pytest.fixture
def new(tmp_path):
    """A file in the newer form of HDF5: structures with checksums, groups and attributes in heaps."""
    path = tmp_path / "new.h5"
    saved(tmp_path / "old.h5")
    with h5py.File(tmp_path / "old.h5") as source_file, h5py.File(path, "w", libver="v108") as file:
        for name in source_file:
            source_file.copy(name, file)
        for name, value in source_file.attrs.items():
            file.attrs[name] = value
        for i in range(20):
            file.attrs[f"more{i}"] = i
            file.create_group(f"group{i}")
    return path


SIGNED = {b"OHDR": 30, b"FRHP": 120, b"BTHD": 20, b"BTLF": 12, b"FHDB": 20, b"FHIB": 20}


@pytest.mark.parametrize("mark", SIGNED)
def test_a_checksum_that_differs(new, mark):
    """Every structure of the newer form has one."""
    if mark == b"FHIB":
        with h5py.File(new, "r+") as file:
            for i in range(200):
                file.create_group(f"another group with a long name {i}")
    at = find(new, mark) + SIGNED[mark]
    overwrite(new, at, bytes([new.read_bytes()[at] ^ 8]))
    refused_soon(new, "its checksum differs")


@pytest.mark.parametrize(
    "table", [(110, 2, 0), (110, 2, 3), (112, 8, 0), (112, 8, 2**63), (120, 8, 1), (128, 2, 500)]
)
def test_a_heap_of_impossible_blocks(new, table):
    """Under a right checksum: the width of its table, its block sizes, its bits."""
    offset, size, value = table
    at = find(new, b"FRHP")
    overwrite(new, at + offset, value.to_bytes(size, "little"))
    new.write_bytes(resealed(new.read_bytes(), [(at, at + 146)]))
    refused_soon(new)


def test_a_new_tree_that_is_its_own_child(new):
    """Its depth and its root say so, under right checksums."""
    at = find(new, b"BTHD")
    content = new.read_bytes()
    root = struct.unpack_from("<Q", content, at + 16)[0]
    record = struct.unpack_from("<H", content, at + 10)[0]
    overwrite(new, at + 12, struct.pack("<H", 3))
    node = b"BTIN\0" + content[at + 5 : at + 6] + bytes(record) + 2 * struct.pack("<QBHB", root, 1, 0, 0)
    overwrite(new, at + 24, struct.pack("<H", 1))
    overwrite(new, root, node[: 6 + record + 22])
    blocks = [(at, at + 38), *((root, root + 6 + record + 2 * (9 + extra) + 4) for extra in (0, 1, 2))]
    new.write_bytes(resealed(new.read_bytes(), blocks))
    refused_soon(new)


def test_limits_on_structures(tmp_path, monkeypatch):
    """Whatever the structures are, there is an end to them."""
    path = saved(tmp_path / "m.h5")
    for name in ("MOST_BLOCKS", "MOST_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(source, name, 40)
            refused_soon(path, "structures of .* bytes, received more")


@pytest.mark.slow
def test_a_large_model_stays_within_the_limits(tmp_path):
    """A file with 1,000 layers of four weights, with the moments of an optimizer."""
    with h5py.File(tmp_path / "large.h5", "w") as file:
        for group in (*(f"model_weights/layer_{i}/layer_{i}" for i in range(1000)), "optimizer_weights/Adam"):
            for name in (f"weight_{i}:0" for i in range(8000 if "Adam" in group else 4)):
                file[f"{group}/{name}"] = np.float32(1)
    with h5.File(tmp_path / "large.h5") as file:
        for i in range(1000):
            for name in range(4):
                file.root[f"model_weights/layer_{i}/layer_{i}/weight_{name}:0"].read()
        for i in range(8000):
            file.root[f"optimizer_weights/Adam/weight_{i}:0"].read()
        assert file.source._blocks < source.MOST_BLOCKS / 2
        assert file.source._bytes < source.MOST_BYTES / 2
