"""A moving average in one pass over memory.

::

    average, values (vectors), share -> average += share * (values - average), in place

As for `adam`: memory is what limits it, and NumPy would go through it four times.
"""

import numpy as np
from numba import prange

from tinycnn.kernels.primitives.integers import ceil_div
from tinycnn.kernels.runtime import threads
from tinycnn.kernels.runtime.jit import jit

PIECE = 2**13


def update(average: np.ndarray, values: np.ndarray, share: float) -> None:
    """Change `average` in place; both are vectors of one dtype."""
    with threads.guard:
        _update(average, values, average.dtype.type(share))


@jit(parallel=True)
def _update(average, values, share):
    """Change the vector average (count,) by values (count,), piece by piece."""
    for piece in prange(ceil_div(average.size, PIECE)):
        i, j = piece * PIECE, min(piece * PIECE + PIECE, average.size)
        update_piece(average[i:j], values[i:j], share)


@jit
def update_piece(average, values, share):
    """Do it for one piece (count,), in a function of its own, where the compiler sees a plain loop."""
    for i in range(average.size):
        average[i] += share * (values[i] - average[i])
