"""The definitions, as loops. The specification that every other algorithm is tested against.

::

    conv2d     y[n,oh,ow,f] = b[f] + sum over kh, kw, c of x[n,h,w,c] * w[kh,kw,c,f],
               h = oh*SH + kh*DH - PT, w = ow*SW + kw*DW - PL
    maxpool2d  y[n,oh,ow,c] = max over kh, kw of x[n,h,w,c], h = oh*SH + kh - PT, w = ow*SW + kw - PL
    warp       y[n,i,j,c] = x[n,h,w,c], (h, w) = maps[n] @ (i, j, 1) + amplitudes[n] * smoothed noise[:,i,j]

A convolution is a cross-correlation: the kernel is not flipped. Padding is zeros that take part in the
sums; algorithms that skip it differ only where w holds a NaN or an infinity. Never optimise this file: the
gradients are the same loops with the roles of the three arrays exchanged, and that is all there is to see.
"""

import itertools
import math

import numpy as np

from tinycnn.checks import Pads, Pair
from tinycnn.kernels.geometry import NO_PADDING, check_conv, check_pool, crop, pad, window_counts


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
        Whether what is below zero becomes zero, which costs less here than in a pass of its own.

    Returns
    -------
    y : ndarray of shape (N, OH, OW, F), in the dtype of `x`

    Raises
    ------
    ValueError
        When ranks, channels or dtypes do not fit, or the kernel is larger than the padded image.
    """
    OH, OW = check_conv(x.shape, w.shape, strides, padding, dilation, x=x, w=w, b=b)
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
    check_conv(x_shape, w.shape, strides, padding, dilation, w=w, dy=dy)
    (SH, SW), (DH, DW), (KH, KW, C, _) = strides, dilation, w.shape
    dxp = pad(np.zeros(x_shape, dy.dtype), padding)
    for n, oh, ow, f in np.ndindex(dy.shape):
        for kh, kw, c in np.ndindex(KH, KW, C):
            dxp[n, oh * SH + kh * DH, ow * SW + kw * DW, c] += dy[n, oh, ow, f] * w[kh, kw, c, f]
    return crop(dxp, padding).copy()


def conv2d_grad_kernel(
    x: np.ndarray,
    dy: np.ndarray,
    w_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """Return dw of shape `w_shape`, from x (N, H, W, C) and dy (N, OH, OW, F). See `conv2d`."""
    check_conv(x.shape, w_shape, strides, padding, dilation, x=x, dy=dy)
    (SH, SW), (DH, DW), (KH, KW, C, _) = strides, dilation, w_shape
    xp = pad(x, padding)
    dw = np.zeros(w_shape, x.dtype)
    for n, oh, ow, f in np.ndindex(dy.shape):
        for kh, kw, c in np.ndindex(KH, KW, C):
            dw[kh, kw, c, f] += xp[n, oh * SH + kh * DH, ow * SW + kw * DW, c] * dy[n, oh, ow, f]
    return dw


def maxpool2d(
    x: np.ndarray, pool_size: Pair, strides: Pair, padding: Pads = NO_PADDING
) -> tuple[np.ndarray, np.ndarray]:
    """Take the maximum of each window.

    Parameters
    ----------
    x : ndarray of shape (N, H, W, C)
    pool_size, strides : (int, int)
    padding : ((top, bottom), (left, right))
        Less than the pool size; the padding never wins.

    Returns
    -------
    y : ndarray of shape (N, OH, OW, C), in the dtype of `x`
    argmax : unsigned integer ndarray of the same shape
        Which pixel of its window won, kh * KW + kw. Of equal pixels the first wins, in row-major order. A
        NaN beats every number, so that it does not go unseen.
    """
    OH, OW = check_pool(x.shape, pool_size, strides, padding, x=x)
    (KH, KW), (SH, SW) = pool_size, strides
    xp = pad(x, padding, -math.inf)
    y = np.empty((x.shape[0], OH, OW, x.shape[3]), x.dtype)
    argmax = np.zeros(y.shape, np.min_scalar_type(KH * KW - 1))
    (PT, _), (PL, _) = padding
    for n, oh, ow, c in np.ndindex(y.shape):
        best, winner = -math.inf, -1
        for kh, kw in np.ndindex(KH, KW):
            h, w = oh * SH + kh, ow * SW + kw
            inside = PT <= h < PT + x.shape[1] and PL <= w < PL + x.shape[2]
            value = xp[n, h, w, c]
            if inside and (winner < 0 or value > best or (math.isnan(value) and not math.isnan(best))):
                best, winner = value, kh * KW + kw
        y[n, oh, ow, c], argmax[n, oh, ow, c] = best, winner
    return y, argmax


def maxpool2d_grad_input(
    dy: np.ndarray,
    argmax: np.ndarray,
    x_shape: tuple[int, int, int, int],
    pool_size: Pair,
    strides: Pair,
    padding: Pads = NO_PADDING,
) -> np.ndarray:
    """Return dx of shape `x_shape`: each dy (N, OH, OW, C) goes to the pixel that won its window."""
    check_pool(x_shape, pool_size, strides, padding, dy=dy, argmax=argmax)
    dxp = pad(np.zeros(x_shape, dy.dtype), padding)
    for n, oh, ow, c in np.ndindex(dy.shape):
        kh, kw = divmod(int(argmax[n, oh, ow, c]), pool_size[1])
        dxp[n, oh * strides[0] + kh, ow * strides[1] + kw, c] += dy[n, oh, ow, c]
    return crop(dxp, padding).copy()


def averagepool2d(x: np.ndarray, pool_size: Pair, strides: Pair, padding: Pads = NO_PADDING) -> np.ndarray:
    """Return the mean of each window, (N, OH, OW, C); the padding is not counted, as in Keras."""
    OH, OW = check_pool(x.shape, pool_size, strides, padding, x=x)
    (KH, KW), (SH, SW) = pool_size, strides
    xp = pad(x, padding)
    counts = window_counts(x.shape[1:3], pool_size, strides, padding)
    y = np.zeros((x.shape[0], OH, OW, x.shape[3]), x.dtype)
    for n, oh, ow, c in np.ndindex(y.shape):
        total = x.dtype.type(0)
        for kh, kw in np.ndindex(KH, KW):
            total += xp[n, oh * SH + kh, ow * SW + kw, c]
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
    check_pool(x_shape, pool_size, strides, padding, dy=dy)
    (KH, KW), (SH, SW) = pool_size, strides
    counts = window_counts(x_shape[1:3], pool_size, strides, padding)
    dxp = pad(np.zeros(x_shape, dy.dtype), padding)
    for n, oh, ow, c in np.ndindex(dy.shape):
        for kh, kw in np.ndindex(KH, KW):
            dxp[n, oh * SH + kh, ow * SW + kw, c] += dy[n, oh, ow, c] / counts[oh, ow]
    return crop(dxp, padding).copy()


def warp(
    x: np.ndarray,
    maps: np.ndarray,
    amplitudes: np.ndarray,
    smoothing: tuple[np.ndarray, np.ndarray],
    key: np.ndarray,
    starts: np.ndarray,
) -> np.ndarray:
    """Sample images along maps and displacements; see `tinycnn.kernels.warp.warp`."""
    N, H, W, _ = x.shape
    y = np.zeros_like(x)
    for n in range(N):
        numbers = np.random.Generator(np.random.Philox(key=key, counter=int(starts[n]) // 16))
        noise = np.frombuffer(numbers.bytes(4 * H * W), "<u2").reshape(2, H, W) / 2**15 - 1
        field = [amplitudes[n] * (smoothing[0] @ noise[axis] @ smoothing[1]) for axis in range(2)]
        for i, j in np.ndindex(H, W):
            h, w = (maps[n, axis] @ (i, j, 1) + field[axis][i, j] for axis in range(2))
            for row, column in itertools.product(
                (math.floor(h), math.floor(h) + 1), (math.floor(w), math.floor(w) + 1)
            ):
                if 0 <= row < H and 0 <= column < W:
                    y[n, i, j] += x[n, row, column] * (1 - abs(h - row)) * (1 - abs(w - column))
    return y
