"""Winograd's minimal filtering in Numba: fewer multiplications than the definition has.

::

    forward      V = B^T x B per tile;   M = V U, with U = G w G^T;   y = A^T M A
    grad_input   the forward pass, of dy with the filter turned by half
    grad_kernel  dM = A dy A^T;   dU += V^T dM over all tiles;   dw = G^T dU G

F(m, r) computes m x m outputs of an r x r filter from a tile of alpha x alpha pixels, alpha = m + r - 1,
with alpha**2 multiplications instead of m**2 r**2: 2.25 times fewer for F(2,3), 4 for F(4,3), 2.78 for
F(5,2). Over the channels, each of the alpha**2 places is a matrix product of its own. Lavin & Gray, "Fast
algorithms for convolutional neural networks", arXiv 1509.09308; the gradients are the adjoints of the
three transforms. For square filters of 2 or 3, strides and dilation of 1.
"""

from typing import Any

import numpy as np
from numba import get_num_threads, get_thread_id, prange

from tinycnn.checks import Pads, Pair
from tinycnn.kernels.buffers import aligned_empty, aligned_zeros, rounded_up
from tinycnn.kernels.geometry import NO_PADDING, check_conv, winograd_refuses
from tinycnn.kernels.jit import jit
from tinycnn.kernels.microkernel import ROWS, gemm
from tinycnn.kernels.pooling import (
    averagepool2d,
    averagepool2d_grad_input,
    maxpool2d,
    maxpool2d_grad_input,
)
from tinycnn.kernels.simd import VECTOR_BYTES
from tinycnn.kernels.tiles import (
    filter_grad_tile,
    filter_tile,
    gather_image,
    gradient_tiles,
    input_tiles,
    multiply,
    output_tiles,
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

#: For each size of filter, the sizes of output tile that there are transforms for.
TILES = {2: (2, 3, 4, 5), 3: (2, 4)}
# Tiles that one thread transforms, multiplies and transforms back at a time, if an image has not more: enough
# rows for the matrix products to pay for loading U, few enough for V and M to stay in the cache. Measured on
# the documented network from 4 to 72: the times differ by a fifth, and 12 was best or near it.
BLOCK = 12


def tile_size(r: int, OH: int, OW: int) -> int:
    """Return the m of F(m, r) that takes the fewest multiplications for an output of OH x OW."""
    return min(TILES[r], key=lambda m: (-(-OH // m) * -(-OW // m) * (m + r - 1) ** 2, -m))


def _checked(
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    strides: Pair,
    padding: Pads,
    dilation: Pair,
    **arrays: Any,
) -> Pair:
    """Return (OH, OW), or raise for what this algorithm cannot compute."""
    size = check_conv(x_shape, w_shape, strides, padding, dilation, **arrays)
    if reason := winograd_refuses(w_shape, strides, dilation):
        raise ValueError(f"algorithm 'winograd': {reason}")
    return size


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None = None,
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """See `naive.conv2d`."""
    OH, OW = _checked(x.shape, w.shape, strides, padding, dilation, x=x, w=w, b=b)
    y = np.empty((x.shape[0], OH, OW, w.shape[3]), x.dtype)
    _correlate(x, w, np.zeros(w.shape[3], x.dtype) if b is None else b, y, padding[0][0], padding[1][0])
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
    _checked(x_shape, w.shape, strides, padding, dilation, w=w, dy=dy)
    turned = w[::-1, ::-1].transpose(0, 1, 3, 2)  # (KH, KW, F, C)
    before = w.shape[0] - 1 - padding[0][0], w.shape[1] - 1 - padding[1][0]
    dx = np.empty(x_shape, dy.dtype)
    _correlate(dy, turned, np.zeros(x_shape[3], dy.dtype), dx, *before)
    return dx


def transformed_filter(w: np.ndarray, m: int) -> np.ndarray:
    """Return U (alpha**2, C, FP), the filter (r, r, C, F) in the domain of the products."""
    r, _, C, F = w.shape
    lanes = VECTOR_BYTES // w.itemsize
    FP = rounded_up(F, lanes)
    padded = aligned_zeros((r, r, C, FP), w.dtype)
    padded[..., :F] = w
    U = aligned_empty(((m + r - 1) ** 2, C, FP), w.dtype)
    _transform_filter(padded, U, m, lanes)
    return U


@jit(parallel=True)
def _transform_filter(w, U, m, lanes):
    r, _, C, FP = w.shape
    alpha = m + r - 1
    for c in prange(C):
        for f in range(0, FP, lanes):
            at = c * FP + f
            filter_tile(m, r, w, at, r * C * FP, C * FP, U, at, alpha * C * FP, C * FP)


def _correlate(x: np.ndarray, w: np.ndarray, b: np.ndarray, y: np.ndarray, PT: int, PL: int) -> None:
    """Fill y with the correlation of x and w; `PT` and `PL` may be below 0: then x begins outside."""
    _, OH, OW, F = y.shape
    r, C = w.shape[0], w.shape[2]
    m = tile_size(r, OH, OW)
    lanes, threads = VECTOR_BYTES // x.itemsize, get_num_threads()
    TH, TW, alpha = -(-OH // m), -(-OW // m), m + r - 1
    U = transformed_filter(w, m)
    CP, FP = rounded_up(C, lanes), U.shape[2]
    images = max(1, BLOCK // (TH * TW))
    rows = images * TH * TW + ROWS
    image = aligned_zeros((threads, TH * m + r - 1, TW * m + r - 1, CP), x.dtype)
    V = aligned_zeros((threads, alpha * alpha, rows, CP), x.dtype)
    M = aligned_zeros((threads, alpha * alpha, rows, FP), x.dtype)
    out = aligned_empty((threads, TH * m, TW * m, FP), x.dtype)
    bias = aligned_zeros(FP, x.dtype)
    bias[:F] = b
    _forward(np.ascontiguousarray(x), U, bias, y, image, V, M, out, m, r, images, lanes, PT, PL)


@jit(parallel=True)
def _forward(x, U, b, y, image, V, M, out, m, r, images, lanes, PT, PL):
    N, OH, OW, F = y.shape
    for block in prange((N + images - 1) // images):
        t = get_thread_id()
        first, last = block * images, min(block * images + images, N)
        for n in range(first, last):
            gather_image(x[n], image[t], PT, PL)
            input_tiles(image[t], V[t], n - first, m, r, lanes)
        multiply(V[t], U, M[t], (last - first) * (out.shape[1] // m) * (out.shape[2] // m), lanes)
        for n in range(first, last):
            output_tiles(M[t], out[t], n - first, m, r, lanes)
            for oh in range(OH):
                for ow in range(OW):
                    for f in range(F):
                        y[n, oh, ow, f] = out[t, oh, ow, f] + b[f]


def conv2d_grad_kernel(
    x: np.ndarray,
    dy: np.ndarray,
    w_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """See `naive.conv2d_grad_kernel`."""
    OH, OW = _checked(x.shape, w_shape, strides, padding, dilation, x=x, dy=dy)
    r, _, C, F = w_shape
    m = tile_size(r, OH, OW)
    lanes, threads = VECTOR_BYTES // x.itemsize, get_num_threads()
    TH, TW, alpha = -(-OH // m), -(-OW // m), m + r - 1
    CP, FP = rounded_up(C, lanes), rounded_up(F, lanes)
    images = max(1, BLOCK // (TH * TW))
    rows = images * TH * TW + ROWS
    image = aligned_zeros((threads, TH * m + r - 1, TW * m + r - 1, CP), x.dtype)
    gradient = aligned_zeros((threads, TH * m, TW * m, FP), x.dtype)
    V = aligned_zeros((threads, alpha * alpha, rows, CP), x.dtype)
    dM = aligned_zeros((threads, alpha * alpha, rows, FP), x.dtype)
    size = alpha * alpha * (C + ROWS) * FP
    count = int(np.clip(2**22 // size, 4, 16))
    parts = aligned_zeros((count, alpha * alpha, C + ROWS, FP), x.dtype)
    _grad_kernel(
        np.ascontiguousarray(x),
        np.ascontiguousarray(dy),
        parts,
        image,
        gradient,
        V,
        dM,
        m,
        r,
        C,
        images,
        lanes,
        padding[0][0],
        padding[1][0],
    )
    dw = aligned_empty((r, r, C, FP), x.dtype)
    _transform_filter_back(parts.sum(axis=0), dw, m, lanes)
    return np.ascontiguousarray(dw[..., :F])


@jit(parallel=True)
def _grad_kernel(x, dy, parts, image, gradient, V, dM, m, r, C, images, lanes, PT, PL):
    N = x.shape[0]
    P, places, slack, FP = parts.shape
    rows, CP = V.shape[2], V.shape[3]
    TH, TW = gradient.shape[1] // m, gradient.shape[2] // m
    blocks = (N + images - 1) // images
    for p in prange(P):
        t = get_thread_id()
        for block in range(p, blocks, P):
            first, last = block * images, min(block * images + images, N)
            for n in range(first, last):
                gather_image(x[n], image[t], PT, PL)
                input_tiles(image[t], V[t], n - first, m, r, lanes)
                gather_image(dy[n], gradient[t], 0, 0)
                gradient_tiles(gradient[t], dM[t], n - first, m, r, lanes)
            for place in range(places):
                gemm(
                    C,
                    FP // lanes,
                    lanes,
                    V,
                    (t * places + place) * rows * CP,
                    1,
                    0,
                    CP,
                    dM,
                    (t * places + place) * rows * FP,
                    0,
                    FP,
                    parts,
                    (p * places + place) * slack * FP,
                    FP,
                    1,
                    (last - first) * TH * TW,
                    1,
                )


@jit(parallel=True)
def _transform_filter_back(dU, dw, m, lanes):
    r, _, C, FP = dw.shape
    alpha = m + r - 1
    slack = dU.shape[1]
    for c in prange(C):
        for f in range(0, FP, lanes):
            at = c * FP + f
            filter_grad_tile(m, r, dU, at, alpha * slack * FP, slack * FP, dw, at, r * C * FP, C * FP)
