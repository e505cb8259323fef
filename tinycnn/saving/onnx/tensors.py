"""Tensors in a file: numbers, compared with their declared shapes before memory is taken for them.

::

    TensorProto -> array(tensor, folder) -> ndarray of float32, float64, int64 or bool

A tensor has its numbers in the model, or in a file beside it. That file must be a regular file in the model's
folder, by its plain name. Links are not followed, and a file with a second name is refused: the author of a
model could have linked any file of the reader's under a harmless name. Only four entries of `external_data`
are looked up, and none sets an attribute of an object.
"""

import math
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np

EXTERNAL = 1  # TensorProto.data_location
MOST_AXES = 8
#: For each TensorProto.DataType: the dtype of its bytes, its field of numbers, the dtype it is read as.
TYPES: dict[int, tuple[str, str, str]] = {
    1: ("<f4", "float_data", "float32"),
    6: ("<i4", "int32_data", "int64"),
    7: ("<i8", "int64_data", "int64"),
    9: ("?", "int32_data", "bool"),
    10: ("<f2", "int32_data", "float32"),
    11: ("<f8", "double_data", "float64"),
}
NAMES = {1: "float32", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64"}
FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")
ENTRIES = ("location", "offset", "length", "checksum")  # of external_data


def array(tensor: Any, folder: Path) -> np.ndarray:
    """Return the numbers of a tensor.

    Parameters
    ----------
    tensor : onnx.TensorProto
    folder : path
        The folder of the model, for numbers in a file of their own.

    Raises
    ------
    ValueError
        For a type that tinycnn does not read, numbers that do not fill the shape, and a file of numbers that
        is not the model's.
    """
    name = f"tensor {tensor.name!r:.100}"
    if tensor.data_type not in TYPES:
        expected = ", ".join(NAMES.values())
        raise ValueError(f"{name}: expected a type of {expected}, received ONNX's type {tensor.data_type}")
    shape = tuple(tensor.dims[: MOST_AXES + 1])
    if len(shape) > MOST_AXES or min(shape, default=0) < 0:
        raise ValueError(f"{name}: expected up to {MOST_AXES} axes of sizes >= 0, received {shape!s:.200}")
    if tensor.HasField("segment"):
        raise ValueError(f"{name}: expected a whole tensor, received a segment of one")
    stored, _, dtype = TYPES[tensor.data_type]
    count = math.prod(shape)
    size = count * np.dtype(stored).itemsize
    used = [other for other in FIELDS if len(getattr(tensor, other))]
    if tensor.data_location == EXTERNAL:
        if used or tensor.raw_data:
            raise ValueError(
                f"{name}: expected numbers in a file of their own, received others in the model too"
            )
        content = _external(name, tensor.external_data, folder, size)
    elif tensor.raw_data or not used:
        if used:
            raise ValueError(f"{name}: expected its numbers once, received raw_data and {used[0]}")
        content = tensor.raw_data
    else:
        return _from_numbers(name, tensor, used, count).astype(dtype).reshape(shape)
    if len(content) != size:
        raise ValueError(f"{name}: expected {size} bytes for shape {shape}, received {len(content)}")
    return np.frombuffer(content, stored).astype(dtype).reshape(shape)


def _from_numbers(name: str, tensor: Any, used: list[str], count: int) -> np.ndarray:
    """Return the numbers of a tensor that has them in a field of protobuf, as one axis."""
    stored, numbers, _ = TYPES[tensor.data_type]
    received = len(getattr(tensor, numbers))
    if used != [numbers] or received != count:
        raise ValueError(f"{name}: expected {count} numbers in {numbers}, received {received}, and {used}")
    kind = np.float64 if numbers in ("float_data", "double_data") else np.int64
    values = np.fromiter(getattr(tensor, numbers), kind, count)
    if stored == "<f2":
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError(f"{name}: expected float16 as numbers below 65536, received others")
        return values.astype(np.uint16).view(np.float16)
    return values


def _external(name: str, entries: Any, folder: Path, size: int) -> bytes:
    """Return the bytes of a tensor from a file beside the model."""
    found: dict[str, str] = {}
    for entry in entries:
        if entry.key not in ENTRIES or entry.key in found:
            raise ValueError(
                f"{name}: external_data: expected {', '.join(ENTRIES)}, received {entry.key!r:.100}"
            )
        found[entry.key] = entry.value
    location = found.get("location", "")
    if not location or location in (".", "..") or any(letter in location for letter in "/\\:\0"):
        raise ValueError(
            f"{name}: location: expected the name of a file in the model's folder, received {location!r:.200}"
        )
    offset, length = (_count(name, found, key, default) for key, default in (("offset", 0), ("length", size)))
    if length != size:
        raise ValueError(f"{name}: length: expected {size} for its shape, received {length}")
    path = folder / location
    before = os.lstat(path)
    if not stat.S_ISREG(before.st_mode) or before.st_nlink > 1:
        raise ValueError(
            f"{name}: location: expected a regular file with one name, received {location!r:.200}"
        )
    with open(
        os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)), "rb"
    ) as file:
        after = os.fstat(file.fileno())
        if (before.st_dev, before.st_ino, 1) != (after.st_dev, after.st_ino, after.st_nlink):
            raise ValueError(f"{name}: location: expected a file that stays the same, received another one")
        if offset + size > after.st_size:
            raise ValueError(
                f"{name}: expected {size} bytes from {offset} in {location!r:.200}, which has {after.st_size}"
            )
        file.seek(offset)
        return file.read(size)


def _count(name: str, entries: dict[str, str], key: str, default: int) -> int:
    """Return a number of bytes that is written in digits."""
    text = entries.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise ValueError(f"{name}: {key}: expected a number of bytes, received {text!r:.100}")
    return int(text)
