"""Pooling in NumPy: the windows as an axis of their own, and one reduction over it.

::

    x (N, H, W, C) -> im2col -> windows (N, OH, OW, KH, KW, C) -> max or mean over KH, KW -> y (N, OH, OW, C)
"""

import math

import numpy as np

from tinycnn.kernels.conv.im2col import col2im, im2col
from tinycnn.kernels.geometry import NO_PADDING, crop, pad, window_counts, window_output
from tinycnn.support.checks import Pads, Pair


def maxpool2d(
    x: np.ndarray, pool_size: Pair, strides: Pair, padding: Pads = NO_PADDING
) -> tuple[np.ndarray, np.ndarray]:
    """See `naive.maxpool2d`."""
    OH, OW = window_output(x.shape[1:3], pool_size, strides, padding)
    taps = pool_size[0] * pool_size[1]
    windows = im2col(pad(x, padding, -math.inf), pool_size, strides)
    windows = windows.reshape(x.shape[0], OH, OW, taps, x.shape[3])
    argmax = windows.argmax(axis=3)  # the first of equals; a NaN counts as the largest
    y = np.take_along_axis(windows, argmax[:, :, :, None], axis=3)[:, :, :, 0]
    if padding != NO_PADDING:  # where a whole window is -inf, the argmax is no pixel of the padding
        inside = im2col(pad(np.ones((1, *x.shape[1:3], 1), bool), padding, False), pool_size, strides)
        first_inside = inside.reshape(1, OH, OW, taps, 1).argmax(axis=3)
        argmax = np.where(y == -math.inf, first_inside, argmax)
    return y, argmax.astype(np.min_scalar_type(taps - 1))


def maxpool2d_grad_input(
    dy: np.ndarray,
    argmax: np.ndarray,
    x_shape: tuple[int, int, int, int],
    pool_size: Pair,
    strides: Pair,
    padding: Pads = NO_PADDING,
) -> np.ndarray:
    """See `naive.maxpool2d_grad_input`."""
    (KH, KW), (N, H, W, C) = pool_size, x_shape
    is_argmax = argmax[:, :, :, None] == np.arange(KH * KW)[:, None]  # (N, OH, OW, KH*KW, C)
    patches = np.where(is_argmax, dy[:, :, :, None], dy.dtype.type(0))
    patches = patches.reshape(*dy.shape[:3], KH, KW, C)
    xp_shape = (N, H + sum(padding[0]), W + sum(padding[1]), C)
    return np.ascontiguousarray(crop(col2im(patches, xp_shape, strides), padding))


def averagepool2d(x: np.ndarray, pool_size: Pair, strides: Pair, padding: Pads = NO_PADDING) -> np.ndarray:
    """See `naive.averagepool2d`."""
    counts = window_counts(x.shape[1:3], pool_size, strides, padding)[:, :, None]
    sums = im2col(pad(x, padding), pool_size, strides).sum(axis=(3, 4), dtype=np.float64)
    return (sums / counts).astype(x.dtype)


def averagepool2d_grad_input(
    dy: np.ndarray,
    x_shape: tuple[int, int, int, int],
    pool_size: Pair,
    strides: Pair,
    padding: Pads = NO_PADDING,
) -> np.ndarray:
    """See `naive.averagepool2d_grad_input`."""
    N, H, W, C = x_shape
    counts = window_counts((H, W), pool_size, strides, padding)[:, :, None].astype(dy.dtype)
    share = (dy / counts)[:, :, :, None, None]  # (N, OH, OW, 1, 1, C)
    patches = np.broadcast_to(share, (*dy.shape[:3], *pool_size, C))
    xp_shape = (N, H + sum(padding[0]), W + sum(padding[1]), C)
    return np.ascontiguousarray(crop(col2im(patches, xp_shape, strides), padding))
