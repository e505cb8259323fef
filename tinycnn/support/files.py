"""Atomic writing of files, where a reader sees the old file or the new one; and the package's own files.

::

    atomic_path("m.h5") -> ".m.h5.5f0c2b91.tmp" (written by the caller) -> fsync -> os.replace -> "m.h5"
    package_folder      -> the folder in the package, or copies of its files where the package is in a zip
"""

import contextlib
import errno
import os
import pkgutil
import secrets
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
LONGEST_NAME = 255  # bytes, on most file systems
#: Seconds between attempts to replace a file that another process has open; Windows refuses it until then.
PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if os.name == "nt" else ()
#: Errors of a file system that cannot flush; others, such as EIO, are of data that were lost.
NO_FSYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it replaces `path`, on an error it is removed.

    The temporary file exists, is empty and belongs to this writer alone. So threads and processes may write
    one path at once: the last one to finish wins. The file is never readable by more users than the one it
    replaces, and ends with the same permission bits; a new file gets the usual ones. If `path` is a symbolic
    link, its target is replaced.

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
    name = target.name
    while len(os.fsencode(name)) > LONGEST_NAME - len(".12345678.tmp") - 1:
        name = name[:-1]
    temporary = target.with_name(f".{name}.{secrets.token_hex(4)}.tmp")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if mode is None else mode))
    try:
        yield temporary
        if mode is not None:
            temporary.chmod(mode)  # the umask may have taken some of it
        _fsync(temporary)
        replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":
        with contextlib.suppress(OSError):  # not every file system can flush a folder
            _fsync(target.parent)  # the new name itself reaches the disk


@contextmanager
def package_folder(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """Yield a folder of the package; if it is in a zip, yield a temporary folder with copies of `names`.

    Raises
    ------
    FileNotFoundError
        When the package is not a folder and does not have one of the files.
    """
    if folder.is_dir():
        yield folder
        return
    with tempfile.TemporaryDirectory() as copies:
        for name in names:
            inside = (folder / name).relative_to(PACKAGE).as_posix()
            try:
                content = pkgutil.get_data(PACKAGE.name, inside)
            except OSError:
                content = None
            if content is None:
                raise FileNotFoundError(f"the package lacks {inside}: install it again")
            Path(copies, name).write_bytes(content)
        yield Path(copies)


def writable(path: str | os.PathLike[str]) -> Path:
    """Return the file that `path` resolves to, after checking that it can be written.

    Raises
    ------
    FileNotFoundError
        When the folder of `path` does not exist.
    IsADirectoryError
        When `path` is a folder.
    PermissionError
        When `path` is a write-protected file.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"expected the path of a file to write, received a folder: {path}")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder to write into does not exist: {target.parent}")
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(f"expected a file that may be written, received a write-protected one: {path}")
    return target


def replace(source: Path, target: Path) -> None:
    """Rename a file to a name that may exist already, as one indivisible operation.

    On Windows this fails while a reader, a virus scanner or another writer has the target open, usually for
    milliseconds. So it is tried again for a second.

    Raises
    ------
    OSError
        When the system refuses it, and on Windows still refuses it after a second.
    """
    for pause in PAUSES:
        try:
            os.replace(source, target)
            return
        except PermissionError:
            time.sleep(pause)
    os.replace(source, target)


def _fsync(path: Path) -> None:
    # On Windows only writable handles can be flushed; a folder can only be opened for reading.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in NO_FSYNC:
            raise
    finally:
        os.close(handle)
