"""Patches as a matrix, and one matrix product: the classical NumPy convolution.

::

    x (N, H, W, C) -> im2col -> patches (N*OH*OW, KH*KW*C) @ w (KH*KW*C, F) -> y (N, OH, OW, F)
    dx <- col2im <- dy (N*OH*OW, F) @ w.T;      dw <- patches.T @ dy

Chellapilla, Puri & Simard, "High performance convolutional neural networks for document processing",
2006. BLAS does the arithmetic; the price is the patch matrix, KH*KW times the size of the input.
Pooling reduces the same patches over the window's axes (`pool.im2col`).
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinycnn.kernels.geometry import NO_PADDING, crop, pad, window_output
from tinycnn.support.checks import Pads, Pair


def im2col(xp: np.ndarray, window: Pair, strides: Pair, dilation: Pair = (1, 1)) -> np.ndarray:
    """Return the patches of padded images (N, H, W, C) as a view of shape (N, OH, OW, KH, KW, C)."""
    (KH, KW), (SH, SW), (DH, DW) = window, strides, dilation
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
        # one tap of the filter meets every output once, so these pixels are distinct
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
    OH, OW = window_output(x.shape[1:3], w.shape[:2], strides, padding, dilation)
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
    OH, OW = window_output(x_shape[1:3], w.shape[:2], strides, padding, dilation)
    KH, KW, C, F = w.shape
    patches = dy.reshape(-1, F) @ w.reshape(KH * KW * C, F).T
    N, H, W, _ = x_shape
    xp_shape = (N, H + sum(padding[0]), W + sum(padding[1]), C)
    dxp = col2im(patches.reshape(N, OH, OW, KH, KW, C), xp_shape, strides, dilation)
    return np.ascontiguousarray(crop(dxp, padding))


def conv2d_grad_filter(
    x: np.ndarray,
    dy: np.ndarray,
    w_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """See `naive.conv2d_grad_filter`."""
    KH, KW, C, F = w_shape
    patches = im2col(pad(x, padding), (KH, KW), strides, dilation).reshape(-1, KH * KW * C)
    return (patches.T @ dy.reshape(-1, F)).reshape(w_shape)
