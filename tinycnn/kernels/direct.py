"""Direct convolution in Numba: loops over the output, no patches in memory.

::

    forward       y[pixel]    (F) += x[pixels of one kernel row] (KW*C) @ w[kh]     (KW*C, F)
    grad_input    dx[pixel]   (C) += dy[pixel]                   (F)    @ w[tap].T  (F, C)
    grad_kernel   dw[tap, c]  (F) += x[pixels of one row, c]     (OW)   @ dy[row]   (OW, F)

All three are the same small step, a vector times a matrix added to a vector (`_add_product`), with the
channels as the inner loop that vectorises. What they differ in is which pixels meet which tap.
"""

import numpy as np
from numba import prange

from tinycnn.checks import Pads, Pair
from tinycnn.kernels.geometry import NO_PADDING, check_conv
from tinycnn.kernels.jit import jit
from tinycnn.kernels.pooling import (
    averagepool2d,
    averagepool2d_grad_input,
    maxpool2d,
    maxpool2d_grad_input,
)

__all__ = [
    "averagepool2d",
    "averagepool2d_grad_input",
    "conv2d",
    "conv2d_grad_input",
    "conv2d_grad_kernel",
    "maxpool2d",
    "maxpool2d_grad_input",
]

# The batch is cut into at most so many parts, each with a filter gradient of its own, which are added in
# their order. The number is fixed: it must not follow the number of threads, or the last bits would too.
PARTS = 16


@jit
def _add_product(out, a, B):
    """Add a (K) @ B (K, M) to out (M), in place; four rows of B for each pass over `out`."""
    K, M = B.shape
    whole = K - K % 4
    for k in range(0, whole, 4):
        a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
        for m in range(M):
            out[m] += a0 * B[k, m] + a1 * B[k + 1, m] + a2 * B[k + 2, m] + a3 * B[k + 3, m]
    for k in range(whole, K):
        for m in range(M):
            out[m] += a[k] * B[k, m]


@jit
def _outputs_inside(size, out_size, stride, start):
    """Return the first and the last + 1 of the outputs o whose pixel, o * stride + start, is in the image."""
    first = max(0, -(start // stride))  # ceil(-start / stride)
    last = min(out_size, (size - 1 - start) // stride + 1)
    return first, max(first, last)


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None = None,
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """See `naive.conv2d`."""
    OH, OW = check_conv(x.shape, w.shape, strides, padding, dilation, x=x, w=w, b=b)
    x, w = np.ascontiguousarray(x), np.ascontiguousarray(w)
    b = np.zeros(w.shape[3], x.dtype) if b is None else np.ascontiguousarray(b)
    y = np.empty((x.shape[0], OH, OW, w.shape[3]), x.dtype)
    _conv2d(x, w, b, y, *strides, padding[0][0], padding[1][0], *dilation)
    return y


@jit(parallel=True)
def _conv2d(x, w, b, y, SH, SW, PT, PL, DH, DW):
    N, H, W, C = x.shape
    KH, KW, _, F = w.shape
    _, OH, OW, _ = y.shape
    for row in prange(N * OH):
        n, oh = row // OH, row % OH
        for ow in range(OW):
            out = y[n, oh, ow]
            out[:] = b
            left = ow * SW - PL
            for kh in range(KH):
                h = oh * SH + kh * DH - PT
                if h < 0 or h >= H:
                    continue
                if DW == 1 and left >= 0 and left + KW <= W:  # a kernel row lies side by side in memory
                    pixels = x[n, h, left : left + KW].reshape(KW * C)
                    _add_product(out, pixels, w[kh].reshape(KW * C, F))
                    continue
                for kw in range(KW):
                    if 0 <= left + kw * DW < W:
                        _add_product(out, x[n, h, left + kw * DW], w[kh, kw])


def conv2d_grad_input(
    dy: np.ndarray,
    w: np.ndarray,
    x_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """See `naive.conv2d_grad_input`."""
    check_conv(x_shape, w.shape, strides, padding, dilation, w=w, dy=dy)
    w_t = np.ascontiguousarray(w.transpose(0, 1, 3, 2))  # (KH, KW, F, C)
    dx = np.empty(x_shape, dy.dtype)
    _conv2d_grad_input(np.ascontiguousarray(dy), w_t, dx, *strides, padding[0][0], padding[1][0], *dilation)
    return dx


@jit(parallel=True)
def _conv2d_grad_input(dy, w_t, dx, SH, SW, PT, PL, DH, DW):
    N, H, W, _ = dx.shape
    KH, KW, _, _ = w_t.shape
    _, OH, OW, _ = dy.shape
    for row in prange(N * H):
        n, h = row // H, row % H
        dx[n, h] = 0
        for kh in range(KH):
            oh = (h + PT - kh * DH) // SH
            if oh * SH + kh * DH - PT != h or oh < 0 or oh >= OH:
                continue  # this pixel meets no output through this row of the kernel
            for kw in range(KW):
                start = kw * DW - PL
                first, last = _outputs_inside(W, OW, SW, start)
                for ow in range(first, last):
                    _add_product(dx[n, h, ow * SW + start], dy[n, oh, ow], w_t[kh, kw])


def conv2d_grad_kernel(
    x: np.ndarray,
    dy: np.ndarray,
    w_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """See `naive.conv2d_grad_kernel`."""
    check_conv(x.shape, w_shape, strides, padding, dilation, x=x, dy=dy)
    parts = np.zeros((min(PARTS, max(1, x.shape[0])), *w_shape), x.dtype)
    x, dy = np.ascontiguousarray(x), np.ascontiguousarray(dy)
    _conv2d_grad_kernel(x, dy, parts, *strides, padding[0][0], padding[1][0], *dilation)
    return parts.sum(axis=0)


@jit(parallel=True)
def _conv2d_grad_kernel(x, dy, parts, SH, SW, PT, PL, DH, DW):
    N, H, W, C = x.shape
    P, KH, KW, _, _ = parts.shape
    _, OH, OW, _ = dy.shape
    for p in prange(P):
        for n in range(p, N, P):
            for oh in range(OH):
                for kh in range(KH):
                    h = oh * SH + kh * DH - PT
                    if h < 0 or h >= H:
                        continue
                    for kw in range(KW):
                        start = kw * DW - PL
                        first, last = _outputs_inside(W, OW, SW, start)
                        if first == last:
                            continue
                        pixels = x[n, h, first * SW + start : (last - 1) * SW + start + 1 : SW]
                        for c in range(C):
                            _add_product(parts[p, kh, kw, c], pixels[:, c], dy[n, oh, first:last])
