"""Datatypes, dataspaces and attributes.

::

    datatype message  -> Datatype: numbers, text, or what no model has
    dataspace message -> shape
    attribute message -> Attribute: name, Datatype, shape, bytes -> texts
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinycnn.saving.h5 import heaps, trees
from tinycnn.saving.h5.objects import Message, find
from tinycnn.saving.h5.source import UNDEFINED, Fields, Source, text

INTEGER, FLOAT, STRING, OPAQUE, VARIABLE = 0, 1, 3, 5, 9
NAMES = {2: "times", 3: "text", 4: "bits", 5: "opaque data", 6: "records", 7: "references"}
NAMES |= {
    8: "bool or another enumeration",
    9: "values of variable length",
    10: "arrays",
    11: "complex numbers",
}
# IEEE 754's numbers by size: bit offset, precision; place and size of exponent and mantissa; bias.
FLOATS = {
    2: (0, 16, 10, 5, 0, 10, 15),
    4: (0, 32, 23, 8, 0, 23, 127),
    8: (0, 64, 52, 11, 0, 52, 1023),
}
ATTRIBUTE, ATTRIBUTE_INFO = 0x0C, 0x15
LONGEST = 1000  # characters of a text that is compared


@dataclass(frozen=True)
class Datatype:
    """The type of one value: `dtype` for numbers; `text` for text, "fixed" or "variable" in length."""

    name: str
    size: int
    dtype: np.dtype | None = None
    text: str | None = None

    @property
    def is_opaque(self) -> bool:
        """Whether a value is bytes of which the file knows no more than their number."""
        return self.name == NAMES[OPAQUE]


def datatype(fields: Fields) -> Datatype:
    """Return the datatype in a message; also one that no model has, so that errors can name it."""
    first, bits, size = fields.uint(1), fields.uint(3), fields.uint(4)
    kind = first & 0xF
    order = ">" if bits & 1 else "<"
    if kind == INTEGER and size in (1, 2, 4, 8) and (fields.uint(2), fields.uint(2)) == (0, 8 * size):
        found = np.dtype(f"{order}{'i' if bits & 8 else 'u'}{size}")
        return Datatype(found.name, size, found)
    if kind == FLOAT and size in FLOATS and not bits & 0x40:
        received = tuple(fields.uint(width) for width in (2, 2, 1, 1, 1, 1, 4))
        if received == FLOATS[size]:
            found = np.dtype(f"{order}f{size}")
            return Datatype(found.name, size, found)
    if kind == STRING and size:
        return Datatype("text", size, text="fixed")
    if kind == VARIABLE and bits & 0xF == 1 and size == 16:
        return Datatype("text", size, text="variable")
    return Datatype(NAMES.get(kind, "unusual numbers"), size)


def shapes(fields: Fields) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    """Return (shape, largest shape) of a dataspace message; a shape of None for one that holds nothing."""
    version = fields.version(1, 2)
    ndim, flags = fields.uint(1), fields.uint(1)
    if version == 1:
        fields.take(5)
    elif fields.uint(1) == 2:
        return None, ()
    if ndim > 32:
        raise ValueError(f"dataspace: expected at most 32 axes, received {ndim}")
    shape = tuple(fields.uint(8) for _ in range(ndim))
    return shape, tuple(fields.uint(8) for _ in range(ndim)) if flags & 1 else shape


@dataclass(frozen=True)
class Attribute:
    """An attribute of a group or an array. `read_collection` gives the objects of the global heap."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...] | None
    data: bytes
    read_collection: Callable[[int], dict[int, bytes]]

    def is_text(self, value: str) -> bool:
        """Return whether the attribute is this one text; raise ValueError for a very long one."""
        return self.shape == () and self.datatype.text is not None and self.texts(LONGEST) == [value]

    def texts(self, longest: int) -> list[str]:
        """Return the texts in C order; raise ValueError when together they exceed `longest` bytes."""
        size = self.datatype.size
        values = [self.data[i : i + size] for i in range(0, len(self.data), size)]
        found, total = [], 0
        for value in values:
            content = self._variable(value) if self.datatype.text == "variable" else value
            total += len(content)
            if total > longest:
                raise ValueError(f"{self.name}: expected at most {longest} characters, received more")
            found.append(text(content))
        return found

    def _variable(self, value: bytes) -> bytes:
        """Return the bytes that a reference to the global heap means: length, address, index."""
        fields = Fields(value, self.name)
        length, address, index = fields.uint(4), fields.uint(8), fields.uint(4)
        if length == 0:
            return b""
        content = self.read_collection(address).get(index)
        if content is None or len(content) < length:
            raise ValueError(
                f"{self.name}: the global heap at {address} has no object {index} of {length} bytes"
            )
        return content[:length]


def attributes(
    source: Source, found: list[Message], read_collection: Callable[[int], dict[int, bytes]]
) -> dict[str, Attribute]:
    """Return the attributes of the object with these messages, by name."""
    contents = []
    for message in found:
        if message.kind == ATTRIBUTE:
            if message.flags & 2:
                raise ValueError("expected an attribute in its object, received a shared one")
            contents.append(message.data)
    info = find(found, ATTRIBUTE_INFO)
    if info is not None:
        contents += _dense(source, info)
    parsed = [_attribute(Fields(data, "attribute"), read_collection) for data in contents]
    return {attribute.name: attribute for attribute in parsed}


def _dense(source: Source, info: Fields) -> list[bytes]:
    """Return the attributes that are kept outside of the header: very long ones, or more than eight."""
    info.version(0)
    info.take(2 if info.uint(1) & 1 else 0)
    heap_address, tree = info.uint(8), info.uint(8)
    if heap_address == UNDEFINED:
        return []
    heap, found = heaps.FractalHeap(source, heap_address), []
    for record in trees.records(source, tree, 8):
        fields = Fields(record, "record of an attribute")
        heap_id = fields.take(8)
        if fields.uint(1) & 2:
            raise ValueError("expected an attribute of one object, received a shared one")
        found.append(heap.object(heap_id))
    return found


def _attribute(fields: Fields, read_collection: Callable[[int], dict[int, bytes]]) -> Attribute:
    version = fields.version(1, 2, 3)
    flags = fields.uint(1)
    sizes = fields.uint(2), fields.uint(2), fields.uint(2)
    if version == 3:
        fields.take(1)  # encoding of the name
    if version > 1 and flags & 3:
        raise ValueError("attribute: expected its own datatype, received a shared one")
    # in version 1, each part is padded to a multiple of 8
    parts = [fields.take(size + (-size % 8 if version == 1 else 0)) for size in sizes]
    name = text(parts[0])
    kind, (extent, _) = datatype(Fields(parts[1], name)), shapes(Fields(parts[2], name))
    count = 0 if extent is None else math.prod(extent)
    return Attribute(name, kind, extent, fields.take(count * kind.size), read_collection)
