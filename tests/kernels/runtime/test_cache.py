"""Machine code in files: damaged, half written, of other sources, or not to be written at all."""

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numba
import pytest

import tinycnn
from tinycnn.kernels.runtime import cache as cache_module
from tinycnn.kernels.runtime.cache import SealedFile
from tinycnn.kernels.runtime.jit import jit
from tinycnn.support.notices import notice

ROOT = Path(tinycnn.__file__).parent.parent
# Two kernels, one inlined in the other; prints the result, and how many were found in the cache.
KERNELS = """
import sys
import numpy as np
from tinycnn.kernels.runtime.jit import jit

@jit
def twice(a, i):
    return a[i] * 2

@jit
def total(a):
    s = 0.0
    for i in range(a.size):
        s += twice(a, i)
    return s

if __name__ == "__main__":
    print(total(np.arange(5.0)), sum(total.stats.cache_hits.values()))
"""
COMPILED, LOADED = "20.0 0\n", "20.0 1\n"


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "kernels.py"
    path.write_text(KERNELS)
    return path


def start(script, cache, **variables):
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT), **variables}
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(script)], stdout=-1, stderr=-1, text=True, env=env
    )


def run(script, cache, **variables):
    """Return what a process printed to stdout and to stderr."""
    process = start(script, cache, **variables)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out, err


@pytest.fixture
def cache(script, tmp_path):
    """A folder in which the kernels are compiled."""
    folder = tmp_path / "cache"
    assert run(script, folder) == (COMPILED, "")
    return folder


def overwritten_in_the_middle(content):
    third = len(content) // 3
    return content[:third] + bytes(range(256)) * (third // 256) + content[third + third // 256 * 256 :]


DAMAGE = {
    "cut off": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "in the middle": overwritten_in_the_middle,
    "one byte": lambda content: content[: len(content) // 2] + b"\xff" + content[len(content) // 2 + 1 :],
}


def twice(a):
    return 2 * a


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty folder for the cache of this process, and no notice yet."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "own"))
    notice.cache_clear()
    return tmp_path / "own"


@pytest.mark.parametrize("suffix", ["nbc", "nbi"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_one_notice_and_compiled_again(tmp_path, monkeypatch, capsys, damage, suffix):
    """Numba alone ends with an error of pickle or of LLVM, at every start until somebody deletes the file."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))

    def hits():
        notice.cache_clear()
        kernel = jit(twice)
        assert kernel(3.5) == 7
        return sum(kernel.stats.cache_hits.values())

    assert (hits(), hits()) == (0, 1)
    (path,) = tmp_path.rglob(f"*.{suffix}")
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert (hits(), capsys.readouterr().err.count("is damaged")) == (0, 1)
    assert (hits(), capsys.readouterr().err) == (1, "")


@pytest.mark.slow
def test_two_processes_at_once_leave_a_cache_that_is_whole(script, tmp_path):
    folder = tmp_path / "cache"
    for process in [start(script, folder) for _ in range(2)]:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, "")
        assert out in (COMPILED, LOADED)
    assert run(script, folder) == (LOADED, "")


@pytest.mark.slow
def test_a_killed_process_leaves_a_cache_that_the_next_can_use(script, tmp_path):
    """Killed as soon as there is a first file, in the middle of compiling or writing."""
    folder = tmp_path / "cache"
    process = start(script, folder)
    deadline = time.monotonic() + 60
    while not list(folder.rglob("*.nb*")) and time.monotonic() < deadline:
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert run(script, folder)[0].startswith("20.0")
    assert run(script, folder) == (LOADED, "")


@pytest.mark.slow
def test_two_states_of_the_sources_in_one_folder_never_run_each_others_code(script, cache):
    """Each compiles its own; the file of one is no use to the other."""
    for width in ("16", "32"):
        assert run(script, cache, TINYCNN_VECTOR_BYTES=width) == (COMPILED, "")
    assert run(script, cache, TINYCNN_VECTOR_BYTES="32") == (LOADED, "")
    assert run(script, cache, TINYCNN_VECTOR_BYTES="16") == (COMPILED, "")


def sealed(folder, stamp):
    return SealedFile(str(folder), "name", stamp)


def test_a_table_that_names_a_file_of_other_sources_or_another_key(tmp_path):
    """As a process leaves it that is killed between the two, or two that write the same name."""
    old = sealed(tmp_path, "old")
    old.save("key", "code")
    assert old.load("key") == "code"
    new = sealed(tmp_path, "new")
    assert new.load("key") is None
    new._save_index({"key": "name.1.nbc"})
    assert new.load("key") is None  # not "code", which is the old one's
    new.save("key", "newer code")
    assert new.load("key") == "newer code"
    new._save_index({"key": "name.1.nbc", "other": "name.1.nbc"})
    assert new.load("other") is None
    assert new.load("key") == "newer code"


def test_code_that_changed_without_breaking_the_pickle_is_refused(tmp_path):
    """A bit that flips in machine code would otherwise be run."""
    file = sealed(tmp_path, "stamp")
    file.save("key", b"\x90" * 100)
    path = tmp_path / "name.1.nbc"
    path.write_bytes(path.read_bytes().replace(b"\x90" * 100, b"\x90" * 99 + b"\x91"))
    with pytest.raises(ValueError, match="digest"):
        file.load("key")


def test_a_folder_that_vanishes_is_made_again(own_cache, tmp_path, capsys):
    kernel = jit(twice)
    shutil.rmtree(own_cache)
    assert (kernel(3.5), capsys.readouterr().err) == (7, "")
    assert len(list(own_cache.rglob("*.nbc"))) == 1


def test_a_folder_that_is_no_longer_writable_is_one_notice(own_cache, capsys):
    """A file in its place refuses root too, unlike a mode."""
    kernel = jit(twice)
    shutil.rmtree(own_cache)
    own_cache.write_text("")
    assert (kernel(3.5), kernel(3)) == (7, 6)
    assert capsys.readouterr().err.count("cannot be kept") == 1


def test_a_full_disk_is_one_notice_and_the_kernels_run(own_cache, monkeypatch, capsys):
    """When a file is written, not when the folder is looked at."""

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    kernel = jit(twice)
    monkeypatch.setattr(cache_module.IndexDataCacheFile, "_save_data", full)
    assert (kernel(3.5), kernel(3)) == (7, 6)
    assert capsys.readouterr().err.count("No space left on device") == 1
    monkeypatch.undo()
    assert jit(twice)(3.5) == 7


@pytest.mark.slow
def test_a_read_only_package_is_one_notice(tmp_path):
    """Where neither the folder of the package nor the user's can be written to."""
    package = tmp_path / "site" / "tinycnn"
    shutil.copytree(ROOT / "tinycnn", package, ignore=shutil.ignore_patterns("__pycache__", "mnist_files"))
    # files in the place of folders, since root may do anything
    for folder in (tmp_path, *(path.parent for path in (package / "kernels").rglob("__init__.py"))):
        (folder / "__pycache__").write_text("")
    script = tmp_path / "kernels.py"
    script.write_text("import tinycnn.kernels.primitives.gemm\n" + KERNELS)
    home = tmp_path / "home"
    home.write_text("")
    variables = {"PYTHONPATH": str(package.parent), "HOME": str(home), "XDG_CACHE_HOME": str(home)}
    out, err = run(script, "", PYTHONDONTWRITEBYTECODE="1", **variables)
    assert out == COMPILED
    assert "NUMBA_CACHE_DIR" in err
    assert err.count("cannot be kept") == 1
    # and where the user's own folder can be written to, it is
    home.unlink()
    out, err = run(script, "", **variables)
    assert (out, "cannot be kept" in err) == (COMPILED, False)
    assert run(script, "", **variables) == (LOADED, "")


def test_a_failure_to_flush_is_no_error(monkeypatch, capsys):
    """Damaged, and on a disk that is read-only since."""

    def damaged(*arguments):
        raise EOFError

    def read_only(*arguments):
        raise OSError(30, "Read-only file system")

    notice.cache_clear()
    kept = cache_module.KernelCache(twice, "stamp")
    monkeypatch.setattr(cache_module.FunctionCache, "load_overload", damaged)
    monkeypatch.setattr(cache_module.FunctionCache, "flush", read_only)
    assert kept.load_overload(None, None) is None
    assert "is damaged" in capsys.readouterr().err
    notice.cache_clear()
