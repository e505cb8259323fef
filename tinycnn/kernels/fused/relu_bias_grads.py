"""Gradient of a ReLU and of the bias before it, in one pass.

::

    dy, y -> dz = dy where y > 0, db = sum of dz
"""

import numpy as np

from tinycnn.kernels.primitives.integers import ceil_div
from tinycnn.kernels.runtime import threads
from tinycnn.kernels.runtime.jit import jit
from tinycnn.kernels.runtime.memory import allocate, contiguous
from tinycnn.kernels.runtime.parallel import parallel_for
from tinycnn.kernels.runtime.partition import PARTIAL_SUMS

# Rows that are added in float32 before their sum goes to one of float64: a long float32 sum loses digits.
BLOCK = 128


def relu_gradient(y: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return dz = dy where y > 0, else 0, and db, the sum of dz over all axes but the last."""
    F = y.shape[-1]
    (dz,) = allocate((dy.shape, dy.dtype))
    partial = np.zeros((PARTIAL_SUMS, F))
    y, dy = contiguous(y), contiguous(dy)
    with threads.guard:
        _relu_gradient(y.reshape(-1, F), dy.reshape(-1, F), dz.reshape(-1, F), partial)
    return dz, partial.sum(axis=0).astype(dy.dtype)


@jit
def _relu_gradient(y, dy, dz, partial):
    """dz (rows, F), and float64 partial sums (P, F) of db, of y and dy (rows, F)."""
    parallel_for(_relu_gradient_run, len(partial), (y, dy, dz, partial))


@jit
def _relu_gradient_run(p, y, dy, dz, partial):
    """Do the work of `_relu_gradient` for run p of the rows."""
    rows = ceil_div(len(y), len(partial))
    first, last = min(p * rows, len(y)), min(p * rows + rows, len(y))
    total = partial[p]
    sums = np.empty(total.size, dy.dtype)
    for i in range(first, last, BLOCK):
        stop = min(i + BLOCK, last)
        _relu_gradient_block(y[i:stop], dy[i:stop], dz[i:stop], sums)
        for f in range(total.size):
            total[f] += sums[f]


@jit
def _relu_gradient_block(y, dy, dz, sums):
    """dz (rows, F), and its sums (F) over a few rows, in the dtype of dy."""
    sums[:] = 0
    for i in range(len(y)):
        for f in range(sums.size):
            dz[i, f] = dy[i, f] if y[i, f] > 0 else 0
            sums[f] += dz[i, f]
