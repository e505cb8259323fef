"""NumPy archives (.npz) of models, without pickle and without dependencies.

::

    model.npz = model.json (structure, training, names in order)
              + weights/0, weights/1, ... + slots/momentum/0, slots/momentum/1, ...
              + in a checkpoint: run.json, run/0, run/1, ... (their meaning is in training/checkpoint.py)

The archive is a plain zip file, which `numpy.load` opens. Here it is read member by member, so that the
header of an array can be compared with the stored size before memory is allocated.
"""

import io
import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinycnn.saving.snapshot import Snapshot
from tinycnn.saving.text import from_json, to_json
from tinycnn.support.files import atomic_path

FORMAT = "tinycnn-1"
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


Extra = tuple[dict[str, Any], list[np.ndarray]]  # JSON-serialisable data, and arrays


def write(path: str | os.PathLike[str], snapshot: Snapshot, extra: Extra | None = None) -> None:
    """Write a snapshot, and the `extra` content of a checkpoint."""
    header = {
        "format": FORMAT,
        "config": snapshot.config,
        "weights": [name for name, _ in snapshot.weights],
        "training": snapshot.training,
        "slots": {name: len(arrays) for name, arrays in snapshot.slots.items()},
        "progress": snapshot.progress,
    }
    arrays = {"model.json": np.array(to_json(header))}
    arrays |= {f"weights/{i}": array for i, (_, array) in enumerate(snapshot.weights)}
    for name, parts in snapshot.slots.items():
        arrays |= {f"slots/{name}/{i}": array for i, array in enumerate(parts)}
    if extra is not None:
        run, own = extra
        arrays["run.json"] = np.array(to_json({**run, "arrays": len(own)}))
        arrays |= {f"run/{i}": array for i, array in enumerate(own)}
    # As np.savez does, which in older versions of NumPy leaves the archive open after an error
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read(path: str | os.PathLike[str]) -> Snapshot:
    """Read a snapshot.

    Raises
    ------
    ValueError, and others
        When the file is not such an archive, is damaged, or has compressed, overlapping or pickled members.
        `tinycnn.saving.reading` turns them all into ValueError.
    """
    with _open(path) as archive:
        return _read(archive)


def read_extra(path: str | os.PathLike[str]) -> Extra:
    """Read the extra content of a checkpoint; raise as `read` does, also for a file that has none."""
    with _open(path) as archive:
        run = from_json("run.json", _text("run.json", _array(archive, "run.json")))
        return run, [_array(archive, f"run/{i}") for i in range(run.pop("arrays"))]


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[zipfile.ZipFile]:
    """Yield the archive, after checking that `write` can have written its members."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(info.compress_type != zipfile.ZIP_STORED for info in members):
            raise ValueError("expected members without compression, received compressed ones")
        # a reader allocates `compress_size` bytes before it finds that there are fewer
        if any(info.compress_size != info.file_size for info in members):
            raise ValueError("expected members that are stored in as many bytes as they have")
        # `write` stores each member once, so together they cannot be larger than the file
        stored, size = sum(info.file_size for info in members), os.path.getsize(path)
        if stored > size:
            raise ValueError(f"expected members of at most {size} bytes together, received {stored}")
        yield archive


def _read(archive: zipfile.ZipFile) -> Snapshot:
    header = from_json("model.json", _text("model.json", _array(archive, "model.json")))
    if header["format"] != FORMAT:
        raise ValueError(f"format: expected {FORMAT!r}, received {header['format']!r}")
    return Snapshot(
        header["config"],
        [(str(name), _array(archive, f"weights/{i}")) for i, name in enumerate(header["weights"])],
        header["training"],
        {
            name: [_array(archive, f"slots/{name}/{i}") for i in range(count)]
            for name, count in header["slots"].items()
        },
        header["progress"],
    )


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
