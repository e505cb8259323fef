"""Object headers: the messages that describe a group or an array.

::

    superblock -> address of the root group          address -> object header -> messages

A header consists of chunks. The first one follows its prefix, the others are named by continuation messages.
Version 1 is what h5py writes by default. Version 2, with checksums, comes from `libver="v108"` and later.
"""

from typing import NamedTuple

from tinycnn.saving.h5.source import Fields, Source

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_MESSAGES = 2**16
CONTINUATION = 0x10


class Message(NamedTuple):
    """One message of an object header: its type, its flags and its content."""

    kind: int
    flags: int
    data: bytes


def root_address(source: Source) -> int:
    """Return the address of the root group; raise ValueError for a file that is cut off or too new."""
    what = "superblock"
    fields = Fields(source.block(0, min(96, source.size - source.base), what), what)
    fields.take(len(SIGNATURE))
    version = fields.version(0, 1, 2, 3)
    if version < 2:
        fields.take(4)
        fields.expect(b"\x08\x08")  # bytes of an address and of a length
        fields.take(9 if version == 0 else 13)
        fields.take(16)  # base address, free space
        end = fields.uint(8)
        fields.take(16)  # driver, name of the root group
        root = fields.uint(8)
    else:
        source.checked(0, 48, what)
        fields.expect(b"\x08\x08")
        fields.take(17)  # flags, base address, extension
        end, root = fields.uint(8), fields.uint(8)
    if end > source.size:  # the end counts from the start of the file
        raise ValueError(f"expected {end} bytes, received {source.size}: the file is truncated")
    return root


def messages(source: Source, address: int) -> list[Message]:
    """Return the messages of the object header at an address."""
    what = "object header"
    if source.block(address, 4, what) == b"OHDR":
        return _messages_2(source, address)
    fields = Fields(source.block(address, 16, what), what)
    fields.version(1)
    fields.take(1)
    count = fields.uint(2)
    fields.take(4)  # number of links to this object
    chunks = [(address + 16, fields.uint(4))]
    found: list[Message] = []
    for start, size in chunks:  # grows
        chunk = Fields(source.block(start, size, what), what)
        while chunk.left >= 8 and len(found) < count:
            kind, size = chunk.uint(2), chunk.uint(2)
            flags = chunk.uint(4) & 0xFF
            found.append(Message(kind, flags, chunk.take(size)))
            _follow(found[-1], chunks)
    if len(found) < count:
        raise ValueError(f"{what} at {address}: expected {count} messages, received {len(found)}")
    return found


def _messages_2(source: Source, address: int) -> list[Message]:
    what = "object header"
    # at most: signature, version, flags, 4 times, 2 limits, size
    prefix = Fields(source.block(address, min(34, source.size - source.base - address), what), what)
    prefix.expect(b"OHDR")
    prefix.version(2)
    flags = prefix.uint(1)
    prefix.take((16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0))
    size = prefix.uint(1 << (flags & 3))
    order = 2 if flags & 4 else 0  # bytes of each message's creation order
    chunks, start = [(address, prefix.at + size + 4)], prefix.at
    found: list[Message] = []
    for where, size in chunks:  # grows
        chunk = Fields(source.checked(where, size, what), what)
        if where != address:
            chunk.expect(b"OCHK")
        chunk.at = max(start, 4)
        start = 0
        while chunk.left >= 4 + order:
            kind, length, flags = chunk.uint(1), chunk.uint(2), chunk.uint(1)
            chunk.take(order)
            found.append(Message(kind, flags, chunk.take(length)))
            _follow(found[-1], chunks)
    return found


def _follow(message: Message, chunks: list[tuple[int, int]]) -> None:
    """Add the chunk that a continuation message names."""
    if message.kind == CONTINUATION:
        fields = Fields(message.data, "continuation of an object header")
        chunk = fields.uint(8), fields.uint(8)
        if chunk in chunks:
            raise ValueError(f"object header: its continuation at {chunk[0]} goes round in a circle")
        chunks.append(chunk)


def find(found: list[Message], kind: int) -> Fields | None:
    """Return the fields of the message of a type, or None; raise ValueError where it is kept elsewhere."""
    for message in found:
        if message.kind == kind:
            if message.flags & 2:
                raise ValueError(
                    f"expected a description in the object itself, received a shared one ({kind})"
                )
            return Fields(message.data, f"message {kind} of an object header")
    return None
