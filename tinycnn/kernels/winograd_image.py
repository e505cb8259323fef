"""Winograd's minimal filtering of a single image: the threads share out the filters.

::

    each thread:   x -> V;   for each of its blocks of filters:   w -> U;   M = V U;   M -> out -> pool -> y

With one image there is too little work to share twice. What one core writes and another reads has to travel
between their caches, at some 10 GB/s: so each thread transforms the whole image for itself, which is cheap,
and of the filters just its own, and nothing but x and y crosses. Since a filter's transform is used only
once, the tiles are smaller than in a batch (`tiles.tile_size`).
"""

import numpy as np
from numba import get_num_threads, prange

from tinycnn.kernels.buffers import aligned_empty, contiguous, whole_vectors
from tinycnn.kernels.epilogue import pool_filters, rectify_image
from tinycnn.kernels.jit import jit
from tinycnn.kernels.microkernel import ROWS, VECTORS
from tinycnn.kernels.simd import VECTOR_BYTES
from tinycnn.kernels.tiles import (
    filter_matrices,
    gather_image,
    input_tiles,
    multiply,
    output_tiles,
    tile_size,
)

# Bytes of a thread's buffers; with more, they would leave the caches, and larger images are better shared.
MOST_BYTES = 2**21


def correlate_image(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, PT: int, PL: int, relu: bool
) -> None:
    """Fill y (1, OH, OW, F) with the correlation of x (1, H, W, C) and w (r, r, C, F), and b if any.

    Pixel (0, 0) of x stands at (PT, PL); below 0, x begins outside.
    """
    (r, _, C, F), (_, OH, OW, _) = w.shape, y.shape
    lanes, m = VECTOR_BYTES // x.itemsize, tile_size(r, OH, OW, images=1)
    bias = np.zeros(F, x.dtype) if b is None else b
    threads = get_num_threads()
    memory = aligned_empty((threads, filters_room(OH, OW, r, C, F, m, lanes, threads)), x.dtype)
    correlate_filters(
        contiguous(x)[0], whole_vectors(w, lanes), whole_vectors(bias, lanes), y[0], memory, m, lanes, PT, PL,
        relu, 1, 1, 1, 1,
    )  # fmt: skip


def fits_one_thread(w_shape: tuple[int, ...], y_shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Return whether an image is small enough to be transformed by each thread."""
    (r, _, C, F), (_, OH, OW, _) = w_shape, y_shape
    m, lanes = tile_size(r, OH, OW, images=1), VECTOR_BYTES // dtype.itemsize
    return bool(filters_room(OH, OW, r, C, F, m, lanes, 1) * dtype.itemsize <= MOST_BYTES)


@jit
def sizes(OH, OW, r, C, F, m, lanes, threads):
    """Return the filters of a block, and how many numbers a thread's five buffers hold."""
    TH, TW, alpha = (OH + m - 1) // m, (OW + m - 1) // m, m + r - 1
    CP = (C + lanes - 1) // lanes * lanes
    # as wide as the micro-kernel likes, but so that there is a block for each thread
    block = min(VECTORS, ((F + lanes - 1) // lanes + threads - 1) // threads) * lanes
    places, rows = alpha * alpha, TH * TW + ROWS
    image = (TH * m + r - 1) * (TW * m + r - 1) * CP
    return (
        block, image, places * rows * CP, places * (C * block + lanes), places * rows * block,
        TH * m * TW * m * block,
    )  # fmt: skip


@jit
def filters_room(OH, OW, r, C, F, m, lanes, threads):
    """Return how many numbers of memory a thread needs."""
    _, image, V, U, M, out = sizes(OH, OW, r, C, F, m, lanes, threads)
    return image + V + U + M + out


@jit(parallel=True)
def correlate_filters(x, w, b, y, memory, m, lanes, PT, PL, relu, QH, QW, SH, SW):
    """Fill y (PH, PW, F), max-pooled, for x (H, W, C) and w (r, r, C, FP); `memory` has a row a thread."""
    for part in prange(len(memory)):
        thread = np.int64(part)  # the index of a prange is unsigned: everything would be compiled for both
        _correlate_some(
            x, w, b, y, memory[thread], thread, len(memory), m, lanes, PT, PL, relu, QH, QW, SH, SW
        )


@jit
def _correlate_some(x, w, b, y, memory, thread, threads, m, lanes, PT, PL, relu, QH, QW, SH, SW):
    """Do the blocks of filters of one thread."""
    PH, PW, F = y.shape
    OH, OW = (PH - 1) * SH + QH, (PW - 1) * SW + QW  # what the pool leaves over at the end, nobody needs
    r, _, C, FP = w.shape
    TH, TW, alpha = (OH + m - 1) // m, (OW + m - 1) // m, m + r - 1
    CP, places, rows = (C + lanes - 1) // lanes * lanes, alpha * alpha, TH * TW + ROWS
    block, image_size, V_size, U_size, M_size, _ = sizes(OH, OW, r, C, F, m, lanes, threads)
    if thread * block >= FP:
        return
    V_at = image_size
    U_at = V_at + V_size
    M_at = U_at + U_size
    out_at = M_at + M_size
    V = memory[V_at:U_at].reshape((places, rows, CP))
    image = memory[:image_size].reshape((TH * m + r - 1, TW * m + r - 1, CP))
    fits = PT == PL == 0 and x.shape == image.shape  # then it is its own padded form
    if not fits:
        gather_image(x, image, PT, PL)
    input_tiles(x if fits else image, V, 0, m, r, lanes)
    for first in range(thread * block, FP, threads * block):
        width = min(block, FP - first)
        U = memory[U_at : U_at + places * (C * width + lanes)].reshape((places, C * width + lanes))
        M = memory[M_at : M_at + places * rows * width].reshape((places, rows, width))
        out = memory[out_at : out_at + TH * m * TW * m * width].reshape((TH * m, TW * m, width))
        filter_matrices(w, first, width, U, m, lanes)
        multiply(V, U, M, C, TH * TW, lanes)
        output_tiles(M, out, 0, m, r, lanes)
        if QH == QW == SH == SW == 1:  # no pool
            rectify_image(out, b, relu, y, first)
        else:
            pool_filters(out, b, relu, y, first, QH, QW, SH, SW)
