"""Tiles of one image into Winograd's domain and back: the loops around the transforms.

::

    x -> gather_image -> image -> input_tiles -> V -> multiply (by U) -> M -> output_tiles -> out
                           dy -> gradient_tiles -> dM

A tile has alpha**2 points. V, M and dM are arrays (alpha**2, tiles, channels): at each point there is a
matrix, and `multiply` is a product of matrices for each point. Channels are rounded up to whole vectors, CP
and FP; the padding of an image to whole tiles makes those at its edge safe.

U, the transformed filters, is (alpha**2, C * FP + lanes), with one vector of padding in each row: with rows
of a power of 2, the alpha**2 numbers of a tile would all go to the same few lines of the level 1 cache.
"""

from typing import NamedTuple

from numba import types

from tinycnn.kernels.conv.winograd_matrices import matrices, transform2d
from tinycnn.kernels.primitives.gemm import gemm
from tinycnn.kernels.primitives.integers import ceil_div
from tinycnn.kernels.primitives.operand import array_type, operand
from tinycnn.kernels.primitives.simd import VECTOR_BYTES
from tinycnn.kernels.runtime.jit import jit
from tinycnn.kernels.runtime.linking import linked
from tinycnn.kernels.selection import WINOGRAD_TILES

# A transform for each tile size of `selection`. The input's depends on alpha alone.
_SETS = {(m, r): matrices(m, r) for r, sizes in WINOGRAD_TILES.items() for m in sizes}
input_tile = transform2d({(m + r - 1,): bt for (m, r), (_, _, bt) in _SETS.items()})
output_tile = transform2d({size: at for size, (at, _, _) in _SETS.items()})
filter_tile = transform2d({size: g for size, (_, g, _) in _SETS.items()})
gradient_tile = transform2d({size: at.T for size, (at, _, _) in _SETS.items()})
filter_grad_tile = transform2d({size: g.T for size, (_, g, _) in _SETS.items()})


class Tiling(NamedTuple):
    """Tiling of an image by F(m, r): TH x TW tiles, each of m x m outputs."""

    m: int
    r: int
    TH: int
    TW: int


TILING = types.NamedUniTuple(types.int64, 4, Tiling)


@jit
def tiling_of(m, r, OH, OW):
    """Return the tiles of F(m, r) that cover OH x OW outputs."""
    return Tiling(m, r, ceil_div(OH, m), ceil_div(OW, m))


@linked(lambda real: (array_type(real, 3), array_type(real, 3), types.int64, types.int64))
def gather_image(x, image, PT, PL):
    """Copy x (H, W, C) into image (HP, WP, CP), its pixel (0, 0) to (PT, PL), with zeros around it."""
    H, W, C = x.shape
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            h, w, pixel = i - PT, j - PL, image[i, j]
            if 0 <= h < H and 0 <= w < W:
                source = x[h, w]
                for c in range(C):
                    pixel[c] = source[c]
            else:
                pixel[:] = 0


@linked(lambda real: (array_type(real, 3), array_type(real, 3), types.int64, TILING))
def input_tiles(image, V, n, tiling):
    """Transform the tiles of image (HP, WP, CP), number n of its block, into V (alpha^2, tiles, CP)."""
    m, r, TH, TW = tiling
    _, WP, CP = image.shape
    alpha, point, lanes = m + r - 1, V.shape[1] * CP, VECTOR_BYTES // image.itemsize
    for ty in range(TH):
        for tx in range(TW):
            source, target = (ty * m * WP + tx * m) * CP, ((n * TH + ty) * TW + tx) * CP
            for c in range(0, CP, lanes):
                tile = operand(image, source + c, row=WP * CP, inner=CP)
                input_tile((alpha,), tile, operand(V, target + c, row=alpha * point, inner=point))


@jit
def _output_tile(m, r, x, y):
    """Transform one tile, from `Operand` x (alpha, alpha) to y (m, m).

    A separate function, so that LLVM fixes the order of additions before it inlines them: the last bits of
    all results depend on it.
    """
    output_tile((m, r), x, y)


@linked(lambda real: (array_type(real, 3), array_type(real, 3), types.int64, TILING))
def output_tiles(M, out, n, tiling):
    """Transform the tiles of image n of the block in M (alpha^2, tiles, FP) into out (TH m, TW m, FP)."""
    m, r, TH, TW = tiling
    _, WP, FP = out.shape
    alpha, point, lanes = m + r - 1, M.shape[1] * FP, VECTOR_BYTES // M.itemsize
    for ty in range(TH):
        for tx in range(TW):
            source, target = ((n * TH + ty) * TW + tx) * FP, (ty * m * WP + tx * m) * FP
            for f in range(0, FP, lanes):
                tile = operand(M, source + f, row=alpha * point, inner=point)
                _output_tile(m, r, tile, operand(out, target + f, row=WP * FP, inner=FP))


@linked(lambda real: (array_type(real, 3), array_type(real, 3), types.int64, TILING))
def gradient_tiles(gradient, dM, n, tiling):
    """Transform the tiles of gradient (TH m, TW m, FP), image n of a block, into dM (alpha^2, tiles, FP)."""
    m, r, TH, TW = tiling
    _, WP, FP = gradient.shape
    alpha, point, lanes = m + r - 1, dM.shape[1] * FP, VECTOR_BYTES // dM.itemsize
    for ty in range(TH):
        for tx in range(TW):
            source, target = (ty * m * WP + tx * m) * FP, ((n * TH + ty) * TW + tx) * FP
            for f in range(0, FP, lanes):
                tile = operand(gradient, source + f, row=WP * FP, inner=FP)
                gradient_tile((m, r), tile, operand(dM, target + f, row=alpha * point, inner=point))


@linked(
    lambda real: (
        array_type(real, 4),
        types.int64,
        types.int64,
        types.int64,
        array_type(real, 2),
        types.int64,
    )
)
def filter_tiles(w, c, first, count, U, m):
    """Transform channel c of `count` filters of w (r, r, C, F), from `first` on, into U (alpha^2, row)."""
    r, _, C, F = w.shape
    alpha, point, lanes = m + r - 1, U.shape[1], VECTOR_BYTES // w.itemsize
    for f in range(0, count, lanes):
        tile = operand(w, c * F + first + f, row=r * C * F, inner=C * F)
        filter_tile((m, r), tile, operand(U, c * count + f, row=alpha * point, inner=point))


@jit
def multiply(V, U, M, C, tiles):
    """M (alpha^2, rows, FP) = V (alpha^2, rows, CP) U (alpha^2, C * FP + lanes) at each point."""
    points, _, CP = V.shape
    FP, lanes = M.shape[2], VECTOR_BYTES // V.itemsize
    for p in range(points):
        a, b, c = operand(V[p], row=CP, inner=1), operand(U[p], inner=FP), operand(M[p], row=FP)
        gemm(tiles, FP // lanes, a, b, c, 1, C, False)
