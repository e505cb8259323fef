"""Depthwise convolution in NumPy: the patches of a convolution, one element of the window at a time.

::

    x (N, H, W, C) -> pad -> column (N, OH, OW, C): the pixels under element (kh, kw) of the window, a view
    y  (N, OH, OW, C, M) += column * w[kh, kw]          column of dx += sum over m of dy * w[kh, kw]
    dw[kh, kw] (C, M)     = sum over n, oh, ow of column * dy

No channels are added, so there is no matrix product, and the matrix of patches is never made.
"""

import numpy as np

from tinycnn.kernels.geometry import NO_PADDING, crop, pad, window_output
from tinycnn.support.checks import Pads, Pair
from tinycnn.support.sums import sum_rows


def column(xp: np.ndarray, tap: Pair, out: Pair, strides: Pair, dilation: Pair) -> np.ndarray:
    """Return the pixels of padded images (N, H, W, C) that outputs meet with one element of their window.

    Parameters
    ----------
    xp : ndarray
    tap : (int, int)
        The element (kh, kw).
    out, strides, dilation : (int, int)
        OH and OW; as in `naive.depthwise_conv2d`.

    Returns
    -------
    ndarray of shape (N, OH, OW, C)
        A view. Its pixels are distinct: an element of the window meets every output once.
    """
    (top, left), (OH, OW), (SH, SW) = (tap[0] * dilation[0], tap[1] * dilation[1]), out, strides
    return xp[:, top : top + OH * SH : SH, left : left + OW * SW : SW]


def depthwise_conv2d(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None = None,
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
    relu: bool = False,
) -> np.ndarray:
    """See `naive.depthwise_conv2d`."""
    out = window_output(x.shape[1:3], w.shape[:2], strides, padding, dilation)
    (KH, KW, C, M), xp = w.shape, pad(x, padding)
    y = np.zeros((x.shape[0], *out, C, M), x.dtype)
    for tap in np.ndindex(KH, KW):
        y += column(xp, tap, out, strides, dilation)[..., None] * w[tap]
    y = y.reshape(*y.shape[:3], C * M)
    if b is not None:
        y += b
    if relu:
        np.maximum(y, 0, out=y)
    return y


def depthwise_conv2d_grad_input(
    dy: np.ndarray,
    w: np.ndarray,
    x_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """See `naive.depthwise_conv2d_grad_input`."""
    (KH, KW, C, M), (N, H, W, _), (_, *out, _) = w.shape, x_shape, dy.shape
    dxp = np.zeros((N, H + sum(padding[0]), W + sum(padding[1]), C), dy.dtype)
    by_channel = dy.reshape(N, *out, C, M)
    for tap in np.ndindex(KH, KW):
        seen = column(dxp, tap, (out[0], out[1]), strides, dilation)
        for m in range(M):
            seen += by_channel[..., m] * w[tap][:, m]
    return np.ascontiguousarray(crop(dxp, padding))


def depthwise_conv2d_grad_filter(
    x: np.ndarray,
    dy: np.ndarray,
    w_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """See `naive.depthwise_conv2d_grad_filter`."""
    (KH, KW, C, M), (N, *out, _), xp = w_shape, dy.shape, pad(x, padding)
    by_channel = dy.reshape(N, *out, C, M)
    dw = np.empty(w_shape, x.dtype)
    for tap in np.ndindex(KH, KW):
        products = column(xp, tap, (out[0], out[1]), strides, dilation)[..., None] * by_channel
        dw[tap] = sum_rows(products.reshape(-1, C * M)).reshape(C, M)
    return dw
