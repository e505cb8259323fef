"""Chunks: where the pieces of an array are stored.

::

    B-tree of version 1         any array, in the form that h5py writes by default
    one chunk, in order,        arrays in the form of `libver="latest"`
    fixed array, B-tree 2

Chunks are numbered along the axes, the last one fastest. In a fixed array, the numbers are those of an array
that has grown to its largest shape.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tinycnn.saving.h5 import trees
from tinycnn.saving.h5.source import UNDEFINED, Fields, Source

OLD_TREE, SINGLE, IMPLICIT, FIXED_ARRAY, EXTENSIBLE_ARRAY, TREE = range(6)


class Chunk(NamedTuple):
    """A stored chunk. Bit i of `mask` says that filter i left it as it was."""

    offset: tuple[int, ...]
    address: int
    size: int
    mask: int


@dataclass
class Index:
    """The way to an array's chunks.

    Attributes
    ----------
    kind : int
        One of the names above.
    address : int
    chunk_shape : tuple of int
    single : (int, int) or None
        Size and mask of a single chunk that is compressed.
    """

    kind: int
    address: int
    chunk_shape: tuple[int, ...]
    single: tuple[int, int] | None = None

    def grid(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the number of chunks along each axis of an array."""
        return tuple(-(-size // step) for size, step in zip(shape, self.chunk_shape, strict=True))


def parse(fields: Fields, version: int, name: str) -> Index:
    """Return the index in the layout message of an array; raise ValueError for an unknown one."""
    if version == 3:
        ndim = fields.uint(1)
        address = fields.uint(8)
        # the last size is that of a value
        return Index(OLD_TREE, address, tuple(fields.uint(4) for _ in range(ndim))[:-1])
    flags, ndim, width = fields.uint(1), fields.uint(1), fields.uint(1)
    chunk_shape = tuple(fields.uint(width) for _ in range(ndim))[:-1]
    kind, single = fields.uint(1), None
    if kind == SINGLE and flags & 2:
        single = fields.uint(8), fields.uint(4)
    elif kind == FIXED_ARRAY:
        fields.take(1)
    elif kind == TREE:
        fields.take(6)
    elif kind not in (SINGLE, IMPLICIT):
        raise ValueError(
            f"{name}: tinycnn cannot find the chunks of an array that grows along one axis; "
            f"write it without maxshape, or the file without libver='latest'"
        )
    return Index(kind, fields.uint(8), chunk_shape, single)


def stored(
    source: Source,
    index: Index,
    shape: tuple[int, ...],
    largest: tuple[int, ...],
    itemsize: int,
    filtered: bool,
) -> Iterator[Chunk]:
    """Yield the chunks that were written, in any order.

    Parameters
    ----------
    source : Source
    index : Index
    shape, largest : tuple of int
        Of the array now, and of the array when it has grown.
    itemsize : int
    filtered : bool
        Whether chunks may be compressed.
    """
    if index.address == UNDEFINED:
        return
    size = math.prod(index.chunk_shape) * itemsize
    if index.kind == OLD_TREE:
        for key, address in trees.children(source, index.address, 1, 16 + 8 * len(shape)):
            fields = Fields(key, "chunk")
            packed, mask = fields.uint(4), fields.uint(4)
            yield Chunk(tuple(fields.uint(8) for _ in shape), address, packed, mask)
    elif index.kind == TREE:
        for record in trees.records(source, index.address, 11 if filtered else 10):
            fields = Fields(record, "chunk")
            address, packed, mask = fields.uint(8), size, 0
            if filtered:
                packed, mask = fields.uint(max(0, fields.left - 4 - 8 * len(shape))), fields.uint(4)
            yield Chunk(tuple(fields.uint(8) * step for step in index.chunk_shape), address, packed, mask)
    else:
        table = FixedArray(source, index.address, size, filtered) if index.kind == FIXED_ARRAY else None
        strides = _strides(index.grid(largest))
        for place in np.ndindex(*index.grid(shape)):
            number = sum(p * stride for p, stride in zip(place, strides, strict=True))
            if table is not None:
                address, packed, mask = table.entry(number)
            elif index.single is not None:
                address, (packed, mask) = index.address, index.single
            else:
                address, packed, mask = index.address + number * size, size, 0
            if address != UNDEFINED:
                offset = tuple(p * step for p, step in zip(place, index.chunk_shape, strict=True))
                yield Chunk(offset, address, packed, mask)


def _strides(grid: tuple[int, ...]) -> tuple[int, ...]:
    """Return by how much the number of a chunk grows along each axis."""
    return tuple(math.prod(grid[i + 1 :]) for i in range(len(grid)))


class FixedArray:
    """A table of chunks, which is cut into pages if it is long. A page may not have been written.

    Parameters
    ----------
    source : Source
    address : int
    chunk_bytes : int
        Size of a chunk that is not compressed.
    filtered : bool
    """

    def __init__(self, source: Source, address: int, chunk_bytes: int, filtered: bool) -> None:
        what = "table of chunks"
        fields = Fields(source.checked(address, 28, what), what)
        fields.expect(b"FAHD")
        fields.version(0)
        fields.version(int(filtered))
        self.width, page_bits, self.count = fields.uint(1), fields.uint(1), fields.uint(8)
        block = fields.uint(8)
        if not (13 if filtered else 8) <= self.width <= 20 or page_bits > 32:
            raise ValueError(f"{what}: received entries of {self.width} bytes")
        self.source, self.chunk_bytes, self.filtered = source, chunk_bytes, filtered
        self.page = 1 << page_bits
        self.pages: dict[int, bytes] = {}
        count = -(-self.count // self.page) if self.count > self.page else 0
        head = 14 + (count + 7) // 8  # with a bit for each page
        whole = source.checked(block, head + (0 if count else self.count * self.width) + 4, what)
        self.written = whole[14:head]
        self.start = block + head + 4
        if not count:
            self.page = max(1, self.count)
            self.pages[0] = whole[head:]

    def entry(self, number: int) -> tuple[int, int, int]:
        """Return (address, size, mask) of a chunk."""
        if number >= self.count:
            raise ValueError(f"table of chunks: expected more than {number} entries, received {self.count}")
        page, at = divmod(number, self.page)
        if page not in self.pages:
            self.pages[page] = self._page(page)
        if not self.pages[page]:
            return UNDEFINED, 0, 0
        fields = Fields(self.pages[page][at * self.width :][: self.width], "table of chunks")
        if self.filtered:
            return fields.uint(8), fields.uint(self.width - 12), fields.uint(4)
        return fields.uint(8), self.chunk_bytes, 0

    def _page(self, page: int) -> bytes:
        if not self.written[page // 8] & 0x80 >> page % 8:
            return b""
        size = min(self.page, self.count - page * self.page) * self.width
        return self.source.checked(
            self.start + page * (self.page * self.width + 4), size + 4, "table of chunks"
        )
