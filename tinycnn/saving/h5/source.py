"""Bounded reading of a file's bytes: addresses, fields, checksums, and a limit on all work.

::

    file -> Source.block(address, size) -> Fields -> integers, bytes, text

Every structure of a file passes through `Source.block`. It refuses an address outside of the file, and it
counts: a file whose structures go round in a circle, or are shared a million times, ends with an error.
"""

from typing import BinaryIO

UNDEFINED = 2**64 - 1  # the address of what does not exist
# Limits on the structures of one file, not on its arrays; each keeps reading below 3 s. A model of 1,000
# layers has 50,000 blocks of together 4 MB.
MOST_BLOCKS = 2**17
MOST_BYTES = 2**24
_MASK = 2**32 - 1


class Source:
    """The bytes of an HDF5 file.

    Parameters
    ----------
    file : binary file
    base : int
        Position of HDF5's address 0, behind a block of the user's.
    size : int
        Size of the file in bytes.
    """

    def __init__(self, file: BinaryIO, base: int, size: int) -> None:
        self.file = file
        self.base = base
        self.size = size
        self._blocks = 0
        self._bytes = 0

    def block(self, address: int, size: int, what: str) -> bytes:
        """Return the bytes of a structure; raise ValueError outside of the file, and beyond the limits."""
        self._count(size, what)
        return self.data(address, size, what)

    def checked(self, address: int, size: int, what: str) -> bytes:
        """Return the bytes of a structure without the checksum at its end; raise ValueError if it differs."""
        self._count(3 * size, what)  # the checksum takes that much longer
        data = self.data(address, size, what)
        if checksum(data[:-4]) != int.from_bytes(data[-4:], "little"):
            raise ValueError(f"{what} at {address}: its checksum differs, so the file is damaged")
        return data[:-4]

    def data(self, address: int, size: int, what: str) -> bytes:
        """Return bytes of the file that are not counted: the values of an array."""
        start = self.base + address
        if start + size > self.size:
            raise ValueError(f"{what} at {address}: expected {size} bytes, received the end of the file")
        self.file.seek(start)
        data = self.file.read(size)
        if len(data) != size:
            raise ValueError(f"{what} at {address}: expected {size} bytes, received {len(data)}")
        return data

    def _count(self, size: int, what: str) -> None:
        self._blocks += 1
        self._bytes += size
        if self._blocks > MOST_BLOCKS or self._bytes > MOST_BYTES:
            raise ValueError(
                f"{what}: expected at most {MOST_BLOCKS} structures of {MOST_BYTES} bytes, received more"
            )


class Fields:
    """Little-endian fields of a structure, taken one after the other.

    Parameters
    ----------
    data : bytes
    what : str
        The structure, for errors.
    """

    def __init__(self, data: bytes, what: str) -> None:
        self.data = data
        self.what = what
        self.at = 0

    @property
    def left(self) -> int:
        """Number of bytes that were not taken yet."""
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        """Return the next bytes; raise ValueError when there are fewer."""
        if size > self.left:
            raise ValueError(f"{self.what}: expected {size} more bytes, received {self.left}")
        self.at += size
        return self.data[self.at - size : self.at]

    def uint(self, size: int) -> int:
        """Return the next unsigned integer of `size` bytes."""
        return int.from_bytes(self.take(size), "little")

    def expect(self, *expected: bytes) -> bytes:
        """Return the next bytes, one of `expected` (all of one length); raise ValueError for others."""
        received = self.take(len(expected[0]))
        if received not in expected:
            raise ValueError(
                f"{self.what}: expected {' or '.join(map(repr, expected))}, received {received!r}"
            )
        return received

    def version(self, *expected: int) -> int:
        """Return the next byte, a version that must be one of `expected`."""
        return self.expect(*(bytes([number]) for number in expected))[0]


def text(data: bytes) -> str:
    """Return the UTF-8 text up to the first zero byte."""
    return data.split(b"\0", 1)[0].decode()


def checksum(data: bytes) -> int:
    """Return the checksum of HDF5's newer structures, Jenkins' `lookup3` (hashlittle, 2006)."""
    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    last = max(0, (len(data) - 1) // 12 * 12)
    words = memoryview(data[:last]).cast("I")
    for i in range(0, len(words), 3):
        a, b, c = _mixed((a + words[i]) & _MASK, (b + words[i + 1]) & _MASK, (c + words[i + 2]) & _MASK)
    if not data:
        return c
    rest = data[last:].ljust(12, b"\0")
    a, b, c = ((x + int.from_bytes(rest[i : i + 4], "little")) & _MASK for x, i in ((a, 0), (b, 4), (c, 8)))
    for shift in (14, 11, 25, 16, 4, 14, 24):
        a, b, c = b, ((c ^ b) - _rotated(b, shift)) & _MASK, a  # the three take turns
    return b


def _rotated(x: int, bits: int) -> int:
    return ((x << bits) | (x >> (32 - bits))) & _MASK


def _mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    for shift in (4, 6, 8, 16, 19, 4):
        a, b, c = b, (c + b) & _MASK, (a - c) & _MASK ^ _rotated(c, shift)  # the three take turns
    return a, b, c
