"""Winograd's minimal filtering of a single image: the threads share out the filters.

::

    each thread:   x -> V;   for each of its blocks of filters:   w -> U;   M = V U;   M -> out -> pool -> y

Data that one core writes and another reads travels between their caches at about 10 GB/s. So each thread
transforms the whole image, which is cheap, and only its own filters. Only x and y are shared. A transformed
filter is used for one image only, so the tiles are smaller than in a batch (`selection.tile_size`).
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from tinycnn.kernels.conv.winograd_tiles import (
    filter_tiles,
    gather_image,
    input_tiles,
    multiply,
    output_tiles,
    tiling_of,
)
from tinycnn.kernels.primitives.epilogue import bias_relu, pool_filters
from tinycnn.kernels.primitives.gemm import ROWS, VECTORS
from tinycnn.kernels.primitives.integers import ceil_div, round_up
from tinycnn.kernels.primitives.simd import VECTOR_BYTES
from tinycnn.kernels.runtime import threads
from tinycnn.kernels.runtime.jit import jit
from tinycnn.kernels.runtime.memory import allocate, contiguous, whole_vectors
from tinycnn.kernels.runtime.parallel import parallel_for
from tinycnn.kernels.runtime.threads import get_num_threads
from tinycnn.kernels.selection import tile_size
from tinycnn.support.checks import Pair

# Bytes of a thread's buffers; with more, they would leave the caches, and larger images are better shared.
MOST_BYTES = 2**21
NO_POOL = (1, 1)


class WorkspaceSizes(NamedTuple):
    """The filters of a block, and how many numbers each buffer of a thread holds; see `winograd.Buffers`."""

    filters: int
    image: int
    V: int
    U: int
    M: int
    out: int


def correlate_image(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, corner: Pair, relu: bool
) -> None:
    """Fill y (1, OH, OW, F) with the correlation of x (1, H, W, C) and w (r, r, C, F), and b if any.

    Pixel (0, 0) of x stands at `corner`; below 0, x begins outside.
    """
    m, shapes = _workspace(w.shape, y.shape, x.dtype, get_num_threads())
    memory, bias = allocate(*shapes)
    bias[:] = 0 if b is None else b
    padded = whole_vectors(w, VECTOR_BYTES // x.itemsize)
    with threads.guard:
        correlate_filters(contiguous(x)[0], padded, bias, y[0], memory, m, corner, relu, NO_POOL, NO_POOL)


@lru_cache(maxsize=256)
def _workspace(
    w_shape: tuple[int, ...], y_shape: tuple[int, ...], dtype: np.dtype, threads: int
) -> tuple[int, list[tuple[tuple[int, ...], np.dtype]]]:
    """Return m of F(m, r), and (shape, dtype) of the threads' memory and of the bias."""
    (r, _, C, F), (_, OH, OW, _) = w_shape, y_shape
    m = tile_size(r, OH, OW, images=1)
    room = filters_workspace(OH, OW, r, C, F, m, VECTOR_BYTES // dtype.itemsize, threads)
    return m, [((threads, room), dtype), ((F,), dtype)]


@lru_cache(maxsize=256)
def fits_in_cache(w_shape: tuple[int, ...], y_shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Return whether the buffers of one thread are small enough to stay in a cache."""
    (r, _, C, F), (_, OH, OW, _) = w_shape, y_shape
    m, lanes = tile_size(r, OH, OW, images=1), VECTOR_BYTES // dtype.itemsize
    return filters_workspace(OH, OW, r, C, F, m, lanes, 1) * dtype.itemsize <= MOST_BYTES


@register_jitable
def workspace_sizes(OH, OW, r, C, F, m, lanes, threads):
    """Return the `WorkspaceSizes` of the buffers for an output of OH x OW and filters (r, r, C, F)."""
    TH, TW, alpha = ceil_div(OH, m), ceil_div(OW, m), m + r - 1
    CP = round_up(C, lanes)
    # as wide as the micro-kernel likes, but so that there is a block for each thread
    filters = min(VECTORS, ceil_div(ceil_div(F, lanes), threads)) * lanes
    points, rows = alpha * alpha, TH * TW + ROWS
    image, out = (TH * m + r - 1) * (TW * m + r - 1) * CP, TH * m * TW * m * filters
    return WorkspaceSizes(
        filters, image, points * rows * CP, points * (C * filters + lanes), points * rows * filters, out
    )


@register_jitable
def filters_workspace(OH, OW, r, C, F, m, lanes, threads):
    """Return the workspace of a thread, in elements."""
    room = workspace_sizes(OH, OW, r, C, F, m, lanes, threads)
    return room.image + room.V + room.U + room.M + room.out


@jit
def correlate_filters(x, w, b, y, memory, m, corner, relu, pool_size, pool_strides):
    """y (PH, PW, F), max-pooled, of x (H, W, C), w (r, r, C, FP) and b (F); memory (threads, room)."""
    operands = x, w, b, y, memory, m, corner, relu, pool_size, pool_strides
    parallel_for(_correlate_share, len(memory), operands)


@jit
def _correlate_share(share, x, w, b, y, memory, m, corner, relu, pool_size, pool_strides):
    """Do the work of `correlate_filters` for one share of the filters: every block whose turn it is."""
    (PH, PW, F), shares, own = y.shape, len(memory), memory[share]
    # the convolution's outputs that the pool reads
    OH, OW = (PH - 1) * pool_strides[0] + pool_size[0], (PW - 1) * pool_strides[1] + pool_size[1]
    r, _, C, FP = w.shape
    lanes = VECTOR_BYTES // x.itemsize
    room = workspace_sizes(OH, OW, r, C, F, m, lanes, shares)
    if share * room.filters >= FP:
        return
    tiling = tiling_of(m, r, OH, OW)
    points, tiles = (m + r - 1) * (m + r - 1), tiling.TH * tiling.TW
    height, width = tiling.TH * m, tiling.TW * m
    V_at = room.image
    U_at = V_at + room.V
    M_at = U_at + room.U
    out_at = M_at + room.M
    V = own[V_at:U_at].reshape((points, tiles + ROWS, round_up(C, lanes)))
    image = own[:V_at].reshape((height + r - 1, width + r - 1, round_up(C, lanes)))
    whole = corner[0] == corner[1] == 0 and x.shape == image.shape  # then it is its own padded form
    if not whole:
        gather_image(x, image, corner[0], corner[1])
    input_tiles(x if whole else image, V, 0, tiling)
    for first in range(share * room.filters, FP, shares * room.filters):
        count = min(room.filters, FP - first)
        row = C * count + lanes
        U = own[U_at : U_at + points * row].reshape((points, row))
        M = own[M_at : M_at + points * (tiles + ROWS) * count].reshape((points, tiles + ROWS, count))
        out = own[out_at : out_at + height * width * count].reshape((height, width, count))
        for c in range(C):
            filter_tiles(w, c, first, count, U, m)
        multiply(V, U, M, C, tiles)
        output_tiles(M, out, 0, tiling)
        if pool_size == NO_POOL and pool_strides == NO_POOL:
            bias_relu(out, b, relu, y, first)
        else:
            pool_filters(out, b, relu, y, first, pool_size, pool_strides)
