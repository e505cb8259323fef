"""Sums of scaled rows that a list names."""

import numpy as np
import pytest

from tests.kernels.cases import COMPILED_DTYPES
from tinycnn.kernels.primitives.operand import operand
from tinycnn.kernels.primitives.simd import VECTOR_BYTES
from tinycnn.kernels.primitives.sparse_rows import add_rows, nonzeros
from tinycnn.kernels.runtime.jit import jit


@jit
def call_add_rows(rows, vectors, values, offsets, count, b, width, c):
    """Call `add_rows`, which has no wrapper for Python, on contiguous arrays."""
    entries = nonzeros(values, offsets, 0, count)
    add_rows(rows, vectors, entries, operand(b, 0, width, 0, 0), operand(c, 0, c.shape[1], 0, 0))


@pytest.mark.parametrize("vectors", [1, 2, 3, 5, 8, 17, 33])
@pytest.mark.parametrize("rows", range(1, 8))
@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
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
    call_add_rows(rows, vectors, g, offsets, count, b.reshape(-1), width, c)
    np.testing.assert_allclose(c, expected, atol=1e-5 if dtype is np.float32 else 1e-13)
    np.testing.assert_array_equal(c[rows], expected[rows].astype(dtype))
