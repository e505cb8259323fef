"""A product with a matrix of which only the non-zeros are named, on rows held in registers.

::

    list of (g, offset) -> scaled_rows_tile -> C (rows, nv vectors) += sum over the list of g * B[offset]

It is the counterpart of `microkernel` for gradients that are mostly zero: no row of B is loaded for a zero.
Each entry of the list costs a broadcast, and then a load and a multiply-add for each vector; so the block is
as wide as the registers allow.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

from tinycnn.kernels.jit import jit
from tinycnn.kernels.microkernel import ROWS, VECTORS
from tinycnn.kernels.simd import I64, Simd


def scaled_rows_tile(rows: int, nv: int) -> Any:
    """Return the intrinsic that adds scaled rows of B, picked by a list, to `rows` by `nv` vectors of C.

    It takes (g, go, offset, oo, count, b, bo, br, c, co, cm): the list is g[go + i], offset[oo + i] for i
    below `count`. For each entry, C[row] += g * B[bo + offset + row * br]. This is the product with a
    matrix of which only the non-zeros are named.
    """

    @intrinsic
    def tile(typingctx, g, go, offset, oo, count, b, bo, br, c, co, cm):
        def codegen(context, builder, signature, args):
            g, go, offset, oo, count, b, bo, br, c, co, cm = args
            simd = Simd(context, builder, signature.args[0].dtype)
            pg = simd.data(signature.args[0], g, go)
            po = simd.data(signature.args[2], offset, oo)
            pb = simd.data(signature.args[5], b, bo)
            pc = simd.data(signature.args[8], c, co)
            b_rows = [simd.times(br, i) for i in range(rows)]
            places = [
                simd.at(simd.at(pc, simd.times(cm, i)), j * simd.lanes)
                for i in range(rows)
                for j in range(nv)
            ]

            def along_list(values):
                pg, po, *sums = values
                element = simd.broadcast(pg)
                row = simd.at(pb, builder.sext(builder.load(po), I64))
                for i in range(rows):
                    for j in range(nv):
                        part = simd.load(simd.at(simd.at(row, b_rows[i]), j * simd.lanes))
                        sums[i * nv + j] = simd.fma(element, part, sums[i * nv + j])
                return [simd.at(pg, 1), simd.at(po, 1), *sums]

            _, _, *sums = simd.loop(count, [pg, po, *[simd.constant(0)] * len(places)], along_list)
            # what C holds is added last: sums of blocks round less than one long sum
            for value, place in zip(sums, places, strict=True):
                simd.store(builder.fadd(value, simd.load(place)), place)
            return context.get_dummy_value()

        return types.void(g, go, offset, oo, count, b, bo, br, c, co, cm), codegen

    return tile


# For `add_rows`: three, two or one row of the filter at a time, and as many vectors of each as there are
# accumulators for; then half of them, then one.
WIDE = {3: ROWS * VECTORS // 4, 2: ROWS * VECTORS // 3, 1: 2 * ROWS * VECTORS // 3}
WIDE_3, WIDE_2, WIDE_1 = WIDE[3], WIDE[2], WIDE[1]
_add_3w, _add_3h, _add_31 = (scaled_rows_tile(3, nv) for nv in (WIDE_3, WIDE_3 // 2, 1))
_add_2w, _add_2h, _add_21 = (scaled_rows_tile(2, nv) for nv in (WIDE_2, WIDE_2 // 2, 1))
_add_1w, _add_1h, _add_11 = (scaled_rows_tile(1, nv) for nv in (WIDE_1, WIDE_1 // 2, 1))


@jit
def add_rows(rows, vectors, lanes, g, go, offset, oo, count, b, bo, br, c, co, cm):
    """C (rows, vectors) += sum over a list of g * B[offset]; see `scaled_rows_tile` for the arguments."""
    r = 0
    while r < rows:
        left = rows - r
        take = 3 if left == 3 or left > 4 else (2 if left >= 2 else 1)
        wide = WIDE_3 if take == 3 else (WIDE_2 if take == 2 else WIDE_1)
        v = 0
        while v < vectors:
            nv = wide if vectors - v >= wide else (wide // 2 if vectors - v >= wide // 2 else 1)
            bv, cv = bo + r * br + v * lanes, co + r * cm + v * lanes
            if take == 3:
                if nv == WIDE_3:
                    _add_3w(g, go, offset, oo, count, b, bv, br, c, cv, cm)
                elif nv == WIDE_3 // 2:
                    _add_3h(g, go, offset, oo, count, b, bv, br, c, cv, cm)
                else:
                    _add_31(g, go, offset, oo, count, b, bv, br, c, cv, cm)
            elif take == 2:
                if nv == WIDE_2:
                    _add_2w(g, go, offset, oo, count, b, bv, br, c, cv, cm)
                elif nv == WIDE_2 // 2:
                    _add_2h(g, go, offset, oo, count, b, bv, br, c, cv, cm)
                else:
                    _add_21(g, go, offset, oo, count, b, bv, br, c, cv, cm)
            elif nv == WIDE_1:
                _add_1w(g, go, offset, oo, count, b, bv, br, c, cv, cm)
            elif nv == WIDE_1 // 2:
                _add_1h(g, go, offset, oo, count, b, bv, br, c, cv, cm)
            else:
                _add_11(g, go, offset, oo, count, b, bv, br, c, cv, cm)
            v += nv
        r += take
