"""Models as NumPy archives: no dependency but NumPy, no pickle.

::

    model.npz = model.json (structure, training, names in order)
              + weights/0, weights/1, ... + slots/momentum/0, slots/momentum/1, ...

The archive is a plain zip file; `numpy.load` opens it anywhere. Here it is read member by member, so that
an array's header can be compared with what is stored before anything is allocated for it.
"""

import io
import math
import os
import zipfile

import numpy as np

from tinycnn.files import atomic_path
from tinycnn.saving.snapshot import Snapshot
from tinycnn.saving.text import from_json, to_json

FORMAT = "tinycnn-1"
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def write(path: str | os.PathLike[str], snapshot: Snapshot) -> None:
    """Write a snapshot."""
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
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # NumPy's hints take them for its options


def read(path: str | os.PathLike[str]) -> Snapshot:
    """Read a snapshot.

    Raises
    ------
    ValueError, and others
        When the file is not such an archive, is damaged, or holds compressed, overlapping or pickled
        members. `tinycnn.saving.reading` makes one kind of them all.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(info.compress_type != zipfile.ZIP_STORED for info in members):
            raise ValueError("expected members without compression, received compressed ones")
        # `write` stores every member once, so together they cannot be larger than the file
        stored, size = sum(info.file_size for info in members), os.path.getsize(path)
        if stored > size:
            raise ValueError(f"expected members of at most {size} bytes together, received {stored}")
        return _read(archive)


def _read(archive: zipfile.ZipFile) -> Snapshot:
    header = from_json("model.json", _text(_array(archive, "model.json")))
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
    """Return an array of the archive; none is allocated that is not there in full."""
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


def _text(array: np.ndarray) -> str:
    if array.dtype.kind != "U" or array.ndim:
        raise ValueError(f"model.json: expected one text, received {array.dtype} of shape {array.shape}")
    return str(array)
