"""The gradients through a max-pool, from lists of non-zeros, against the dense ones."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinycnn.kernels import im2col, pooled
from tinycnn.kernels.simd import VECTOR_BYTES
from tinycnn.kernels.sparse import add_rows

SCALE = 1 / 0.7  # of a dropout
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
CASES = [  # N, H, W, C, F, KH, KW, padding, pool size, pool strides
    (1, 3, 4, 1, 3, 2, 2, ((0, 0), (0, 0)), (2, 2), (2, 2)),
    (2, 9, 8, 3, 5, 2, 3, ((0, 0), (0, 0)), (2, 2), (2, 2)),
    (3, 10, 11, 17, 33, 3, 2, ((1, 0), (0, 1)), (2, 3), (1, 2)),
    (5, 12, 13, 33, 17, 3, 3, ((1, 1), (1, 1)), (2, 2), (2, 2)),
    (2, 9, 7, 4, 6, 5, 1, ((2, 2), (0, 0)), (3, 2), (2, 2)),
    (2, 6, 9, 130, 7, 1, 4, ((0, 0), (0, 0)), (2, 2), (2, 1)),
    (19, 11, 10, 7, 40, 4, 2, ((0, 1), (2, 0)), (2, 2), (3, 3)),
]


def example(case, dtype, kept=0.6, seed=0):
    """Return x, w, dy and winner, and what the dense gradients of w, b and x are in float64."""
    N, H, W, C, F, KH, KW, padding, size, strides = case
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((N, H, W, C)), rng.standard_normal((KH, KW, C, F))
    y = im2col.conv2d(x, w, None, (1, 1), padding)
    p, argmax = im2col.maxpool2d(y, size, strides)
    dy, reached = rng.standard_normal(p.shape), rng.random(p.shape) < kept
    dz = im2col.maxpool2d_grad_input(SCALE * dy * reached, argmax, y.shape, size, strides)
    dw = im2col.conv2d_grad_kernel(x, dz, w.shape, (1, 1), padding)
    dx = im2col.conv2d_grad_input(dz, w, x.shape, (1, 1), padding)
    winner = np.where(reached, argmax, size[0] * size[1]).astype(np.uint8)
    return [a.astype(dtype) for a in (x, w, dy)], winner, dw, dz.sum(axis=(0, 1, 2)), dx


def compute(case, x, w, dy, winner):
    geometry = case[7:]
    dw, db = pooled.conv2d_grad_kernel(x, dy, winner, w.shape, *geometry, SCALE)
    return dw, db, pooled.conv2d_grad_input(dy, winner, w, x.shape, *geometry, SCALE)


def assert_close(result, expected, dtype):
    assert result.dtype == dtype
    assert result.shape == expected.shape
    assert np.abs(result - expected).max(initial=0) <= TOLERANCE[dtype] * max(
        np.abs(expected).max(initial=0), 1
    )


@pytest.mark.parametrize("kept", [0, 0.1, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_the_dense_gradients(case, dtype, kept):
    """From nothing to everything that a pool can leave; every remainder of vectors and of rows."""
    (x, w, dy), winner, *expected = example(case, dtype, kept)
    for ours, theirs in zip(compute(case, x, w, dy, winner), expected, strict=True):
        assert_close(ours, theirs, dtype)


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.tuples(*[st.integers(1, 5)] * 3),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 4)),
    pool=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    extra=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
)
def test_any_shape(sizes, kernel, pool, strides, extra, pads):
    (N, C, F), padding = sizes, (pads[:2], pads[2:])
    H, W = (k + q - 1 + e for k, q, e in zip(kernel, pool, extra, strict=True))
    case = (N, H, W, C, F, *kernel, padding, pool, strides)
    (x, w, dy), winner, *expected = example(case, np.float64)
    for ours, theirs in zip(compute(case, x, w, dy, winner), expected, strict=True):
        assert_close(ours, theirs, np.float64)


def test_the_number_of_threads_changes_no_bit():
    case = CASES[-1]
    (x, w, dy), winner, *_ = example(case, np.float32)
    usual, threads = compute(case, x, w, dy, winner), numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        alone = compute(case, x, w, dy, winner)
    finally:
        numba.set_num_threads(threads)
    for a, b in zip(usual, alone, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("vectors", [1, 2, 3, 5, 8, 17, 33])
@pytest.mark.parametrize("rows", range(1, 8))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_add_rows_at_every_remainder(dtype, rows, vectors):
    """Against NumPy, and the numbers beside C stay as they were."""
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    rng = np.random.default_rng(rows * vectors)
    width, count = vectors * lanes, 5
    b = rng.standard_normal((11, rows, width)).astype(dtype)
    c = rng.standard_normal((rows + 1, width + lanes)).astype(dtype)
    g, picked = rng.standard_normal(count).astype(dtype), rng.integers(0, 11, count)
    offsets = (picked * rows * width).astype(np.int32)
    expected = c.astype(np.float64)
    expected[:rows, :width] += np.einsum("i,irv->rv", g, b[picked].astype(np.float64))
    add_rows(rows, vectors, lanes, g, 0, offsets, 0, count, b, 0, width, c, 0, c.shape[1])
    np.testing.assert_allclose(c, expected, atol=1e-5 if dtype is np.float32 else 1e-13)
    np.testing.assert_array_equal(c[rows], expected[rows].astype(dtype))


def test_a_winner_that_is_no_pixel_of_its_window_is_refused():
    """Kernels write where it points."""
    (x, w, dy), winner, *_ = example(CASES[0], np.float32)
    winner.flat[0] = 5
    with pytest.raises(ValueError, match="winner: expected 0 to 4, received 5"):
        pooled.conv2d_grad_kernel(x, dy, winner, w.shape, *CASES[0][7:])
    with pytest.raises(ValueError, match="winner: expected 0 to 4, received 5"):
        pooled.conv2d_grad_input(dy, winner, w, x.shape, *CASES[0][7:])


def test_offsets_that_32_bits_do_not_hold_are_refused():
    """Before anything is read: the image here is one number, repeated."""
    x = np.broadcast_to(np.float32(0), (1, 2**15, 2**14, 4))
    dy = np.broadcast_to(np.float32(0), (1, 1, 1, 1))
    with pytest.raises(ValueError, match="less than"):
        pooled.conv2d_grad_kernel(x, dy, np.zeros((1, 1, 1, 1), np.uint8), (2, 2, 4, 1), *CASES[0][7:])
