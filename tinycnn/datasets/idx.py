"""IDX files, the format of MNIST: one array, raw or gzip-compressed.

::

    file -> (gunzip) -> header: 0 0 | type | ndim | sizes -> compared with the file size -> data -> array
    array -> header -> data, big-endian -> (gzip) -> file

The header has two zero bytes, one byte for the type, one for the number of dimensions, and a 32-bit unsigned
size for each dimension. The data follows in C order. All numbers are big-endian.

A file may be damaged or hostile. So the declared sizes are first compared with what the file can contain, and
memory then grows with the data that is really there.
"""

import gzip
import io
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinycnn.support import files

# The third byte of a file -> the type of its numbers, as NumPy spells it.
_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}
_CODES = {name: code for code, name in _TYPES.items()}

_GZIP_MAGIC = b"\x1f\x8b"
# Deflate's shortest code for its longest match is 2 bits for 258 bytes: 4 * 258 bytes from one byte.
_DEFLATE_RATIO = 1032
_CHUNK = 1 << 20  # bytes read at a time
_GZIP_LEVEL = 6  # the default of zlib and of the gzip command; Python's is 9, the slowest


class IdxError(ValueError):
    """Error for a file that is not valid IDX data: its name, what was expected and what was found."""


def mismatch(path: Path, expected: str, found: str) -> IdxError:
    """Return the `IdxError` for a file."""
    return IdxError(f"{path}: expected {expected}, found {found}")


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read one IDX file, raw or gzip-compressed, as its first bytes show.

    Parameters
    ----------
    path : path
        The file to read.

    Returns
    -------
    ndarray
        Of any number of dimensions, also 0, in the type of the file (uint8, int8, int16, int32, float32 or
        float64) and the native byte order; C-contiguous and writable.

    Raises
    ------
    IdxError
        When the file is not an IDX file, or is damaged: its length differs from what its header declares, it
        names an unknown type or sizes that no array can have, or its gzip stream is corrupt.
    OSError
        When the file cannot be opened or read.
    """
    path = Path(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        file.seek(0)
        if not packed:
            return _read(path, file, room=size, what=f"a file of {size} bytes")
        room = size * _DEFLATE_RATIO
        what = f"a gzip file of {size} bytes, which unpacks to at most {room}"
        try:
            with gzip.GzipFile(fileobj=file, mode="rb") as stream:
                return _read(path, stream, room, what)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise mismatch(path, "an intact gzip file", f"a corrupt one ({error})") from error


def _read(path: Path, stream: io.BufferedIOBase, room: int, what: str) -> NDArray[Any]:
    """Read header and data of a file of at most `room` unpacked bytes; errors call the file `what`."""
    dtype, shape = _read_header(path, stream)
    promise = math.prod(shape) * dtype.itemsize  # Python's integers do not overflow
    offset = 4 + 4 * len(shape)
    expected = f"{offset + promise} bytes (a header of {offset}, then {dtype.name} of shape {shape})"
    if offset + promise > room:
        raise mismatch(path, expected, f"too few in {what}")
    # one byte more, to detect trailing bytes; reading to the end also makes gzip check its CRC
    data = _read_at_most(stream, promise + 1)
    if len(data) > promise:
        raise mismatch(path, expected, f"trailing bytes in {what}")
    if len(data) < promise:
        raise mismatch(path, expected, f"{offset + len(data)}: the file is truncated")
    try:
        array: NDArray[Any] = np.ndarray(shape, dtype, buffer=data)
    except ValueError as error:  # too many dimensions, or sizes beside a 0 whose product overflows
        raise mismatch(path, "dimensions that a NumPy array can have", f"{shape} ({error})") from error
    if not dtype.isnative:
        array = array.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return array


def _read_header(path: Path, stream: io.BufferedIOBase) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = stream.read(4)
    if any(magic[:2]):
        beginning = magic + stream.read(1020)
        if beginning.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
            page = "a web page, so its download failed: fetch the file again"
            raise mismatch(path, "an IDX file", page)
        raise mismatch(path, "an IDX file, which starts with the bytes 00 00", magic.hex(" "))
    if len(magic) < 4:
        raise mismatch(path, "a header of at least 4 bytes", f"{len(magic)}: the file is truncated")
    code, ndim = magic[2:]
    if code not in _TYPES:
        known = ", ".join(f"0x{known:02X}" for known in _TYPES)
        raise mismatch(path, f"one of the types {known} as the third byte", f"0x{code:02X}")
    sizes = stream.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        expected = f"a header of {4 + 4 * ndim} bytes for {ndim} dimensions"
        raise mismatch(path, expected, f"{4 + len(sizes)}: the file is truncated")
    return np.dtype(">" + _TYPES[code]), struct.unpack(f">{ndim}I", sizes)


def _read_at_most(stream: io.BufferedIOBase, limit: int) -> bytearray:
    data = bytearray()
    while len(data) < limit:
        chunk = stream.read(min(_CHUNK, limit - len(data)))
        if not chunk:
            break
        data += chunk
    return data


def write_idx(path: str | os.PathLike[str], array: ArrayLike) -> None:
    """Write one array as an IDX file. The bytes depend on the array alone.

    Parameters
    ----------
    path : path
        The file to write, gzip-compressed if its name ends in `.gz`. An existing file is replaced atomically.
    array : array_like
        Of any shape, byte order and memory layout, of uint8, int8, int16, int32, float32 or float64.

    Raises
    ------
    ValueError
        When IDX has no code for the type of the array, or a size does not fit into 32 bits.
    OSError
        When the file cannot be written.
    """
    array = np.asarray(array)
    head = header(array)
    # one axis of bytes, (N,): a buffer that every writer accepts, also for arrays of size 0
    data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder(">")).reshape(-1).view(np.uint8)
    with files.atomic_path(path) as temporary, temporary.open("wb") as file:
        if not Path(path).name.lower().endswith(".gz"):
            file.write(head)
            file.write(data.data)
            return
        # without a name and a time, so that the bytes depend on the array alone
        with gzip.GzipFile("", "wb", compresslevel=_GZIP_LEVEL, fileobj=file, mtime=0) as stream:
            stream.write(head)
            stream.write(data.data)


def header(array: NDArray[Any]) -> bytes:
    """Return the header of the IDX file that holds `array`; raise ValueError if IDX cannot hold it."""
    name = f"{array.dtype.kind}{array.dtype.itemsize}"
    if name not in _CODES:
        known = ", ".join(np.dtype(known).name for known in _CODES)
        raise ValueError(f"array: expected one of the types {known}, received {array.dtype}")
    if max(array.shape, default=0) >= 1 << 32:
        raise ValueError(f"array: expected sizes below 2**32 on every axis, received shape {array.shape}")
    return struct.pack(f">2x2B{array.ndim}I", _CODES[name], array.ndim, *array.shape)
