"""IDX files: what is written is read back, and no damage gets past the reader or takes memory."""

import gzip
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinycnn.datasets import IdxError, read_idx, write_idx

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}
SMALL = np.arange(24, dtype=np.int16).reshape(2, 3, 4) - 7
MIB = 1 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all the examples of a hypothesis test."""
    return tmp_path_factory.mktemp("idx")


def idx_bytes(code: int, shape: tuple[int, ...], data: bytes) -> bytes:
    """An IDX file put together here, by the text of the format, not by the code under test."""
    return bytes([0, 0, code, len(shape)]) + b"".join(struct.pack(">I", n) for n in shape) + data


def peak_memory(call: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refuse(path: Path, content: bytes, *words: str) -> str:
    """Read `content` from `path`, which must fail with a message that has the file's name and `words`."""
    path.write_bytes(content)
    with pytest.raises(IdxError) as caught:
        read_idx(path)
    message = str(caught.value)
    for word in (str(path), "expected", "found", *words):
        assert word in message
    return message


# -- good files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(CODES))
def test_bytes_by_the_format(tmp_path: Path, name: str) -> None:
    values = [1, 2, 3, 4, 5, 100]
    letter = {"uint8": "B", "int8": "b", "int16": "h", "int32": "i", "float32": "f", "float64": "d"}[name]
    content = idx_bytes(CODES[name], (3, 2), struct.pack(f">6{letter}", *values))
    path = tmp_path / "written"
    write_idx(path, np.array(values, dtype=name).reshape(3, 2))
    assert path.read_bytes() == content
    array = read_idx(path)
    assert array.dtype == np.dtype(name)
    assert array.tolist() == [[1, 2], [3, 4], [5, 100]]


@given(
    array=hnp.arrays(
        dtype=st.sampled_from(list(CODES)).map(np.dtype),
        shape=hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
    ),
    suffix=st.sampled_from(["", ".gz", ".GZ"]),
)
@settings(deadline=None, max_examples=150)
def test_round_trip(folder: Path, array: np.ndarray, suffix: str) -> None:
    path = folder / f"round{suffix}"
    write_idx(path, array)
    assert path.read_bytes().startswith(b"\x1f\x8b" if suffix else b"\0\0")
    back = read_idx(path)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()  # bytes, so that NaN equals NaN
    assert back.dtype.isnative
    assert back.flags.c_contiguous
    assert back.flags.writeable
    assert back.flags.aligned


@pytest.mark.parametrize(
    "array",
    [
        SMALL.astype(">i2"),
        SMALL.astype("<i2"),
        np.asfortranarray(SMALL),
        SMALL.transpose(2, 0, 1),
        SMALL[:, ::-2, 1:],
        [np.float32(1.5), np.float32(-2)],
    ],
    ids=["big", "little", "fortran", "transposed", "strided", "list"],
)
def test_any_layout_and_order(tmp_path: Path, array: Any) -> None:
    write_idx(tmp_path / "a", array)
    np.testing.assert_array_equal(read_idx(str(tmp_path / "a")), array)


def test_the_content_tells_gzip_not_the_name(tmp_path: Path) -> None:
    write_idx(tmp_path / "a.gz", SMALL)
    os.replace(tmp_path / "a.gz", tmp_path / "a")
    np.testing.assert_array_equal(read_idx(tmp_path / "a"), SMALL)
    write_idx(tmp_path / "b", SMALL)
    os.replace(tmp_path / "b", tmp_path / "b.gz")
    np.testing.assert_array_equal(read_idx(tmp_path / "b.gz"), SMALL)


def test_several_gzip_members_are_one_file(tmp_path: Path) -> None:
    write_idx(tmp_path / "a", SMALL)
    content = (tmp_path / "a").read_bytes()
    for cut in (3, 16, 30, len(content)):
        (tmp_path / "b").write_bytes(gzip.compress(content[:cut]) + gzip.compress(content[cut:]))
        np.testing.assert_array_equal(read_idx(tmp_path / "b"), SMALL)


def test_data_of_several_chunks_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    array = np.random.default_rng(3).integers(0, 9, (70, 211, 83), dtype=np.int16)  # 2.4 MB
    for suffix in ("", ".gz"):
        write_idx(tmp_path / f"a{suffix}", array)
        write_idx(tmp_path / f"b{suffix}", array)
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
        np.testing.assert_array_equal(read_idx(tmp_path / f"a{suffix}"), array)
    assert not any((tmp_path / "a.gz").read_bytes()[3:8])  # flags and time stamp: no name and no time


def test_a_highly_compressible_array_is_no_bomb(tmp_path: Path) -> None:
    zeros = np.zeros((3, 1000, 2000), np.uint8)
    path = tmp_path / "z.gz"
    path.write_bytes(gzip.compress(idx_bytes(0x08, zeros.shape, zeros.tobytes()), compresslevel=9))
    assert zeros.nbytes > 1000 * path.stat().st_size  # close to deflate's limit
    np.testing.assert_array_equal(read_idx(path), zeros)


# -- arrays and places that cannot be written ------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bool", "int64", "uint16", "uint32", "float16", "complex64", "U3", "O"])
def test_types_that_idx_has_no_code_for(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(ValueError, match=r"array: expected one of the types uint8, .* float64, received"):
        write_idx(tmp_path / "a", np.zeros((2, 3), dtype))
    assert list(tmp_path.iterdir()) == []


def test_sizes_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"array: expected sizes below 2\*\*32 .* received shape \(2, 4294"):
        write_idx(tmp_path / "a", np.broadcast_to(np.uint8(0), (2, 1 << 32)))
    write_idx(tmp_path / "b", np.empty((0, (1 << 32) - 1), np.uint8))  # the largest size
    assert read_idx(tmp_path / "b").shape == (0, (1 << 32) - 1)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    write_idx(tmp_path / "a.gz", SMALL)
    with pytest.raises(ValueError, match="received int64"):
        write_idx(tmp_path / "a.gz", SMALL.astype(np.int64))
    np.testing.assert_array_equal(read_idx(tmp_path / "a.gz"), SMALL)
    with pytest.raises(FileNotFoundError):
        write_idx(tmp_path / "missing" / "a", SMALL)
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "missing")


# -- bad files -------------------------------------------------------------------------------------------

PAIR = idx_bytes(0x0B, (2, 3), bytes(range(12)))  # 12 bytes of header, 12 of data
CASES = {
    "empty": (b"", ["a header of at least 4 bytes", "found 0"]),
    "cut in the magic": (PAIR[:3], ["a header of at least 4 bytes", "found 3"]),
    "wrong magic": (b"\x89PNG" + PAIR, ["starts with the bytes 00 00", "found 89 50 4e 47"]),
    "second byte": (b"\0\1" + PAIR[2:], ["starts with the bytes 00 00", "found 00 01 0b 02"]),
    "unknown type": (b"\0\0\x0a" + PAIR[3:], ["0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E", "found 0x0A"]),
    "cut in the sizes": (
        PAIR[:9],
        ["a header of 12 bytes for 2 dimensions", "found 9: the file is truncated"],
    ),
    "truncated": (PAIR[:-1], ["expected 24 bytes (a header of 12, then int16 of shape (2, 3))", "23"]),
    "trailing": (PAIR + b"\0", ["expected 24 bytes", "found trailing bytes"]),
    "overflow to 0": (
        idx_bytes(0x08, (1 << 31, 1 << 31, 4), b""),
        [f"{(1 << 64) + 16} bytes", "found too few"],
    ),
    "overflow to 8": (
        idx_bytes(0x0E, ((1 << 32) - 1,) * 2, bytes(8)),
        ["found too few in a file of 20 bytes"],
    ),
    "many dimensions": (idx_bytes(0x08, (1,) * 255, b"\0"), ["a NumPy array can have"]),
    "0 hides an overflow": (idx_bytes(0x08, (1 << 31, 0, 1 << 31, 9), b""), ["a NumPy array can have"]),
    "web page": (b"\n <!DOCTYPE html><html>403</html>", ["found a web page", "fetch the file again"]),
    "web page with a mark": (b"\xef\xbb\xbf<html>", ["found a web page", "fetch the file again"]),
}


@pytest.mark.parametrize("case", list(CASES))
def test_bad_files(tmp_path: Path, case: str) -> None:
    content, words = CASES[case]
    refuse(tmp_path / "bad-idx3-ubyte", content, *words)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c != "overflow to 8"]
)  # its words are those of a raw file
def test_bad_files_inside_gzip(tmp_path: Path, case: str) -> None:
    content, words = CASES[case]
    words = [word for word in words if word != "23"] + (["found 23: the file"] if "23" in words else [])
    refuse(tmp_path / "bad.gz", gzip.compress(content), *words)


def test_raw_errors_give_the_size_of_the_file(tmp_path: Path) -> None:
    refuse(tmp_path / "a", PAIR[:-1], "found too few in a file of 23 bytes")
    refuse(tmp_path / "a", PAIR + b"123", "found trailing bytes in a file of 27 bytes")


def test_corrupt_gzip(tmp_path: Path) -> None:
    packed = gzip.compress(PAIR, mtime=0)
    damaged = {
        "cut": packed[:-9],
        "no checksum": packed[:-8],
        "half a checksum": packed[:-5],
        "checksum": packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:],
        "length": packed[:-4] + bytes([packed[-4] ^ 1]) + packed[-3:],
        "method": packed[:2] + b"\7" + packed[3:],
        "block": packed[:10] + b"\xff" + packed[11:],
        "trailing": packed + b"garbage",
        "only the magic": packed[:2],
    }
    for content in damaged.values():
        refuse(tmp_path / "bad.gz", content, "an intact gzip file", "found a corrupt one")


# -- memory ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True], ids=["raw", "gzip"])
@pytest.mark.parametrize("shape", [(1 << 40 >> 10, 1 << 10), (1 << 20, 999)], ids=["2**40", "2**30"])
def test_a_promise_takes_no_memory(tmp_path: Path, packed: bool, shape: tuple[int, int]) -> None:
    content = idx_bytes(0x08, shape, bytes(100))
    content = gzip.compress(content) if packed else content
    # The second gzip file is large enough that deflate could keep the promise: memory grows with the data.
    content += gzip.compress(os.urandom(2 * MIB)) if packed and shape[1] == 999 else b""
    path = tmp_path / "bad"
    limit = 8 * MIB if len(content) > MIB else MIB
    assert peak_memory(lambda: refuse(path, content, "bytes (a header of 12")) < limit


def test_a_gzip_bomb_stops_at_the_promise(tmp_path: Path) -> None:
    content = gzip.compress(idx_bytes(0x08, (5, 7), bytes(64 * MIB)), compresslevel=1)
    peak = peak_memory(lambda: refuse(tmp_path / "bomb.gz", content, "found trailing bytes in a gzip file"))
    assert peak < 2 * MIB


# -- any damage ------------------------------------------------------------------------------------------


def damaged(draw: Callable[..., Any], content: bytes) -> bytes:
    """Flip bytes, cut or extend."""
    kind = draw(st.sampled_from(["flip", "cut", "extend"]))
    if kind == "cut":
        return content[: draw(st.integers(0, len(content) - 1))]
    if kind == "extend":
        return content + draw(st.binary(min_size=1, max_size=9))
    flipped = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        flipped[draw(st.integers(0, len(content) - 1))] ^= draw(st.integers(1, 255))
    return bytes(flipped)


@given(data=st.data())
@settings(deadline=None, max_examples=120)
def test_damage_to_a_raw_file(folder: Path, data: st.DataObject) -> None:
    content = idx_bytes(0x0D, (2, 1, 3), SMALL.tobytes()[:24])
    bad = damaged(data.draw, content)
    (folder / "bad").write_bytes(bad)
    if len(bad) == len(content) and bad[:16] == content[:16]:
        assert read_idx(folder / "bad").shape == (2, 1, 3)
        return
    try:
        array = read_idx(folder / "bad")
    except IdxError:
        return
    # A damaged header may still be true to the file: 24 bytes are also 24 numbers of one byte.
    assert len(bad) == 4 + 4 * array.ndim + array.nbytes


@given(data=st.data())
@settings(deadline=None, max_examples=120)
def test_damage_to_a_gzip_file(folder: Path, data: st.DataObject) -> None:
    content = idx_bytes(0x0B, SMALL.shape, SMALL.astype(">i2").tobytes())
    (folder / "bad.gz").write_bytes(damaged(data.draw, gzip.compress(content, mtime=0)))
    try:
        array = read_idx(folder / "bad.gz")
    except IdxError:
        return
    # What gzip lets pass is no damage to the data: its time stamp, or zeros after its end.
    np.testing.assert_array_equal(array, SMALL)


@given(content=st.binary(max_size=40), start=st.sampled_from([b"", b"\0\0", b"\0\0\x08\1", b"\x1f\x8b\x08"]))
@settings(deadline=None, max_examples=120)
def test_arbitrary_bytes(folder: Path, content: bytes, start: bytes) -> None:
    (folder / "any").write_bytes(start + content)
    try:
        array = read_idx(folder / "any")
    except IdxError:
        return
    assert start != b"\x1f\x8b\x08"
    assert len(start + content) == 4 + 4 * array.ndim + array.nbytes
