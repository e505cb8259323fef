"""Adam's update in one pass over memory; its readable twin is `optimizers.Adam`.

::

    p, g, m, v (vectors) -> p, m, v, changed in place

NumPy makes a temporary for each operation. The update is memory-bound, so here each element is read once and
written once, in pieces of 2**13 elements that the threads share out.
"""

import numpy as np

from tinycnn.kernels.primitives.integers import ceil_div
from tinycnn.kernels.runtime import threads
from tinycnn.kernels.runtime.jit import jit
from tinycnn.kernels.runtime.parallel import parallel_for
from tinycnn.support.ranges import largest_with_square, smallest_normal

PIECE = 2**13
#: For each dtype: smallest normal number, largest gradient, infinity.
BOUNDS = {
    dtype: (smallest_normal(dtype), largest_with_square(dtype), dtype.type(np.inf))
    for dtype in map(np.dtype, (np.float32, np.float64))
}


def update(
    p: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """Change p, m and v, vectors of one dtype; `rate` has the bias correction in it."""
    number = p.dtype.type
    settings = number(rate), number(1 - beta_1), number(1 - beta_2), number(epsilon)
    with threads.guard:
        _update(p, g, m, v, settings, BOUNDS[p.dtype])


@jit
def _update(p, g, m, v, settings, bounds):
    """Change the vectors p, m, v (count,) by the gradient g (count,), piece by piece.

    `settings` is (rate, 1 - beta_1, 1 - beta_2, epsilon). `bounds` is of `BOUNDS`; see `support.ranges`.
    """
    parallel_for(_update_piece, ceil_div(p.size, PIECE), (p, g, m, v, settings, bounds))


@jit
def _update_piece(piece, p, g, m, v, settings, bounds):
    """Do the work of `_update` for one piece, as slices: then the compiler knows that no index is below 0."""
    rate, one_minus_beta_1, one_minus_beta_2, epsilon = settings
    smallest, largest, infinity = bounds
    first, last = piece * PIECE, min(piece * PIECE + PIECE, p.size)
    p, g, m, v = p[first:last], g[first:last], m[first:last], v[first:last]
    zero = p.dtype.type(0)
    for i in range(p.size):
        gradient = max(min(g[i], largest), -largest) if abs(g[i]) < infinity else g[i]
        mean = m[i] + one_minus_beta_1 * (gradient - m[i])
        square = v[i] + one_minus_beta_2 * (gradient * gradient - v[i])
        m[i] = zero if abs(mean) < smallest else mean
        v[i] = zero if abs(square) < smallest else square
        p[i] -= rate * m[i] / (np.sqrt(v[i]) + epsilon)
