"""Links: the members of a group, by name.

::

    old form   symbol table -> B-tree -> nodes of entries, names in a local heap
    new form   link messages in the header; for more than eight, in a fractal heap

Only hard links lead to an object of the file. Soft and external links are kept as None and never followed.
"""

from tinycnn.saving.h5 import heaps, trees
from tinycnn.saving.h5.objects import Message, find
from tinycnn.saving.h5.source import UNDEFINED, Fields, Source

LINK_INFO, LINK, SYMBOL_TABLE = 0x2, 0x6, 0x11
HARD, SOFT_ENTRY = 0, 2

Links = dict[str, int | None]  # the address of an object, or None for a link to elsewhere


def links(source: Source, found: list[Message], name: str) -> Links:
    """Return the links of the group with these messages.

    Raises
    ------
    ValueError
        When the object is not a group, or is damaged.
    """
    table, info = find(found, SYMBOL_TABLE), find(found, LINK_INFO)
    if table is not None:
        return _symbols(source, table.uint(8), table.uint(8))
    if info is None:
        raise ValueError(f"{name}: expected a group or an array, received another object")
    contents = [message.data for message in found if message.kind == LINK]
    info.version(0)
    info.take(8 if info.uint(1) & 1 else 0)
    heap_address, tree = info.uint(8), info.uint(8)
    if heap_address != UNDEFINED:
        heap = heaps.FractalHeap(source, heap_address)
        # a record is a hash and a heap ID
        contents += [heap.object(record[4:]) for record in trees.records(source, tree, 5)]
    return dict(_link(Fields(data, f"link of {name}")) for data in contents)


def _symbols(source: Source, tree: int, heap_address: int) -> Links:
    heap, found = heaps.local(source, heap_address), {}
    what = "node of symbols"
    for _, address in trees.children(source, tree, 0, 8):
        fields = Fields(source.block(address, 8, what), what)
        fields.expect(b"SNOD")
        fields.version(1)
        fields.take(1)
        count = fields.uint(2)
        entries = Fields(source.block(address + 8, 40 * count, what), what)
        for _ in range(count):
            name, target, cached = entries.uint(8), entries.uint(8), entries.uint(4)
            entries.take(20)
            found[heaps.name(heap, name)] = None if cached == SOFT_ENTRY else target
    return found


def _link(fields: Fields) -> tuple[str, int | None]:
    fields.version(1)
    flags = fields.uint(1)
    kind = fields.uint(1) if flags & 8 else HARD
    fields.take(8 if flags & 4 else 0)  # order of creation
    fields.take(1 if flags & 16 else 0)  # encoding
    name = fields.take(fields.uint(1 << (flags & 3))).decode()
    return name, fields.uint(8) if kind == HARD else None
