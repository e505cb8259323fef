"""Writing a file so that a reader sees the old one or the new one, never half of one.

::

    atomic_path("m.h5") -> ".m.h5.1234.tmp" (written by the caller) -> fsync -> os.replace -> "m.h5"
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it replaces `path`, on an error it is removed.

    The new file takes the permission bits of the one that it replaces, so that a file which others could
    not read stays so.

    Parameters
    ----------
    path : path
        The file to write. Its folder must exist.

    Raises
    ------
    FileNotFoundError
        When the folder of `path` does not exist.
    IsADirectoryError
        When `path` is a folder.
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"expected the path of a file to write, received a folder: {target}")
    if not target.absolute().parent.is_dir():
        raise FileNotFoundError(f"the folder to write into does not exist: {target.absolute().parent}")
    if target.is_symlink():
        target = target.resolve()  # replace what the link points to, not the link
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o777)
        _fsync(temporary)
        os.replace(temporary, target)
        if os.name == "posix":
            _fsync(target.absolute().parent)  # the new name itself reaches the disk
    finally:
        temporary.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    # Windows flushes only handles that may write; a folder can only be opened for reading.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
