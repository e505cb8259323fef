"""A product with a sparse matrix, given by lists of its non-zeros, on rows held in registers.

::

    list of (g, offset) -> add_rows -> C (rows, vectors) += sum over the list of g * B[offset]

It is the counterpart of `gemm` for gradients that are mostly zero: no row of B is loaded for a zero. Each
entry of the list costs a broadcast, and then a load and a multiply-add for each vector; so the block is as
wide as the registers allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from numba import types
from numba.extending import intrinsic

from tinycnn.kernels.primitives.gemm import ROWS, VECTORS
from tinycnn.kernels.primitives.operand import Operand, operand_type, unpack
from tinycnn.kernels.primitives.simd import I64, Simd
from tinycnn.kernels.runtime.linking import linked


class NonZeros(NamedTuple):
    """A list of the non-zeros of a sparse matrix, for one sum.

    Attributes
    ----------
    values, offsets : pointer
        For entry i of the list, the number g and how many elements after the start of B its rows begin.
    length : int
        Entries of the list.
    """

    values: Any
    offsets: Any
    length: int


def nonzeros_type(real: types.Float) -> types.Type:
    """Return Numba's type of `NonZeros` of float32 or float64."""
    return types.NamedTuple((types.CPointer(real), types.CPointer(types.int32), types.int64), NonZeros)


@intrinsic
def nonzeros(typingctx, values, offsets, start, count):
    """Return the `NonZeros` of two contiguous arrays, from entry `start` on; they are not kept alive."""

    def codegen(context, builder, signature, args):
        values, offsets, start, count = args
        pointers = []
        for array_type, array in zip(signature.args[:2], (values, offsets), strict=True):
            data = context.make_array(array_type)(context, builder, array).data
            pointers.append(builder.gep(data, [start]))
        return context.make_tuple(builder, signature.return_type, (*pointers, count))

    return nonzeros_type(values.dtype)(values, offsets, types.int64, types.int64), codegen


# Rows of B are added one, two or three at a time: the key. For each, as many vectors as there are
# accumulators for, half of them, or one.
WIDEST = (0, 2 * ROWS * VECTORS // 3, ROWS * VECTORS // 3, ROWS * VECTORS // 4)
SIZES = [(rows, nv) for rows in (1, 2, 3) for nv in sorted({WIDEST[rows], WIDEST[rows] // 2, 1})]


@intrinsic
def _block_of_c(typingctx, rows, nv, i, j, entries, b, c):
    """Add to a block of C, of one of `SIZES`, whose first row and vector are i and j."""

    def codegen(context, builder, signature, args):
        rows, nv, i, j, entries, b, c = args
        simd = Simd(context, builder, signature.args[5].types[0].dtype)
        b, c = unpack(builder, b), unpack(builder, c)
        listed = NonZeros(*(builder.extract_value(entries, field) for field in range(3)))
        first_vector = simd.times(j, simd.lanes)
        b = b._replace(start=simd.at(b.start, builder.add(builder.mul(i, b.row), first_vector)))
        c = c._replace(start=simd.at(c.start, builder.add(builder.mul(i, c.row), first_vector)))
        write = {size: (lambda size=size: _block(simd, *size, listed, b, c)) for size in SIZES}
        simd.switch([rows, nv], write)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, entries, b, c), codegen


def _block(simd: Simd, rows: int, nv: int, entries: NonZeros, b: Operand, c: Operand) -> None:
    """Write the code for one size of a block."""
    builder = simd.builder
    b_rows = [simd.times(b.row, i) for i in range(rows)]
    targets = [
        simd.at(simd.at(c.start, simd.times(c.row, i)), j * simd.lanes)
        for i in range(rows)
        for j in range(nv)
    ]

    def along_list(values: Sequence[Any]) -> Sequence[Any]:
        value, offset, *sums = values
        element = simd.broadcast(value)
        row = simd.at(b.start, builder.sext(builder.load(offset), I64))
        for i in range(rows):
            for j in range(nv):
                vector = simd.load(simd.at(simd.at(row, b_rows[i]), j * simd.lanes))
                sums[i * nv + j] = simd.fma(element, vector, sums[i * nv + j])
        return [simd.at(value, 1), simd.at(offset, 1), *sums]

    first = [entries.values, entries.offsets]
    _, _, *sums = simd.loop(entries.length, [*first, *[simd.constant(0)] * len(targets)], along_list)
    # C is added last: sums of blocks round less than one long sum
    for value, target in zip(sums, targets, strict=True):
        simd.store(builder.fadd(value, simd.load(target)), target)


@linked(lambda real: (types.int64, types.int64, nonzeros_type(real), operand_type(real), operand_type(real)))
def add_rows(rows, vectors, entries, b, c):
    """C (rows, vectors) += sum over the entries of g * B[offset], where B has rows like C.

    `entries` are `NonZeros`; of b and c, each an `Operand`, the start and the distance of rows are read.
    """
    i = 0
    while i < rows:
        left = rows - i
        height = 3 if left == 3 or left > 4 else (2 if left >= 2 else 1)
        widest = WIDEST[height]
        j = 0
        while j < vectors:
            width = widest if vectors - j >= widest else (widest // 2 if vectors - j >= widest // 2 else 1)
            _block_of_c(height, width, i, j, entries, b, c)
            j += width
        i += height
