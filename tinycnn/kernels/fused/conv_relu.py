"""Gradient of a ReLU and of the bias before it, in one pass.

::

    dy, y -> dz = dy where y > 0, db = sum of dz
"""

import numpy as np
from numba import prange

from tinycnn.kernels.primitives.integers import ceil_div
from tinycnn.kernels.runtime import threads
from tinycnn.kernels.runtime.jit import jit
from tinycnn.kernels.runtime.memory import allocate, contiguous
from tinycnn.kernels.runtime.partition import PARTIAL_SUMS


def relu_gradient(y: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return dz = dy where y > 0, else 0, and db, the sum of dz over all axes but the last."""
    F = y.shape[-1]
    (dz,) = allocate((dy.shape, dy.dtype))
    partial = np.zeros((PARTIAL_SUMS, F), dy.dtype)
    y, dy = contiguous(y), contiguous(dy)
    with threads.guard:
        _relu_gradient(y.reshape(-1, F), dy.reshape(-1, F), dz.reshape(-1, F), partial)
    return dz, partial.sum(axis=0)


@jit(parallel=True)
def _relu_gradient(y, dy, dz, partial):
    """dz (rows, F), and partial sums (P, F) of db, of y and dy (rows, F)."""
    rows = ceil_div(len(y), len(partial))
    for p in prange(len(partial)):
        total = partial[p]
        for i in range(p * rows, min(p * rows + rows, len(y))):
            for f in range(total.size):
                dz[i, f] = dy[i, f] if y[i, f] > 0 else 0
                total[f] += dz[i, f]
