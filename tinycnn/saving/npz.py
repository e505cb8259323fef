"""Models as NumPy archives: no dependency but NumPy, no pickle.

::

    model.npz = model.json (structure, training, names in order) + weights/0, weights/1, ... + slots/momentum/0, ...

The archive is a plain zip file; `numpy.load` opens it anywhere.
"""

import json
import os
import zipfile
from typing import Any

import numpy as np

from tinycnn.files import atomic_path
from tinycnn.saving.snapshot import Snapshot

FORMAT = "tinycnn-1"


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
    arrays = {f"weights/{i}": array for i, (_, array) in enumerate(snapshot.weights)}
    for name, parts in snapshot.slots.items():
        arrays |= {f"slots/{name}/{i}": array for i, array in enumerate(parts)}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{"model.json": np.array(json.dumps(header)), **arrays})  # type: ignore[arg-type]


def read(path: str | os.PathLike[str]) -> Snapshot:
    """Read a snapshot.

    Raises
    ------
    ValueError
        When the file is not such an archive, is damaged, or holds compressed or pickled members.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # `write` stores without compression, so no member can be larger than the file
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise ValueError("expected members without compression, received compressed ones")
        with np.load(path, allow_pickle=False) as arrays:
            return _read(arrays)
    except (zipfile.BadZipFile, KeyError, TypeError, EOFError, OSError, ValueError, MemoryError) as error:
        raise ValueError(f"{path}: expected a model saved by tinycnn, received: {error}") from error


def _read(arrays: Any) -> Snapshot:
    header = json.loads(str(arrays["model.json"]))
    if header["format"] != FORMAT:
        raise ValueError(f"format: expected {FORMAT!r}, received {header['format']!r}")
    return Snapshot(
        header["config"],
        [(str(name), _floats(arrays[f"weights/{i}"])) for i, name in enumerate(header["weights"])],
        header["training"],
        {
            name: [_floats(arrays[f"slots/{name}/{i}"]) for i in range(count)]
            for name, count in header["slots"].items()
        },
        {name: int(header["progress"][name]) for name in ("epochs_trained", "steps_trained")},
    )


def _floats(array: np.ndarray) -> np.ndarray:
    if array.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"weights: expected float32 or float64, received {array.dtype}")
    return array
