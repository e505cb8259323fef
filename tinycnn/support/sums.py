"""Long sums that stay accurate in float32.

::

    a (..., rows, F) -> 64 slabs of rows, added -> 64 slabs of those, added -> ... -> sum (..., F) in float64

Adding a million numbers to one float32 loses three digits, since each is rounded to the last place of the
sum. Numbers that are added 64 at a time lose none that matter, at the same speed.
"""

import numpy as np

#: Up to this many rows are added in their order, in their dtype; more are added in slabs.
SHORT = 256
SLABS = 64


def sum_rows(a: np.ndarray) -> np.ndarray:
    """Return the sum of a (..., rows, F) over its rows, (..., F) in float64."""
    *lead, rows, F = a.shape
    total = np.zeros((*lead, F))
    if rows <= SHORT:
        return total + a.sum(axis=-2)
    while rows > SLABS:
        size = rows // SLABS
        total += a[..., SLABS * size :, :].sum(axis=-2, dtype=np.float64)
        slabs = a[..., : SLABS * size, :].reshape(*lead, SLABS, size * F)
        a, rows = slabs.sum(axis=-2).reshape(*lead, size, F), size
    return total + a.sum(axis=-2, dtype=np.float64)


def mean_rows(a: np.ndarray) -> np.ndarray:
    """Return the mean of a (..., rows, F) over its rows, (..., F) in float64."""
    return sum_rows(a) / a.shape[-2]
