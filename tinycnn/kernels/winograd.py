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

The threads share out the images of a batch; those of a single image are in `winograd_image`.
"""

from typing import Any

import numpy as np
from numba import get_num_threads, get_thread_id, prange

from tinycnn.checks import Pads, Pair
from tinycnn.kernels.buffers import aligned_empty, aligned_zeros, contiguous, rounded_up, whole_vectors
from tinycnn.kernels.direct import PARTS
from tinycnn.kernels.epilogue import pool_image, pooled_outputs, rectify_image
from tinycnn.kernels.geometry import NO_PADDING, check_conv, winograd_refuses
from tinycnn.kernels.jit import jit
from tinycnn.kernels.microkernel import ROWS, gemm
from tinycnn.kernels.pooling import (
    averagepool2d,
    averagepool2d_grad_input,
    maxpool2d,
    maxpool2d_grad_input,
)
from tinycnn.kernels.random import fill_bits
from tinycnn.kernels.simd import VECTOR_BYTES
from tinycnn.kernels.tiles import (
    filter_grad_tile,
    filter_vectors,
    gather_image,
    gradient_tiles,
    input_tiles,
    multiply,
    output_tiles,
    tile_size,
)
from tinycnn.kernels.winograd_image import correlate_image, fits_one_thread

__all__ = [
    "averagepool2d",
    "averagepool2d_grad_input",
    "conv2d",
    "conv2d_grad_input",
    "conv2d_grad_kernel",
    "maxpool2d",
    "maxpool2d_grad_input",
]

# Bytes of V and M of the images that one thread transforms, multiplies and transforms back at a time, one
# image at least: enough rows for the products to pay for loading U, few enough to stay in a level 2 cache.
BLOCK = 3 * 2**18
# Tiles of the images that the threads transform, each its own, before the products of the filter's gradient:
# long sums, so that dU is not loaded and stored for a few numbers each. One image at least.
GRADIENT_BLOCK = 144


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
    relu: bool = False,
) -> np.ndarray:
    """See `naive.conv2d`."""
    OH, OW = _checked(x.shape, w.shape, strides, padding, dilation, x=x, w=w, b=b)
    y = aligned_empty((x.shape[0], OH, OW, w.shape[3]), x.dtype)
    _correlate(x, w, b, y, padding[0][0], padding[1][0], relu)
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
    dx = aligned_empty(x_shape, dy.dtype)
    _correlate(dy, turned, None, dx, *before, False)
    return dx


def transformed_filter(w: np.ndarray, m: int) -> np.ndarray:
    """Return U, the filter (r, r, C, F) in the domain of the products; see `tiles`."""
    lanes = VECTOR_BYTES // w.itemsize
    padded = whole_vectors(w, lanes)
    r, _, C, FP = padded.shape
    U = aligned_empty(((m + r - 1) ** 2, C * FP + lanes), w.dtype)
    _transform_filter(padded, U, m, lanes)
    return U


@jit(parallel=True)
def _transform_filter(w, U, m, lanes):
    for c in prange(w.shape[2]):
        filter_vectors(w, np.int64(c), 0, w.shape[3], U, m, lanes)


def conv2d_pool(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    padding: Pads,
    pool_size: Pair,
    pool_strides: Pair,
    key: np.ndarray,
    dropped: int,
    scale: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `epilogue.pool` makes of the convolution, which is not kept in memory."""
    OH, OW = _checked(x.shape, w.shape, (1, 1), padding, (1, 1), x=x, w=w, b=b)
    y, winner, words = pooled_outputs((len(x), OH, OW, w.shape[3]), x.dtype, pool_size, pool_strides)
    U, bias, buffers, images, plan = _prepare(x, w, b, OH, OW)
    bits, scale = words.view(np.uint16), x.dtype.type(scale)
    _forward_pool(
        contiguous(x), U, bias, y, winner, *buffers, words, bits, images, *plan, padding[0][0],
        padding[1][0], *pool_size, *pool_strides, key, dropped, scale,
    )  # fmt: skip
    return y, winner


def _correlate(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, PT: int, PL: int, relu: bool
) -> None:
    """Fill y with the correlation of x and w; `PT` and `PL` may be below 0: then x begins outside."""
    if len(x) == 1 and fits_one_thread(w.shape, y.shape, x.dtype):
        correlate_image(x, w, b, y, PT, PL, relu)
        return
    U, bias, buffers, images, plan = _prepare(x, w, b, y.shape[1], y.shape[2])
    _forward(contiguous(x), U, bias, y, *buffers, images, *plan, PT, PL, relu)


def tile_size_of_one(w_shape: tuple[int, ...], OH: int, OW: int, dtype: np.dtype) -> int:
    """Return the m of F(m, r) for a single image, which has a kernel of its own unless it is too large."""
    alone = fits_one_thread(w_shape, (1, OH, OW, w_shape[3]), dtype)
    return tile_size(w_shape[0], OH, OW, images=1 if alone else 2)


def _prepare(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, OH: int, OW: int) -> tuple[Any, ...]:
    """Return U, the bias, each thread's buffers, the images of a block, and (m, r, lanes)."""
    r, _, C, F = w.shape
    m = tile_size(r, OH, OW)
    lanes, threads = VECTOR_BYTES // x.itemsize, get_num_threads()
    TH, TW, alpha = -(-OH // m), -(-OW // m), m + r - 1
    CP, FP = rounded_up(C, lanes), rounded_up(F, lanes)
    images = max(1, BLOCK // (TH * TW * alpha**2 * (CP + FP) * x.itemsize))
    images = min(images, max(1, -(-len(x) // PARTS)))  # blocks enough for many threads
    rows = images * TH * TW + ROWS
    image = aligned_zeros((threads, TH * m + r - 1, TW * m + r - 1, CP), x.dtype)
    V = aligned_zeros((threads, alpha * alpha, rows, CP), x.dtype)
    M = aligned_empty((threads, alpha * alpha, rows, FP), x.dtype)
    out = aligned_empty((threads, TH * m, TW * m, FP), x.dtype)
    bias = aligned_zeros(FP, x.dtype)
    bias[:F] = 0 if b is None else b
    return transformed_filter(w, m), bias, (image, V, M, out), images, (m, r, lanes)


@jit(parallel=True)
def _forward(x, U, b, y, image, V, M, out, images, m, r, lanes, PT, PL, relu):
    N = len(y)
    for block in prange((N + images - 1) // images):
        t = get_thread_id()
        first, last = block * images, min(block * images + images, N)
        products(x, first, last, U, image[t], V[t], M[t], m, r, lanes, PT, PL)
        for n in range(first, last):
            output_tiles(M[t], out[t], n - first, m, r, lanes)
            rectify_image(out[t], b, relu, y[n], 0)


@jit(parallel=True)
def _forward_pool(
    x, U, b, y, winner, image, V, M, out, words, bits, images, m, r, lanes, PT, PL, QH, QW, SH, SW, key,
    dropped, scale,
):  # fmt: skip
    N = len(y)
    size = y.shape[1] * y.shape[2] * y.shape[3]
    for block in prange((N + images - 1) // images):
        t = get_thread_id()
        first, last = block * images, min(block * images + images, N)
        products(x, first, last, U, image[t], V[t], M[t], m, r, lanes, PT, PL)
        for n in range(first, last):
            output_tiles(M[t], out[t], n - first, m, r, lanes)
            start = fill_bits(key, n * size, size, words[t]) if dropped > 0 else 0
            pool_image(out[t], b, y[n], winner[n], QH, QW, SH, SW, bits[t], start, dropped, scale)


@jit
def products(x, first, last, U, image, V, M, m, r, lanes, PT, PL):
    """Fill M with the products of a block of images, from their tiles in V."""
    tiles = ((image.shape[0] - r + 1) // m) * ((image.shape[1] - r + 1) // m)
    fits = PT == PL == 0 and x.shape[1:] == image.shape  # then it is its own padded form
    for n in range(first, last):
        if not fits:
            gather_image(x[n], image, PT, PL)
        input_tiles(x[n] if fits else image, V, n - first, m, r, lanes)
    multiply(V, U, M, x.shape[3], (last - first) * tiles, lanes)


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
    images = max(min(GRADIENT_BLOCK // (TH * TW), len(x)), 1)
    image = aligned_zeros((threads, TH * m + r - 1, TW * m + r - 1, CP), x.dtype)
    gradient = aligned_zeros((threads, TH * m, TW * m, FP), x.dtype)
    # the last block of `gemm` reads on, past the channels of the last tile
    V = aligned_empty((alpha * alpha, images * TH * TW + ROWS, CP), x.dtype)
    dM = aligned_empty((alpha * alpha, images * TH * TW, FP), x.dtype)
    dU = aligned_empty((alpha * alpha, C + ROWS, FP), x.dtype)
    x, dy, corner = contiguous(x), contiguous(dy), (padding[0][0], padding[1][0])
    for first in range(0, max(len(x), 1), images):
        last = min(first + images, len(x))
        _transform_block(x, dy, first, last, image, gradient, V, dM, m, r, lanes, *corner)
        _grad_block(V, dM, dU, C, (last - first) * TH * TW, lanes, int(first > 0))
    dw = aligned_empty((r, r, C, FP), x.dtype)
    _transform_filter_back(dU, dw, m, lanes)
    return np.ascontiguousarray(dw[..., :F])


@jit(parallel=True)
def _transform_block(x, dy, first, last, image, gradient, V, dM, m, r, lanes, PT, PL):
    fits = PT == PL == 0 and x.shape[1:] == image.shape[1:]  # then it is its own padded form
    gradient_fits = dy.shape[1:] == gradient.shape[1:]
    for n in prange(first, last):
        t = get_thread_id()
        if not fits:
            gather_image(x[n], image[t], PT, PL)
        input_tiles(x[n] if fits else image[t], V, n - first, m, r, lanes)
        if not gradient_fits:
            gather_image(dy[n], gradient[t], 0, 0)
        gradient_tiles(dy[n] if gradient_fits else gradient[t], dM, n - first, m, r, lanes)


@jit(parallel=True)
def _grad_block(V, dM, dU, C, tiles, lanes, keep):
    """dU (+)= V^T dM at each place: one thread has a place to itself, so no sums have to be joined."""
    places, slack, FP = dU.shape
    rows, CP = V.shape[1], V.shape[2]
    for p in prange(places):
        gemm(
            C, FP // lanes, lanes, V, p * rows * CP, 1, 0, CP, dM, p * dM.shape[1] * FP, 0, FP,
            dU, p * slack * FP, FP, 1, tiles, keep,
        )  # fmt: skip


@jit(parallel=True)
def _transform_filter_back(dU, dw, m, lanes):
    r, _, C, FP = dw.shape
    alpha = m + r - 1
    slack = dU.shape[1]
    for c in prange(C):
        for f in range(0, FP, lanes):
            at = c * FP + f
            filter_grad_tile(m, r, dU, at, alpha * slack * FP, slack * FP, dw, at, r * C * FP, C * FP)
