"""How kernels are compiled: without a writable cache too, and with NaN and infinities kept."""

import warnings

import numba
import numpy as np
import pytest

from tinycnn.kernels import jit as jit_module
from tinycnn.kernels.jit import FLAGS, jit, sources_stamp


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


@pytest.fixture
def no_cache(monkeypatch):
    """A Numba that finds no folder for its cache, and the arguments of the compilations that succeed."""
    njit, calls = numba.njit, []

    def refuse(function, **flags):
        if flags.get("cache"):
            raise RuntimeError(f"cannot cache function {function.__name__!r}: no locator available")
        calls.append(flags)
        return njit(function, **flags)

    monkeypatch.setattr(numba, "njit", refuse)
    jit_module._warn_once.cache_clear()
    return calls


@pytest.mark.parametrize("parallel", [False, True])
def test_without_a_cache_there_is_one_warning_and_the_function_computes(no_cache, parallel):
    def double(a):
        for i in numba.prange(a.size):
            a[i] *= 2

    with pytest.warns(UserWarning, match="NUMBA_CACHE_DIR") as caught:
        compiled = jit(parallel=parallel)(double)
    assert len(caught) == 1
    assert no_cache == [{"parallel": parallel, **FLAGS}]
    a = np.arange(5.0)
    compiled(a)
    np.testing.assert_array_equal(a, [0, 2, 4, 6, 8])


def test_a_function_without_a_file_has_no_cache():
    names = {}
    exec("def seven(): return 7", names)
    jit_module._warn_once.cache_clear()
    with pytest.warns(UserWarning, match="cannot be kept for the next start") as caught:
        seven = jit(names["seven"])
    assert len(caught) == 1
    assert seven() == 7


def test_many_functions_warn_once(no_cache):
    """A module of ten kernels is one notice, not ten."""
    with pytest.warns(UserWarning, match="NUMBA_CACHE_DIR") as caught:
        functions = [jit(function) for function in (total, quotient, differs_from_itself)]
    assert len(caught) == 1
    assert functions[1](1.0, 4.0) == 0.25


def test_the_cache_is_stamped_with_all_kernels():
    """So that an edit of one file, or of the flags, is seen by the functions of the others."""
    stamp = jit(total)._cache._cache_file._source_stamp
    assert stamp == sources_stamp()
    assert len(stamp) == 64


def test_with_a_cache_there_is_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled = jit(total)
    assert compiled(np.arange(5.0)) == 10


def test_as_a_decorator_with_and_without_arguments():
    @jit
    def plain(a):
        return a + 1

    @jit(parallel=True)
    def parallel(a):
        return a + 1

    assert plain(1) == 2
    assert plain.py_func(1) == 2
    np.testing.assert_array_equal(parallel(np.arange(3.0)), [1, 2, 3])


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
