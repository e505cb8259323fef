"""Values of an array: in one piece, inside its header, or in chunks that may be compressed.

::

    layout message -> one piece -> values
                   -> chunks (chunks.py) -> unpacked (filters.py) -> each at its place -> values

Data outside of the file are refused: external storage and virtual arrays.

HDF5 and NumPy have no bfloat16. Keras 3 writes such numbers as opaque data of two bytes, and an attribute
`dtype` that names them. They are the upper halves of float32, and are read as these.
"""

import math
from collections.abc import Callable

import numpy as np

from tinycnn.saving.h5 import attributes, chunks, filters
from tinycnn.saving.h5.objects import Message, find
from tinycnn.saving.h5.source import UNDEFINED, Fields, Source

DATASPACE, DATATYPE, EXTERNAL, LAYOUT, FILTERS = 0x1, 0x3, 0x7, 0x8, 0xB
BFLOAT16 = "bfloat16"
HALF = np.dtype("<u2")  # one of them as it lies in the file
COMPACT, CONTIGUOUS, CHUNKED, VIRTUAL = 0, 1, 2, 3


class Array:
    """An array of numbers in a file; nothing of its values is read before `read`.

    Parameters
    ----------
    source : Source
    found : list of Message
        Of its header.
    name : str
        Its path, for errors.
    read_collection : callable
        Gives the objects of the global heap at an address.

    Raises
    ------
    ValueError
        When it is not an array of numbers within the file.
    """

    def __init__(
        self,
        source: Source,
        found: list[Message],
        name: str,
        read_collection: Callable[[int], dict[int, bytes]],
    ) -> None:
        self.source = source
        self.name = name
        space, kind, layout = (find(found, number) for number in (DATASPACE, DATATYPE, LAYOUT))
        if space is None or kind is None or layout is None:
            raise ValueError(f"{name} is not an array within this file")
        shape, largest = attributes.shapes(space)
        self._read_layout(layout)
        external = any(message.kind == EXTERNAL for message in found)
        if shape is None or external or self.layout == VIRTUAL:
            raise ValueError(f"{name} is not an array within this file")
        datatype = attributes.datatype(kind)
        dtype = datatype.dtype
        self.is_bfloat16 = False
        if datatype.is_opaque and datatype.size == HALF.itemsize:
            marks = attributes.attributes(source, found, read_collection)
            self.is_bfloat16 = "dtype" in marks and marks["dtype"].is_text(BFLOAT16)
            dtype = HALF if self.is_bfloat16 else None
        if dtype is None:
            cure = ": bfloat16, perhaps, which Keras 3 keeps in .keras and .weights.h5 files only"
            received = f"{datatype.name}{cure if datatype.is_opaque else ''}"
            raise ValueError(f"{name}: expected numbers, received {received}")
        self.shape, self.largest, self.dtype = shape, largest, dtype
        self.filters = filters.numbers(find(found, FILTERS), name)
        if self.layout == CHUNKED:
            steps = self.index.chunk_shape
            if len(steps) != len(shape) or 0 in steps:
                raise ValueError(f"{name}: expected chunks of {len(shape)} axes, received {steps}")

    def _read_layout(self, fields: Fields) -> None:
        """Read where the values are: `content`, or `address` and `size`, or `index`."""
        version = fields.version(3, 4, 5)
        self.layout = fields.uint(1)
        if self.layout == COMPACT:
            self.content = fields.take(fields.uint(2))
        elif self.layout == CONTIGUOUS:
            self.address, self.size = fields.uint(8), fields.uint(8)
        elif self.layout == CHUNKED:
            self.index = chunks.parse(fields, version, self.name)
        elif self.layout != VIRTUAL:
            raise ValueError(f"{self.name}: expected a known layout, received {self.layout}")

    @property
    def chunk_count(self) -> int:
        """Number of chunks, 1 for values in one piece."""
        return math.prod(self.index.grid(self.shape)) if self.layout == CHUNKED else 1

    @property
    def declared_size(self) -> int:
        """Number of values that reading needs memory for, with those of chunks beyond the edges."""
        if self.layout != CHUNKED:
            return math.prod(self.shape)
        return max(1, self.chunk_count) * math.prod(self.index.chunk_shape)

    def read(self) -> np.ndarray:
        """Return the values, in the type and byte order of the file, or bfloat16 as float32.

        Weigh `declared_size` before.

        Raises
        ------
        ValueError
            When a part is missing, lies outside of the file, or unpacks to another size than declared.
        """
        values = self._read()
        if not self.is_bfloat16:
            return values
        return np.asarray(np.left_shift(values.astype("<u4"), np.uint32(16))).view("<f4")

    def _read(self) -> np.ndarray:
        declared = math.prod(self.shape) * self.dtype.itemsize
        if declared == 0:
            return np.zeros(self.shape, self.dtype)
        if self.layout == CHUNKED:
            return self._read_chunks()
        if self.layout == COMPACT:
            data = self.content
        elif self.address == UNDEFINED:
            raise ValueError(f"{self.name}: its values were never written")
        else:
            data = self.source.data(self.address, min(declared, self.size), self.name)
        if len(data) < declared:
            raise ValueError(f"{self.name}: expected {declared} bytes, received {len(data)}")
        return np.frombuffer(data[:declared], self.dtype).reshape(self.shape)

    def _read_chunks(self) -> np.ndarray:
        """Return the values of all chunks, each at its place; those at the edges overlap them."""
        values = np.zeros(self.shape, self.dtype)
        steps, left = self.index.chunk_shape, set(np.ndindex(*self.index.grid(self.shape)))
        found = chunks.stored(
            self.source, self.index, self.shape, self.largest, self.dtype.itemsize, bool(self.filters)
        )
        for chunk in found:
            place = tuple(at // step for at, step in zip(chunk.offset, steps, strict=True))
            whole = not any(at % step for at, step in zip(chunk.offset, steps, strict=True))
            if not whole or place not in left:
                raise ValueError(
                    f"{self.name}: received a chunk at {chunk.offset} twice, or outside of the array"
                )
            left.remove(place)
            part = values[tuple(slice(at, at + step) for at, step in zip(chunk.offset, steps, strict=True))]
            part[...] = self._unpacked(chunk)[tuple(map(slice, part.shape))]
        if left:
            raise ValueError(f"{self.name}: {len(left)} of its chunks were never written")
        return values

    def _unpacked(self, chunk: chunks.Chunk) -> np.ndarray:
        size = math.prod(self.index.chunk_shape) * self.dtype.itemsize
        # what deflate cannot shrink may become a little longer; a checksum takes 4 bytes
        if chunk.size > size + size // 1000 + 64:
            raise ValueError(f"{self.name}: a chunk unpacks to more than it declares")
        data = self.source.data(chunk.address, chunk.size, f"chunk of {self.name}")
        itemsize = self.dtype.itemsize
        data = filters.unpacked(data, self.filters, chunk.mask, size, itemsize, self.name)
        return np.frombuffer(data, self.dtype).reshape(self.index.chunk_shape)
