"""Pooling by its definition: plain loops, the specification that the other algorithms are tested against.

::

    maxpool2d  y[n,oh,ow,c] = max over kh, kw of x[n,h,w,c], h = oh*SH + kh - PT, w = ow*SW + kw - PL
    averagepool2d: the mean over the same pixels, those of the padding not counted

Never optimise this file: the gradients are the same loops with the roles of the arrays exchanged.
"""

import math

import numpy as np

from tinycnn.kernels.geometry import NO_PADDING, crop, pad, window_counts, window_output
from tinycnn.support.checks import Pads, Pair


def maxpool2d(
    x: np.ndarray, pool_size: Pair, strides: Pair, padding: Pads = NO_PADDING
) -> tuple[np.ndarray, np.ndarray]:
    """Take the maximum of each window.

    Parameters
    ----------
    x : ndarray of shape (N, H, W, C)
    pool_size, strides : (int, int)
    padding : ((top, bottom), (left, right))
        Less than the pool size; padding is never the maximum.

    Returns
    -------
    y : ndarray of shape (N, OH, OW, C), in the dtype of `x`
    argmax : unsigned integer ndarray of the same shape
        The pixel that is the maximum of its window, kh * KW + kw. Of equal pixels it is the first in
        row-major order. A NaN counts as the maximum, so that it does not go unseen.
    """
    OH, OW = window_output(x.shape[1:3], pool_size, strides, padding)
    (KH, KW), (SH, SW) = pool_size, strides
    xp = pad(x, padding, -math.inf)
    y = np.empty((x.shape[0], OH, OW, x.shape[3]), x.dtype)
    argmax = np.zeros(y.shape, np.min_scalar_type(KH * KW - 1))
    (PT, _), (PL, _) = padding
    for n, oh, ow, c in np.ndindex(y.shape):
        best, tap = -math.inf, -1
        for kh, kw in np.ndindex(KH, KW):
            h, w = oh * SH + kh, ow * SW + kw
            inside = PT <= h < PT + x.shape[1] and PL <= w < PL + x.shape[2]
            value = xp[n, h, w, c]
            if inside and (tap < 0 or value > best or (math.isnan(value) and not math.isnan(best))):
                best, tap = value, kh * KW + kw
        y[n, oh, ow, c], argmax[n, oh, ow, c] = best, tap
    return y, argmax


def maxpool2d_grad_input(
    dy: np.ndarray,
    argmax: np.ndarray,
    x_shape: tuple[int, int, int, int],
    pool_size: Pair,
    strides: Pair,
    padding: Pads = NO_PADDING,
) -> np.ndarray:
    """Return dx of shape `x_shape`: each dy (N, OH, OW, C) is added at the argmax of its window."""
    dxp = pad(np.zeros(x_shape, dy.dtype), padding)
    for n, oh, ow, c in np.ndindex(dy.shape):
        kh, kw = divmod(int(argmax[n, oh, ow, c]), pool_size[1])
        dxp[n, oh * strides[0] + kh, ow * strides[1] + kw, c] += dy[n, oh, ow, c]
    return crop(dxp, padding).copy()


def averagepool2d(x: np.ndarray, pool_size: Pair, strides: Pair, padding: Pads = NO_PADDING) -> np.ndarray:
    """Return the mean of each window, (N, OH, OW, C); the padding is not counted, as in Keras."""
    OH, OW = window_output(x.shape[1:3], pool_size, strides, padding)
    (KH, KW), (SH, SW) = pool_size, strides
    xp = pad(x, padding)
    counts = window_counts(x.shape[1:3], pool_size, strides, padding)
    y = np.zeros((x.shape[0], OH, OW, x.shape[3]), x.dtype)
    for n, oh, ow, c in np.ndindex(y.shape):
        total = 0.0  # float64: a window may be a whole image
        for kh, kw in np.ndindex(KH, KW):
            total += float(xp[n, oh * SH + kh, ow * SW + kw, c])
        y[n, oh, ow, c] = total / counts[oh, ow]
    return y


def averagepool2d_grad_input(
    dy: np.ndarray,
    x_shape: tuple[int, int, int, int],
    pool_size: Pair,
    strides: Pair,
    padding: Pads = NO_PADDING,
) -> np.ndarray:
    """Return dx of shape `x_shape`: each dy (N, OH, OW, C) is shared equally by the pixels of its window."""
    (KH, KW), (SH, SW) = pool_size, strides
    counts = window_counts(x_shape[1:3], pool_size, strides, padding)
    dxp = pad(np.zeros(x_shape, dy.dtype), padding)
    for n, oh, ow, c in np.ndindex(dy.shape):
        for kh, kw in np.ndindex(KH, KW):
            dxp[n, oh * SH + kh, ow * SW + kw, c] += dy[n, oh, ow, c] / counts[oh, ow]
    return crop(dxp, padding).copy()
