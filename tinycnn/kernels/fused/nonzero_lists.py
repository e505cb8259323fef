"""Lists of the non-zeros of a max-pool's gradient, by filter or by pixel.

::

    dy, argmax -> list_by_filter, list_by_tap -> Lists -> sparse_rows.add_rows

There is no branch. `list_by_filter` writes every entry, and a list grows only past a non-zero. `list_by_tap`
has one list more than the window has pixels, for the filters without a gradient.
"""

from typing import NamedTuple

import numpy as np

from tinycnn.kernels.runtime.jit import jit


class Lists(NamedTuple):
    """Lists of non-zeros, side by side: list i begins at entry i * `capacity` and has counts[i] entries.

    `values` and `offsets` are the entries, as in `sparse_rows.NonZeros`.
    """

    values: np.ndarray
    offsets: np.ndarray
    counts: np.ndarray
    capacity: int


@jit
def _append_pixel(dy, argmax, lists, sums, corner, taps, scale):
    """Append one pooled pixel (F) to the lists of the filters with a gradient there, and to `sums`."""
    no_gradient = argmax.dtype.type(taps.size - 1)
    for f in range(dy.size):
        sums[f] += dy[f] * scale if argmax[f] != no_gradient else dy.dtype.type(0)
    for f in range(dy.size):
        at = f * lists.capacity + lists.counts[f]
        lists.values[at] = dy[f] * scale
        lists.offsets[at] = corner + taps[argmax[f]]
        lists.counts[f] += argmax[f] != no_gradient


@jit
def list_by_filter(dy, argmax, lists, bias, image_shape, pool_size, pool_strides, scale):
    """List the non-zeros of dy (N, PH, PW, F), by filter, with the offsets of their pixels in (N, HP, WP, C).

    Their sums are added to `bias` (F), which is float64, row by row: a long float32 sum loses digits.
    """
    N, PH, PW, _ = dy.shape
    HP, WP, C = image_shape
    taps = np.empty(pool_size[0] * pool_size[1] + 1, np.int32)  # the offset of each pixel of a window
    for tap in range(taps.size):
        taps[tap] = (tap // pool_size[1] * WP + tap % pool_size[1]) * C
    lists.counts[:] = 0
    sums = np.empty(bias.size, dy.dtype)
    for n in range(N):
        for ph in range(PH):
            sums[:] = 0
            for pw in range(PW):
                corner = ((n * HP + ph * pool_strides[0]) * WP + pw * pool_strides[1]) * C
                _append_pixel(dy[n, ph, pw], argmax[n, ph, pw], lists, sums, corner, taps, scale)
            for f in range(bias.size):
                bias[f] += sums[f]


@jit
def list_by_tap(dy, argmax, lists, size, scale):
    """List the filters of one pooled pixel (F) by the pixel of the window that is the maximum.

    `size` is the stride from one filter to the next, in elements.
    """
    lists.counts[:] = 0
    for f in range(dy.size):
        tap = np.int64(argmax[f])
        at = tap * lists.capacity + lists.counts[tap]
        lists.values[at] = dy[f] * scale
        lists.offsets[at] = f * size
        lists.counts[tap] += 1
