"""Micro-kernels: the innermost loops, with all sums held in registers.

::

    gemm_tile    C (rows, nv vectors) = [C +] sum over r, k of A[row*am + r*ar + k*ak] * B[r*br + k*bk]
    gemm         the same for any number of rows and vectors, block by block
    gemv         one row, vectors and what is left of them

**The register budget.** A processor does one or two fused multiply-adds of whole vectors each cycle, and
each takes four cycles to finish; so eight or more must be in flight, each with an accumulator of its own.
AVX-512 has 32 registers: a block of 6 rows by 4 vectors takes 24 for the sums and 4 for a row of B, and the
elements of A are broadcast from memory by the FMA itself. For each k that is 24 FMAs for 4 + 6 loads, so
the loads stay within what two ports can bring. AVX2 has 16 registers: 6 by 2, 12 sums, 2 of B, 1 for the
element of A. (The figures follow Goto & van de Geijn, "Anatomy of high-performance matrix multiplication",
TOMS 2008.)

**The strides of A** make one kernel serve a convolution's three passes without a copy of the patches, since
a row of A may overlap the next one: forward, am = C and ak = 1 walk along the pixels of an image row; filter
gradient, am = 1 and ak = C. The outer sum over r walks over the rows of the filter or of the image.

Functions here are intrinsics and jitted functions at module level: Numba's cache finds those again in the
next process, and never finds what a factory makes at run time.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinycnn.kernels.jit import jit
from tinycnn.kernels.simd import REGISTER_BLOCK, Simd

ROWS, VECTORS = REGISTER_BLOCK


def gemm_tile(rows: int, nv: int) -> Any:
    """Return the intrinsic for a block of `rows` by `nv` vectors.

    It takes (a, ao, am, ar, ak, b, bo, br, bk, c, co, cm, R, K, keep): three arrays, each with the offset
    of its first element and its strides, all counted in elements; the lengths of the two sums; and whether
    to add to what C holds (1) or to replace it (0). Nothing is checked: the caller owns every element that
    is touched, whole vectors of B and C.
    """

    @intrinsic
    def tile(typingctx, a, ao, am, ar, ak, b, bo, br, bk, c, co, cm, R, K, keep):
        def codegen(context, builder, signature, args):
            a, ao, am, ar, ak, b, bo, br, bk, c, co, cm, R, K, keep = args
            simd = Simd(context, builder, signature.args[0].dtype)
            pa = simd.data(signature.args[0], a, ao)
            pb = simd.data(signature.args[5], b, bo)
            pc = simd.data(signature.args[9], c, co)
            a_rows = [simd.times(am, i) for i in range(rows)]
            places = [
                simd.at(simd.at(pc, simd.times(cm, i)), j * simd.lanes)
                for i in range(rows)
                for j in range(nv)
            ]

            def along_k(values):
                pa, pb, *sums = values
                b_row = [simd.load(simd.at(pb, j * simd.lanes)) for j in range(nv)]
                for i in range(rows):
                    element = simd.broadcast(simd.at(pa, a_rows[i]))
                    for j in range(nv):
                        sums[i * nv + j] = simd.fma(element, b_row[j], sums[i * nv + j])
                return [simd.at(pa, ak), simd.at(pb, bk), *sums]

            def along_r(values):
                pa, pb, *sums = values
                _, _, *sums = simd.loop(K, [pa, pb, *sums], along_k)
                return [simd.at(pa, ar), simd.at(pb, br), *sums]

            kept = builder.icmp_signed("!=", keep, ir.Constant(keep.type, 0))
            _, _, *sums = simd.loop(R, [pa, pb, *[simd.constant(0)] * len(places)], along_r)
            with builder.if_else(kept) as (adds, replaces):
                with adds:  # at the end: sums of blocks round less than one long sum
                    for value, place in zip(sums, places, strict=True):
                        simd.store(builder.fadd(value, simd.load(place)), place)
                with replaces:
                    for value, place in zip(sums, places, strict=True):
                        simd.store(value, place)
            return context.get_dummy_value()

        return types.void(a, ao, am, ar, ak, b, bo, br, bk, c, co, cm, R, K, keep), codegen

    return tile


# One of each block that `gemm` needs: full and one row less, and what is left of the vectors of a row.
_full_wide, _full_2, _full_1 = (gemm_tile(ROWS, nv) for nv in (VECTORS, 2, 1))
_less_wide, _less_2, _less_1 = (gemm_tile(ROWS - 1, nv) for nv in (VECTORS, 2, 1))


@jit
def gemm(M, vectors, lanes, a, ao, am, ar, ak, b, bo, br, bk, c, co, cm, R, K, keep):
    """Compute M rows of so many vectors in blocks; see `gemm_tile` for the other arguments.

    The last block may run over by fewer than ROWS rows. A and C must go on for so long: what is there of A
    is read, and what is there of C is overwritten with numbers that nobody reads.
    """
    rows = rows_of_block(M)
    j = 0
    while j < vectors:
        nv = VECTORS if vectors - j >= VECTORS else (2 if vectors - j >= 2 else 1)
        bj, cj = bo + j * lanes, co + j * lanes
        for i in range(0, M, rows):
            ai, ci = ao + i * am, cj + i * cm
            if rows == ROWS:
                if nv == VECTORS:
                    _full_wide(a, ai, am, ar, ak, b, bj, br, bk, c, ci, cm, R, K, keep)
                elif nv == 2:
                    _full_2(a, ai, am, ar, ak, b, bj, br, bk, c, ci, cm, R, K, keep)
                else:
                    _full_1(a, ai, am, ar, ak, b, bj, br, bk, c, ci, cm, R, K, keep)
            elif nv == VECTORS:
                _less_wide(a, ai, am, ar, ak, b, bj, br, bk, c, ci, cm, R, K, keep)
            elif nv == 2:
                _less_2(a, ai, am, ar, ak, b, bj, br, bk, c, ci, cm, R, K, keep)
            else:
                _less_1(a, ai, am, ar, ak, b, bj, br, bk, c, ci, cm, R, K, keep)
        j += nv


@jit
def rows_of_block(M):
    """Return how many rows a block has: the full number, or one less where that wastes less."""
    blocks = (M + ROWS - 1) // ROWS
    return ROWS - 1 if blocks * (ROWS - 1) >= M else ROWS


_one_wide, _one_2, _one_1 = (gemm_tile(1, nv) for nv in (VECTORS, 2, 1))


@jit
def gemv(x, first, K, w, lanes, y):
    """y = sum over k of x[first + k] * w[first + k], for K rows of w (C, F), each of which is read once."""
    F = w.shape[1]
    j = 0
    while j + lanes <= F:
        nv = VECTORS if F - j >= VECTORS * lanes else (2 if F - j >= 2 * lanes else 1)
        if nv == VECTORS:
            _one_wide(x, first, 0, 0, 1, w, first * F + j, 0, F, y, j, 0, 1, K, 0)
        elif nv == 2:
            _one_2(x, first, 0, 0, 1, w, first * F + j, 0, F, y, j, 0, 1, K, 0)
        else:
            _one_1(x, first, 0, 0, 1, w, first * F + j, 0, F, y, j, 0, 1, K, 0)
        j += nv * lanes
    if j == F:
        return
    y[j:] = 0
    for k in range(first, first + K):
        for f in range(j, F):
            y[f] += x[k] * w[k, f]
