"""Winograd's minimal filtering in Numba: fewer multiplications than the definition has.

::

    forward      V = B^T x B per tile;   M = V U, with U = G w G^T;   y = A^T M A
    grad_input   the forward pass, of dy with the filter rotated by 180 degrees
    grad_filter  dM = A dy A^T;   dU += V^T dM over all tiles;   dw = G^T dU G

F(m, r) computes m x m outputs of an r x r filter from a tile of alpha x alpha pixels, alpha = m + r - 1,
with alpha**2 multiplications instead of m**2 r**2: 2.25 times fewer for F(2,3), 4 for F(4,3), 2.78 for
F(5,2). Over the channels, each of the alpha**2 points is a matrix product of its own. Lavin & Gray, "Fast
algorithms for convolutional neural networks", arXiv 1509.09308; the gradients are the adjoints of the
three transforms. For square filters of 2 or 3, strides and dilation of 1.

Each output is computed from all pixels of its tile. So a pixel that is NaN, infinite or very large affects
all outputs of the tiles that read it, up to alpha - 1 rows and columns away, not only those of its windows.

The threads share out the images of a batch; for a single image, see `winograd_image`.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import get_thread_id

from tinycnn.kernels.conv.winograd_image import correlate_image, fits_in_cache
from tinycnn.kernels.conv.winograd_tiles import (
    filter_grad_tile,
    filter_tiles,
    gather_image,
    gradient_tiles,
    input_tiles,
    multiply,
    output_tiles,
    tiling_of,
)
from tinycnn.kernels.geometry import NO_PADDING, window_output
from tinycnn.kernels.primitives.epilogue import bias_relu
from tinycnn.kernels.primitives.gemm import ROWS, gemm
from tinycnn.kernels.primitives.integers import ceil_div, round_up
from tinycnn.kernels.primitives.operand import operand
from tinycnn.kernels.primitives.simd import VECTOR_BYTES
from tinycnn.kernels.runtime import threads
from tinycnn.kernels.runtime.jit import jit
from tinycnn.kernels.runtime.memory import allocate, contiguous, whole_vectors
from tinycnn.kernels.runtime.parallel import parallel_for
from tinycnn.kernels.runtime.threads import get_num_threads
from tinycnn.kernels.selection import tile_size
from tinycnn.support.checks import Pads, Pair

# Bytes of V and M of the images that one thread transforms, multiplies and transforms back at a time, one
# image at least: enough rows for the products to pay for loading U, few enough to stay in a level 2 cache.
BLOCK = 3 * 2**18
# A batch is cut into at least this many blocks, if it has as many images: enough for many threads.
BLOCKS = 16
# Tiles of the images that the threads transform, each its own, before the products of the filter's gradient:
# long sums, so that dU is not loaded and stored for a few numbers each. One image at least.
GRADIENT_BLOCK = 144
# Tiles that are added up in registers; a large image has more, in sums of this length.
LONG_SUM = 1024


class Buffers(NamedTuple):
    """Workspace of one thread; see `winograd_tiles` for the letters.

    image (HP, WP, CP) is an image padded to whole tiles; V (alpha^2, rows, CP) and M (alpha^2, rows, FP) are
    the tiles of a block of images, and out (TH m, TW m, FP) the outputs of one.
    """

    image: np.ndarray
    V: np.ndarray
    M: np.ndarray
    out: np.ndarray


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
    OH, OW = window_output(x.shape[1:3], w.shape[:2], strides, padding, dilation)
    (y,) = allocate(((x.shape[0], OH, OW, w.shape[3]), x.dtype))
    _correlate(x, w, b, y, (padding[0][0], padding[1][0]), relu)
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
    rotated = w[::-1, ::-1].transpose(0, 1, 3, 2)  # (KH, KW, F, C)
    corner = w.shape[0] - 1 - padding[0][0], w.shape[1] - 1 - padding[1][0]
    (dx,) = allocate((x_shape, dy.dtype))
    _correlate(dy, rotated, None, dx, corner, False)
    return dx


def _correlate(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, corner: Pair, relu: bool
) -> None:
    """Fill y with the correlation of x and w.

    `corner` is the padding at the top and at the left; a negative value crops that many rows or columns.
    """
    if len(x) == 1 and fits_in_cache(w.shape, y.shape, x.dtype):
        correlate_image(x, w, b, y, corner, relu)
        return
    U, bias, scratch, images, m = prepare(x, w, b, y.shape[1], y.shape[2])
    with threads.guard:
        _forward(contiguous(x), U, bias, y, scratch, images, (m, w.shape[0]), corner, relu)


def prepare(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, OH: int, OW: int) -> tuple[Any, ...]:
    """Transform w; return U, bias (FP), the arrays of `Buffers` with an axis of threads, block size, m."""
    images, m, shapes = _forward_workspace(w.shape, OH, OW, len(x), x.dtype, get_num_threads())
    image, V, M, out, bias, U = allocate(*shapes)
    image.fill(0)  # the channels that fill up the last vector stay 0
    V[:, :, -ROWS:] = 0  # the last block of `gemm` reads that far
    bias.fill(0)
    if b is not None:
        bias[: w.shape[3]] = b
    with threads.guard:
        _transform_filters(whole_vectors(w, VECTOR_BYTES // x.itemsize), U, m)
    return U, bias, (image, V, M, out), images, m


@lru_cache(maxsize=256)
def _forward_workspace(
    w_shape: tuple[int, ...], OH: int, OW: int, N: int, dtype: np.dtype, threads: int
) -> tuple[int, int, list[tuple[tuple[int, ...], np.dtype]]]:
    """Return the images of a block, m of F(m, r), and (shape, dtype) of the arrays of `prepare`."""
    r, _, C, F = w_shape
    m, lanes = tile_size(r, OH, OW), VECTOR_BYTES // dtype.itemsize
    TH, TW, alpha = ceil_div(OH, m), ceil_div(OW, m), m + r - 1
    CP, FP = round_up(C, lanes), round_up(F, lanes)
    images = max(1, BLOCK // (TH * TW * alpha**2 * (CP + FP) * dtype.itemsize))
    images = min(images, max(1, ceil_div(N, BLOCKS)))
    rows = images * TH * TW + ROWS
    shapes = [
        (threads, TH * m + r - 1, TW * m + r - 1, CP),
        (threads, alpha * alpha, rows, CP),
        (threads, alpha * alpha, rows, FP),
        (threads, TH * m, TW * m, FP),
        (FP,),
        (alpha * alpha, C * FP + lanes),
    ]
    return images, m, [(shape, dtype) for shape in shapes]


@jit
def _transform_filters(w, U, m):
    """U (alpha^2, C * FP + lanes) of w (r, r, C, FP)."""
    parallel_for(_transform_channel, w.shape[2], (w, U, m))


@jit
def _transform_channel(c, w, U, m):
    """Do the work of `_transform_filters` for channel c."""
    filter_tiles(w, c, 0, w.shape[3], U, m)


@jit
def _forward(x, U, b, y, scratch, images, tile, corner, relu):
    """y (N, OH, OW, F) of x (N, H, W, C), U (alpha^2, C * FP + lanes) and b (FP).

    `scratch` has the four arrays of `Buffers` for each thread, (threads, ...); `tile` is (m, r).
    """
    parallel_for(_forward_block, ceil_div(len(y), images), (x, U, b, y, scratch, images, tile, corner, relu))


@jit
def _forward_block(block, x, U, b, y, scratch, images, tile, corner, relu):
    """Do the work of `_forward` for one block of images."""
    N, OH, OW, _ = y.shape
    image, V, M, out = scratch
    first, last, t = block * images, min(block * images + images, N), get_thread_id()
    tiling = tiling_of(tile[0], tile[1], OH, OW)
    buffers = Buffers(image[t], V[t], M[t], out[t])
    products(x, first, last, U, buffers, tiling, corner)
    for n in range(first, last):
        output_tiles(buffers.M, buffers.out, n - first, tiling)
        bias_relu(buffers.out, b, relu, y[n], 0)


@jit
def products(x, first, last, U, buffers, tiling, corner):
    """M (alpha^2, rows, FP) of the buffers = the products of images `first` to `last` of x (N, H, W, C)."""
    image, V = buffers.image, buffers.V
    whole = corner[0] == corner[1] == 0 and x.shape[1:] == image.shape  # then it is its own padded form
    for n in range(first, last):
        if not whole:
            gather_image(x[n], image, corner[0], corner[1])
        input_tiles(x[n] if whole else image, V, n - first, tiling)
    multiply(V, U, buffers.M, x.shape[3], (last - first) * tiling.TH * tiling.TW)


def conv2d_grad_filter(
    x: np.ndarray,
    dy: np.ndarray,
    w_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """See `naive.conv2d_grad_filter`."""
    corner = padding[0][0], padding[1][0]
    images, m, dw_shape, shapes = _gradient_workspace(
        w_shape, *dy.shape[1:3], len(x), x.dtype, get_num_threads()
    )
    image, gradient, *_ = scratch = allocate(*shapes)
    image.fill(0)  # as in `prepare`
    gradient.fill(0)
    (dw,) = allocate((dw_shape, x.dtype))
    with threads.guard:
        _grad_filter(contiguous(x), contiguous(dy), dw, tuple(scratch), images, (m, w_shape[0]), corner)
    return np.ascontiguousarray(dw[..., : w_shape[3]])


@lru_cache(maxsize=256)
def _gradient_workspace(
    w_shape: tuple[int, ...], OH: int, OW: int, N: int, dtype: np.dtype, threads: int
) -> tuple[int, int, tuple[int, ...], list[tuple[tuple[int, ...], np.dtype]]]:
    """Return the images of a block, m of F(m, r), dw's padded shape, and (shape, dtype) of the scratch."""
    r, _, C, F = w_shape
    m, lanes = tile_size(r, OH, OW), VECTOR_BYTES // dtype.itemsize
    TH, TW, alpha = ceil_div(OH, m), ceil_div(OW, m), m + r - 1
    CP, FP = round_up(C, lanes), round_up(F, lanes)
    images = max(min(GRADIENT_BLOCK // (TH * TW), N), 1)
    shapes = [
        (threads, TH * m + r - 1, TW * m + r - 1, CP),
        (threads, TH * m, TW * m, FP),
        # the last block of `gemm` reads on, past the channels of the last tile
        (alpha * alpha, images * TH * TW + ROWS, CP),
        (alpha * alpha, images * TH * TW, FP),
        (alpha * alpha, C + ROWS, FP),
    ]
    return images, m, (r, r, C, FP), [(shape, dtype) for shape in shapes]


@jit
def _grad_filter(x, dy, dw, scratch, images, tile, corner):
    """dw (r, r, C, FP) of x (N, H, W, C) and dy (N, OH, OW, F), block by block of images.

    `scratch` has, for each thread, a padded image and gradient; then V (alpha^2, rows, CP), dM (alpha^2,
    rows, FP) and dU (alpha^2, C + ROWS, FP), which the threads share. `tile` is (m, r).
    """
    N, OH, OW, _ = dy.shape
    _, _, V, dM, dU = scratch
    for first in range(0, max(N, 1), images):
        count = min(images, N - first)
        parallel_for(_transform_image, count, (x[first:], dy[first:], scratch, tile, corner))
        tiles = count * ceil_div(OH, tile[0]) * ceil_div(OW, tile[0])
        # a thread has a point to itself, so no sums are joined
        parallel_for(_grad_point, len(dU), (V, dM, dU, x.shape[3], tiles, first > 0))
    parallel_for(_transform_back, x.shape[3], (dU, dw, tile))


@jit
def _transform_image(n, x, dy, scratch, tile, corner):
    """Transform image n of its block, x (N, H, W, C) and dy (N, OH, OW, F), into V and dM."""
    image, gradient, V, dM, _ = scratch
    padded, padded_dy = image[get_thread_id()], gradient[get_thread_id()]
    tiling = tiling_of(tile[0], tile[1], dy.shape[1], dy.shape[2])
    whole = corner[0] == corner[1] == 0 and x.shape[1:] == padded.shape  # then it is its own padded form
    if not whole:
        gather_image(x[n], padded, corner[0], corner[1])
    input_tiles(x[n] if whole else padded, V, n, tiling)
    whole = dy.shape[1:] == padded_dy.shape
    if not whole:
        gather_image(dy[n], padded_dy, 0, 0)
    gradient_tiles(dy[n] if whole else padded_dy, dM, n, tiling)


@jit
def _grad_point(point, V, dM, dU, C, tiles, add):
    """dU[point] (C, FP) = [dU +] V^T dM, with V[point] (tiles, CP) and dM[point] (tiles, FP)."""
    CP, FP, lanes = V.shape[2], dM.shape[2], VECTOR_BYTES // V.itemsize
    total = operand(dU[point], row=FP)
    for tile in range(0, max(tiles, 1), LONG_SUM):
        pixels, gradients = (
            operand(V[point], tile * CP, row=1, inner=CP),
            operand(dM[point], tile * FP, inner=FP),
        )
        gemm(C, FP // lanes, pixels, gradients, total, 1, min(LONG_SUM, tiles - tile), add or tile > 0)


@jit
def _transform_back(c, dU, dw, tile):
    """dw (r, r, C, FP)[:, :, c] of dU (alpha^2, C + ROWS, FP)."""
    m, r = tile
    _, _, C, FP = dw.shape
    alpha, point, lanes = m + r - 1, dU.shape[1] * FP, VECTOR_BYTES // dw.itemsize
    for f in range(0, FP, lanes):
        at = c * FP + f
        source = operand(dU, at, row=alpha * point, inner=point)
        filter_grad_tile((m, r), source, operand(dw, at, row=r * C * FP, inner=C * FP))
