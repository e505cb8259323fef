"""FolderLock: one holder at a time, and none after its process has ended."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from tinycnn.support import folder_lock
from tinycnn.support.folder_lock import FolderLock

pytestmark = pytest.mark.smoke

LOCK = "checkpoint.lock"
# Holds the lock, forks a child that outlives it, and waits to be killed.
HOLDER = """
import multiprocessing, os, sys, time
from tinycnn.support.folder_lock import FolderLock
lock = FolderLock(sys.argv[1], "checkpoint.lock")
lock.acquire()
if sys.argv[2] == "fork":
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
print(os.getpid() if sys.argv[2] == "alone" else child.pid, flush=True)
time.sleep(60)
"""


def test_the_second_is_refused_by_name(tmp_path):
    """In the same process too; what the first leaves is nothing."""
    first, second = FolderLock(tmp_path, LOCK), FolderLock(tmp_path / ".." / tmp_path.name, LOCK)
    first.acquire()
    assert f"process {os.getpid()} on " in (tmp_path / LOCK).read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=f"in use by process {os.getpid()} on .*use another folder"):
        second.acquire()
    second.release()  # which it does not hold
    with pytest.raises(ValueError, match="in use"):
        second.acquire()
    first.release()
    assert list(tmp_path.iterdir()) == []
    second.acquire()
    second.release()


def test_a_thread_is_refused(tmp_path):
    """It is another run of the same process."""
    lock, errors = FolderLock(tmp_path, LOCK), []
    lock.acquire()

    def other():
        try:
            FolderLock(tmp_path, LOCK).acquire()
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    lock.release()
    assert len(errors) == 1


@pytest.mark.skipif(os.name != "posix", reason="fork and SIGKILL")
@pytest.mark.parametrize("forks", [pytest.param("alone", marks=pytest.mark.slow), "fork"])
def test_a_killed_process_leaves_no_lock(tmp_path, forks):
    """Nor does its forked child keep it."""
    arguments = [sys.executable, "-W", "ignore", "-c", HOLDER, str(tmp_path), forks]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        try:
            with pytest.raises(ValueError, match=f"in use by process {process.pid} on "):
                FolderLock(tmp_path, LOCK).acquire()
            process.kill()
            process.wait()
            assert (tmp_path / LOCK).exists()
            lock = FolderLock(tmp_path, LOCK)
            lock.acquire()
            assert f"process {os.getpid()} on " in (tmp_path / LOCK).read_text(encoding="utf-8")
            lock.release()
        finally:
            process.kill()
            if forks == "fork":
                os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(os.name != "posix", reason="a folder that is in use can be moved")
def test_a_folder_that_moves(tmp_path):
    """The lock goes with it; a copy is free, and a new folder of the old name is another's."""
    (tmp_path / "run").mkdir()
    lock = FolderLock(tmp_path / "run", LOCK)
    lock.acquire()
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / LOCK).write_bytes((tmp_path / "run" / LOCK).read_bytes())
    copy = FolderLock(tmp_path / "copy", LOCK)
    copy.acquire()
    copy.release()
    (tmp_path / "run").rename(tmp_path / "moved")
    with pytest.raises(ValueError, match="moved: in use by process"):
        FolderLock(tmp_path / "moved", LOCK).acquire()
    (tmp_path / "run").mkdir()
    other = FolderLock(tmp_path / "run", LOCK)
    other.acquire()
    lock.release()
    assert (tmp_path / "run" / LOCK).exists()
    with pytest.raises(ValueError, match="run: in use"):
        FolderLock(tmp_path / "run", LOCK).acquire()
    other.release()


@pytest.mark.parametrize("number", [37, 13, 30, 95])  # ENOLCK, EACCES, EROFS, EOPNOTSUPP
def test_a_system_without_locks(tmp_path, monkeypatch, capsys, number):
    """A notice, and this process is still kept out."""

    def refuse(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(folder_lock, "_lock", refuse)
    lock = FolderLock(tmp_path, LOCK)
    lock.acquire()
    assert f"cannot be locked ({os.strerror(number)}); take care" in capsys.readouterr().err
    with pytest.raises(ValueError, match="in use by process"):
        FolderLock(tmp_path, LOCK).acquire()
    lock.release()
    FolderLock(tmp_path, LOCK).acquire()
    folder_lock._after_fork()


def test_a_full_disk_and_a_link(tmp_path, monkeypatch):
    """The lock holds without a name in it; no file that a link points to is written."""
    if hasattr(os, "O_NOFOLLOW"):
        (tmp_path / "linked").mkdir()
        (tmp_path / "precious").write_text("kept")
        (tmp_path / "linked" / LOCK).symlink_to(tmp_path / "precious")
        lock = FolderLock(tmp_path / "linked", LOCK)
        lock.acquire()
        lock.release()
        assert (tmp_path / "precious").read_text(encoding="utf-8") == "kept"

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(folder_lock.os, "write", full)
        lock = FolderLock(tmp_path, LOCK)
        lock.acquire()
    folder_lock._held.clear()  # as another process sees it
    with pytest.raises(ValueError, match="in use by another process"):
        FolderLock(tmp_path, LOCK).acquire()
    lock.release()
