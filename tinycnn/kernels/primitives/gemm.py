"""Micro-kernels: the innermost loops, with all sums held in registers.

::

    blocks   C (rows, nv vectors) = [C +] sum over o, k of A[row, o, k] * B[o, k], for some sizes of a block
    gemm     the same for any number of rows and vectors, block by block
    gemv     one row, and any number of columns

**The register budget.** A processor does one or two fused multiply-adds of whole vectors each cycle, and
each takes four cycles to finish; so eight or more must be in flight, each with an accumulator of its own.
AVX-512 has 32 registers: a block of 6 rows by 4 vectors takes 24 for the sums and 4 for a row of B, and the
elements of A are broadcast from memory by the FMA itself. For each k that is 24 FMAs for 4 + 6 loads, so
the loads stay within what two ports can bring. AVX2 has 16 registers: 6 by 2, 12 sums, 2 of B, 1 for the
element of A. (The figures follow Goto & van de Geijn, "Anatomy of high-performance matrix multiplication",
TOMS 2008.)

**The strides of A** (`Operand`) make one kernel serve a convolution's three passes without a copy of the
patches, since a row of A may overlap the next one: forward, row = C and inner = 1 walk along the pixels of an
image row; filter gradient, row = 1 and inner = C. The outer sum walks over the rows of the filter or the
image.

Functions here are intrinsics and jitted functions at module level: Numba's cache finds those again in the
next process, and never finds what a factory makes at run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numba import types
from numba.extending import intrinsic

from tinycnn.kernels.primitives.integers import ceil_div
from tinycnn.kernels.primitives.operand import Operand, operand, operand_type, unpack
from tinycnn.kernels.primitives.simd import REGISTER_BLOCK, VECTOR_BYTES, Simd
from tinycnn.kernels.runtime.jit import jit
from tinycnn.kernels.runtime.linking import linked

ROWS, VECTORS = REGISTER_BLOCK


def blocks(heights: Sequence[int]) -> Any:
    """Return the intrinsic for blocks of C of some numbers of rows, and of VECTORS, 2 or 1 vectors.

    It takes (rows, nv, i, j, a, b, c, outer, inner, add): the size of the block, its first row and vector,
    the three operands, the lengths of the two sums, and whether C is added to. Nothing is checked: the caller
    owns every element that is touched, whole vectors of B and C.
    """
    sizes = [(rows, nv) for rows in heights for nv in sorted({VECTORS, 2, 1})]

    @intrinsic
    def block(typingctx, rows, nv, i, j, a, b, c, outer, inner, add):
        """C (rows, nv vectors) = [C +] A @ B, for the block of C at row i and vector j."""

        def codegen(context, builder, signature, args):
            rows, nv, i, j, a, b, c, outer, inner, add = args
            simd = Simd(context, builder, signature.args[4].types[0].dtype)
            a, b, c = (unpack(builder, value) for value in (a, b, c))
            first_vector = simd.times(j, simd.lanes)
            a = a._replace(start=simd.at(a.start, builder.mul(i, a.row)))
            b = b._replace(start=simd.at(b.start, first_vector))
            c = c._replace(start=simd.at(c.start, builder.add(builder.mul(i, c.row), first_vector)))
            write = {
                size: (lambda size=size: _block(simd, *size, a, b, c, outer, inner, add)) for size in sizes
            }
            simd.switch([rows, nv], write)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 4, a, b, c, types.int64, types.int64, types.boolean), codegen

    return block


def _block(
    simd: Simd, rows: int, nv: int, a: Operand, b: Operand, c: Operand, outer: Any, inner: Any, add: Any
) -> None:
    """Write the code for one size of a block."""
    builder = simd.builder
    a_rows = [simd.times(a.row, i) for i in range(rows)]
    targets = [
        simd.at(simd.at(c.start, simd.times(c.row, i)), j * simd.lanes)
        for i in range(rows)
        for j in range(nv)
    ]

    def along_inner(values: Sequence[Any]) -> Sequence[Any]:
        pa, pb, *sums = values
        b_row = [simd.load(simd.at(pb, j * simd.lanes)) for j in range(nv)]
        for i in range(rows):
            element = simd.broadcast(simd.at(pa, a_rows[i]))
            for j in range(nv):
                sums[i * nv + j] = simd.fma(element, b_row[j], sums[i * nv + j])
        return [simd.at(pa, a.inner), simd.at(pb, b.inner), *sums]

    def along_outer(values: Sequence[Any]) -> Sequence[Any]:
        pa, pb, *sums = values
        _, _, *sums = simd.loop(inner, [pa, pb, *sums], along_inner)
        return [simd.at(pa, a.outer), simd.at(pb, b.outer), *sums]

    _, _, *sums = simd.loop(outer, [a.start, b.start, *[simd.constant(0)] * len(targets)], along_outer)
    with builder.if_else(add) as (adds, replaces):
        with adds:  # at the end: sums of blocks round less than one long sum
            for value, target in zip(sums, targets, strict=True):
                simd.store(builder.fadd(value, simd.load(target)), target)
        with replaces:
            for value, target in zip(sums, targets, strict=True):
                simd.store(value, target)


_block_of_c = blocks((ROWS, ROWS - 1))
_row_of_c = blocks((1,))


@jit
def rows_of_block(rows):
    """Return the number of rows of each block: ROWS, or one less where that wastes less."""
    return ROWS - 1 if ceil_div(rows, ROWS) * (ROWS - 1) >= rows else ROWS


@jit
def vectors_of_block(left):
    """Return the number of vectors of the next block, with `left` vectors to come."""
    return VECTORS if left >= VECTORS else (2 if left >= 2 else 1)


@linked(
    lambda real: (
        types.int64,
        types.int64,
        *[operand_type(real)] * 3,
        types.int64,
        types.int64,
        types.boolean,
    )
)
def gemm(rows, vectors, a, b, c, outer, inner, add):
    """C (rows, vectors) = [C +] A (rows, outer * inner) @ B (outer * inner, vectors), each an `Operand`.

    The last block may run over by fewer than ROWS rows. A and C must go on that far: what is there of A is
    read, and what is there of C is overwritten with numbers without a meaning.
    """
    height = rows_of_block(rows)
    j = 0
    while j < vectors:
        width = vectors_of_block(vectors - j)
        for i in range(0, rows, height):
            _block_of_c(height, width, i, j, a, b, c, outer, inner, add)
        j += width


@jit
def gemv(x, w, y):
    """y (F) = x (K) @ w (K, F), each row of w read once."""
    K, F = w.shape
    lanes = VECTOR_BYTES // x.itemsize
    whole = F // lanes
    a, b, c = operand(x, inner=1), operand(w, inner=F), operand(y)
    j = 0
    while j < whole:
        width = vectors_of_block(whole - j)
        _row_of_c(1, width, 0, j, a, b, c, 1, K, False)
        j += width
    if whole * lanes == F:
        return
    y[whole * lanes :] = 0
    for k in range(K):
        for f in range(whole * lanes, F):
            y[f] += x[k] * w[k, f]
