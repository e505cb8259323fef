"""The product of two matrices, in blocks that fit the caches: the kernel of a dense layer.

::

    a (M, K), b (K, N) -> blocks, packed -> gemm -> a @ b (M, N)

NumPy's `@` is the readable twin. BLAS is as fast, but its threads keep spinning on the cores after each
product, where the other kernels wait for them (docs/performance.md); and the products here are cut into
pieces that do not depend on the number of threads, so neither do the results.

The matrices may be views with any strides, such as transposes: packing puts each block in an order that the
micro-kernel can read, with whole vectors and room for its last rows. Rows of b that are whole vectors already
stay where they are. If K exceeds BLOCK_K, as in the forward pass of a wide layer, each block of K gives a
partial sum, and these are added in their order at the end. The product of a single row is bound by the speed
at which the matrix is read, so nothing is packed: the threads share out the partial sums.
"""

from functools import lru_cache

import numpy as np
from numba import get_thread_id

from tinycnn.kernels.primitives.gemm import ROWS, gemm, gemv
from tinycnn.kernels.primitives.integers import ceil_div, round_up
from tinycnn.kernels.primitives.operand import operand
from tinycnn.kernels.primitives.simd import VECTOR_BYTES
from tinycnn.kernels.runtime import threads
from tinycnn.kernels.runtime.jit import jit
from tinycnn.kernels.runtime.memory import allocate, contiguous
from tinycnn.kernels.runtime.parallel import parallel_for
from tinycnn.kernels.runtime.threads import get_num_threads

# Sizes of a block in M, N and K: the packed blocks take some 600 KB of a level 2 cache.
BLOCK_M, BLOCK_N, BLOCK_K = 132, 128, 480
STRIP = 8
# Partial sums of one row by a matrix, on this many threads at most.
ROW_SUMS = 16
# Terms that one row adds up in registers; longer sums are cut into sums of this length.
LONG_SUM = 1024
# Blocks of K whose products are held at a time. There is one for each, in the size of the result.
LONG_BLOCKS = 32


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return a (M, K) @ b (K, N); see `kernels.matmul`."""
    y = allocate(((len(a), b.shape[1]), a.dtype))[0] if out is None else out
    a = a if a.flags.writeable else a.copy()  # see `memory.contiguous`
    K, run = len(b), LONG_BLOCKS * BLOCK_K
    if len(a) == 1 and b.flags.c_contiguous and b.flags.writeable:
        _row_by_matrix(a[0], b, y)
    elif run >= K:
        _by_blocks(a, b, y)
    else:  # one product after the other, so that they take no more memory
        total, product = np.zeros(y.shape), np.empty_like(y)
        for k in range(0, K, run):
            _by_blocks(a[:, k : k + run], b[k : k + run], product)
            total += product
        y[...] = total
    return y


def _row_by_matrix(x: np.ndarray, w: np.ndarray, y: np.ndarray) -> None:
    """y (1, N) = x (K) @ w (K, N)."""
    (partial,) = allocate(((ROW_SUMS, w.shape[1]), x.dtype))
    with threads.guard:
        multiply_row(contiguous(x), w, partial)
    partial.sum(axis=0, keepdims=True, out=y)


@jit
def multiply_row(x, w, partial):
    """partial (P, N) = the partial sums of x (K) @ w (K, N), each over a run of K."""
    parallel_for(_multiply_run, len(partial), (x, w, partial))


@jit
def _multiply_run(p, x, w, partial):
    """Compute partial sum p of the product."""
    run = ceil_div(len(x), len(partial))
    first = min(p * run, len(x))
    last = min(first + run, len(x))
    total = partial[p]
    gemv(x[first : min(first + LONG_SUM, last)], w[first : min(first + LONG_SUM, last)], total)
    if last - first > LONG_SUM:
        part = np.empty_like(total)
        for k in range(first + LONG_SUM, last, LONG_SUM):
            gemv(x[k : min(k + LONG_SUM, last)], w[k : min(k + LONG_SUM, last)], part)
            total += part


def _by_blocks(a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    """y (M, N) = a (M, K) @ b (K, N)."""
    (M, K), N, lanes = a.shape, b.shape[1], VECTOR_BYTES // a.itemsize
    in_place = b.flags.c_contiguous and b.flags.writeable and N % lanes == 0
    # a transpose goes in as the matrix it is a transpose of: then one kernel is compiled, instead of three
    a_transposed = a.strides[0] < a.strides[1]
    b_transposed = not in_place and b.strides[0] < b.strides[1]
    left, right, products, partial = allocate(
        *_workspace(M, K, N, a_transposed, in_place, a.dtype, get_num_threads())
    )
    left.fill(0)
    right.fill(0)
    if K <= BLOCK_K:
        partial = y[None]
    a, b = a.T if a_transposed else a, b.T if b_transposed else b
    with threads.guard:
        _multiply(a, b, partial, (left, right, products), a_transposed, b_transposed, in_place)
    if K > BLOCK_K:
        partial.sum(axis=0, out=y)


@lru_cache(maxsize=256)
def _workspace(
    M: int, K: int, N: int, a_transposed: bool, in_place: bool, dtype: np.dtype, threads: int
) -> list[tuple[tuple[int, ...], np.dtype]]:
    """Return (shape, dtype) of each thread's blocks of a, b and their product, and of the partial sums."""
    m, n, k = min(BLOCK_M, M), round_up(min(BLOCK_N, N), VECTOR_BYTES // dtype.itemsize), min(BLOCK_K, K)
    shapes = [
        (threads, *((k, m + ROWS) if a_transposed else (m + ROWS, k))),
        (threads, 0 if in_place else k, n),
        (threads, m + ROWS, n),
        (ceil_div(K, BLOCK_K) if K > BLOCK_K else 0, M, N),
    ]
    return [(shape, dtype) for shape in shapes]


@jit
def _multiply(a, b, partial, scratch, a_transposed, b_transposed, in_place):
    """partial (P, M, N) = a (M, K) @ b (K, N) in P runs of K; a transposed matrix is given as its transpose.

    `scratch` has blocks of a, of b and of their product for each thread, (threads, rows, columns).
    """
    P, M, N = partial.shape
    blocks = P * ceil_div(M, BLOCK_M) * ceil_div(N, BLOCK_N)
    parallel_for(_multiply_block, blocks, (a, b, partial, scratch, a_transposed, b_transposed, in_place))


@jit
def _multiply_block(block, a, b, partial, scratch, a_transposed, b_transposed, in_place):
    """Do the work of `_multiply` for one block of `partial`."""
    left, right, products = scratch
    _, M, N = partial.shape
    K, lanes = a.shape[0 if a_transposed else 1], VECTOR_BYTES // a.itemsize
    rows, columns = ceil_div(M, BLOCK_M), ceil_div(N, BLOCK_N)
    p, i, j = block // (rows * columns), block // columns % rows * BLOCK_M, block % columns * BLOCK_N
    k, t = p * BLOCK_K, get_thread_id()
    m, n, depth = min(BLOCK_M, M - i), min(BLOCK_N, N - j), min(BLOCK_K, K - k)
    product = products[t]
    if a_transposed:
        block_a = _packed_columns(a[k : k + depth, i : i + m], left[t])
    else:
        block_a = _packed_rows(a[i : i + m, k : k + depth], left[t])
    if in_place:
        block_b = operand(b, k * N + j, inner=N)
    elif b_transposed:
        block_b = _packed_columns(b[j : j + n, k : k + depth].T, right[t])
    else:
        block_b = _packed_columns(b[k : k + depth, j : j + n], right[t])
    gemm(m, ceil_div(n, lanes), block_a, block_b, operand(product, row=product.shape[1]), 1, depth, False)
    pack(product[:m, :n], partial[p, i : i + m, j : j + n])


@jit
def _packed_rows(source, block):
    """Pack a matrix (m, k) into block (>= m, >= k); return it as an operand of m rows."""
    pack(source, block)
    return operand(block, row=block.shape[1], inner=1)


@jit
def _packed_columns(source, block):
    """Pack a matrix (k, m) into block (>= k, >= m); return it as an operand of m rows, or of k in a sum."""
    pack(source, block)
    return operand(block, row=1, inner=block.shape[1])


@jit
def pack(source, block):
    """block (rows, columns)[: m, : n] = source (m, n)."""
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
