"""A depthwise convolution and its gradients by definition: what the other algorithms are tested against.

::

    y[n,oh,ow,c*M+m] = b[c*M+m] + sum over kh, kw of x[n,h,w,c] * w[kh,kw,c,m],
                       h = oh*SH + kh*DH - PT, w = ow*SW + kw*DW - PL

It is the convolution of `conv.naive` without the sum over channels. Padding is zeros that take part in the
sums; algorithms that skip it differ only where w holds a NaN or an infinity. Never optimise this file.
"""

import numpy as np

from tinycnn.kernels.geometry import NO_PADDING, crop, pad, window_output
from tinycnn.support.checks import Pads, Pair


def depthwise_conv2d(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None = None,
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
    relu: bool = False,
) -> np.ndarray:
    """Convolve each channel of images with filters of its own.

    Parameters
    ----------
    x : ndarray of shape (N, H, W, C)
    w : ndarray of shape (KH, KW, C, M)
        M filters for each channel.
    b : ndarray of shape (C*M,), optional
    strides, dilation : (int, int)
        Along the height and the width, at least 1.
    padding : ((top, bottom), (left, right))
        Rows and columns of zeros around each image.
    relu : bool
        Whether negative outputs become zero.

    Returns
    -------
    y : ndarray of shape (N, OH, OW, C*M), in the dtype of `x`
        Channel c*M + m is filter m of channel c, as in Keras and PyTorch.

    Raises
    ------
    ValueError
        When ranks, channels or dtypes do not fit, or the filter is larger than the padded image.
    """
    OH, OW = window_output(x.shape[1:3], w.shape[:2], strides, padding, dilation)
    (SH, SW), (DH, DW), (KH, KW, C, M) = strides, dilation, w.shape
    xp = pad(x, padding)
    y = np.zeros((x.shape[0], OH, OW, C * M), x.dtype)
    for n, oh, ow, c, m in np.ndindex(*y.shape[:3], C, M):
        total = x.dtype.type(0) if b is None else b[c * M + m]
        for kh, kw in np.ndindex(KH, KW):
            total += xp[n, oh * SH + kh * DH, ow * SW + kw * DW, c] * w[kh, kw, c, m]
        y[n, oh, ow, c * M + m] = max(total, 0) if relu and total == total else total  # NaN stays NaN
    return y


def depthwise_conv2d_grad_input(
    dy: np.ndarray,
    w: np.ndarray,
    x_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """Return dx of shape `x_shape`, from dy (N, OH, OW, C*M) and w (KH, KW, C, M). See `depthwise_conv2d`."""
    (SH, SW), (DH, DW), (KH, KW, C, M) = strides, dilation, w.shape
    dxp = pad(np.zeros(x_shape, dy.dtype), padding)
    for n, oh, ow, c, m in np.ndindex(*dy.shape[:3], C, M):
        for kh, kw in np.ndindex(KH, KW):
            dxp[n, oh * SH + kh * DH, ow * SW + kw * DW, c] += dy[n, oh, ow, c * M + m] * w[kh, kw, c, m]
    return crop(dxp, padding).copy()


def depthwise_conv2d_grad_filter(
    x: np.ndarray,
    dy: np.ndarray,
    w_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """Return dw of shape `w_shape`, from x (N, H, W, C) and dy (N, OH, OW, C*M). See `depthwise_conv2d`."""
    (SH, SW), (DH, DW), (KH, KW, C, M) = strides, dilation, w_shape
    xp = pad(x, padding)
    dw = np.zeros(w_shape, x.dtype)
    for n, oh, ow, c, m in np.ndindex(*dy.shape[:3], C, M):
        for kh, kw in np.ndindex(KH, KW):
            dw[kh, kw, c, m] += xp[n, oh * SH + kh * DH, ow * SW + kw * DW, c] * dy[n, oh, ow, c * M + m]
    return dw
