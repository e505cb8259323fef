"""A convolution and its gradients by definition: the specification that every algorithm is tested against.

::

    y[n,oh,ow,f] = b[f] + sum over kh, kw, c of x[n,h,w,c] * w[kh,kw,c,f],
                   h = oh*SH + kh*DH - PT, w = ow*SW + kw*DW - PL

A convolution is a cross-correlation: the filter is not flipped. Padding is zeros that take part in the sums;
algorithms that skip it differ only where w holds a NaN or an infinity. Never optimise this file: the
gradients are the same loops with the roles of the three arrays exchanged, and that is all there is to see.
"""

import numpy as np

from tinycnn.kernels.geometry import NO_PADDING, crop, pad, window_output
from tinycnn.support.checks import Pads, Pair


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None = None,
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
    relu: bool = False,
) -> np.ndarray:
    """Convolve images with filters.

    Parameters
    ----------
    x : ndarray of shape (N, H, W, C)
    w : ndarray of shape (KH, KW, C, F)
    b : ndarray of shape (F,), optional
    strides, dilation : (int, int)
        Along the height and the width, at least 1.
    padding : ((top, bottom), (left, right))
        Rows and columns of zeros around each image.
    relu : bool
        Whether negative outputs become zero.

    Returns
    -------
    y : ndarray of shape (N, OH, OW, F), in the dtype of `x`

    Raises
    ------
    ValueError
        When ranks, channels or dtypes do not fit, or the filter is larger than the padded image.
    """
    OH, OW = window_output(x.shape[1:3], w.shape[:2], strides, padding, dilation)
    (SH, SW), (DH, DW), (KH, KW, C, F) = strides, dilation, w.shape
    xp = pad(x, padding)
    y = np.zeros((x.shape[0], OH, OW, F), x.dtype)
    for n, oh, ow, f in np.ndindex(y.shape):
        total = x.dtype.type(0) if b is None else b[f]
        for kh, kw, c in np.ndindex(KH, KW, C):
            total += xp[n, oh * SH + kh * DH, ow * SW + kw * DW, c] * w[kh, kw, c, f]
        y[n, oh, ow, f] = max(total, 0) if relu and total == total else total  # NaN stays NaN
    return y


def conv2d_grad_input(
    dy: np.ndarray,
    w: np.ndarray,
    x_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """Return dx of shape `x_shape`, from dy (N, OH, OW, F) and w (KH, KW, C, F). See `conv2d`."""
    (SH, SW), (DH, DW), (KH, KW, C, _) = strides, dilation, w.shape
    dxp = pad(np.zeros(x_shape, dy.dtype), padding)
    for n, oh, ow, f in np.ndindex(dy.shape):
        for kh, kw, c in np.ndindex(KH, KW, C):
            dxp[n, oh * SH + kh * DH, ow * SW + kw * DW, c] += dy[n, oh, ow, f] * w[kh, kw, c, f]
    return crop(dxp, padding).copy()


def conv2d_grad_filter(
    x: np.ndarray,
    dy: np.ndarray,
    w_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """Return dw of shape `w_shape`, from x (N, H, W, C) and dy (N, OH, OW, F). See `conv2d`."""
    (SH, SW), (DH, DW), (KH, KW, C, _) = strides, dilation, w_shape
    xp = pad(x, padding)
    dw = np.zeros(w_shape, x.dtype)
    for n, oh, ow, f in np.ndindex(dy.shape):
        for kh, kw, c in np.ndindex(KH, KW, C):
            dw[kh, kw, c, f] += xp[n, oh * SH + kh * DH, ow * SW + kw * DW, c] * dy[n, oh, ow, f]
    return dw
