"""How far a pixel that is not finite, or very large, reaches: its windows, or the tiles that read it."""

import numpy as np
import pytest

from tinycnn import kernels
from tinycnn.kernels.selection import tile_size

N, H, W, C, F = 2, 16, 17, 32, 32


def readers(pixel, padding, tile, alpha, count):
    """Return which of `count` outputs along an axis are in a tile that reads a pixel."""
    first = np.arange(count) // tile * tile - padding
    return (first <= pixel) & (pixel < first + alpha)


@pytest.mark.filterwarnings("ignore:(invalid|overflow)")
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30, 1e38])
@pytest.mark.parametrize("pixel", [(0, 0), (5, 6), (7, 8), (15, 16)])
@pytest.mark.parametrize(("r", "padding"), [(3, 0), (3, 1), (2, 0)])
@pytest.mark.parametrize("algorithm", ["im2col", "direct", "winograd"])
def test_a_bad_pixel(algorithm, r, padding, pixel, bad):
    """No output outside changes, in any image; with `winograd` those of a tile may, as documented."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((N, H, W, C)), rng.standard_normal((r, r, C, F))
    x, w, pads = x.astype(np.float32), w.astype(np.float32), ((padding,) * 2, (padding,) * 2)
    good = kernels.conv2d(x, w, None, (1, 1), pads, (1, 1), False, algorithm)
    x[1, pixel[0], pixel[1], 3] = bad
    y = kernels.conv2d(x, w, None, (1, 1), pads, (1, 1), False, algorithm)
    OH, OW = y.shape[1:3]
    m = tile_size(r, OH, OW) if algorithm == "winograd" else 1
    rows, columns = (
        readers(p, padding, m, m + r - 1, count) for p, count in zip(pixel, (OH, OW), strict=True)
    )
    allowed = np.zeros(y.shape[:3], bool)
    allowed[1] = rows[:, None] & columns
    changed = ~((y == good).all(axis=-1))
    assert not (changed & ~allowed).any()
    window = readers(pixel[0], padding, 1, r, OH)[:, None] & readers(pixel[1], padding, 1, r, OW)
    assert (changed[1] & window).sum() == window.sum()  # where it belongs, it is seen
    if not np.isfinite(bad):
        assert not np.isfinite(y[1][window]).any()
