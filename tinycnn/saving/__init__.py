"""Models in files: one format per module, chosen by the suffix of the path.

::

    Snapshot -> check -> write(".h5") -> saving/hdf5.py -> file
    file -> saving/hdf5.py -> check -> reading(".h5") -> Snapshot -> conversion.restore -> model

Writing is atomic. A file may be hostile, and reading it runs nothing: it holds numbers, and names that are
looked up in tables. Nothing is evaluated, unpickled or imported by a name in the file. No link out of the
file is followed. Declared sizes are compared with stored sizes before memory is allocated. Values are not
checked: weights may be NaN or infinite.
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
    """Write a snapshot to a file.

    Parameters
    ----------
    path : path
        Its suffix is the format, one of `FORMATS`. An existing file is replaced atomically.
    snapshot : Snapshot

    Raises
    ------
    ValueError
        For a suffix that is not in `FORMATS`, and for a layer, loss or optimizer of a class that tinycnn does
        not have, since the file could not be read.
    """
    module = format_of(path)
    check(snapshot)
    module.write(path, snapshot)


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[Snapshot]:
    """Yield the snapshot in a file. Errors inside the with-block are reported as errors of the file.

    Parameters
    ----------
    path : path
        A file with a suffix of `FORMATS`.

    Raises
    ------
    OSError
        When the file cannot be opened: FileNotFoundError, PermissionError and the like.
    ValueError
        For a suffix that is not in `FORMATS`, and for any error caused by the content of the file.

    Warns
    -----
    UserWarning
        When tinycnn ignores something in the file; see `tinycnn.saving.keras_config`.
    """
    module = format_of(path)
    with open(path, "rb"):
        pass  # raises the error of the system if the file cannot be opened
    try:
        yield check(module.read(path))
    except (Warning, ImportError):  # a warning turned into an error; h5py is missing
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"{path}: expected a saved model, received: {reason[:1000]}") from error


def read(path: str | os.PathLike[str]) -> Snapshot:
    """Return the snapshot in a file. It raises and warns as `reading` does."""
    with reading(path) as snapshot:
        return snapshot


def format_of(path: str | os.PathLike[str]) -> ModuleType:
    """Return the module for the suffix of a path; raise ValueError for an unknown suffix."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"path: expected a file name ending in {', '.join(FORMATS)}, received {str(path)!r}")
    return FORMATS[suffix]
