"""The product of matrices against NumPy's in float64: every remainder of its blocks, and any view."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.cases import COMPILED_DTYPES, assert_same_bits_on_one_thread, fill_free_memory_with_nan
from tinycnn import kernels
from tinycnn.kernels.dense import blocked
from tinycnn.kernels.dense.blocked import BLOCK_K, BLOCK_M, BLOCK_N
from tinycnn.kernels.selection import NUMPY_MULTIPLICATIONS


def around(*blocks):
    return [size + d for size in blocks for d in (-1, 0, 1)]


SIZES = [  # M, K, N; all larger than what is left to NumPy
    *((m, 333, 35) for m in (1, 2, 5, 6, 7, *around(BLOCK_M, 2 * BLOCK_M))),
    *((34, 77, n) for n in (4, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, *around(BLOCK_N, 2 * BLOCK_N))),
    *((97, k, 98) for k in (1, 2, 3, *around(BLOCK_K, 2 * BLOCK_K))),
    *((BLOCK_M + d, BLOCK_K + d, BLOCK_N + d) for d in (-1, 0, 1)),
    (1, 8193, 1),
    (1, 2, 5000),
    (5000, 1, 2),
    (6, 3000, 128),
]


def pair(M, K, N, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((M, K)).astype(dtype), rng.standard_normal((K, N)).astype(dtype)


def check(a, b):
    """Each element within a few roundings of the sum of its magnitudes."""
    before = a.copy(), b.copy()
    c = kernels.matmul(a, b)
    assert c.dtype == a.dtype
    assert c.shape == (len(a), b.shape[1])
    wide, other = a.astype(np.float64), b.astype(np.float64)
    bound = 8 * np.finfo(a.dtype).eps * (np.abs(wide) @ np.abs(other))
    assert (np.abs(c - wide @ other) <= bound).all()
    assert c.flags.c_contiguous
    assert c.flags.writeable
    for array, copy in zip((a, b), before, strict=True):
        assert not np.shares_memory(array, c)
        np.testing.assert_array_equal(array, copy)
    return c


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_every_remainder_of_the_blocks(sizes, dtype):
    assert np.prod(sizes, dtype=np.int64) > NUMPY_MULTIPLICATIONS
    check(*pair(*sizes, dtype))


def test_numpy_is_left_what_is_small(monkeypatch):
    """And nothing else."""
    called = []
    multiply = blocked._multiply
    monkeypatch.setattr(blocked, "_multiply", lambda *args: called.append(1) or multiply(*args))
    check(*pair(16, 32, 16, np.float32))  # NUMPY_MULTIPLICATIONS
    assert not called
    check(*pair(17, 32, 16, np.float32))
    assert called


@pytest.mark.parametrize("sizes", [(0, 5, 3), (5, 0, 3), (5, 3, 0), (0, 0, 0), (0, 900, 900), (900, 0, 900)])
@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
def test_matrices_without_elements(sizes, dtype):
    """A sum of nothing is zero."""
    np.testing.assert_array_equal(check(*pair(*sizes, dtype)), np.zeros((sizes[0], sizes[2])))


def slices(a):
    """Every second row and every third column of something larger."""
    wide = np.full((2 * a.shape[0] + 1, 3 * a.shape[1] + 2), np.nan, a.dtype)
    wide[1::2, 2::3] = a
    return wide[1::2, 2::3]


def frozen(a):
    a = a.copy()
    a.flags.writeable = False
    return a


LAYOUTS = {
    "plain": lambda a: a,
    "transpose": lambda a: np.ascontiguousarray(a.T).T,
    "slices": slices,
    "slices of a transpose": lambda a: slices(np.ascontiguousarray(a.T)).T,
    "rows reversed": lambda a: a[::-1].copy()[::-1],
    "columns reversed": lambda a: a[:, ::-1].copy()[:, ::-1],
    "both reversed": lambda a: np.flip(np.flip(a).copy()),
    "of a wider one": lambda a: np.hstack([a, a])[:, : a.shape[1]],
    "read-only": frozen,
    "read-only transpose": lambda a: frozen(a.T).T,
}


def each_layout():
    """Each name of `LAYOUTS`; slow where the kernel would be compiled once more."""
    compiled = ("plain", "transpose")
    return [pytest.param(name, marks=[pytest.mark.slow] * (name not in compiled)) for name in LAYOUTS]


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("layout", each_layout())
@pytest.mark.parametrize("sizes", [(123, 485, 130), (7, 485, 128), (130, 6, 48), (35, 1, 1000)], ids=str)
def test_views_with_any_strides(sizes, layout, dtype):
    """One factor a view, the other one, both: the same bits as from plain arrays, where blocks are packed."""
    a, b = pair(*sizes, dtype)
    expected = check(a, b)
    view_a, view_b = LAYOUTS[layout](a), LAYOUTS[layout](b)
    np.testing.assert_array_equal(view_a, a)
    for ours in (check(view_a, b), check(a, view_b), check(view_a, view_b)):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.slow  # as above
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_and_columns_that_are_repeated(dtype):
    """Strides of zero."""
    row = np.random.default_rng(0).standard_normal(131).astype(dtype)
    check(np.broadcast_to(row, (125, 131)), np.broadcast_to(row[:, None], (131, 33)))


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    sizes=st.tuples(st.integers(20, 270), st.integers(20, 500), st.integers(21, 270)),
    names=st.tuples(*[st.sampled_from([name for name in LAYOUTS if "read-only" not in name])] * 2),
)
def test_any_size_in_any_layout(sizes, names):
    a, b = pair(*sizes, np.float32, seed=sizes[0])
    check(LAYOUTS[names[0]](a), LAYOUTS[names[1]](b))


@pytest.mark.parametrize("special", [np.nan, np.inf])
@pytest.mark.parametrize("sizes", [(245, 961, 131), (245, 961, 128)], ids=str)
def test_nan_and_infinity_stay_in_their_row_and_column(sizes, special):
    """They must not reach other blocks through what is left in a thread's buffers."""
    a, b = pair(*sizes, np.float32)
    np.abs(a, out=a)
    np.abs(b, out=b)
    plain = kernels.matmul(a, b)
    where = np.zeros(plain.shape, bool)
    for row, column in ((0, 0), (119, 480), (120, 479), (sizes[0] - 1, sizes[1] - 1)):
        a[row, column] = special
        where[row] = True
    for row, column in ((0, 127), (479, 0), (960, sizes[2] - 1)):
        b[row, column] = special
        where[:, column] = True
    c = kernels.matmul(a, b)
    assert (c[where] == special).all() or np.isnan(special)
    np.testing.assert_array_equal(~np.isfinite(c), where)
    np.testing.assert_array_equal(c[~where], plain[~where])


def test_the_result_does_not_depend_on_what_memory_held():
    a, b = pair(245, 961, 131, np.float32)
    usual = kernels.matmul(a, b)
    fill_free_memory_with_nan()
    np.testing.assert_array_equal(kernels.matmul(a, b), usual)


def test_results_survive_the_next_product():
    a, b = pair(245, 61, 131, np.float32)
    first = kernels.matmul(a, b)
    before = first.copy()
    second = kernels.matmul(-a, b)
    np.testing.assert_array_equal(first, before)
    np.testing.assert_array_equal(second, -before)


@pytest.mark.parametrize("layout", ["plain", "transpose"])
def test_the_number_of_threads_changes_no_bit(layout):
    a, b = (LAYOUTS[layout](m) for m in pair(250, 1000, 300, np.float32))
    assert_same_bits_on_one_thread(lambda: kernels.matmul(a, b))


@pytest.mark.parametrize("algorithm", ["naive", "im2col"])
def test_numpys_product_is_the_twin(algorithm, monkeypatch):
    """Where NumPy is asked for, no kernel is used."""
    a, b = pair(121, 481, 129, np.float32)
    monkeypatch.setattr(blocked, "matmul", lambda *_: pytest.fail("the kernel was called"))
    with kernels.use_algorithm(algorithm):
        np.testing.assert_array_equal(kernels.matmul(a, b), a @ b)


def test_matrices_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"b: expected shape \(4, None\), received \(5, 6\)"):
        kernels.matmul(np.zeros((3, 4), np.float32), np.zeros((5, 6), np.float32))


def test_the_twins_have_the_same_arguments():
    assert list(inspect.signature(kernels.matmul).parameters) == list(
        inspect.signature(blocked.matmul).parameters
    )


def test_factors_of_two_dtypes_are_refused():
    a, b = pair(9, 77, 128, np.float32)
    with pytest.raises(ValueError, match="one for all arrays"):
        kernels.matmul(a, b.astype(np.float64))


@pytest.mark.parametrize("size", [(2, 3, 4), (130, 97, 131), (33, 3 * BLOCK_K, 17)])
def test_the_result_is_written_where_it_is_wanted(size):
    """At each number of parts, and by NumPy."""
    a, b = pair(*size, np.float32)
    out = np.full((size[0], size[2]), np.nan, np.float32)
    assert kernels.matmul(a, b, out=out) is out
    np.testing.assert_allclose(out, a @ b, atol=1e-3)


@pytest.mark.parametrize("rows", [20, 200])
def test_a_result_of_another_shape_or_dtype_is_refused(rows):
    """Kernels would write beyond it."""
    a, b = pair(100, 100, 100, np.float32)
    with pytest.raises(ValueError, match="out: expected"):
        kernels.matmul(a, b, out=np.empty((rows, 100), np.float32))
    with pytest.raises(ValueError, match="one for all arrays"):
        kernels.matmul(a, b, out=np.empty((100, 100)))


def test_a_result_over_a_factor_is_refused():
    a, b = pair(100, 100, 100, np.float32)
    for out in (a, b, np.empty((100, 200), np.float32)[:, ::2]):
        with pytest.raises(ValueError, match="does not overlap a or b"):
            kernels.matmul(a, b, out=out)
