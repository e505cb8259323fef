"""One image's tiles into Winograd's domain and back: the loops around the transforms.

::

    x -> gather_image -> image -> input_tiles -> V -> multiply (by U) -> M -> output_tiles -> out
                           dy -> gradient_tiles -> dM

V, M and dM have a place for each element of a tile, alpha**2, then the tiles, then the channels: at each
place there is a matrix, and `multiply` is a product of matrices for each place. Channels are rounded up to
whole vectors; the padding of images makes tiles that stand over the edge safe.

U (`filter_matrices`) has a row for each place, a matrix (C, FP) and a cache line more: with rows of a power
of 2, the alpha**2 numbers of a tile would all go to the same few lines of the level 1 cache.
"""

from tinycnn.kernels.jit import jit
from tinycnn.kernels.microkernel import gemm
from tinycnn.kernels.transforms import matrices, transform2d

#: For each size of filter, the sizes of output tile that there are transforms for.
TILES = {2: (2, 3, 4, 5), 3: (2, 4)}
# The transform of a filter takes as long as its products with so many tiles (measured: 4 to 8).
FILTER_TILES = 6


def tile_size(r: int, OH: int, OW: int, images: int = 2) -> int:
    """Return the m of F(m, r) that takes the fewest multiplications for an output of OH x OW.

    Several images share the transformed filter; for one, it has to pay for itself.
    """
    filters = FILTER_TILES if images == 1 else 0
    return min(TILES[r], key=lambda m: ((-(-OH // m) * -(-OW // m) + filters) * (m + r - 1) ** 2, -m))


@jit
def gather_image(x, image, PT, PL):
    """Copy an image (H, W, C) to where it stands in its padded form; zeros around it."""
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


@jit
def input_tiles(image, V, n, m, r, lanes):
    """Transform the tiles of one image, the n-th of its block, into V."""
    HP, WP, CP = image.shape
    TH, TW, alpha = (HP - r + 1) // m, (WP - r + 1) // m, m + r - 1
    place = V.shape[1] * CP
    for ty in range(TH):
        for tx in range(TW):
            source, target = (ty * m * WP + tx * m) * CP, ((n * TH + ty) * TW + tx) * CP
            for c in range(0, CP, lanes):
                input_tile(alpha, image, source + c, WP * CP, CP, V, target + c, alpha * place, place)


@jit
def output_tiles(M, out, n, m, r, lanes):
    """Transform the products of one image, the n-th of its block, back."""
    HP, WP, FP = out.shape
    TH, TW, alpha = HP // m, WP // m, m + r - 1
    place = M.shape[1] * FP
    for ty in range(TH):
        for tx in range(TW):
            source, target = ((n * TH + ty) * TW + tx) * FP, (ty * m * WP + tx * m) * FP
            for f in range(0, FP, lanes):
                output_tile(m, r, M, source + f, alpha * place, place, out, target + f, WP * FP, FP)


@jit
def gradient_tiles(gradient, dM, n, m, r, lanes):
    """Transform the tiles of one image's dy, the n-th of its block, into dM."""
    HP, WP, FP = gradient.shape
    TH, TW, alpha = HP // m, WP // m, m + r - 1
    place = dM.shape[1] * FP
    for ty in range(TH):
        for tx in range(TW):
            source, target = (ty * m * WP + tx * m) * FP, ((n * TH + ty) * TW + tx) * FP
            for f in range(0, FP, lanes):
                gradient_tile(m, r, gradient, source + f, WP * FP, FP, dM, target + f, alpha * place, place)


@jit
def filter_matrices(w, first, FP, U, m, lanes):
    """Transform the filters w (r, r, C, F) from number `first` on, FP of them, into U."""
    for c in range(w.shape[2]):
        filter_vectors(w, c, first, FP, U, m, lanes)


@jit
def filter_vectors(w, c, first, FP, U, m, lanes):
    """Transform the filters of one channel, likewise."""
    r, _, C, F = w.shape
    place = U.shape[1]
    for f in range(0, FP, lanes):
        filter_tile(m, r, w, c * F + first + f, r * C * F, C * F, U, c * FP + f, (m + r - 1) * place, place)


@jit
def multiply(V, U, M, C, tiles, lanes):
    """M = V U for each place: (tiles, C) by (C, F)."""
    places, rows, CP = V.shape
    FP = M.shape[2]
    for p in range(places):
        gemm(
            tiles, FP // lanes, lanes, V, p * rows * CP, CP, 0, 1, U, p * U.shape[1], 0, FP,
            M, p * M.shape[1] * FP, FP, 1, C, 0,
        )  # fmt: skip


# One intrinsic for each matrix, at module level, where Numba's cache can find them again. The input's
# transform depends on alpha alone.
_SETS = {mr: matrices(*mr) for mr in ((2, 2), (3, 2), (4, 2), (5, 2), (2, 3), (4, 3))}
_in_3, _in_4, _in_5, _in_6 = (transform2d(_SETS[mr][2]) for mr in ((2, 2), (3, 2), (4, 2), (5, 2)))
_out_22, _out_32, _out_42, _out_52, _out_23, _out_43 = (transform2d(at) for at, _, _ in _SETS.values())
_fil_22, _fil_32, _fil_42, _fil_52, _fil_23, _fil_43 = (transform2d(g) for _, g, _ in _SETS.values())
_gra_22, _gra_32, _gra_42, _gra_52, _gra_23, _gra_43 = (transform2d(at.T) for at, _, _ in _SETS.values())
_fba_22, _fba_32, _fba_42, _fba_52, _fba_23, _fba_43 = (transform2d(g.T) for _, g, _ in _SETS.values())


@jit
def input_tile(alpha, x, xo, xr, xc, y, yo, yr, yc):
    """B^T X B for one tile and one vector of channels; see `transform2d` for the arguments."""
    if alpha == 3:
        _in_3(x, xo, xr, xc, y, yo, yr, yc)
    elif alpha == 4:
        _in_4(x, xo, xr, xc, y, yo, yr, yc)
    elif alpha == 5:
        _in_5(x, xo, xr, xc, y, yo, yr, yc)
    else:
        _in_6(x, xo, xr, xc, y, yo, yr, yc)


@jit
def output_tile(m, r, x, xo, xr, xc, y, yo, yr, yc):
    """A^T X A of F(m, r), likewise."""
    if r == 3:
        if m == 2:
            _out_23(x, xo, xr, xc, y, yo, yr, yc)
        else:
            _out_43(x, xo, xr, xc, y, yo, yr, yc)
    elif m == 2:
        _out_22(x, xo, xr, xc, y, yo, yr, yc)
    elif m == 3:
        _out_32(x, xo, xr, xc, y, yo, yr, yc)
    elif m == 4:
        _out_42(x, xo, xr, xc, y, yo, yr, yc)
    else:
        _out_52(x, xo, xr, xc, y, yo, yr, yc)


@jit
def filter_tile(m, r, x, xo, xr, xc, y, yo, yr, yc):
    """G X G^T of F(m, r), likewise."""
    if r == 3:
        if m == 2:
            _fil_23(x, xo, xr, xc, y, yo, yr, yc)
        else:
            _fil_43(x, xo, xr, xc, y, yo, yr, yc)
    elif m == 2:
        _fil_22(x, xo, xr, xc, y, yo, yr, yc)
    elif m == 3:
        _fil_32(x, xo, xr, xc, y, yo, yr, yc)
    elif m == 4:
        _fil_42(x, xo, xr, xc, y, yo, yr, yc)
    else:
        _fil_52(x, xo, xr, xc, y, yo, yr, yc)


@jit
def gradient_tile(m, r, x, xo, xr, xc, y, yo, yr, yc):
    """A X A^T of F(m, r), likewise."""
    if r == 3:
        if m == 2:
            _gra_23(x, xo, xr, xc, y, yo, yr, yc)
        else:
            _gra_43(x, xo, xr, xc, y, yo, yr, yc)
    elif m == 2:
        _gra_22(x, xo, xr, xc, y, yo, yr, yc)
    elif m == 3:
        _gra_32(x, xo, xr, xc, y, yo, yr, yc)
    elif m == 4:
        _gra_42(x, xo, xr, xc, y, yo, yr, yc)
    else:
        _gra_52(x, xo, xr, xc, y, yo, yr, yc)


@jit
def filter_grad_tile(m, r, x, xo, xr, xc, y, yo, yr, yc):
    """G^T X G of F(m, r), likewise."""
    if r == 3:
        if m == 2:
            _fba_23(x, xo, xr, xc, y, yo, yr, yc)
        else:
            _fba_43(x, xo, xr, xc, y, yo, yr, yc)
    elif m == 2:
        _fba_22(x, xo, xr, xc, y, yo, yr, yc)
    elif m == 3:
        _fba_32(x, xo, xr, xc, y, yo, yr, yc)
    elif m == 4:
        _fba_42(x, xo, xr, xc, y, yo, yr, yc)
    else:
        _fba_52(x, xo, xr, xc, y, yo, yr, yc)
