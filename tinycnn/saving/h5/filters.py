"""Filters: how the bytes of a chunk are packed, and how they are unpacked within bounds.

::

    writing   values -> shuffle -> deflate -> Fletcher's checksum -> chunk
    reading   chunk -> checksum compared -> gunzip, up to the declared size -> unshuffle -> values

Other filters are refused: the size of what they unpack cannot be bounded beforehand.
"""

import struct
import zlib

import numpy as np

from tinycnn.saving.h5.source import Fields

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3


def numbers(fields: Fields | None, name: str) -> list[int]:
    """Return the numbers of the filters, in the order of writing; raise ValueError for unknown ones."""
    if fields is None:
        return []
    version = fields.version(1, 2)
    count = fields.uint(1)
    fields.take(6 if version == 1 else 0)
    found = []
    for _ in range(count):
        number = fields.uint(2)
        length = fields.uint(2) if version == 1 or number >= 256 else 0
        fields.take(2)  # whether it may be left out
        values = fields.uint(2)
        fields.take(length + (-length % 8 if version == 1 else 0))
        fields.take(4 * values + (4 * (values % 2) if version == 1 else 0))
        found.append(number)
    # HDF5 writes the checksum last; before deflate, another order would need another bound of the sizes
    if found != [number for number in (SHUFFLE, DEFLATE, FLETCHER32) if number in found]:
        raise ValueError(f"{name}: expected no compression or gzip, received HDF5's filters {found}")
    return found


def unpacked(data: bytes, wanted: list[int], mask: int, size: int, itemsize: int, name: str) -> bytes:
    """Return the bytes of a chunk, undoing its filters from the last to the first.

    Parameters
    ----------
    data : bytes
    wanted : list of int
        The numbers of the filters, in the order of writing.
    mask : int
        Bit i says that filter i left the chunk as it was.
    size : int
        Of the unpacked chunk.
    itemsize : int
        Of a value.
    name : str
        Of the array, for errors.

    Raises
    ------
    ValueError
        When the chunk is damaged, or unpacks to another size.
    """
    for i, number in reversed(list(enumerate(wanted))):
        if mask >> i & 1:
            continue
        if number == FLETCHER32:
            data = _without_fletcher32(data, name)
        elif number == DEFLATE:
            data = _inflated(data, size, name)
        elif len(data) % itemsize == 0:
            data = np.frombuffer(data, np.uint8).reshape(itemsize, -1).T.tobytes()
    if len(data) != size:
        raise ValueError(f"{name}: expected chunks of {size} bytes, received {len(data)}")
    return data


def _inflated(data: bytes, limit: int, name: str) -> bytes:
    """Return the content of a zlib stream; raise ValueError when it is damaged or longer than `limit`."""
    stream = zlib.decompressobj()
    try:
        unpacked = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise ValueError(f"{name}: a compressed chunk is damaged: {error}") from None
    if len(unpacked) > limit:
        raise ValueError(f"{name}: a chunk unpacks to more than it declares")
    if not stream.eof:
        raise ValueError(f"{name}: a compressed chunk is cut off")
    return unpacked


def _without_fletcher32(data: bytes, name: str) -> bytes:
    """Return data without the checksum at its end; raise ValueError if it differs.

    Fletcher's two sums are taken modulo 65535 over big-endian words of 16 bits.
    """
    if len(data) < 4:
        raise ValueError(f"{name}: a chunk is shorter than its checksum")
    content, stored = data[:-4], data[-4:]
    words = np.frombuffer(content + bytes(len(content) % 2), ">u2").astype(np.uint64)
    weights = np.arange(len(words), 0, -1, dtype=np.uint64)
    first = int(words.sum()) % 65535
    second = int((words * weights % 65535).sum()) % 65535
    # HDF5 leaves 65535 where others write 0
    if [half % 65535 for half in struct.unpack("<2H", stored)] != [first, second]:
        raise ValueError(f"{name}: the checksum of a chunk differs, so the file is damaged")
    return content
