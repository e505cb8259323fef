"""NumPy archives (.npz) of models, without pickle and without dependencies.

::

    model.npz = model.json (structure, training, names in order)
              + weights/0, weights/1, ... + slots/momentum/0, slots/momentum/1, ...
              + in a checkpoint: run.json, run/0, run/1, ... (their meaning is in training/checkpoint.py)
              + at the very end: tinycnn-sha256:<64 digits>, the digest of all bytes before these digits

The archive is a plain zip file, which `numpy.load` opens, and the digest is its comment. It is compared
before anything is parsed, so a file with a single wrong bit is refused. `model.json` says that there is a
digest: a file that lost it is refused too. Files without either are of older versions.

The archive is read member by member, so that the header of an array can be compared with the stored size
before memory is allocated.
"""

import hashlib
import io
import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from tinycnn.saving.header import from_header, to_header
from tinycnn.saving.snapshot import Snapshot
from tinycnn.saving.text import from_json, to_json
from tinycnn.support.files import atomic_path

DIGITS = 64
MARK = b"tinycnn-sha256:"
UNSEALED = MARK + bytes(DIGITS)  # the comment of an archive before `seal`
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


Extra = tuple[dict[str, Any], list[np.ndarray]]  # JSON-serialisable data, and arrays


def write(path: str | os.PathLike[str], snapshot: Snapshot, extra: Extra | None = None) -> None:
    """Write a snapshot, and the `extra` content of a checkpoint."""
    header = {"digest": "SHA-256", **to_header(snapshot)}
    arrays = {"model.json": np.array(to_json(header))}
    arrays |= {f"weights/{i}": array for i, (_, array) in enumerate(snapshot.weights)}
    for name, parts in snapshot.slots.items():
        arrays |= {f"slots/{name}/{i}": array for i, array in enumerate(parts)}
    if extra is not None:
        run, own = extra
        arrays["run.json"] = np.array(to_json({**run, "arrays": len(own)}))
        arrays |= {f"run/{i}": array for i, array in enumerate(own)}
    # As np.savez does, which in older versions of NumPy leaves the archive open after an error
    with atomic_path(path) as temporary, open(temporary, "r+b") as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.comment = UNSEALED
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        seal(file)


def seal(file: BinaryIO) -> None:
    """Write the digest of an archive over its last `DIGITS` bytes, which belong to its comment."""
    digest = _digest(file)
    file.seek(-DIGITS, os.SEEK_END)
    file.write(digest)


def _digest(file: BinaryIO) -> bytes:
    """Return the SHA-256 of all but the last `DIGITS` bytes, in hexadecimal digits."""
    total, left = hashlib.sha256(), file.seek(0, os.SEEK_END) - DIGITS
    file.seek(0)
    while left > 0:
        piece = file.read(min(left, 1 << 20))
        if not piece:
            raise ValueError("expected a file that keeps its size, received one that becomes shorter")
        total.update(piece)
        left -= len(piece)
    return total.hexdigest().encode()


def _is_sealed(file: BinaryIO) -> bool:
    """Return whether a file ends with a digest; raise ValueError when it is not that of the file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - len(UNSEALED)))
    end = file.read()
    if not end.startswith(MARK):
        return False
    if end[len(MARK) :] != _digest(file):
        raise ValueError("expected the SHA-256 that is at its end, received another: the file is damaged")
    return True


def read(path: str | os.PathLike[str]) -> Snapshot:
    """Read a snapshot.

    Raises
    ------
    ValueError, and others
        When the file is not such an archive, is damaged, or has compressed, overlapping or pickled members.
        `tinycnn.saving.reading` turns them all into ValueError.
    """
    with _open(path) as (archive, header):
        return from_header(
            header,
            lambda number, _: _array(archive, f"weights/{number}"),
            lambda name, number: _array(archive, f"slots/{name}/{number}"),
        )


def read_extra(path: str | os.PathLike[str]) -> Extra:
    """Read the extra content of a checkpoint; raise as `read` does, also for a file that has none."""
    with _open(path) as (archive, _):
        run = from_json("run.json", _text("run.json", _array(archive, "run.json")))
        return run, [_array(archive, f"run/{i}") for i in range(run.pop("arrays"))]


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[tuple[zipfile.ZipFile, dict[str, Any]]]:
    """Yield the archive and its header, after checking its digest, and that `write` can have written it."""
    with open(path, "rb") as file:
        sealed = _is_sealed(file)
        with zipfile.ZipFile(file) as archive:
            check_members(archive.infolist(), os.fstat(file.fileno()).st_size)
            header = from_json("model.json", _text("model.json", _array(archive, "model.json")))
            if "digest" in header and not sealed:
                raise ValueError(
                    "expected a SHA-256 at its end, received none: the file is damaged, or another program "
                    'wrote it again, which must leave "digest" out of model.json'
                )
            yield archive, header


def check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    """Raise ValueError unless the members of an archive of `size` bytes are stored as they are, each once."""
    if any(info.compress_type != zipfile.ZIP_STORED for info in members):
        raise ValueError("expected members without compression, received compressed ones")
    # a reader allocates `compress_size` bytes before it finds that there are fewer
    if any(info.compress_size != info.file_size for info in members):
        raise ValueError("expected members that are stored in as many bytes as they have")
    # each is stored once, so together they cannot be larger than the file
    stored = sum(info.file_size for info in members)
    if stored > size:
        raise ValueError(f"expected members of at most {size} bytes together, received {stored}")


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Return an array of the archive. No memory is allocated for data that is not stored."""
    if f"{name}.npy" not in archive.namelist():
        raise ValueError(f"expected an array {name!r}, received none")
    stream = io.BytesIO(archive.read(f"{name}.npy"))
    version = np.lib.format.read_magic(stream)
    if version not in HEADERS:
        raise ValueError(f"{name}: expected version 1.0 or 2.0 of NumPy's format, received {version}")
    shape, _, dtype = HEADERS[version](stream)
    declared, stored = math.prod(shape) * dtype.itemsize, len(stream.getvalue()) - stream.tell()
    if declared != stored or min(shape, default=0) < 0:
        raise ValueError(f"{name}: expected {declared} bytes for the shape {shape}, received {stored}")
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


def _text(name: str, array: np.ndarray) -> str:
    if array.dtype.kind != "U" or array.ndim:
        raise ValueError(f"{name}: expected one text, received {array.dtype} of shape {array.shape}")
    return str(array)
