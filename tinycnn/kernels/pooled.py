"""The gradients of a convolution that a max-pool follows: only the pixels that won are multiplied.

::

    dy, winner (N, PH, PW, F) -> lists of who won -> add_rows -> dw (KH, KW, C, F), dx (N, H, W, C)

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
from tinycnn.kernels.buffers import aligned_empty, aligned_zeros, contiguous, rounded_up
from tinycnn.kernels.direct import PARTS
from tinycnn.kernels.jit import jit
from tinycnn.kernels.simd import VECTOR_BYTES
from tinycnn.kernels.sparse import add_rows
from tinycnn.kernels.tiles import gather_image

# What a thread works on at a time should stay in its level 2 cache: bytes of images, entries of lists.
IMAGES, LIST = 2**18, 2**14


def conv2d_grad_kernel(
    x: np.ndarray,
    dy: np.ndarray,
    winner: np.ndarray,
    w_shape: tuple[int, ...],
    padding: Pads,
    pool_size: Pair,
    pool_strides: Pair,
    scale: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return dw of shape `w_shape` and db (F,), of a convolution with strides and dilation of 1.

    Parameters
    ----------
    x : ndarray of shape (N, H, W, C)
        What was convolved.
    dy, winner : ndarray of shape (N, PH, PW, F)
        The gradient of the pooled output, and which pixel of each window won, or KH * KW of the pool where
        the gradient ends (`epilogue`).
    padding
        Of the convolution; the pool has none.
    scale : float
        What the dropout multiplied by.
    """
    N, H, W, C = x.shape
    KH, KW, _, F = w_shape
    _, PH, PW, _ = dy.shape
    lanes, threads = VECTOR_BYTES // x.itemsize, get_num_threads()
    row = rounded_up(KW * C, lanes)
    HP, WP = H + sum(padding[0]), W + sum(padding[1])
    images = min(max(IMAGES // (HP * WP * C * x.itemsize), 1), max(N // PARTS, 1))
    _check(winner, pool_size, images * HP * WP * C)
    group = min(max(LIST // (images * PH * PW), 1), F)
    # an image without padding is read where it is, unless the last vector of a row would end outside
    in_place = x.shape[1:3] == (HP, WP) and row == KW * C
    image = aligned_zeros((threads, 0 if in_place else images * HP * WP * C + row), x.dtype)
    values = aligned_empty((threads, group * images * PH * PW), x.dtype)
    places = aligned_empty((threads, group * images * PH * PW), np.int32)
    parts = aligned_empty((min(PARTS, max(N, 1)), F, KH, row), x.dtype)
    biases = np.zeros((len(parts), F), x.dtype)
    corner, scale = (padding[0][0], padding[1][0]), x.dtype.type(scale)
    _grad_kernel(
        contiguous(x), contiguous(dy), contiguous(winner), parts, biases, image, values, places, images,
        group, HP, WP, lanes, corner, pool_size, pool_strides, scale, in_place,
    )  # fmt: skip
    dw = aligned_empty((KH, KW * C, F), x.dtype)
    _add_parts(parts, dw)
    return dw.reshape(w_shape), biases.sum(axis=0)


def _check(winner: np.ndarray, pool_size: Pair, size: int) -> None:
    """Raise for winners that are no pixels of a window, and for offsets that 32 bits do not hold."""
    nobody = pool_size[0] * pool_size[1]
    if winner.size and winner.max() > nobody:
        raise ValueError(f"winner: expected 0 to {nobody}, received {winner.max()}")
    if size >= 2**31:
        raise ValueError(f"expected an image, and filters, of less than 2**31 numbers, received {size}")


@jit(parallel=True)
def _grad_kernel(
    x, dy, winner, parts, biases, image, values, places, images, group, HP, WP, lanes, corner, pool, strides,
    scale, in_place,
):  # fmt: skip
    N, _, _, C = x.shape
    P, F, KH, row = parts.shape
    _, PH, PW, _ = dy.shape
    capacity = images * PH * PW
    nobody = winner.dtype.type(pool[0] * pool[1])
    offsets = np.empty(nobody + 1, np.int32)  # of each pixel of a window from its corner
    for tap in range(nobody + 1):
        offsets[tap] = (tap // pool[1] * WP + tap % pool[1]) * C
    blocks, flat = (N + images - 1) // images, x.reshape(x.size)
    for p in prange(P):
        t = get_thread_id()
        counts = np.empty(group, np.int64)
        parts[p] = 0
        for block in range(p, blocks, P):
            first, last = block * images, min(block * images + images, N)
            source = flat[first * HP * WP * C :] if in_place else image[t]
            for n in range(first, first if in_place else last):
                start = (n - first) * HP * WP * C
                gather_image(x[n], source[start : start + HP * WP * C].reshape(HP, WP, C), *corner)
            for f0 in range(0, F, group):
                f1 = min(f0 + group, F)
                counts[:] = 0
                for n in range(first, last):
                    for ph in range(PH):
                        for pw in range(PW):
                            at = (((n - first) * HP + ph * strides[0]) * WP + pw * strides[1]) * C
                            list_by_filter(
                                dy[n, ph, pw, f0:f1], winner[n, ph, pw, f0:f1], values[t], places[t], counts,
                                biases[p, f0:f1], capacity, at, offsets, nobody, scale,
                            )  # fmt: skip
                for f in range(f0, f1):
                    i = f - f0
                    add_rows(
                        KH, row // lanes, lanes, values[t], i * capacity, places[t], i * capacity, counts[i],
                        source, 0, WP * C, parts, (p * F + f) * KH * row, row,
                    )  # fmt: skip


@jit
def list_by_filter(dy, winner, values, places, counts, bias, capacity, corner, offsets, nobody, scale):
    """Append one pooled pixel to the lists of the filters that it won for, without a branch."""
    for f in range(dy.size):
        bias[f] += dy[f] * scale if winner[f] != nobody else dy.dtype.type(0)
    for f in range(dy.size):
        at = f * capacity + counts[f]
        values[at] = dy[f] * scale
        places[at] = corner + offsets[winner[f]]
        counts[f] += winner[f] != nobody


@jit(parallel=True)
def _add_parts(parts, dw):
    P, F, KH, _ = parts.shape
    width = dw.shape[1]
    for f in prange(F):
        for kh in range(KH):
            total = parts[0, f, kh]
            for p in range(1, P):
                for i in range(width):
                    total[i] += parts[p, f, kh, i]
            for i in range(width):
                dw[kh, i, f] = total[i]


def conv2d_grad_input(
    dy: np.ndarray,
    winner: np.ndarray,
    w: np.ndarray,
    x_shape: tuple[int, ...],
    padding: Pads,
    pool_size: Pair,
    pool_strides: Pair,
    scale: float = 1.0,
) -> np.ndarray:
    """Return dx of shape `x_shape`, likewise."""
    _, H, W, C = x_shape
    KH, KW, _, F = w.shape
    lanes, threads = VECTOR_BYTES // dy.itemsize, get_num_threads()
    row = rounded_up(KW * C, lanes)
    filters = aligned_zeros((F, KH, row), dy.dtype)
    filters[:, :, : KW * C] = w.transpose(3, 0, 1, 2).reshape(F, KH, KW * C)
    HP, WP = H + sum(padding[0]), W + sum(padding[1])
    in_place = x_shape[1:3] == (HP, WP) and row == KW * C  # as above
    image = aligned_empty((threads, 0 if in_place else HP * WP * C + row), dy.dtype)
    lists = pool_size[0] * pool_size[1] + 1  # the last is for those whom the gradient does not reach
    _check(winner, pool_size, filters.size)
    values = aligned_empty((threads, lists * F), dy.dtype)
    places = aligned_empty((threads, lists * F), np.int32)
    dx = aligned_empty(x_shape, dy.dtype)
    corner, scale = (padding[0][0], padding[1][0]), dy.dtype.type(scale)
    _grad_input(
        contiguous(dy), contiguous(winner), filters, dx, image, values, places, HP, WP, lanes, corner,
        pool_size, pool_strides, scale, in_place,
    )  # fmt: skip
    return dx


@jit(parallel=True)
def _grad_input(
    dy, winner, filters, dx, image, values, places, HP, WP, lanes, corner, pool, strides, scale, in_place
):  # fmt: skip
    N, H, W, C = dx.shape
    F, KH, row = filters.shape
    _, PH, PW, _ = dy.shape
    taps = pool[0] * pool[1]
    for n in prange(N):
        t = get_thread_id()
        counts = np.empty(taps + 1, np.int64)
        target = dx[n].reshape(H * W * C) if in_place else image[t]
        target[:] = 0
        for ph in range(PH):
            for pw in range(PW):
                list_by_tap(dy[n, ph, pw], winner[n, ph, pw], values[t], places[t], counts, KH * row, scale)
                for tap in range(taps):
                    at = ((ph * strides[0] + tap // pool[1]) * WP + pw * strides[1] + tap % pool[1]) * C
                    add_rows(
                        KH, row // lanes, lanes, values[t], tap * F, places[t], tap * F, counts[tap],
                        filters, 0, row, target, at, WP * C,
                    )  # fmt: skip
        for h in range(0 if in_place else H):
            for w in range(W):
                start = ((h + corner[0]) * WP + w + corner[1]) * C
                pixel = dx[n, h, w]
                for c in range(C):
                    pixel[c] = target[start + c]


@jit
def list_by_tap(dy, winner, values, places, counts, size, scale):
    """Sort the filters of one pooled pixel by the tap that won, without a branch."""
    F = dy.size
    counts[:] = 0
    for f in range(F):
        tap = np.int64(winner[f])
        at = tap * F + counts[tap]
        values[at] = dy[f] * scale
        places[at] = f * size
        counts[tap] += 1
