"""Models in files. One format per module, chosen by the suffix of the path.

::

    Snapshot -> check -> write(".h5") -> saving/hdf5.py -> file
    file -> saving/hdf5.py -> check -> reading(".h5") -> Snapshot -> the caller makes a model of it

Writing is atomic. A file may come from anyone, and reading one cannot run anything: what it holds are
numbers, and names that are looked up in tables. Nothing is evaluated, imported or unpickled by name, no
link out of the file is followed, and what is to be allocated is first compared with what is stored.
Values are not judged: weights may be NaN or infinite.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from tinycnn.saving import hdf5, npz
from tinycnn.saving.snapshot import Snapshot, check

__all__ = ["FORMATS", "Snapshot", "format_of", "read", "reading", "write"]

#: The module of each suffix.
FORMATS: dict[str, ModuleType] = {".h5": hdf5, ".hdf5": hdf5, ".npz": npz}


def write(path: str | os.PathLike[str], snapshot: Snapshot) -> None:
    """Write a snapshot in the format of the path's suffix.

    Raises
    ------
    ValueError
        For a suffix that is not in `FORMATS`, and for a layer, loss or optimizer that is not tinycnn's own,
        since the file could not be read.
    """
    module = format_of(path)
    check(snapshot)
    module.write(path, snapshot)


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[Snapshot]:
    """Yield the snapshot in a file; what goes wrong within is the file's fault, and the error says so.

    Raises
    ------
    OSError
        When the file cannot be opened: FileNotFoundError, PermissionError and the like.
    ValueError
        For a suffix that is not in `FORMATS`, and for a file that does not hold a model, whatever error
        that led to: the file may hold anything.

    Warns
    -----
    UserWarning
        When there is more in the file than tinycnn can take over; see `tinycnn.saving.keras_config`.
    """
    module = format_of(path)
    with open(path, "rb"):
        pass  # the system's own error, when it cannot be opened
    try:
        yield check(module.read(path))
    except (Warning, ImportError):  # a warning that was made an error; no h5py
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"{path}: expected a saved model, received: {reason[:1000]}") from error


def read(path: str | os.PathLike[str]) -> Snapshot:
    """Return the snapshot in a file; raises and warns as `reading` does."""
    with reading(path) as snapshot:
        return snapshot


def format_of(path: str | os.PathLike[str]) -> ModuleType:
    """Return the module for the suffix of a path; see `write`."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"path: expected a file name ending in {', '.join(FORMATS)}, received {str(path)!r}")
    return FORMATS[suffix]
