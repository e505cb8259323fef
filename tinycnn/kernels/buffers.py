"""Memory that vectors can be loaded from without straddling two cache lines.

::

    shape, dtype -> aligned_empty, aligned_zeros -> array that begins on a multiple of 64 bytes
"""

import math
from typing import Any

import numpy as np

CACHE_LINE = 64


def aligned_empty(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an array of any content that begins on a cache line; NumPy promises 16 bytes only.

    A load of 64 bytes from elsewhere touches two lines and takes twice as long.
    """
    shape = (shape,) if isinstance(shape, int) else shape
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(size + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + size].view(dtype).reshape(shape)


def aligned_zeros(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return zeros that begin on a cache line."""
    array = aligned_empty(shape, dtype)
    array[...] = 0
    return array


def rounded_up(size: int, multiple: int) -> int:
    """Return the smallest multiple that is not below `size`."""
    return -(-size // multiple) * multiple
