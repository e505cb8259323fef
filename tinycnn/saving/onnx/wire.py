"""Fields of a protobuf file, counted before it is parsed.

::

    bytes -> tag, length, content; tag, number; ... -> how many fields all messages have

An empty message takes two bytes in a file and some hundred in memory. The parser makes all of them, so a
small file could take all memory. The numbers of a tensor are one field, however many there are.
"""

from __future__ import annotations

from typing import Any

MOST = 300_000  # fields; a network of hundred layers has some thousands
VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5  # wire types
FIXED = {EIGHT_BYTES: 8, FOUR_BYTES: 4}


def check_count(content: bytes, descriptor: Any) -> None:
    """Raise ValueError for a file with too many fields; what is broken is for the parser to find.

    Parameters
    ----------
    content : bytes
    descriptor : google.protobuf.descriptor.Descriptor
        Of the message that the file holds.
    """
    inner: dict[str, dict[int, Any]] = {}
    count, open_messages = 0, [(0, len(content), descriptor)]
    while open_messages:
        place, end, message = open_messages.pop()
        if message.full_name not in inner:
            fields = message.fields_by_number.items()
            inner[message.full_name] = {number: field.message_type for number, field in fields}
        while place < end:
            count += 1
            if count > MOST:
                raise ValueError(f"expected at most {MOST} fields of protobuf, received more")
            tag, place = _varint(content, place, end)
            size, place = _size(content, place, end, tag & 7)
            child = inner[message.full_name].get(tag >> 3) if tag & 7 == LENGTH else None
            if child is not None and size:
                open_messages += [(place + size, end, message), (place, min(place + size, end), child)]
                break
            place += size


def _size(content: bytes, place: int, end: int, kind: int) -> tuple[int, int]:
    """Return how many bytes a field has from a place on, and that place, which is behind its length."""
    if kind == LENGTH:
        return _varint(content, place, end)
    if kind == VARINT:
        return 0, _varint(content, place, end)[1]
    return FIXED.get(kind, end - place), place  # after an unknown kind nothing can be read


def _varint(content: bytes, place: int, end: int) -> tuple[int, int]:
    """Return a number of variable length, and the place behind it."""
    value, shift = 0, 0
    while place < end:
        byte = content[place]
        value |= (byte & 127) << shift
        place += 1
        if byte < 128 or shift > 63:
            return value, place
        shift += 7
    return value, place
