"""Models in files. One format per module, chosen by the suffix of the path.

::

    Snapshot -> write(".h5") -> saving/hdf5.py -> file          file -> read -> Snapshot

Writing is atomic. Reading evaluates nothing and unpickles nothing.
"""

import os
from pathlib import Path
from types import ModuleType

from tinycnn.saving import hdf5, npz
from tinycnn.saving.snapshot import Snapshot

__all__ = ["FORMATS", "Snapshot", "read", "write"]

#: The module of each suffix.
FORMATS: dict[str, ModuleType] = {".h5": hdf5, ".hdf5": hdf5, ".npz": npz}


def write(path: str | os.PathLike[str], snapshot: Snapshot) -> None:
    """Write a snapshot in the format of the path's suffix.

    Raises
    ------
    ValueError
        For a suffix that is not in `FORMATS`.
    """
    _format(path).write(path, snapshot)


def read(path: str | os.PathLike[str]) -> Snapshot:
    """Read the snapshot in a file.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        For a suffix that is not in `FORMATS`, and for a file that does not hold a model.
    """
    module = _format(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    snapshot: Snapshot = module.read(path)
    return snapshot


def _format(path: str | os.PathLike[str]) -> ModuleType:
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"path: expected a file name ending in {', '.join(FORMATS)}, received {str(path)!r}")
    return FORMATS[suffix]
