"""Patches as a matrix, and one matrix product: the classical NumPy convolution.

::

    x (N, H, W, C) -> im2col -> patches (N*OH*OW, KH*KW*C) @ w (KH*KW*C, F) -> y (N, OH, OW, F)
    dx <- col2im <- dy (N*OH*OW, F) @ w.T;      dw <- patches.T @ dy

Chellapilla, Puri & Simard, "High performance convolutional neural networks for document processing",
2006. BLAS does the arithmetic; the price is the patch matrix, KH*KW times the size of the input. The
pools see the same patches with the window as an axis of its own.
"""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinycnn.checks import Pads, Pair
from tinycnn.kernels.geometry import NO_PADDING, check_conv, check_pool, crop, pad, window_counts


def im2col(xp: np.ndarray, kernel: Pair, strides: Pair, dilation: Pair = (1, 1)) -> np.ndarray:
    """Return the patches of padded images (N, H, W, C) as a view of shape (N, OH, OW, KH, KW, C)."""
    (KH, KW), (SH, SW), (DH, DW) = kernel, strides, dilation
    windows = sliding_window_view(xp, ((KH - 1) * DH + 1, (KW - 1) * DW + 1), axis=(1, 2))
    patches = windows[:, ::SH, ::SW, :, ::DH, ::DW]  # (N, OH, OW, C, KH, KW)
    return patches.transpose(0, 1, 2, 4, 5, 3)


def col2im(
    patches: np.ndarray, xp_shape: tuple[int, ...], strides: Pair, dilation: Pair = (1, 1)
) -> np.ndarray:
    """Add patches (N, OH, OW, KH, KW, C) into images of shape `xp_shape`: the adjoint of `im2col`."""
    _, OH, OW, KH, KW, _ = patches.shape
    (SH, SW), (DH, DW) = strides, dilation
    xp = np.zeros(xp_shape, patches.dtype)
    for kh, kw in np.ndindex(KH, KW):
        top, left = kh * DH, kw * DW
        # one tap of the kernel meets every output once, so these pixels are distinct
        xp[:, top : top + OH * SH : SH, left : left + OW * SW : SW] += patches[:, :, :, kh, kw]
    return xp


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None = None,
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
    relu: bool = False,
) -> np.ndarray:
    """See `naive.conv2d`."""
    OH, OW = check_conv(x.shape, w.shape, strides, padding, dilation, x=x, w=w, b=b)
    KH, KW, C, F = w.shape
    patches = im2col(pad(x, padding), (KH, KW), strides, dilation).reshape(-1, KH * KW * C)
    y = patches @ w.reshape(KH * KW * C, F)
    if b is not None:
        y += b
    if relu:
        np.maximum(y, 0, out=y)
    return y.reshape(x.shape[0], OH, OW, F)


def conv2d_grad_input(
    dy: np.ndarray,
    w: np.ndarray,
    x_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """See `naive.conv2d_grad_input`."""
    OH, OW = check_conv(x_shape, w.shape, strides, padding, dilation, w=w, dy=dy)
    KH, KW, C, F = w.shape
    patches = dy.reshape(-1, F) @ w.reshape(KH * KW * C, F).T
    N, H, W, _ = x_shape
    xp_shape = (N, H + sum(padding[0]), W + sum(padding[1]), C)
    dxp = col2im(patches.reshape(N, OH, OW, KH, KW, C), xp_shape, strides, dilation)
    return np.ascontiguousarray(crop(dxp, padding))


def conv2d_grad_kernel(
    x: np.ndarray,
    dy: np.ndarray,
    w_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """See `naive.conv2d_grad_kernel`."""
    check_conv(x.shape, w_shape, strides, padding, dilation, x=x, dy=dy)
    KH, KW, C, F = w_shape
    patches = im2col(pad(x, padding), (KH, KW), strides, dilation).reshape(-1, KH * KW * C)
    return (patches.T @ dy.reshape(-1, F)).reshape(w_shape)


def maxpool2d(
    x: np.ndarray, pool_size: Pair, strides: Pair, padding: Pads = NO_PADDING
) -> tuple[np.ndarray, np.ndarray]:
    """See `naive.maxpool2d`."""
    OH, OW = check_pool(x.shape, pool_size, strides, padding, x=x)
    taps = pool_size[0] * pool_size[1]
    windows = im2col(pad(x, padding, -math.inf), pool_size, strides)
    windows = windows.reshape(x.shape[0], OH, OW, taps, x.shape[3])
    argmax = windows.argmax(axis=3)  # the first of equals; a NaN counts as the largest
    y = np.take_along_axis(windows, argmax[:, :, :, None], axis=3)[:, :, :, 0]
    if padding != NO_PADDING:  # where an image is -inf all over the window, its padding must not win
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
    check_pool(x_shape, pool_size, strides, padding, dy=dy, argmax=argmax)
    (KH, KW), (N, H, W, C) = pool_size, x_shape
    winners = argmax[:, :, :, None] == np.arange(KH * KW)[:, None]  # (N, OH, OW, KH*KW, C)
    patches = np.where(winners, dy[:, :, :, None], dy.dtype.type(0))
    patches = patches.reshape(*dy.shape[:3], KH, KW, C)
    xp_shape = (N, H + sum(padding[0]), W + sum(padding[1]), C)
    return np.ascontiguousarray(crop(col2im(patches, xp_shape, strides), padding))


def averagepool2d(x: np.ndarray, pool_size: Pair, strides: Pair, padding: Pads = NO_PADDING) -> np.ndarray:
    """See `naive.averagepool2d`."""
    check_pool(x.shape, pool_size, strides, padding, x=x)
    counts = window_counts(x.shape[1:3], pool_size, strides, padding)[:, :, None].astype(x.dtype)
    return im2col(pad(x, padding), pool_size, strides).sum(axis=(3, 4)) / counts


def averagepool2d_grad_input(
    dy: np.ndarray,
    x_shape: tuple[int, int, int, int],
    pool_size: Pair,
    strides: Pair,
    padding: Pads = NO_PADDING,
) -> np.ndarray:
    """See `naive.averagepool2d_grad_input`."""
    check_pool(x_shape, pool_size, strides, padding, dy=dy)
    N, H, W, C = x_shape
    counts = window_counts((H, W), pool_size, strides, padding)[:, :, None].astype(dy.dtype)
    share = (dy / counts)[:, :, :, None, None]  # (N, OH, OW, 1, 1, C)
    patches = np.broadcast_to(share, (*dy.shape[:3], *pool_size, C))
    xp_shape = (N, H + sum(padding[0]), W + sum(padding[1]), C)
    return np.ascontiguousarray(crop(col2im(patches, xp_shape, strides), padding))
