"""Numbers at the ends of a float's range: denormal ones, and those with squares that overflow.

::

    array -> flush -> the same, 0 where it was closer to 0 than the smallest normal number
    gradients -> with_squares -> the same, and finite squares for finite gradients

A moving average of zeros shrinks by a factor at each step. It would become denormal (below 1.2e-38 in
float32), which processors are slow with, and stay at the smallest of these numbers for ever: a tenth of that
is rounded to nothing.
"""

from typing import Any

import numpy as np


def smallest_normal(dtype: Any) -> np.floating:
    """Return the smallest normal number of a dtype."""
    return np.finfo(dtype).tiny


def largest_with_square(dtype: Any) -> np.floating:
    """Return a number of a dtype near the largest whose square is finite: 2**63 in float32."""
    return np.dtype(dtype).type(2.0 ** (np.finfo(dtype).maxexp // 2 - 1))


def flush(*arrays: np.ndarray) -> None:
    """Set the denormal elements of float arrays to 0, in place; NaN stays NaN."""
    for array in arrays:
        array[np.abs(array) < smallest_normal(array.dtype)] = 0


def with_squares(g: np.ndarray) -> np.ndarray:
    """Return g, with finite numbers whose squares overflow cut to the largest that has one.

    An infinite moving mean of squares would stay for ever, and hold its parameter where it is. Infinity and
    NaN stay, so that they are seen.
    """
    most = largest_with_square(g.dtype)
    large = np.abs(g) > most
    if not large.any():
        return g
    return np.where(large & np.isfinite(g), np.copysign(most, g), g)
