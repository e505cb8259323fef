"""The gradients of a convolution that a max-pool follows: only the pixels that won are multiplied.

::

    dp, argmax (N, PH, PW, F) -> lists of what is not zero -> add_rows -> dw (KH, KW, C, F), dx (N, H, W, C)

Of the gradient of a convolution's output, a 2x2 max-pool leaves at most one in four, and a ReLU and a
dropout between take more: on the documented network one in seven is left. The lists name those, each with
the place of its pixel, and the sums run over the lists alone. Nothing is approximated: what is left out is
multiplied by zero elsewhere.

For the filter's gradient there is a list for each filter: its pixels' patches of x, scaled, add up to the
gradient, which stays in registers. For the input's gradient there is a list for each pixel: the filters that
won there, scaled, add up to its patch of dx.
"""

import numpy as np
from numba import get_num_threads, get_thread_id, prange

from tinycnn.checks import Pads, Pair
from tinycnn.kernels.buffers import aligned_zeros, rounded_up
from tinycnn.kernels.jit import jit
from tinycnn.kernels.simd import VECTOR_BYTES
from tinycnn.kernels.sparse import add_rows
from tinycnn.kernels.tiles import gather_image

PARTS = 16  # of the batch, each with a gradient of its own; fixed, as in `direct`
LIST = 2**14  # entries in the lists of a block of images: these and the block should stay in the cache


def conv2d_grad_kernel(
    x: np.ndarray,
    dp: np.ndarray,
    argmax: np.ndarray,
    w_shape: tuple[int, ...],
    padding: Pads,
    pool_size: Pair,
    pool_strides: Pair,
) -> np.ndarray:
    """Return dw of shape `w_shape`, of a convolution with strides and dilation of 1.

    Parameters
    ----------
    x : ndarray of shape (N, H, W, C)
        What was convolved, contiguous.
    dp, argmax : ndarray of shape (N, PH, PW, F)
        The gradient of the pooled output, and which pixel of each window won; contiguous.
    padding
        Of the convolution; the pool has none.
    """
    N, H, W, C = x.shape
    KH, KW, _, F = w_shape
    _, PH, PW, _ = dp.shape
    lanes, threads = VECTOR_BYTES // x.itemsize, get_num_threads()
    row = rounded_up(KW * C, lanes)
    images = int(np.clip(LIST // (PH * PW * F), 1, 8))
    HP, WP = H + sum(padding[0]), W + sum(padding[1])
    image = aligned_zeros((threads, images * HP * WP * C + row), x.dtype)
    capacity = images * PH * PW
    values = np.empty((threads, F * capacity + 1), x.dtype)
    places = np.empty((threads, F * capacity + 1), np.int32)
    counts = np.empty((threads, F), np.int64)
    parts = aligned_zeros((min(PARTS, max(N, 1)), F, KH, row), x.dtype)
    _grad_kernel(
        x,
        dp,
        argmax,
        parts,
        image,
        values,
        places,
        counts,
        images,
        HP,
        WP,
        KW,
        lanes,
        padding[0][0],
        padding[1][0],
        pool_size[1],
        *pool_strides,
    )
    dw = parts.sum(axis=0)[:, :, : KW * C].reshape(F, KH, KW, C)
    return np.ascontiguousarray(dw.transpose(1, 2, 3, 0))


@jit(parallel=True)
def _grad_kernel(
    x, dp, argmax, parts, image, values, places, counts, images, HP, WP, KW, lanes, PT, PL, QW, SH, SW
):
    N, _, _, C = x.shape
    P, F, KH, row = parts.shape
    _, PH, PW, _ = dp.shape
    capacity = images * PH * PW
    blocks = (N + images - 1) // images
    for p in prange(P):
        t = get_thread_id()
        for block in range(p, blocks, P):
            counts[t] = 0
            for n in range(block * images, min(block * images + images, N)):
                start = (n - block * images) * HP * WP * C
                gather_image(x[n], image[t, start : start + HP * WP * C].reshape(HP, WP, C), PT, PL)
                for ph in range(PH):
                    for pw in range(PW):
                        corner = start + (ph * SH * WP + pw * SW) * C
                        list_by_filter(
                            dp[n, ph, pw],
                            argmax[n, ph, pw],
                            values[t],
                            places[t],
                            counts[t],
                            capacity,
                            corner,
                            WP * C,
                            C,
                            QW,
                        )
            for f in range(F):
                add_rows(
                    KH,
                    row // lanes,
                    lanes,
                    values[t],
                    f * capacity,
                    places[t],
                    f * capacity,
                    counts[t, f],
                    image[t],
                    0,
                    WP * C,
                    parts,
                    (p * F + f) * KH * row,
                    row,
                )


@jit
def list_by_filter(dp, argmax, values, places, counts, capacity, corner, row, C, QW):
    """Append what is not zero of one pooled pixel to the lists of its filters, without a branch."""
    for f in range(dp.size):
        tap = np.int64(argmax[f])
        at = f * capacity + counts[f]
        values[at] = dp[f]
        places[at] = corner + tap // QW * row + tap % QW * C
        counts[f] += dp[f] != 0


def conv2d_grad_input(
    dp: np.ndarray,
    argmax: np.ndarray,
    w: np.ndarray,
    x_shape: tuple[int, ...],
    padding: Pads,
    pool_size: Pair,
    pool_strides: Pair,
) -> np.ndarray:
    """Return dx of shape `x_shape`, likewise."""
    _, H, W, C = x_shape
    KH, KW, _, F = w.shape
    lanes, threads = VECTOR_BYTES // dp.itemsize, get_num_threads()
    row = rounded_up(KW * C, lanes)
    filters = aligned_zeros((F, KH, row), dp.dtype)
    filters[:, :, : KW * C] = w.transpose(3, 0, 1, 2).reshape(F, KH, KW * C)
    HP, WP = H + sum(padding[0]), W + sum(padding[1])
    image = aligned_zeros((threads, HP * WP * C + row), dp.dtype)
    taps = pool_size[0] * pool_size[1]
    values = np.empty((threads, taps * F + 1), dp.dtype)
    places = np.empty((threads, taps * F + 1), np.int32)
    counts = np.empty((threads, taps), np.int64)
    dx = np.empty(x_shape, dp.dtype)
    _grad_input(
        dp,
        argmax,
        filters,
        dx,
        image,
        values,
        places,
        counts,
        HP,
        WP,
        lanes,
        padding[0][0],
        padding[1][0],
        pool_size[1],
        *pool_strides,
    )
    return dx


@jit(parallel=True)
def _grad_input(dp, argmax, filters, dx, image, values, places, counts, HP, WP, lanes, PT, PL, QW, SH, SW):
    N, H, W, C = dx.shape
    F, KH, row = filters.shape
    _, PH, PW, _ = dp.shape
    taps = counts.shape[1]
    for n in prange(N):
        t = get_thread_id()
        image[t] = 0
        for ph in range(PH):
            for pw in range(PW):
                list_by_tap(dp[n, ph, pw], argmax[n, ph, pw], values[t], places[t], counts[t], KH * row)
                for tap in range(taps):
                    at = ((ph * SH + tap // QW) * WP + pw * SW + tap % QW) * C
                    add_rows(
                        KH,
                        row // lanes,
                        lanes,
                        values[t],
                        tap * F,
                        places[t],
                        tap * F,
                        counts[t, tap],
                        filters,
                        0,
                        row,
                        image[t],
                        at,
                        WP * C,
                    )
        for h in range(H):
            for i in range(W * C):
                dx[n, h, i // C, i % C] = image[t, ((h + PT) * WP + PL) * C + i]


@jit
def list_by_tap(dp, argmax, values, places, counts, size):
    """Sort what is not zero of one pooled pixel by the tap that won, without a branch."""
    F = dp.size
    counts[:] = 0
    for f in range(F):
        tap = np.int64(argmax[f])
        at = tap * F + counts[tap]
        values[at] = dp[f]
        places[at] = f * size
        counts[tap] += dp[f] != 0
