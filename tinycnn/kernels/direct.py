"""Direct convolution in Numba: implicit GEMM on register blocks, no matrix of patches.

::

    forward      out (OW, F)        = sum over kh of  x rows (OW, KW*C) @ w[kh] (KW*C, F)
    grad_input   the forward pass, of dy spread out by the strides, with the filter turned by half
    grad_kernel  dw[kh] (KW*C, F)  += sum over oh of  x row (OW, KW*C).T @ dy row (OW, F)

A row of patches is no matrix that BLAS would take: it overlaps the next row, since one pixel further are
only C numbers more, and not KW*C. `microkernel.gemm` takes any strides, so the patches stay where they are.

What is copied are rows: each thread gathers the image rows that one row of the output needs into a buffer
of its own, with the padding around them and room for the last block to run over. That costs KH*W*C copies
for OW*KH*KW*C*F multiplications, and it is what makes every shape safe: kernels never read x itself.
"""

import numpy as np
from numba import get_num_threads, get_thread_id, prange

from tinycnn.checks import Pads, Pair
from tinycnn.kernels.buffers import aligned_empty, aligned_zeros, contiguous, rounded_up, whole_vectors
from tinycnn.kernels.geometry import NO_PADDING, check_conv
from tinycnn.kernels.jit import jit
from tinycnn.kernels.microkernel import ROWS, gemm
from tinycnn.kernels.pooling import (
    averagepool2d,
    averagepool2d_grad_input,
    maxpool2d,
    maxpool2d_grad_input,
)
from tinycnn.kernels.simd import VECTOR_BYTES

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
# Floats of the band of image rows that a thread holds for the filter gradient: about half a level 2 cache.
BAND = 2**17


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None = None,
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
    relu: bool = False,
) -> np.ndarray:
    """See `naive.conv2d`."""
    OH, OW = check_conv(x.shape, w.shape, strides, padding, dilation, x=x, w=w, b=b)
    y = aligned_empty((x.shape[0], OH, OW, w.shape[3]), x.dtype)
    bias = np.zeros(w.shape[3], x.dtype) if b is None else b
    _convolve(x, w, bias, y, strides, (padding[0][0], padding[1][0]), dilation, (1, 1), relu)
    return y


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
    turned = w[::-1, ::-1].transpose(0, 1, 3, 2)  # (KH, KW, F, C)
    before = tuple((k - 1) * d - p[0] for k, d, p in zip(w.shape[:2], dilation, padding, strict=True))
    dx = aligned_empty(x_shape, dy.dtype)
    _convolve(dy, turned, np.zeros(x_shape[3], dy.dtype), dx, (1, 1), before, dilation, strides, False)
    return dx


def _convolve(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray,
    y: np.ndarray,
    strides: Pair,
    before: Pair,
    dilation: Pair,
    spread: Pair,
    relu: bool,
) -> None:
    """Fill y with the convolution of x, of which neighbouring pixels are `spread` apart, zeros between.

    `before` is the padding at the top and at the left; less than 0, the image begins outside.
    """
    KH, KW, C, F = w.shape
    lanes = VECTOR_BYTES // x.itemsize
    FP = rounded_up(F, lanes)
    weights, bias = whole_vectors(w, lanes).reshape(KH, KW * C, FP), whole_vectors(b, lanes)
    room = row_room(y.shape[2], KH, KW, C, FP, strides[1], dilation[1], lanes)
    memory = aligned_empty((get_num_threads(), room), x.dtype)
    convolve_rows(
        contiguous(x), weights, bias, y, memory, KW, lanes, *strides, *before, *dilation, *spread, relu
    )  # fmt: skip


@jit
def row_length(OW, KW, C, SW, DW, lanes):
    """Return the numbers of an image row under a row of the output, the overrun of blocks included."""
    pixels = (OW + ROWS - 1) * SW + (KW - 1) * DW + 1
    return (pixels * C + lanes - 1) // lanes * lanes


@jit
def row_room(OW, KH, KW, C, FP, SW, DW, lanes):
    """Return how many numbers of memory a thread needs: rows of the image, and the sums of one of y."""
    return KH * row_length(OW, KW, C, SW, DW, lanes) + (OW + ROWS) * FP


@jit(parallel=True)
def convolve_rows(x, w, b, y, memory, KW, lanes, SH, SW, PT, PL, DH, DW, UH, UW, relu):
    """Fill y (N, OH, OW, F) row by row, for w (KH, KW * C, FP); `memory` has a row for each thread."""
    N, H, _, C = x.shape
    KH, KWC, FP = w.shape
    _, OH, OW, F = y.shape
    groups = 1 if DW == 1 else KW  # without dilation, the pixels under a row of the filter lie side by side
    K = KWC // groups
    lowest = x.dtype.type(0) if relu else x.dtype.type(-np.inf)
    length = row_length(OW, KW, C, SW, DW, lanes)
    for row in prange(N * OH):
        n, oh = row // OH, row % OH
        own = memory[get_thread_id()]
        buffer = own[: KH * length].reshape((KH, length))
        sums = own[KH * length : KH * length + (OW + ROWS) * FP].reshape((OW + ROWS, FP))
        first, step, count = 0, 1, 0
        for kh in range(KH):  # the rows of the filter that meet the image, which are evenly spaced
            h = oh * SH + kh * DH - PT
            if h < 0 or h % UH != 0 or h // UH >= H:
                continue
            if count == 0:
                first = kh
            else:
                step = kh - first if count == 1 else step
            gather_row(x[n, h // UH], buffer[count], PL, UW)
            count += 1
        for ow in range(OW):
            pixel = sums[ow]
            for f in range(FP):
                pixel[f] = b[f]
        for g in range(groups):
            gemm(
                OW,
                FP // lanes,
                lanes,
                buffer,
                g * DW * C,
                SW * C,
                buffer.shape[1],
                1,
                w,
                (first * KWC + g * K) * FP,
                step * KWC * FP,
                FP,
                sums,
                0,
                FP,
                count,
                K,
                1,
            )
        for ow in range(OW):
            pixel, total = y[n, oh, ow], sums[ow]
            for f in range(F):
                pixel[f] = lowest if total[f] < lowest else total[f]


@jit
def gather_row(x, buffer, PL, UW):
    """Copy a row of pixels (W, C) to where it stands in a padded, spread out row; zeros elsewhere."""
    W, C = x.shape
    buffer[:] = 0
    if UW == 1:  # neighbours stay neighbours: one run of numbers
        start = PL * C
        first, last = max(-start, 0), min(W * C, buffer.size - start)
        source, target = x.reshape(W * C)[first:last], buffer[start + first : start + last]
        for i in range(last - first):
            target[i] = source[i]
        return
    for w in range(W):
        at = (w * UW + PL) * C
        if at >= 0 and at + C <= buffer.size:
            for c in range(C):
                buffer[at + c] = x[w, c]


def conv2d_grad_kernel(
    x: np.ndarray,
    dy: np.ndarray,
    w_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """See `naive.conv2d_grad_kernel`."""
    OH, OW = check_conv(x.shape, w_shape, strides, padding, dilation, x=x, dy=dy)
    KH, KW, C, F = w_shape
    lanes = VECTOR_BYTES // x.itemsize
    FP = rounded_up(F, lanes)
    width = rounded_up(((OW - 1) * strides[1] + (KW - 1) * dilation[1] + 1 + ROWS) * C, lanes)
    reach = (KH - 1) * dilation[0] + 1
    band = min(max((BAND // width - reach) // strides[0] + 1, 1), OH)
    threads = get_num_threads()
    images = aligned_zeros((threads, (band - 1) * strides[0] + reach, width), x.dtype)
    gradients = aligned_zeros((threads, band, OW, FP), x.dtype)
    groups = 1 if dilation[1] == 1 else KW
    # the last block of a group runs over into rows of its own
    parts = aligned_zeros((min(PARTS, max(1, x.shape[0])), KH, groups, KW * C // groups + ROWS, FP), x.dtype)
    x, dy = contiguous(x), contiguous(dy)
    _conv2d_grad_kernel(
        x, dy, parts, images, gradients, KW, lanes, *strides, padding[0][0], padding[1][0], *dilation
    )
    dw = parts.sum(axis=0)[:, :, : KW * C // groups, :F]
    return np.ascontiguousarray(dw.reshape(w_shape))


@jit(parallel=True)
def _conv2d_grad_kernel(x, dy, parts, images, gradients, KW, lanes, SH, SW, PT, PL, DH, DW):
    N, H, _, C = x.shape
    P, KH, groups, slack, FP = parts.shape
    M = KW * C // groups
    _, OH, OW, F = dy.shape
    for p in prange(P):
        image, gradient = images[get_thread_id()], gradients[get_thread_id()]
        band, width = gradient.shape[0], image.shape[1]
        for n in range(p, N, P):
            for top in range(0, OH, band):
                count = min(band, OH - top)
                for i in range((count - 1) * SH + (KH - 1) * DH + 1):
                    h = top * SH + i - PT
                    if 0 <= h < H:
                        gather_row(x[n, h], image[i], PL, 1)
                    else:
                        image[i] = 0
                for i in range(count):
                    for ow in range(OW):
                        source, target = dy[n, top + i, ow], gradient[i, ow]
                        for f in range(F):
                            target[f] = source[f]
                for kh in range(KH):
                    for g in range(groups):
                        gemm(
                            M,
                            FP // lanes,
                            lanes,
                            image,
                            kh * DH * width + g * DW * C,
                            1,
                            SH * width,
                            SW * C,
                            gradient,
                            0,
                            OW * FP,
                            FP,
                            parts,
                            ((p * KH + kh) * groups + g) * slack * FP,
                            FP,
                            count,
                            OW,
                            1,
                        )
