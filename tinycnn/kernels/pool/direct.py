"""Pooling in Numba: one image is one unit of parallel work, channels are the inner loop.

::

    x (N, H, W, C) -> maximum or mean of each window -> y (N, OH, OW, C)

`kernels.pool` checks the arguments. Here a Python function allocates, and a jitted function has the loops.
Windows may overlap, so a gradient is added into dx; one thread has an image, so no two threads add at once.
"""

import numpy as np

from tinycnn.kernels.geometry import NO_PADDING, window_counts, window_output
from tinycnn.kernels.runtime import threads
from tinycnn.kernels.runtime.jit import jit
from tinycnn.kernels.runtime.memory import allocate, contiguous
from tinycnn.kernels.runtime.parallel import parallel_for
from tinycnn.support.checks import Pads, Pair


def maxpool2d(
    x: np.ndarray, pool_size: Pair, strides: Pair, padding: Pads = NO_PADDING
) -> tuple[np.ndarray, np.ndarray]:
    """See `naive.maxpool2d`."""
    OH, OW = window_output(x.shape[1:3], pool_size, strides, padding)
    shape = len(x), OH, OW, x.shape[3]
    y, argmax = allocate((shape, x.dtype), (shape, np.min_scalar_type(pool_size[0] * pool_size[1] - 1)))
    with threads.guard:
        _maxpool2d(contiguous(x), y, argmax, pool_size, strides, (padding[0][0], padding[1][0]))
    return y, argmax


@jit
def _maxpool2d(x, y, argmax, pool_size, strides, corner):
    """y, argmax (N, OH, OW, C) of x (N, H, W, C); `corner` is the padding at the top and at the left."""
    parallel_for(_maxpool2d_image, len(x), (x, y, argmax, pool_size, strides, corner))


@jit
def _maxpool2d_image(n, x, y, argmax, pool_size, strides, corner):
    """Do the work of `_maxpool2d` for image n."""
    (KH, KW), (SH, SW), (PT, PL) = pool_size, strides, corner
    _, H, W, C = x.shape
    _, OH, OW, _ = y.shape
    for oh in range(OH):
        for ow in range(OW):
            top, left = oh * SH - PT, ow * SW - PL
            first_h, first_w = max(top, 0), max(left, 0)
            for c in range(C):
                y[n, oh, ow, c] = x[n, first_h, first_w, c]
                argmax[n, oh, ow, c] = (first_h - top) * KW + first_w - left
            for h in range(first_h, min(top + KH, H)):
                for w in range(first_w, min(left + KW, W)):
                    tap = (h - top) * KW + w - left
                    for c in range(C):
                        value, best = x[n, h, w, c], y[n, oh, ow, c]
                        # NaN != NaN: the first NaN is the maximum
                        larger = value > best or (value != value and best == best)
                        y[n, oh, ow, c] = value if larger else best
                        argmax[n, oh, ow, c] = tap if larger else argmax[n, oh, ow, c]


def maxpool2d_grad_input(
    dy: np.ndarray,
    argmax: np.ndarray,
    x_shape: tuple[int, int, int, int],
    pool_size: Pair,
    strides: Pair,
    padding: Pads = NO_PADDING,
) -> np.ndarray:
    """See `naive.maxpool2d_grad_input`."""
    (dx,) = allocate((x_shape, dy.dtype))
    dy, argmax = contiguous(dy), contiguous(argmax)
    with threads.guard:
        _maxpool2d_grad_input(dy, argmax, dx, pool_size[1], strides, (padding[0][0], padding[1][0]))
    return dx


@jit
def _maxpool2d_grad_input(dy, argmax, dx, KW, strides, corner):
    """dx (N, H, W, C) of dy, argmax (N, OH, OW, C), for windows KW pixels wide."""
    parallel_for(_maxpool2d_grad_input_image, len(dy), (dy, argmax, dx, KW, strides, corner))


@jit
def _maxpool2d_grad_input_image(n, dy, argmax, dx, KW, strides, corner):
    """Do the work of `_maxpool2d_grad_input` for image n."""
    (SH, SW), (PT, PL) = strides, corner
    _, OH, OW, C = dy.shape
    dx[n] = 0
    for oh in range(OH):
        for ow in range(OW):
            for c in range(C):
                tap = np.int64(argmax[n, oh, ow, c])
                dx[n, oh * SH - PT + tap // KW, ow * SW - PL + tap % KW, c] += dy[n, oh, ow, c]


def averagepool2d(x: np.ndarray, pool_size: Pair, strides: Pair, padding: Pads = NO_PADDING) -> np.ndarray:
    """See `naive.averagepool2d`."""
    OH, OW = window_output(x.shape[1:3], pool_size, strides, padding)
    (y,) = allocate(((len(x), OH, OW, x.shape[3]), x.dtype))
    counts = window_counts(x.shape[1:3], pool_size, strides, padding)
    with threads.guard:
        _averagepool2d(contiguous(x), y, counts, pool_size, strides, (padding[0][0], padding[1][0]))
    return y


@jit
def _averagepool2d(x, y, counts, pool_size, strides, corner):
    """y (N, OH, OW, C) of x (N, H, W, C); counts (OH, OW) are the pixels of each window."""
    parallel_for(_averagepool2d_image, len(x), (x, y, counts, pool_size, strides, corner))


@jit
def _averagepool2d_image(n, x, y, counts, pool_size, strides, corner):
    """Do the work of `_averagepool2d` for image n."""
    (KH, KW), (SH, SW), (PT, PL) = pool_size, strides, corner
    _, H, W, C = x.shape
    _, OH, OW, _ = y.shape
    total = np.empty(C, np.float64)  # a window may be a whole image
    for oh in range(OH):
        for ow in range(OW):
            top, left = oh * SH - PT, ow * SW - PL
            total[:] = 0
            for h in range(max(top, 0), min(top + KH, H)):
                for w in range(max(left, 0), min(left + KW, W)):
                    for c in range(C):
                        total[c] += x[n, h, w, c]
            for c in range(C):
                y[n, oh, ow, c] = total[c] / counts[oh, ow]


def averagepool2d_grad_input(
    dy: np.ndarray,
    x_shape: tuple[int, int, int, int],
    pool_size: Pair,
    strides: Pair,
    padding: Pads = NO_PADDING,
) -> np.ndarray:
    """See `naive.averagepool2d_grad_input`."""
    (dx,) = allocate((x_shape, dy.dtype))
    counts = window_counts((x_shape[1], x_shape[2]), pool_size, strides, padding).astype(dy.dtype)
    with threads.guard:
        _averagepool2d_grad_input(
            contiguous(dy), dx, counts, pool_size, strides, (padding[0][0], padding[1][0])
        )
    return dx


@jit
def _averagepool2d_grad_input(dy, dx, counts, pool_size, strides, corner):
    """dx (N, H, W, C) of dy (N, OH, OW, C); counts (OH, OW) are the pixels of each window."""
    parallel_for(_averagepool2d_grad_input_image, len(dy), (dy, dx, counts, pool_size, strides, corner))


@jit
def _averagepool2d_grad_input_image(n, dy, dx, counts, pool_size, strides, corner):
    """Do the work of `_averagepool2d_grad_input` for image n."""
    (KH, KW), (SH, SW), (PT, PL) = pool_size, strides, corner
    _, OH, OW, C = dy.shape
    _, H, W, _ = dx.shape
    dx[n] = 0
    for oh in range(OH):
        for ow in range(OW):
            top, left = oh * SH - PT, ow * SW - PL
            for h in range(max(top, 0), min(top + KH, H)):
                for w in range(max(left, 0), min(left + KW, W)):
                    for c in range(C):
                        dx[n, h, w, c] += dy[n, oh, ow, c] / counts[oh, ow]
