"""A moving average in one pass over memory.

::

    average, values (vectors), share -> average += share * (values - average), in place; never denormal

As in `adam`, the update is memory-bound, and NumPy would go through the vectors four times.
"""

import numpy as np

from tinycnn.kernels.primitives.integers import ceil_div
from tinycnn.kernels.runtime import threads
from tinycnn.kernels.runtime.jit import jit
from tinycnn.kernels.runtime.parallel import parallel_for
from tinycnn.support.ranges import smallest_normal

PIECE = 2**13


def update(average: np.ndarray, values: np.ndarray, share: float) -> None:
    """Change `average` in place; both are vectors of one dtype."""
    with threads.guard:
        _update(average, values, average.dtype.type(share), smallest_normal(average.dtype))


@jit
def _update(average, values, share, smallest):
    """Change the vector average (count,) by values (count,), piece by piece; below `smallest` it is 0."""
    parallel_for(_update_piece, ceil_div(average.size, PIECE), (average, values, share, smallest))


@jit
def _update_piece(piece, average, values, share, smallest):
    """Do the work of `_update` for one piece, as slices: then the compiler knows that no index is below 0."""
    first, last = piece * PIECE, min(piece * PIECE + PIECE, average.size)
    average, values = average[first:last], values[first:last]
    zero = average.dtype.type(0)
    for i in range(average.size):
        mean = average[i] + share * (values[i] - average[i])
        average[i] = zero if abs(mean) < smallest else mean
