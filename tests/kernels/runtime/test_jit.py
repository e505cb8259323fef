"""How kernels are compiled: without a writable cache too, and with NaN and infinities kept."""

import shutil

import numba
import numpy as np
import pytest

from tinycnn.kernels.runtime import jit as jit_module
from tinycnn.kernels.runtime.jit import FLAGS, jit, sources_stamp
from tinycnn.support.notices import notice


def total(a):
    """The sum of a vector, in a loop that the flags allow to regroup."""
    result = 0.0
    for i in range(a.size):
        result += a[i]
    return result


def quotient(a, b):
    return a / b


def differs_from_itself(a):
    return a != a


def is_infinite(a):
    return a == np.inf or a == -np.inf


@pytest.fixture(autouse=True)
def fresh_notices():
    notice.cache_clear()
    yield
    notice.cache_clear()


@pytest.fixture
def no_cache(monkeypatch):
    """A Numba that finds no folder for its cache."""

    def refuse(function, stamp):
        raise RuntimeError(f"cannot cache function {function.__name__!r}: no locator available")

    monkeypatch.setattr(jit_module, "KernelCache", refuse)


def test_without_a_cache_there_is_one_notice_and_the_function_computes(no_cache, capsys):
    def double(a):
        for i in range(a.size):
            a[i] *= 2

    compiled = jit(double)
    assert "NUMBA_CACHE_DIR" in one_line(capsys)
    a = np.arange(5.0)
    compiled(a)
    np.testing.assert_array_equal(a, [0, 2, 4, 6, 8])


def one_line(capsys):
    """Return what was printed to stderr, which is one line of the library's."""
    printed = capsys.readouterr().err
    assert printed.startswith("tinycnn: ")
    assert printed.count("\n") == 1
    return printed


def test_a_function_without_a_file_has_no_cache(capsys):
    names = {}
    exec("def seven(): return 7", names)
    seven = jit(names["seven"])
    assert "cannot be kept for the next start" in one_line(capsys)
    assert seven() == 7


def test_many_functions_say_so_once(no_cache, capsys):
    """A module of ten kernels is one notice, not ten."""
    functions = [jit(function) for function in (total, quotient, differs_from_itself)]
    one_line(capsys)
    assert functions[1](1.0, 4.0) == 0.25


def test_the_flags_are_those_of_the_project():
    assert {name: jit(total).targetoptions[name] for name in FLAGS} == FLAGS


def test_compiling_is_announced_once_and_only_for_the_library(tmp_path, monkeypatch, capsys):
    """Before the pause; not for functions of the user's own, nor for what is loaded or called again."""

    def kernel(a):
        return a + 1

    kernel.__module__ = "somebody.tinycnn"
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert jit(kernel)(1) == 2
    assert capsys.readouterr().err == ""
    kernel.__module__ = "tinycnn.kernels.some"
    compiled = jit(kernel)
    assert compiled(1) == 2
    assert "compiling kernels for this machine" in one_line(capsys)
    compiled(2)
    compiled(1.0)  # compiled for another type, in the same process
    assert capsys.readouterr().err == ""
    notice.cache_clear()
    again = jit(kernel)
    assert again(1) == 2
    assert again.stats.cache_hits
    assert capsys.readouterr().err == ""


def test_without_a_working_directory_there_is_a_sentence(tmp_path, monkeypatch):
    """Numba's paths for messages need one."""

    def kernel(a):
        return a + 2

    kernel.__module__ = "tinycnn.kernels.some"
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "gone"
    folder.mkdir()
    compiled = jit(kernel)
    monkeypatch.chdir(folder)
    try:
        folder.rmdir()
    except OSError:
        pytest.skip("this system keeps a folder that a process is in")
    with pytest.raises(FileNotFoundError, match=r"^working directory: expected one that exists .*os\.chdir"):
        compiled(1)


def test_the_cache_is_stamped_with_the_sources():
    stamp = jit(total)._cache._cache_file._source_stamp
    assert stamp == sources_stamp()
    assert len(stamp) == 64


@pytest.mark.slow
def test_the_stamp_covers_the_code_of_every_kernel(tmp_path, monkeypatch):
    """An edit of one file is seen by the functions of the others, which may have inlined it."""
    shutil.copytree(
        jit_module.KERNELS, tmp_path, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
    )
    monkeypatch.setattr(jit_module, "KERNELS", tmp_path)
    stamp = sources_stamp.__wrapped__()
    assert stamp == sources_stamp()
    sources = {path: path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.py")}
    compiled = [path for path, source in sources.items() if "runtime.jit import" in source]
    assert len(compiled) > 10
    for path in compiled:
        edited = sources[path].replace('"""', '"""Another word. ', 1)  # the docstring of the module
        path.write_text("# a comment\n" + edited, encoding="utf-8")
    assert sources_stamp.__wrapped__() == stamp
    one_of_each_folder = {path.parent: path for path in compiled}.values()
    assert len(one_of_each_folder) > 5
    for number, path in enumerate(one_of_each_folder):
        path.write_text(path.read_text(encoding="utf-8") + f"\nX = {number}\n", encoding="utf-8")
        changed = sources_stamp.__wrapped__()
        assert changed != stamp
        stamp = changed


def test_with_a_cache_nothing_is_said(capsys):
    assert jit(total)(np.arange(5.0)) == 10
    assert capsys.readouterr() == ("", "")


def test_the_function_itself_is_kept():
    @jit
    def successor(a):
        return a + 1

    assert successor(1) == 2
    assert successor.py_func(1) == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_and_infinities_keep_their_meaning(dtype):
    a = np.ones(37, dtype)
    assert jit(total)(a) == 37
    a[11] = np.inf
    assert jit(total)(a) == np.inf
    a[23] = -np.inf
    assert np.isnan(jit(total)(a))
    a[:] = 1
    a[35] = np.nan
    assert np.isnan(jit(total)(a))
    assert jit(differs_from_itself)(a[35])
    assert not jit(differs_from_itself)(a[0])
    assert jit(is_infinite)(dtype(-np.inf))


def test_dividing_by_zero_gives_infinity():
    assert jit(quotient)(1.0, 0.0) == np.inf
    assert np.isnan(jit(quotient)(0.0, 0.0))
