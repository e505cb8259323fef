"""Writing a file so that a reader sees the old one or the new one, never half of one.

::

    atomic_path("m.h5") -> ".m.h5.5f0c2b91.tmp" (written by the caller) -> fsync -> os.replace -> "m.h5"
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it replaces `path`, on an error it is removed.

    The temporary file exists already, is empty and is this writer's alone, so that threads and processes
    that write one path at once do not meet: the last one to finish wins. It is never open to more users
    than the file that it replaces, whose permission bits it ends with; a new file gets those of any other.
    Where `path` is a symbolic link, what it points to is replaced.

    Parameters
    ----------
    path : path
        The file to write. Its folder must exist.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError
        See `writable`.
    """
    target = writable(path)
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if mode is None else mode))
    try:
        yield temporary
        if mode is not None:
            temporary.chmod(mode)  # the umask may have taken some of it
        _fsync(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":
        with contextlib.suppress(OSError):  # not every file system can
            _fsync(target.parent)  # the new name itself reaches the disk


def writable(path: str | os.PathLike[str]) -> Path:
    """Return the file that `path` stands for, once it is known that it could be written.

    Raises
    ------
    FileNotFoundError
        When its folder does not exist.
    IsADirectoryError
        When `path` is a folder.
    PermissionError
        When `path` is a file that may not be written, as `open` would.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"expected the path of a file to write, received a folder: {path}")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder to write into does not exist: {target.parent}")
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(f"expected a file that may be written, received a protected one: {path}")
    return target


def _fsync(path: Path) -> None:
    # Windows flushes only handles that may write; a folder can only be opened for reading.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
