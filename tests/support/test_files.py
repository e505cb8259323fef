"""atomic_path: the old file or the new one, with the right permissions, whoever else is writing."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest

from tinycnn.support import files
from tinycnn.support.files import atomic_path

posix = pytest.mark.skipif(os.name != "posix", reason="permission bits and links of POSIX")


@pytest.fixture
def umask():
    """A umask that the tests can rely on."""
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


def write(path, text):
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_appears_when_the_block_ends(tmp_path):
    """Not before, and nothing else stays."""
    path = tmp_path / "m.txt"
    with atomic_path(path) as temporary:
        assert temporary.parent == tmp_path
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == ["m.txt"]


def test_an_old_file_is_replaced_whole(tmp_path):
    """Readers that have it open keep the old one, on systems that replace an open file."""
    path = tmp_path / "m.txt"
    path.write_text("old, and longer")
    with path.open() if os.name == "posix" else nullcontext() as reader:
        write(path, "new")
        assert path.read_text(encoding="utf-8") == "new"
        if reader:
            assert reader.read() == "old, and longer"


@pytest.mark.parametrize("refusals", [1, 2, 3])
def test_a_file_that_another_process_has_open_is_replaced_when_it_is_closed(tmp_path, monkeypatch, refusals):
    """As on Windows, which refuses it until then; after the last attempt its error stands."""
    path, attempts, system = tmp_path / "m.txt", [], os.replace
    path.write_text("old")

    def busy(source, target):
        attempts.append(target)
        if len(attempts) <= refusals:
            raise PermissionError("in use")
        system(source, target)

    monkeypatch.setattr(files, "PAUSES", (0.001, 0.002))
    monkeypatch.setattr(os, "replace", busy)
    if refusals < 3:
        write(path, "new")
    else:
        with pytest.raises(PermissionError, match="in use"):
            write(path, "new")
    assert len(attempts) == min(refusals + 1, 3)
    assert path.read_text(encoding="utf-8") == ("new" if refusals < 3 else "old")
    assert names(tmp_path) == ["m.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_keeps_the_old_file_and_leaves_no_other(tmp_path, error):
    """Also Ctrl-C."""
    path = tmp_path / "m.txt"
    path.write_text("old")

    def interrupted():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["m.txt"]


def test_a_replacement_that_fails_leaves_nothing(tmp_path, monkeypatch):
    """The last step may fail too."""
    path = tmp_path / "m.txt"
    path.write_text("old")

    def refuse(*_):
        raise OSError("no")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no"):
        write(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["m.txt"]


def test_what_is_written_reaches_the_disk_before_it_replaces(tmp_path, monkeypatch):
    """Fsync of the file, then replace, then fsync of the folder."""
    events = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle):
        events.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def noted_replace(*paths):
        events.append("replace")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write(tmp_path / "m.txt", "new")
    assert events == ["file", "replace", *(["folder"] if os.name == "posix" else [])]


@posix
def test_a_new_file_follows_the_umask(tmp_path, umask):
    """As if `open` had made it."""
    write(tmp_path / "m.txt", "new")
    assert mode(tmp_path / "m.txt") == 0o666 & ~umask


@posix
@pytest.mark.parametrize("bits", [0o600, 0o664, 0o777])
@pytest.mark.usefixtures("umask")
def test_permissions_are_kept_and_never_wider_on_the_way(tmp_path, bits):
    """A file that others cannot read stays so, at every moment."""
    path = tmp_path / "m.txt"
    path.write_text("old")
    path.chmod(bits)
    with atomic_path(path) as temporary:
        assert mode(temporary) & ~bits == 0
        temporary.write_text("new")
    assert mode(path) == bits
    assert path.read_text(encoding="utf-8") == "new"


@posix
def test_a_protected_file_is_refused(tmp_path, monkeypatch):
    """As `open` refuses it, though the folder would allow the replacement."""
    if os.geteuid() == 0:  # root may write everything: let the system answer as it would anyone else
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    path = tmp_path / "m.txt"
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match=r"m\.txt"):
        write(path, "new")
    assert path.read_text(encoding="utf-8") == "old"


@posix
@pytest.mark.parametrize("exists", [True, False])
def test_the_target_of_a_link_is_replaced_not_the_link(tmp_path, exists):
    """Also one that points to a file that is yet to be."""
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "m.txt", tmp_path / "link.txt"
    if exists:
        target.write_text("old")
    link.symlink_to(target)
    write(link, "new")
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "new"
    assert names(target.parent) == ["m.txt"]


@posix  # Windows counts the folders, too
@pytest.mark.parametrize("name", ["b" * 251 + ".npz", "ж" * 120 + ".h5", "€" * 84 + "abc"])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path, name):
    """255 bytes; the temporary name, which is longer, is cut between characters."""
    write(tmp_path / name, "new")
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("name", ["nowhere/m.txt", "file.txt/m.txt"])
def test_a_missing_folder_is_named(tmp_path, name):
    """Before anything is written."""
    (tmp_path / "file.txt").write_text("a file, no folder")
    with pytest.raises(FileNotFoundError, match=r"nowhere|file\.txt"):
        write(tmp_path / name, "new")
    assert names(tmp_path) == ["file.txt"]


def test_a_folder_is_refused(tmp_path):
    """It would be replaced otherwise, or fail late."""
    with pytest.raises(IsADirectoryError, match="received a folder"):
        write(tmp_path, "new")


def test_a_path_without_a_folder_is_in_the_current_one(tmp_path, monkeypatch):
    """Text is a path too."""
    monkeypatch.chdir(tmp_path)
    write("m.txt", "new")
    assert names(tmp_path) == ["m.txt"]


def test_a_killed_process_leaves_the_old_file(tmp_path):
    """Nothing in the process gets to clean up; what it leaves is hidden, and harmless to the next one."""
    path = tmp_path / "m.txt"
    path.write_text("old")
    code = (
        "import os, sys; from tinycnn.support.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half'); os._exit(7)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 7
    assert path.read_text(encoding="utf-8") == "old"
    assert all(name == "m.txt" or (name[0], name[-4:]) == (".", ".tmp") for name in names(tmp_path))
    write(path, "new")
    assert path.read_text(encoding="utf-8") == "new"


def test_threads_that_write_one_path_do_not_meet(tmp_path):
    """All are inside at once; the file ends as one of theirs, whole."""
    path = tmp_path / "m.txt"
    texts = [letter * (1000 + 37 * i) for i, letter in enumerate("abcdefgh")]
    with ThreadPoolExecutor(len(texts)) as pool:
        for _ in range(5):
            list(pool.map(write, [path] * len(texts), texts))
            assert path.read_text(encoding="utf-8") in texts
    assert names(tmp_path) == ["m.txt"]


def test_writers_within_one_another_have_files_of_their_own(tmp_path):
    """The one case of concurrency that is certain to happen in a test; the last to finish wins."""
    path = tmp_path / "m.txt"
    with atomic_path(path) as outer, atomic_path(path) as inner:
        assert outer != inner
        outer.write_text("outer")
        inner.write_text("inner")
    assert path.read_text(encoding="utf-8") == "outer"
    assert names(tmp_path) == ["m.txt"]


@pytest.mark.slow
@posix  # the reader that looks all the time is in the way on Windows
def test_processes_that_write_one_path_do_not_meet(tmp_path):
    """Each writes many times; the file is one of theirs at every moment."""
    path = tmp_path / "m.txt"
    code = (
        "import sys; from tinycnn.support.files import atomic_path\n"
        "for _ in range(20):\n"
        "    with atomic_path(sys.argv[1]) as temporary:\n"
        "        temporary.write_text(sys.argv[2] * 5000)\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, path, letter]) for letter in "ab"]
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            assert path.read_text(encoding="utf-8") in ("a" * 5000, "b" * 5000)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert names(tmp_path) == ["m.txt"]
