"""Micro-kernel of depthwise convolutions: products channel by channel, with all sums held in registers.

::

    y (rows, channels) = base + sum over o, k of x[row, o, k] * w[o, k]       each a vector of channels

`gemm` multiplies a number by a vector; here both are vectors. As there, the strides of an `Operand` make one
kernel serve three passes: rows are pixels of an image row, or elements of the filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numba import types
from numba.extending import intrinsic

from tinycnn.kernels.primitives.operand import Operand, operand_type, unpack
from tinycnn.kernels.primitives.simd import Simd
from tinycnn.kernels.runtime.linking import linked

# Rows and vectors of a block: 8 sums are in flight, each 4 cycles long, at two a cycle.
ROWS, VECTORS = 4, 2


@intrinsic
def _block(typingctx, rows, vectors, i, c, to, x, w, base, y, outer, inner, relu):
    """Compute a block of y, of the given size, at row i.

    The block begins at channel `c` of x and w, and at channel `to` of base and y.
    """

    def codegen(context, builder, signature, args):
        rows, vectors, i, c, to, x, w, base, y, outer, inner, relu = args
        simd = Simd(context, builder, signature.args[5].types[0].dtype)
        x, w, base, y = (unpack(builder, value) for value in (x, w, base, y))
        x = x._replace(start=simd.at(x.start, builder.add(builder.mul(i, x.row), c)))
        w = w._replace(start=simd.at(w.start, c))
        base, y = (
            each._replace(start=simd.at(each.start, builder.add(builder.mul(i, each.row), to)))
            for each in (base, y)
        )
        sizes = [(r, v) for r in range(1, ROWS + 1) for v in range(1, VECTORS + 1)]
        write = {
            size: (lambda size=size: _write(simd, *size, x, w, base, y, outer, inner, relu)) for size in sizes
        }
        simd.switch([rows, vectors], write)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, x, w, base, y, types.int64, types.int64, types.boolean), codegen


def _write(
    simd: Simd,
    rows: int,
    vectors: int,
    x: Operand,
    w: Operand,
    base: Operand,
    y: Operand,
    outer: Any,
    inner: Any,
    relu: Any,
) -> None:
    """Write the code for one size of a block."""
    builder, block = simd.builder, [(i, j) for i in range(rows) for j in range(vectors)]

    def place(start: Any, row: Any, i: int, j: int) -> Any:
        return simd.at(simd.at(start, simd.times(row, i)), j * simd.lanes)

    def along_inner(values: Sequence[Any]) -> Sequence[Any]:
        px, pw, *sums = values
        filters = [simd.load(simd.at(pw, j * simd.lanes)) for j in range(vectors)]
        pixels = [simd.load(place(px, x.row, i, j)) for i, j in block]
        sums = [
            simd.fma(pixel, filters[j], total)
            for pixel, total, (_, j) in zip(pixels, sums, block, strict=True)
        ]
        return [simd.at(px, x.inner), simd.at(pw, w.inner), *sums]

    def along_outer(values: Sequence[Any]) -> Sequence[Any]:
        px, pw, *sums = values
        _, _, *sums = simd.loop(inner, [px, pw, *sums], along_inner, unroll=False)
        return [simd.at(px, x.outer), simd.at(pw, w.outer), *sums]

    zero = simd.constant(0)
    _, _, *sums = simd.loop(outer, [x.start, w.start, *[zero] * len(block)], along_outer, unroll=False)
    for total, (i, j) in zip(sums, block, strict=True):
        total = builder.fadd(total, simd.load(place(base.start, base.row, i, j)))
        positive = builder.select(builder.fcmp_ordered("<", total, zero), zero, total)  # NaN stays NaN
        chosen = builder.select(relu, positive, total)
        simd.store(chosen, place(y.start, y.row, i, j))


@linked(
    lambda real: (
        types.int64,
        types.int64,
        types.int64,
        *[operand_type(real)] * 4,
        types.int64,
        types.int64,
        types.boolean,
        types.boolean,
    )
)
def multiply_channels(rows, channels, lanes, x, w, base, y, outer, inner, relu, packed):
    """y (rows, channels) = base + sum of x (rows, outer * inner, channels) * w (outer * inner, channels).

    Each is an `Operand`. There are at least as many channels as `lanes`, the elements of a vector. Negative
    results become zero if `relu`.

    The last vector begins earlier where it would run over, and repeats some channels. With `packed` it is
    written to whole vectors all the same, so that adding to y adds nothing twice: the last vector of y then
    belongs to the last channels.
    """
    for i in range(0, rows, ROWS):
        height = min(ROWS, rows - i)
        c = 0
        while c < channels:
            vectors = VECTORS if channels - c >= VECTORS * lanes else 1
            at = min(c, channels - vectors * lanes)
            _block(height, vectors, i, at, c if packed else at, x, w, base, y, outer, inner, relu)
            c += vectors * lanes
