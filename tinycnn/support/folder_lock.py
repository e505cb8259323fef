"""A lock on a folder, which the operating system ends with the process that holds it.

::

    FolderLock("run").acquire() -> run/checkpoint.lock, locked; in it "process 4711 on HOST"
    the same again              -> ValueError: run: in use by process 4711 on HOST

The file itself means nothing: one that a killed process left, or that was copied with its folder, is not
locked. `release` removes it. A forked child gives up what it inherited, so a lock ends with its own process.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import threading
from pathlib import Path

from tinycnn.support.notices import notice

LONGEST = 200  # bytes of a file that name the process

_guard = threading.RLock()
_held: dict[tuple[int, int], FolderLock] = {}  # of this process, by the identity of the folder


class FolderLock:
    """The lock on a folder; not held at first.

    Parameters
    ----------
    folder : path
        Need not exist before `acquire`.
    name : str
        Of the file in the folder.
    """

    def __init__(self, folder: str | os.PathLike[str], name: str) -> None:
        self.folder = Path(folder)
        self.path = self.folder.absolute() / name
        self._identity: tuple[int, int] | None = None
        self._handle: int | None = None

    def acquire(self) -> None:
        """Hold the lock until `release`, or the end of the process.

        Where the system has no locks, or the folder may not be written, a notice says so and only this
        process is kept out.

        Raises
        ------
        ValueError
            When another holds it: another process, thread or model.
        OSError
            When the folder does not exist.
        """
        with _guard:
            status = os.stat(self.path.parent)
            if (status.st_dev, status.st_ino) in _held:
                raise self._in_use(_this_process())
            self._identity = status.st_dev, status.st_ino
            _held[self._identity] = self
            try:
                self._handle = _locked(self.path)
                _sign(self._handle)
            except BlockingIOError:
                self.release()
                raise self._in_use(_holder(self.path)) from None
            except OSError as error:
                reason = error.strerror or str(error)
                notice(f"{self.folder}: cannot be locked ({reason}); take care that no other run uses it")
            except BaseException:  # Ctrl-C
                self.release()
                raise

    def release(self) -> None:
        """Let others have it; do nothing if it is not held."""
        with _guard:
            if self._identity is not None:
                _held.pop(self._identity, None)
            handle, self._identity, self._handle = self._handle, None, None
            if handle is None:
                return
            try:
                if os.name == "posix" and _is_at(handle, self.path):
                    self.path.unlink()  # while it is locked: no other process can hold it
            except OSError:
                pass  # the folder may not be written any more
            finally:
                os.close(handle)
            if os.name == "nt":
                with contextlib.suppress(OSError):  # Windows refuses it while another has the file open
                    self.path.unlink()

    def abandon(self) -> None:
        """Forget the lock of the parent process, in a forked child."""
        if self._handle is not None:
            os.close(self._handle)  # unlocking it would unlock the parent's
        self._identity = self._handle = None

    def _in_use(self, holder: str) -> ValueError:
        return ValueError(f"{self.folder}: in use by {holder}; wait for its end, or use another folder")


def _locked(path: Path) -> int:
    """Return a handle of a file that is locked; raise BlockingIOError when another has locked it."""
    flags = os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
    while True:
        try:
            handle = os.open(path, flags, 0o666)
        except PermissionError:
            if not path.exists():
                raise
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))  # of another user
        try:
            _lock(handle)
            if _is_at(handle, path):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the last holder has removed it meanwhile


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        # a byte beyond the text, because others cannot read what is locked
        os.lseek(handle, 1 << 20, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(error.errno, error.strerror) from None
        os.lseek(handle, 0, os.SEEK_SET)

else:

    def _lock(handle: int) -> None:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_at(handle: int, path: Path) -> bool:
    """Return whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _this_process() -> str:
    return f"process {os.getpid()} on {platform.node() or 'this machine'}"


def _sign(handle: int) -> None:
    """Write the name of this process for the message of another."""
    with contextlib.suppress(OSError):  # a full disk: the lock is held, without a name
        os.truncate(handle, 0)
        os.write(handle, _this_process().encode())


def _holder(path: Path) -> str:
    try:
        text = path.read_bytes()[:LONGEST].decode("utf-8", "replace")
    except OSError:
        text = ""
    return " ".join(text.split()) or "another process"


def _after_fork() -> None:
    """Give up the locks of the parent process."""
    global _guard
    _guard = threading.RLock()
    for lock in _held.values():
        lock.abandon()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _guard.acquire(),
        after_in_parent=lambda: _guard.release(),
        after_in_child=_after_fork,
    )
