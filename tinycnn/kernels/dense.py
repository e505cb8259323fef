"""The product of two matrices, in blocks that fit the caches: what a dense layer is made of.

::

    a (M, K), b (K, N) -> blocks, packed -> microkernel.gemm -> a @ b (M, N)

NumPy's `@` is the readable twin. BLAS is as fast, but its threads keep spinning on the cores after each
product, where the other kernels wait for them (docs/performance.md); and the products here are cut into
pieces that do not depend on the number of threads, so neither do the results.

The matrices may be views with any strides, such as transposes: packing puts each block in an order that the
micro-kernel can read, with whole vectors and room for its last rows. Rows of b that are whole vectors already
stay where they are. Where M and N are small and K is large, as in the forward pass of a batch, the pieces are
parts of the sum, added in their order at the end. One row by a matrix is as fast as the matrix can be read,
so nothing is packed there: the rows of b are shared out in such parts.
"""

import numpy as np
from numba import get_num_threads, get_thread_id, prange

from tinycnn.kernels.buffers import aligned_empty, aligned_zeros, contiguous, rounded_up
from tinycnn.kernels.jit import jit
from tinycnn.kernels.microkernel import ROWS, gemm, gemv
from tinycnn.kernels.simd import VECTOR_BYTES

# Sizes of a block in M, N and K: the packed blocks take some 600 KB of a level 2 cache.
BLOCK_M, BLOCK_N, BLOCK_K = 132, 128, 480
STRIP = 8
# Below so many multiplications NumPy is done before the threads have begun (and BLAS wakes none of its own).
SMALL = 2**13
# One row by a matrix: parts of the sum, for so many threads and no more.
ROW_PARTS = 16


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return a @ b; see `kernels.matmul`."""
    (M, K), N = a.shape, b.shape[1]
    if M * K * N <= SMALL:
        return np.matmul(a, b, out=out)
    a = a if a.flags.writeable else a.copy()  # see `buffers.contiguous`
    lanes, threads = VECTOR_BYTES // a.itemsize, get_num_threads()
    y = aligned_empty((M, N), a.dtype) if out is None else out
    if M == 1 and b.flags.c_contiguous and b.flags.writeable:
        parts = aligned_empty((ROW_PARTS, N), a.dtype)
        multiply_row(contiguous(a[0]), b, parts, lanes)
        return parts.sum(axis=0, keepdims=True, out=y)
    parts = y[None] if K <= BLOCK_K else aligned_empty((-(-K // BLOCK_K), M, N), a.dtype)
    bm, bn, bk = min(BLOCK_M, M), rounded_up(min(BLOCK_N, N), lanes), min(BLOCK_K, K)
    # the micro-kernel takes a block of a in either order: so it is copied in its own, along its memory
    by_columns = a.strides[0] < a.strides[1]
    blocks_a = aligned_zeros((threads, *((bk, bm + ROWS) if by_columns else (bm + ROWS, bk))), a.dtype)
    blocks_c = aligned_empty((threads, bm + ROWS, bn), a.dtype)
    in_place = b.flags.c_contiguous and b.flags.writeable and N % lanes == 0
    blocks_b = b.reshape(1, K, N) if in_place else aligned_zeros((threads, bk, bn), a.dtype)
    # a transpose goes in as what it is the transpose of: so one kernel is compiled, instead of three
    turned = not in_place and b.strides[0] < b.strides[1]
    a, b = a.T if by_columns else a, b.T if turned else b
    _multiply(a, b, parts, blocks_a, blocks_b, blocks_c, lanes, by_columns, turned, in_place)
    return y if K <= BLOCK_K else parts.sum(axis=0, out=y)


@jit(parallel=True)
def multiply_row(x, w, parts, lanes):
    """Fill `parts` (P, F) with the parts of the sum that is x (C) @ w (C, F)."""
    K = (len(x) + len(parts) - 1) // len(parts)
    for p in prange(len(parts)):
        first = min(p * K, len(x))
        gemv(x, first, min(K, len(x) - first), w, lanes, parts[p])


@jit(parallel=True)
def _multiply(a, b, parts, blocks_a, blocks_b, blocks_c, lanes, by_columns, turned, in_place):
    P, M, N = parts.shape
    K = a.shape[0 if by_columns else 1]
    rows, columns = (M + BLOCK_M - 1) // BLOCK_M, (N + BLOCK_N - 1) // BLOCK_N
    for task in prange(P * rows * columns):
        t = get_thread_id()
        p, i, j = task // (rows * columns), task // columns % rows * BLOCK_M, task % columns * BLOCK_N
        k = p * BLOCK_K
        m, n, depth = min(BLOCK_M, M - i), min(BLOCK_N, N - j), min(BLOCK_K, K - k)
        pa, pb, pc = blocks_a[t], blocks_b[0 if in_place else t], blocks_c[t]
        if by_columns:
            pack(a[k : k + depth, i : i + m], pa)
            am, ak = 1, pa.shape[1]
        else:
            pack(a[i : i + m, k : k + depth], pa)
            am, ak = pa.shape[1], 1
        if turned:
            pack(b[j : j + n, k : k + depth].T, pb)
        elif not in_place:
            pack(b[k : k + depth, j : j + n], pb)
        corner = k * N + j if in_place else 0
        gemm(
            m, (n + lanes - 1) // lanes, lanes, pa, 0, am, 0, ak, pb, corner, 0, pb.shape[1],
            pc, 0, pc.shape[1], 1, depth, 0,
        )  # fmt: skip
        pack(pc[:m, :n], parts[p, i : i + m, j : j + n])


@jit
def pack(source, block):
    """Copy a matrix to the corner of another."""
    rows, columns = source.shape
    if source.strides[0] >= source.strides[1]:
        for i in range(rows):
            row, copy = source[i], block[i]
            for j in range(columns):
                copy[j] = row[j]
        return
    # a transpose: low strips, so that the lines that are written stay near
    for top in range(0, rows, STRIP):
        for j in range(columns):
            for i in range(top, min(top + STRIP, rows)):
                block[i, j] = source[i, j]
