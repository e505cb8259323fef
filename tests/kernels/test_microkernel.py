"""The micro-kernel against NumPy, at every remainder; every width of vector on one machine."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tinycnn.kernels.buffers import aligned_empty, aligned_zeros, rounded_up
from tinycnn.kernels.microkernel import ROWS, gemm, gemv
from tinycnn.kernels.simd import REGISTER_BLOCK, VECTOR_BYTES

DTYPES = [np.float32, np.float64]


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
    columns, before = c.shape[1], c.copy()
    where = (a, 0, am, ar, ak, b, 0, K * b.shape[2], b.shape[2], c, 0, columns)
    gemm(M, vectors, lanes, *where, R, K, keep)
    np.testing.assert_array_equal(c[:, vectors * lanes :], before[:, vectors * lanes :])
    return c[:M, : vectors * lanes], expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vectors", range(1, 8))
@pytest.mark.parametrize("M", [*range(1, 14), 23])
def test_gemm_at_every_remainder(dtype, M, vectors):
    """Rows and vectors that do and do not fill the register block; C is kept, or replaced."""
    for R, K, keep, overlap in ((1, 7, 0, False), (3, 5, 1, True), (2, 1, 1, False)):
        result, expected = product(dtype, M, vectors, R, K, keep, overlap)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(result, expected, atol=scale * (1e-6 if dtype is np.float32 else 1e-14))


@pytest.mark.parametrize("keep", [0, 1])
def test_a_sum_of_nothing(keep):
    """R or K of 0: C is left, or zero."""
    for R, K in ((0, 3), (3, 0)):
        result, expected = product(np.float32, 7, 2, R, K, keep, False)
        np.testing.assert_array_equal(result, expected.astype(np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("F", [1, 3, 4, 7, 8, 9, 16, 17, 31, 33, 64, 100, 131])
def test_gemv_at_every_remainder(dtype, F):
    """A part of the rows, none of them too; what y held does not matter, and what is behind it stays."""
    rng = np.random.default_rng(F)
    x, w = rng.standard_normal(19).astype(dtype), rng.standard_normal((19, F)).astype(dtype)
    for first, K in ((0, 19), (3, 7), (18, 1), (19, 0)):
        y = np.full(F + 3, np.nan, dtype)
        gemv(x, first, K, w, VECTOR_BYTES // y.itemsize, y[:F])
        expected = x[first : first + K].astype(np.float64) @ w[first : first + K]
        np.testing.assert_allclose(y[:F], expected, atol=1e-5 if dtype is np.float32 else 1e-13)
        assert np.isnan(y[F:]).all()


def test_what_c_held_does_not_matter_when_it_is_replaced():
    """Not even NaN, which fresh memory may hold."""
    lanes = VECTOR_BYTES // 4
    a, b = np.ones(ROWS, np.float32), np.ones(lanes, np.float32)
    c = np.full((ROWS, lanes), np.nan, np.float32)
    gemm(ROWS, 1, lanes, a, 0, 1, 0, 1, b, 0, 0, lanes, c, 0, lanes, 1, 1, 0)
    np.testing.assert_array_equal(c, 1)


@pytest.mark.parametrize("shape", [5, (3, 7), (2, 1, 9)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_buffers_begin_on_a_cache_line(shape, dtype):
    """And have the shape and dtype that were asked for."""
    for make in (aligned_empty, aligned_zeros):
        array = make(shape, dtype)
        assert array.ctypes.data % 64 == 0
        assert array.shape == np.empty(shape).shape
        assert array.dtype == dtype
    assert not aligned_zeros(shape, dtype).any()
    assert [rounded_up(n, 8) for n in (0, 1, 8, 9)] == [0, 8, 8, 16]


def python(code, **environment):
    environment = {**os.environ, **environment}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


WIDTH = "from tinycnn.kernels.simd import VECTOR_BYTES, REGISTER_BLOCK; print(VECTOR_BYTES, *REGISTER_BLOCK)"
COMPARE = """
import numpy as np
from tinycnn.kernels import direct, im2col, winograd
from tinycnn.kernels.simd import VECTOR_BYTES
rng = np.random.default_rng(0)
for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-13)):
    x, w = (rng.standard_normal(s).astype(dtype) for s in ((3, 8, 11, 17), (3, 3, 17, 33)))
    y = im2col.conv2d(x, w)
    dx, dw = im2col.conv2d_grad_input(y, w, x.shape), im2col.conv2d_grad_kernel(x, y, w.shape)
    for m in (direct, winograd):
        results = m.conv2d(x, w), m.conv2d_grad_input(y, w, x.shape), m.conv2d_grad_kernel(x, y, w.shape)
        for result, expected in zip(results, (y, dx, dw)):
            assert np.abs(result - expected).max() < tolerance * np.abs(expected).max(), (m, dtype)
print(VECTOR_BYTES)
"""


def test_the_width_is_the_processors_unless_forced():
    """A forced one is obeyed, another is refused."""
    if "TINYCNN_VECTOR_BYTES" not in os.environ:
        assert python(WIDTH) == f"{VECTOR_BYTES} {REGISTER_BLOCK[0]} {REGISTER_BLOCK[1]}\n"
    for width in (16, 32, 64):
        assert python(WIDTH, TINYCNN_VECTOR_BYTES=str(width)).split()[0] == str(width)
    with pytest.raises(AssertionError, match="TINYCNN_VECTOR_BYTES: expected 16, 32 or 64, received '8'"):
        python(WIDTH, TINYCNN_VECTOR_BYTES="8")


@pytest.mark.slow
@pytest.mark.parametrize("width", [16, 32, 64])
def test_every_width_computes_the_same(width):
    """Also wider than the processor's: LLVM splits what is too wide."""
    assert python(COMPARE, TINYCNN_VECTOR_BYTES=str(width)) == f"{width}\n"


@pytest.mark.slow
@pytest.mark.skipif(VECTOR_BYTES < 32, reason="a processor without AVX2 cannot stand in for one with it")
def test_another_processor():
    """Numba told to compile for Haswell: vectors of 32 bytes."""
    assert python(COMPARE, NUMBA_CPU_NAME="haswell") == "32\n"
