"""The micro-kernel against NumPy, at every remainder."""

import numpy as np
import pytest

from tests.kernels.cases import COMPILED_DTYPES
from tinycnn.kernels.primitives.gemm import ROWS, gemm, gemv
from tinycnn.kernels.primitives.operand import operand
from tinycnn.kernels.primitives.simd import VECTOR_BYTES
from tinycnn.kernels.runtime.jit import jit


@jit
def call_gemm(rows, vectors, a, a_distances, b, b_distances, c, lengths, add):
    """Call `gemm`, which has no wrapper for Python, on three contiguous arrays."""
    left = operand(a, 0, a_distances[0], a_distances[1], a_distances[2])
    right = operand(b, 0, 0, b_distances[0], b_distances[1])
    gemm(rows, vectors, left, right, operand(c, 0, c.shape[1], 0, 0), lengths[0], lengths[1], add)


def product(dtype, M, vectors, R, K, keep, overlap):
    """Return what gemm computes, what it should, and the rows after them."""
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    rng = np.random.default_rng(M * vectors)
    am, ak, ar = (2, 1, (M + ROWS) * 2 + K) if overlap else (1, M + ROWS, K * (M + ROWS))
    a = rng.standard_normal((M + ROWS) * am + R * ar + K * ak).astype(dtype)
    b = rng.standard_normal((R, K, vectors * lanes)).astype(dtype)
    c = rng.standard_normal((M + ROWS, vectors * lanes + lanes)).astype(dtype)
    r, k = np.meshgrid(np.arange(R), np.arange(K), indexing="ij")
    rows = a[np.arange(M)[:, None, None] * am + r * ar + k * ak].astype(np.float64)
    expected = np.einsum("mrk,rkv->mv", rows, b) + keep * c[:M, : vectors * lanes]
    before, width = c.copy(), vectors * lanes
    call_gemm(M, vectors, a, (am, ar, ak), b.reshape(-1), (K * width, width), c, (R, K), keep)
    np.testing.assert_array_equal(c[:, width:], before[:, width:])
    return c[:M, :width], expected


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("vectors", range(1, 8))
@pytest.mark.parametrize("M", [*range(1, 14), 23])
def test_gemm_at_every_remainder(dtype, M, vectors):
    """Rows and vectors that do and do not fill the register block; C is kept, or replaced."""
    for R, K, keep, overlap in ((1, 7, False, False), (3, 5, True, True), (2, 1, True, False)):
        result, expected = product(dtype, M, vectors, R, K, keep, overlap)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(result, expected, atol=scale * (1e-6 if dtype is np.float32 else 1e-14))


@pytest.mark.parametrize("keep", [False, True])
def test_a_sum_of_nothing(keep):
    """R or K of 0: C is left, or zero."""
    for R, K in ((0, 3), (3, 0)):
        result, expected = product(np.float32, 7, 2, R, K, keep, False)
        np.testing.assert_array_equal(result, expected.astype(np.float32))


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("F", [1, 3, 4, 7, 8, 9, 16, 17, 31, 33, 64, 100, 131])
def test_gemv_at_every_remainder(dtype, F):
    """A part of the rows, none of them too; what y held does not matter, and what is behind it stays."""
    rng = np.random.default_rng(F)
    x, w = rng.standard_normal(19).astype(dtype), rng.standard_normal((19, F)).astype(dtype)
    for first, K in ((0, 19), (3, 7), (18, 1), (19, 0)):
        y = np.full(F + 3, np.nan, dtype)
        gemv(x[first : first + K], w[first : first + K], y[:F])
        expected = x[first : first + K].astype(np.float64) @ w[first : first + K]
        np.testing.assert_allclose(y[:F], expected, atol=1e-5 if dtype is np.float32 else 1e-13)
        assert np.isnan(y[F:]).all()


def test_what_c_held_does_not_matter_when_it_is_replaced():
    """Not even NaN, which fresh memory may hold."""
    lanes = VECTOR_BYTES // 4
    a, b = np.ones(ROWS, np.float32), np.ones(lanes, np.float32)
    c = np.full((ROWS, lanes), np.nan, np.float32)
    call_gemm(ROWS, 1, a, (1, 0, 1), b, (0, lanes), c, (1, 1), False)
    np.testing.assert_array_equal(c, 1)
