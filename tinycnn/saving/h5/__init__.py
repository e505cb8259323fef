"""Reader of HDF5 files, in Python: as much of the format as models need, and nothing that can hang.

::

    path -> File -> root Group -> attributes, members -> Array -> values

HDF5's own library, in C, is made for files that can be trusted. A damaged one makes it loop for ever, where
neither an exception nor a signal handler gets in, or crashes it. Here all sizes and addresses are compared
with the file, and the number of steps is limited. What cannot be read is refused with a ValueError.

The format is that of the HDF5 File Format Specification, version 3. The reader knows the form that h5py
writes by default and those of `libver="v108"` to "latest", without virtual arrays, shared messages and
extensible arrays.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO

from tinycnn.saving.h5 import heaps, links, objects
from tinycnn.saving.h5.arrays import LAYOUT, Array
from tinycnn.saving.h5.attributes import Attribute, attributes
from tinycnn.saving.h5.source import Source

__all__ = ["Array", "Attribute", "File", "Group"]


class File:
    """An HDF5 file, open for reading. Use in a with-block.

    Parameters
    ----------
    path : path or binary file
        A file that can be read at any place, such as a BytesIO; it is closed in the end.

    Attributes
    ----------
    root : Group
    size : int
        Bytes of the file.
    """

    def __init__(self, path: str | os.PathLike[str] | BinaryIO) -> None:
        self._file: BinaryIO
        if isinstance(path, (str, os.PathLike)):
            self._file = open(path, "rb")  # noqa: SIM115 closed by __exit__
        else:
            self._file = path
        try:
            self.size = self._file.seek(0, os.SEEK_END)
            self.source = Source(self._file, self._base(), self.size)
            self._collections: dict[int, dict[int, bytes]] = {}
            self._members: dict[int, Group | Array] = {}
            self.root = Group(self, objects.messages(self.source, objects.root_address(self.source)), "/")
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> File:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def _base(self) -> int:
        """Return the position of the superblock: 0, or 512, 1024, 2048, ... behind a block of the user's."""
        at = 0
        while at < self.size:
            self._file.seek(at)
            if self._file.read(8) == objects.SIGNATURE:
                return at
            at = 2 * at or 512
        raise ValueError("expected an HDF5 file, received something else")

    def collection(self, address: int) -> dict[int, bytes]:
        """Return a collection of the global heap, which is read once."""
        if address not in self._collections:
            self._collections[address] = heaps.collection(self.source, address)
        return self._collections[address]

    def member(self, address: int, name: str) -> Group | Array:
        """Return the group or the array at an address; its name is for errors."""
        if address not in self._members:
            found = objects.messages(self.source, address)
            is_array = any(message.kind == LAYOUT for message in found)
            self._members[address] = (
                Array(self.source, found, name, self.collection) if is_array else Group(self, found, name)
            )
        return self._members[address]


class Group:
    """A group: attributes, and members by name.

    Parameters
    ----------
    file : File
    found : list of Message
        Of its header.
    name : str
        Its path, for errors.
    """

    def __init__(self, file: File, found: list[objects.Message], name: str) -> None:
        self.file = file
        self.name = name
        self.attributes: dict[str, Attribute] = attributes(file.source, found, file.collection)
        self._links = links.links(file.source, found, name)

    def __contains__(self, name: str) -> bool:
        return name in self._links

    def __iter__(self) -> Iterator[str]:
        """Return the names of its members, in no order."""
        return iter(self._links)

    def __len__(self) -> int:
        return len(self._links)

    def __getitem__(self, path: str) -> Group | Array:
        """Return the member at a path; raise ValueError unless every link on the way is hard."""
        here: Group | Array = self
        for step in path.split("/"):
            if not isinstance(here, Group) or step not in here._links:
                raise ValueError(f"{self.name} holds nothing at {path!r}")
            address, where = here._links[step], f"{here.name.rstrip('/')}/{step}"
            if address is None:
                raise ValueError(f"{where} is a link to elsewhere, which is not followed")
            here = self.file.member(address, where)
        return here
