"""Heaps: the places of names and of texts of variable length.

::

    local heap     names of a group's members, by offset
    global heap    texts of variable length, by (collection, index)
    fractal heap   names of large groups, large attributes, by heap ID
"""

from tinycnn.saving.h5 import trees
from tinycnn.saving.h5.source import Fields, Source, checksum, text

LARGEST_COLLECTION = 2**23  # bytes; a text of LARGEST characters and one more fit


def local(source: Source, address: int) -> bytes:
    """Return the data of a local heap."""
    fields = Fields(source.block(address, 32, "local heap"), "local heap")
    fields.expect(b"HEAP")
    fields.version(0)
    fields.take(3)
    size = fields.uint(8)
    fields.take(8)  # list of free space
    return source.block(fields.uint(8), size, "local heap")


def name(heap: bytes, offset: int) -> str:
    """Return the name at an offset of a local heap."""
    if offset >= len(heap):
        raise ValueError(f"local heap: expected an offset below {len(heap)}, received {offset}")
    return text(heap[offset : offset + 2**16])


def collection(source: Source, address: int) -> dict[int, bytes]:
    """Return the objects of a collection of the global heap, by index.

    The sizes are damaged easily, and HDF5's library loops for ever over an object of no size.
    """
    what = "global heap"
    fields = Fields(source.block(address, 16, what), what)
    fields.expect(b"GCOL")
    fields.version(1)
    fields.take(3)
    size = fields.uint(8)
    if not 16 <= size <= LARGEST_COLLECTION:
        raise ValueError(f"{what}: expected at most {LARGEST_COLLECTION} bytes, received {size}")
    fields = Fields(source.block(address + 16, size - 16, what), what)
    objects: dict[int, bytes] = {}
    while fields.left >= 16:
        index = fields.uint(2)
        fields.take(6)  # number of references
        length = fields.uint(8)
        if index == 0:  # the free space behind the objects
            break
        if index in objects:
            raise ValueError(f"{what}: received object {index} twice")
        objects[index] = fields.take(length)
        fields.take(min(-length % 8, fields.left))
    return objects


class FractalHeap:
    """A heap of blocks of growing size, whose objects are found by heap ID.

    Parameters
    ----------
    source : Source
    address : int
    """

    def __init__(self, source: Source, address: int) -> None:
        what = "fractal heap"
        fields = Fields(source.checked(address, 146, what), what)
        fields.expect(b"FRHP")
        fields.version(0)
        fields.take(2)  # bytes of a heap ID
        if fields.uint(2):
            raise ValueError(f"{what}: expected one without compression")
        self.source = source
        self.has_checksums = bool(fields.uint(1) & 2)
        largest_managed = fields.uint(4)
        fields.take(8)
        self.huge = fields.uint(8)  # address of the tree of huge objects
        fields.take(80)  # free space, statistics
        self.width, self.first, self.largest = fields.uint(2), fields.uint(8), fields.uint(8)
        bits = fields.uint(2)
        fields.take(2)
        self.root, self.rows = fields.uint(8), fields.uint(2)
        self.offset_size = (bits + 7) // 8
        self.length_size = min((self.largest.bit_length() + 6) // 8, (largest_managed.bit_length() + 7) // 8)
        self.blocks: dict[int, bytes] = {}
        powers = all(x and x & (x - 1) == 0 for x in (self.width, self.first, self.largest))
        if not powers or self.largest < self.first or bits > 64:
            raise ValueError(
                f"{what}: received blocks of {self.first} to {self.largest}, {self.width} in a row"
            )

    def object(self, heap_id: bytes) -> bytes:
        """Return the object of a heap ID; raise ValueError where there is none."""
        fields = Fields(heap_id, "heap ID")
        kind = fields.uint(1)
        if kind & 0x30 == 0:
            return self._managed(fields.uint(self.offset_size), fields.uint(self.length_size))
        if kind & 0x30 == 0x20:
            return fields.take((kind & 0xF) + 1)  # tiny: the ID itself holds it
        number = fields.uint(min(8, fields.left))
        for record in trees.records(self.source, self.huge, 1):
            entry = Fields(record, "huge object")
            address, length = entry.uint(8), entry.uint(8)
            if entry.uint(8) == number:
                return self.source.block(address, length, "huge object")
        raise ValueError(f"fractal heap: expected a huge object {number}, received none")

    def _managed(self, offset: int, length: int) -> bytes:
        """Return bytes of the heap's blocks, which follow each other as if they were one."""
        address, start, size = self._block(offset)
        if address not in self.blocks:
            self.blocks[address] = self._direct(address, size, start)
        within = self.blocks[address][offset - start :][:length]
        if len(within) != length:
            raise ValueError(
                f"fractal heap: an object of {length} bytes at {offset} ends outside of its block"
            )
        return within

    def _direct(self, address: int, size: int, start: int) -> bytes:
        """Return a direct block, after checking its head and its checksum."""
        what = "direct block of a fractal heap"
        data = self.source.block(address, size, what)
        head = self._head(data, b"FHDB", start, what)
        if self.has_checksums:  # computed with zeros in its own place
            expected = int.from_bytes(head.take(4), "little")
            zeroed = data[: head.at - 4] + bytes(4) + data[head.at :]
            if checksum(zeroed) != expected:
                raise ValueError(f"{what} at {address}: its checksum differs, so the file is damaged")
        return data

    def _block(self, offset: int) -> tuple[int, int, int]:
        """Return (address, offset in the heap, size) of the direct block that holds an offset."""
        address, rows, start, size = self.root, self.rows, 0, self.first
        while rows:
            row, column, at = self._place(offset - start)
            if row >= rows:
                raise ValueError(f"fractal heap: received an offset of {offset}, behind the last block")
            what = "indirect block of a fractal heap"
            data = self.source.checked(address, 17 + self.offset_size + 8 * rows * self.width, what)
            table = self._head(data, b"FHIB", start, what)
            table.take(8 * (row * self.width + column))
            address, start, size = table.uint(8), start + at, self._row_size(row)
            inner = size > self.largest
            # an indirect block of this size has as many rows as fill it
            rows = size.bit_length() - (self.first * self.width).bit_length() + 1 if inner else 0
        return address, start, size

    def _row_size(self, row: int) -> int:
        return self.first << max(0, row - 1)

    def _place(self, offset: int) -> tuple[int, int, int]:
        """Return (row, column, offset of its block) of an offset in an indirect block."""
        start, row = 0, 0
        while offset >= start + self.width * self._row_size(row):
            start += self.width * self._row_size(row)
            row += 1
        column = (offset - start) // self._row_size(row)
        return row, column, start + column * self._row_size(row)

    def _head(self, data: bytes, signature: bytes, start: int, what: str) -> Fields:
        """Return the fields of a block behind its head; raise ValueError unless it begins at `start`."""
        fields = Fields(data, what)
        fields.expect(signature)
        fields.version(0)
        fields.take(8)  # address of the heap
        if fields.uint(self.offset_size) != start:
            raise ValueError(f"{what}: expected the one at {start} of the heap")
        return fields
