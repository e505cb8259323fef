"""A moving average in one pass over memory.

::

    average, values (vectors), share -> average += share * (values - average), in place

As for `adam`: memory is what limits it, and NumPy would go through it four times.
"""

import numpy as np
from numba import prange

from tinycnn.kernels.jit import jit

PIECE = 2**13


def update(average: np.ndarray, values: np.ndarray, share: float) -> None:
    """Change `average` in place; both are vectors of one dtype."""
    _update(average, values, average.dtype.type(share))


@jit(parallel=True)
def _update(average, values, share):
    for piece in prange((average.size + PIECE - 1) // PIECE):
        i, j = piece * PIECE, min(piece * PIECE + PIECE, average.size)
        update_piece(average[i:j], values[i:j], share)


@jit
def update_piece(average, values, share):
    """The same for one piece, in a function of its own, where the compiler sees a plain loop."""
    for i in range(average.size):
        average[i] += share * (values[i] - average[i])
