"""Max-pool, bias, ReLU and dropout in NumPy, and maps to try them on."""

import numpy as np

from tinycnn.support.randomness import generator, philox_key

NAN, INF = np.nan, np.inf
NAME = 3, "dropout", 1
KEY = philox_key(*NAME)
GEOMETRIES = [  # OH, OW, pool size, strides
    (4, 6, (2, 2), (2, 2)),
    (5, 7, (2, 2), (2, 2)),  # pixels that no window reaches
    (7, 5, (3, 2), (1, 2)),  # windows that overlap
    (9, 8, (2, 3), (4, 4)),  # and that leave gaps
    (3, 4, (1, 1), (1, 1)),
    (3, 5, (3, 5), (1, 1)),  # a window as large as the image
    (20, 18, (16, 16), (2, 1)),  # no gradient is 256: more than a byte holds
    (17, 15, (17, 15), (1, 1)),  # and 255: a byte just holds it
]


def twin(z, size, strides, dropped, scale, b=None):
    """Return y and argmax of `conv_maxpool.maxpool`: the first NaN of a window, or its first largest."""
    windows = np.lib.stride_tricks.sliding_window_view(z, size, axis=(1, 2))[:, :: strides[0], :: strides[1]]
    windows = windows.reshape(*windows.shape[:4], size[0] * size[1])
    argmax = windows.argmax(axis=-1)  # the first of equals, and of NaNs
    best = np.take_along_axis(windows, argmax[..., None], -1)[..., 0]
    best = best if b is None else best + b
    drawn = np.frombuffer(generator(*NAME).bytes(2 * best.size), "<u2").reshape(best.shape)
    passes = (best > 0) & (drawn >= dropped)
    zero = best.dtype.type(0)
    with np.errstate(over="ignore", invalid="ignore"):
        y = np.where(passes, best * best.dtype.type(scale), np.where(np.isnan(best), best, zero))
    return y, np.where(passes, argmax, size[0] * size[1])


def images(batch, OH, OW, F, dtype, seed=0):
    """Few values, so that most windows have ties, with every special number among them."""
    values = [-2, -1, 0, 1, 2, 0.5, -0.0, 3, 3, 3, NAN, INF, -INF]
    chances = np.array([6] * 10 + [1] * 3)
    return (
        np.random.default_rng(seed)
        .choice(values, (batch, OH, OW, F), p=chances / chances.sum())
        .astype(dtype)
    )
