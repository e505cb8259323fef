"""Models and weights in safetensors' format (`.safetensors`); extra `safetensors`.

::

    N (8 bytes), JSON (N bytes) {name: {dtype, shape, data_offsets}, "__metadata__": {"tinycnn": JSON}}, data

A model of tinycnn has its structure in `__metadata__`, its weights as "layer/weight", and its moments as
"optimizer/momentum/0". A file of another program has no such entry: `read_weights` finds its arrays by names.

The library `safetensors` reads and writes the arrays. A file may be hostile, so the rules of the format are
checked here first: sizes that agree, keys that differ, offsets without gaps or overlaps. Shapes with a 0 are
refused too, since no weight has one.
"""

from __future__ import annotations

import math
import os
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tinycnn.saving import plain_arrays
from tinycnn.saving.header import from_header, to_header
from tinycnn.saving.snapshot import Snapshot
from tinycnn.saving.stored import Stored
from tinycnn.saving.text import LARGEST, from_json, to_json
from tinycnn.support import checks
from tinycnn.support.files import atomic_path

#: Bytes of each value, and NumPy's name, of the dtypes that are known; the library may know more.
DTYPES = {
    "F64": (8, "float64"),
    "F32": (4, "float32"),
    "F16": (2, "float16"),
    "BF16": (2, "bfloat16"),
    "I64": (8, "int64"),
    "I32": (4, "int32"),
    "I16": (2, "int16"),
    "I8": (1, "int8"),
    "U64": (8, "uint64"),
    "U32": (4, "uint32"),
    "U16": (2, "uint16"),
    "U8": (1, "uint8"),
    "BOOL": (1, "bool"),
}
METADATA, OWN = "__metadata__", "tinycnn"
LONGEST_HEADER = 2 * LARGEST  # bytes: a description of a model has its quotes escaped here
MOST_AXES = 8


def library() -> Any:
    """Return the library that reads and writes the arrays; raise ImportError where it is missing."""
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ImportError('this format needs safetensors: pip install "tinycnn[safetensors]"') from error
    return safetensors


def write(path: str | os.PathLike[str], snapshot: Snapshot) -> None:
    """Write a snapshot."""
    arrays = dict(snapshot.weights)
    for name, parts in snapshot.slots.items():
        arrays |= {_slot(name, i): array for i, array in enumerate(parts)}
    # the library takes the memory as it lies, whatever the strides
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    # one entry: several would be written in any order
    content = library().numpy.save(arrays, {OWN: to_json(to_header(snapshot))})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _slot(name: str, number: int) -> str:
    return f"optimizer/{name}/{number}"


def read(path: str | os.PathLike[str]) -> Snapshot:
    """Read a snapshot.

    Raises
    ------
    ImportError
        When the library is missing.
    ValueError, and others
        When the file has no model of tinycnn, or is hostile.
    """
    file = _File(path)
    if OWN not in file.metadata:
        raise ValueError(
            "expected a model of tinycnn, received weights without layers: make the model, then call its "
            "load_weights"
        )
    header = from_json(OWN, file.metadata[OWN])
    return from_header(header, lambda _, name: file.array(name), lambda *slot: file.array(_slot(*slot)))


def read_weights(path: str | os.PathLike[str], config: dict[str, Any]) -> list[tuple[str, np.ndarray]] | None:
    """Return the weights in a file as ("layer/weight", array), in the order of the model's.

    Parameters
    ----------
    path : path
    config : dict
        A `Snapshot.config`: that of the model that the weights are for.

    Returns
    -------
    list of (str, ndarray), or None
        None for a file that holds a whole model.

    Raises
    ------
    ValueError, and others
        As `read` does, and when the arrays do not fit the model.
    """
    file = _File(path)
    if OWN in file.metadata:
        return None
    arrays = {
        name: Stored(tuple(entry["shape"]), DTYPES[entry["dtype"]][1], partial(file.array, name))
        for name, entry in file.entries.items()
    }
    return plain_arrays.weights(config, arrays, in_order=False)  # the format sorts them by size and name


class _File:
    """A file whose header was checked: `entries` by name, `metadata`, and `array(name)`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        with open(path, "rb") as file:
            header, size = _header(file)
        metadata = header.pop(METADATA, {})
        if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
            raise ValueError(f"{METADATA}: expected texts by name, received {metadata!r:.100}")
        self.metadata: dict[str, str] = metadata
        self.entries = {name: _checked(name, entry) for name, entry in header.items()}
        _check_layout(self.entries, size)

    def array(self, name: str) -> np.ndarray:
        """Return an array; one of BF16 as float32."""
        if name not in self._arrays:
            raise ValueError(f"expected an array {name!r:.100}, received none")
        found = self._arrays[name]
        if found["dtype"] == "BF16":
            wide = np.frombuffer(found["data"], "<u2").astype(np.uint32) << 16  # the upper half of a float32
            return wide.view(np.float32).reshape(found["shape"])
        dtype = np.dtype(DTYPES[found["dtype"]][1]).newbyteorder("<")
        return np.frombuffer(found["data"], dtype).astype(dtype.newbyteorder("=")).reshape(found["shape"])

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        """What the library reads, when the first array is needed."""
        return dict(library().deserialize(self.path.read_bytes()))


def _header(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """Return the JSON at the beginning of a file, and the number of bytes after it."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
        raise ValueError(f"expected a header within the file, of {size} bytes, received one of {length}")
    if length > LONGEST_HEADER:
        raise ValueError(f"expected a header of at most {LONGEST_HEADER} bytes, received {length}")
    text = file.read(length).decode("utf-8")
    if not text.startswith("{"):
        raise ValueError(f"expected a header that begins with '{{', received {text[:20]!r}")
    return from_json("header", text, LONGEST_HEADER, unique=True), size - 8 - length


def _checked(name: str, entry: Any) -> dict[str, Any]:
    """Return the entry of an array; raise ValueError unless its shape, dtype and size agree."""
    label = f"array {name!r:.100}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{label}: expected dtype, shape and data_offsets, received {entry!r:.100}")
    checks.choice(f"{label}: dtype", entry["dtype"], DTYPES)
    shape, offsets = (_whole_numbers(f"{label}: {key}", entry[key]) for key in ("shape", "data_offsets"))
    if len(shape) > MOST_AXES or len(offsets) != 2 or 0 in shape:
        raise ValueError(f"{label}: expected sizes above 0 and two offsets, received {shape} and {offsets}")
    declared = math.prod(shape) * DTYPES[entry["dtype"]][0]
    if offsets[1] - offsets[0] != declared:
        raise ValueError(f"{label}: expected {declared} bytes for the shape {shape}, received {offsets}")
    return entry


def _whole_numbers(label: str, value: Any) -> list[int]:
    """Return a list of whole numbers below 2**63."""
    if not isinstance(value, list) or not all(type(item) is int and 0 <= item < 2**63 for item in value):
        raise ValueError(f"{label}: expected whole numbers, received {value!r:.100}")
    return value


def _check_layout(entries: dict[str, dict[str, Any]], size: int) -> None:
    """Raise ValueError unless the arrays follow each other and fill the `size` bytes after the header."""
    end = 0
    for start, stop in sorted(entry["data_offsets"] for entry in entries.values()):
        if start != end:
            raise ValueError(f"expected arrays without gaps or overlaps, received one at {start} after {end}")
        end = stop
    if end != size:
        raise ValueError(f"expected {end} bytes of data, received {size}")
