"""B-trees: sorted lists of records, spread over nodes.

::

    version 1   (key, child) pairs: the members of a group, the chunks of an array
    version 2   records of a fixed size: names in a large group, large attributes

Only their records matter here, in any order. A node that comes twice is an error, so no circle is walked.
"""

from collections.abc import Iterator

from tinycnn.saving.h5.source import UNDEFINED, Fields, Source

DEEPEST = 16  # levels; a tree of 2**32 records has fewer


def children(source: Source, address: int, kind: int, key_size: int) -> Iterator[tuple[bytes, int]]:
    """Yield (key, address of the child) for each entry in the leaves of a tree of version 1.

    Parameters
    ----------
    source : Source
    address : int
    kind : int
        0 for a group, 1 for the chunks of an array.
    key_size : int
        Bytes of a key.
    """
    seen: set[int] = set()
    nodes = [(address, DEEPEST + 1)]  # with the level of the parent
    while nodes:
        address, above = nodes.pop()
        _once(address, seen)
        fields = Fields(source.block(address, 24, "node of a B-tree"), "node of a B-tree")
        fields.expect(b"TREE")
        fields.version(kind)
        level, count = fields.uint(1), fields.uint(2)
        if level >= above or (len(seen) > 1 and level != above - 1):
            raise ValueError(
                f"node of a B-tree at {address}: expected a level below {above}, received {level}"
            )
        entries = Fields(source.block(address + 24, count * (key_size + 8), fields.what), fields.what)
        pairs = [(entries.take(key_size), entries.uint(8)) for _ in range(count)]
        if level == 0:
            yield from pairs
        else:
            nodes += [(child, level) for _, child in reversed(pairs)]


def records(source: Source, address: int, kind: int) -> Iterator[bytes]:
    """Yield the records of a tree of version 2; `kind` is the type of its records."""
    what = "B-tree"
    fields = Fields(source.checked(address, 38, what), what)
    fields.expect(b"BTHD")
    fields.version(0)
    fields.version(kind)
    node_size, record_size, depth = fields.uint(4), fields.uint(2), fields.uint(2)
    fields.take(2)  # when nodes are split and merged
    root, count = fields.uint(8), fields.uint(2)
    if depth > DEEPEST or record_size == 0:
        raise ValueError(f"{what} at {address}: received a depth of {depth}, records of {record_size} bytes")
    if root == UNDEFINED or count == 0:
        return
    widths = _pointer_widths(node_size, record_size, depth)
    seen: set[int] = set()
    nodes = [(root, count, depth)]
    while nodes:
        address, count, level = nodes.pop()
        _once(address, seen)
        few, total = widths[level]
        pointer = 8 + few + total
        used = 6 + count * record_size + ((count + 1) * pointer if level else 0)
        if used + 4 > node_size:
            raise ValueError(
                f"node of a B-tree at {address}: {count} records do not fit into {node_size} bytes"
            )
        # the checksum follows the last field, not the end of the node
        node = Fields(source.checked(address, used + 4, what), f"node of a {what}")
        node.expect(b"BTIN" if level else b"BTLF")
        node.version(0)
        node.version(kind)
        yield from (node.take(record_size) for _ in range(count))
        for _ in range(count + 1 if level else 0):
            child = node.uint(8), node.uint(few), level - 1
            node.take(total)
            nodes.append(child)


def _pointer_widths(node_size: int, record_size: int, depth: int) -> list[tuple[int, int]]:
    """Return, for each level, the bytes of the two counts beside a child's address.

    They are as narrow as the largest possible counts of records allow: in the child, and below it.
    """
    most = (node_size - 10) // record_size  # records of a leaf
    total, first = most, _width(most)
    widths = [(0, 0)]
    for level in range(1, depth + 1):
        below = _width(total) if level > 1 else 0
        widths.append((first, below))
        most = (node_size - 10 - (8 + first + below)) // (record_size + 8 + first + below)
        total = (most + 1) * total + most
    return widths


def _width(number: int) -> int:
    return max(1, (number.bit_length() + 7) // 8)


def _once(address: int, seen: set[int]) -> None:
    if address in seen:
        raise ValueError(f"node of a B-tree at {address}: the tree goes round in a circle")
    seen.add(address)
