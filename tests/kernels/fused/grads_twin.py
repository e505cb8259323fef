"""Examples of a convolution that a max-pool follows, with its gradients from the dense kernels."""

import numpy as np

from tinycnn.kernels.conv import im2col
from tinycnn.kernels.fused.conv_maxpool_grads import grad_filter, grad_input
from tinycnn.kernels.pool import im2col as im2col_pool

SCALE = 1 / 0.7  # of a dropout
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
CASES = [  # N, H, W, C, F, KH, KW, padding, pool size, pool strides
    (1, 3, 4, 1, 3, 2, 2, ((0, 0), (0, 0)), (2, 2), (2, 2)),
    (2, 9, 8, 3, 5, 2, 3, ((0, 0), (0, 0)), (2, 2), (2, 2)),
    (3, 10, 11, 17, 33, 3, 2, ((1, 0), (0, 1)), (2, 3), (1, 2)),
    (5, 12, 13, 33, 17, 3, 3, ((1, 1), (1, 1)), (2, 2), (2, 2)),
    (2, 9, 7, 4, 6, 5, 1, ((2, 2), (0, 0)), (3, 2), (2, 2)),
    (2, 6, 9, 130, 7, 1, 4, ((0, 0), (0, 0)), (2, 2), (2, 1)),
    (19, 11, 10, 7, 40, 4, 2, ((0, 1), (2, 0)), (2, 2), (3, 3)),
]


def example(case, dtype, kept=0.6, seed=0):
    """Return x, w, dy and argmax, and what the dense gradients of w, b and x are in float64."""
    N, H, W, C, F, KH, KW, padding, size, strides = case
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((N, H, W, C)), rng.standard_normal((KH, KW, C, F))
    y = im2col.conv2d(x, w, None, (1, 1), padding)
    p, argmax = im2col_pool.maxpool2d(y, size, strides)
    dy, reached = rng.standard_normal(p.shape), rng.random(p.shape) < kept
    dz = im2col_pool.maxpool2d_grad_input(SCALE * dy * reached, argmax, y.shape, size, strides)
    dw = im2col.conv2d_grad_filter(x, dz, w.shape, (1, 1), padding)
    dx = im2col.conv2d_grad_input(dz, w, x.shape, (1, 1), padding)
    argmax = np.where(reached, argmax, size[0] * size[1]).astype(np.uint8)
    return [a.astype(dtype) for a in (x, w, dy)], argmax, dw, dz.sum(axis=(0, 1, 2)), dx


def compute(case, x, w, dy, argmax):
    geometry = case[7:]
    dw, db = grad_filter(x, dy, argmax, w.shape, *geometry, SCALE)
    return dw, db, grad_input(dy, argmax, w, x.shape, *geometry, SCALE)


def assert_close(result, expected, dtype):
    assert result.dtype == dtype
    assert result.shape == expected.shape
    assert np.abs(result - expected).max(initial=0) <= TOLERANCE[dtype] * max(
        np.abs(expected).max(initial=0), 1
    )
