"""Depthwise convolution in Numba: vectors of channels, read where they are.

::

    forward      y row       = b + sum over kh, kw of  pixels of x  *  w[kh, kw]
    grad_input   the forward pass, of dy dilated by the strides, with the filter rotated by 180 degrees
    grad_filter  dw[kh, kw] += sum over oh, ow of  pixels of x  *  pixels of dy

Nothing is padded, and no zeros are put between the pixels of dy: a tap, one element of the filter, that would
meet a zero is left out (`_taps`, `_inside`). So each row of outputs is cut into segments (`_segment`): one in
the middle, whose pixels meet the whole width of the filter, and single pixels at both ends.

A depth multiplier, and channels that fill no vector, are rare. There the channels are repeated, or filled up,
first (`_wide`); then there is one filter for each channel.
"""

import numpy as np

from tinycnn.kernels.geometry import NO_PADDING, window_output
from tinycnn.kernels.primitives.channelwise import multiply_channels
from tinycnn.kernels.primitives.integers import ceil_div, round_up
from tinycnn.kernels.primitives.operand import operand
from tinycnn.kernels.primitives.simd import VECTOR_BYTES
from tinycnn.kernels.runtime import threads
from tinycnn.kernels.runtime.jit import jit
from tinycnn.kernels.runtime.memory import allocate, contiguous
from tinycnn.kernels.runtime.parallel import parallel_for
from tinycnn.kernels.runtime.partition import PARTIAL_SUMS
from tinycnn.support.checks import Pads, Pair

# Terms of a sum in registers. A longer one is cut into sums of this length: each loses fewer digits.
LONG_SUM = 1024


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
    OH, OW = window_output(x.shape[1:3], w.shape[:2], strides, padding, dilation)
    wide, filters = _wide(x, w.shape[3]), _wide_filters(w)
    (y,) = allocate(((len(x), OH, OW, wide.shape[3]), x.dtype))
    _fill(wide, filters, b, y, strides, (padding[0][0], padding[1][0]), dilation, (1, 1), relu)
    return np.ascontiguousarray(y[..., : w.shape[2] * w.shape[3]])


def depthwise_conv2d_grad_input(
    dy: np.ndarray,
    w: np.ndarray,
    x_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """See `naive.depthwise_conv2d_grad_input`."""
    (KH, KW), (DH, DW), (top, left) = w.shape[:2], dilation, padding
    wide, rotated = _wide(dy, 1), _wide_filters(w[::-1, ::-1])
    (dx,) = allocate(((*x_shape[:3], wide.shape[3]), dy.dtype))
    corner = (KH - 1) * DH - top[0], (KW - 1) * DW - left[0]
    _fill(wide, rotated, None, dx, (1, 1), corner, dilation, strides, False)
    return _sum_of_repeated(dx, x_shape[3], w.shape[3])


def _fill(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    y: np.ndarray,
    strides: Pair,
    corner: Pair,
    dilation: Pair,
    spread: Pair,
    relu: bool,
) -> None:
    """Fill y with the depthwise convolution of x by w (KH, KW, C), x dilated by `spread`.

    `corner` is the padding at the top and at the left; a negative value crops that many rows or columns.
    """
    bias = np.zeros(x.shape[3], x.dtype)
    if b is not None:
        bias[: b.size] = b
    with threads.guard:
        _correlate_channels(x, w, bias, y, strides, corner, dilation, spread, relu)


def depthwise_conv2d_grad_filter(
    x: np.ndarray,
    dy: np.ndarray,
    w_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """See `naive.depthwise_conv2d_grad_filter`."""
    KH, KW, C, M = w_shape
    wide, dy_wide, lanes = _wide(x, M), _wide(dy, 1), VECTOR_BYTES // x.itemsize
    channels, count = wide.shape[3], min(PARTIAL_SUMS, max(1, len(x)))
    (partial,) = allocate(((count, KH, KW, round_up(channels, lanes)), x.dtype))
    partial.fill(0)
    corner = padding[0][0], padding[1][0]
    with threads.guard:
        _grad_filter(wide, dy_wide, partial, strides, corner, dilation)
    total = partial.sum(axis=0)
    last = total[..., -lanes:].copy()  # the last vector holds the last channels, whatever their number
    total[..., channels - lanes : channels] = last
    return np.ascontiguousarray(total[..., : C * M].reshape(w_shape))


def _wide(x: np.ndarray, M: int) -> np.ndarray:
    """Return images (N, H, W, C) with each channel M times, and zeros up to a vector of channels."""
    C = x.shape[3]
    channels = max(C * M, VECTOR_BYTES // x.itemsize)
    if channels == C:
        return contiguous(x)
    (wide,) = allocate(((*x.shape[:3], channels), x.dtype))
    for m in range(M):
        wide[..., m : C * M : M] = x
    wide[..., C * M :] = 0
    return wide


def _sum_of_repeated(dx: np.ndarray, C: int, M: int) -> np.ndarray:
    """Return dx (N, H, W, C) from the gradient of its `_wide` form."""
    if dx.shape[3] == C:
        return dx
    total = dx[..., : C * M : M].copy()
    for m in range(1, M):
        total += dx[..., m : C * M : M]
    return total


def _wide_filters(w: np.ndarray) -> np.ndarray:
    """Return filters (KH, KW, C, M) as (KH, KW, C*M), with zeros up to a vector of channels."""
    KH, KW, C, M = w.shape
    filters = np.zeros((KH, KW, max(C * M, VECTOR_BYTES // w.itemsize)), w.dtype)
    filters[..., : C * M] = w.reshape(KH, KW, C * M)
    return filters


@jit
def _inside(start, step, count, size):
    """Return the first index i, and the one after the last, for which 0 <= start + i * step < size."""
    first = max(0, ceil_div(-start, step))
    return first, max(first, min(count, (size - 1 - start) // step + 1))


@jit
def _segment(i, count, stride, left, dilation, KW, W):
    """Return the end of the segment of a row that begins at output i, and its first and last tap + 1.

    Tap k of output i meets pixel left + i * stride + k * dilation of a row of W pixels.
    """
    first = ceil_div(-left, stride)
    end = min(count, (W - 1 - left - (KW - 1) * dilation) // stride + 1)
    if first <= i < end:
        return end, 0, KW
    k, last = _inside(left + i * stride, dilation, KW, W)
    return i + 1, k, last


@jit
def _taps(position, dilation, spread, K):
    """Return (first, step, count, start, apart) of the taps along an axis that meet pixels, and not zeros.

    Tap k is at position + k * dilation of an axis with `spread` - 1 zeros between neighbouring pixels. Tap
    first + j * step meets pixel start + j * apart.
    """
    step = 1
    while step * dilation % spread != 0:
        step += 1
    first = 0
    while first < step and (position + first * dilation) % spread != 0:
        first += 1
    count = (K - 1 - first) // step + 1 if first < min(step, K) else 0
    return first, step, count, (position + first * dilation) // spread, step * dilation // spread


@jit
def _correlate_channels(x, w, b, y, strides, corner, dilation, spread, relu):
    """y (N, OH, OW, C) of x (N, H, W, C), w (KH, KW, C) and b (C), by rows; see `_fill`."""
    operands = x, w, b, y, strides, corner, dilation, spread, relu
    parallel_for(_correlate_channels_row, y.shape[0] * y.shape[1], operands)


@jit
def _correlate_channels_row(row, x, w, b, y, strides, corner, dilation, spread, relu):
    """Do the work of `_correlate_channels` for one row of one image of y.

    Outputs that are `spread` apart meet the same taps, and pixels that are `strides` apart.
    """
    (_, H, W, C), (KH, KW, _), (_, OH, OW, _) = x.shape, w.shape, y.shape
    n, oh, lanes = row // OH, row % OH, VECTOR_BYTES // x.itemsize
    SW, DW, UW = strides[1], dilation[1], spread[1]
    kh, kh_step, rows, top, down = _taps(oh * strides[0] - corner[0], dilation[0], spread[0], KH)
    first, last = _inside(top, down, rows, H)
    for phase in range(min(UW, OW)):
        kw, kw_step, columns, left, right = _taps(phase * SW - corner[1], DW, UW, KW)
        count = ceil_div(OW - phase, UW)
        i = 0
        while i < count:
            end, k, k_end = _segment(i, count, SW, left, right, columns, W)
            start = (top + first * down) * W + left + i * SW + k * right
            pixels = operand(x[n], start * C, row=SW * C, outer=down * W * C, inner=right * C)
            start = (kh + first * kh_step) * KW + kw + k * kw_step
            filters = operand(w, start * C, outer=kh_step * KW * C, inner=kw_step * C)
            outputs = operand(y[n, oh], (phase + i * UW) * C, row=UW * C)
            sizes = last - first, k_end - k
            multiply_channels(*(end - i, C, lanes, pixels, filters, operand(b), outputs, *sizes, relu, False))
            i = end


@jit
def _grad_filter(x, dy, partial, strides, corner, dilation):
    """Add to partial sums (P, KH, KW, CP), of which sum p has the images p, p + P, ...

    x is (N, H, W, C) and dy (N, OH, OW, C). The last vector of CP has the last channels.
    """
    parallel_for(_grad_filter_sum, len(partial), (x, dy, partial, strides, corner, dilation))


@jit
def _grad_filter_sum(p, x, dy, partial, strides, corner, dilation):
    """Compute partial sum p of dw."""
    (N, H, W, C), (_, OH, OW, _), (P, KH, KW, CP) = x.shape, dy.shape, partial.shape
    (SH, SW), (DH, DW) = strides, dilation
    lanes = VECTOR_BYTES // x.itemsize
    for n in range(p, N, P):
        for kh in range(KH):
            top, target = kh * DH - corner[0], partial[p, kh]
            first, last = _inside(top, SH, OH, H)
            i = 0
            while i < OW:
                end, k, k_end = _segment(i, OW, SW, -corner[1], DW, KW, W)
                results = operand(target, k * CP, row=CP)
                width = min(end - i, LONG_SUM)
                height = LONG_SUM // width
                for oh in range(first, last, height):
                    for ow in range(i, end, width):
                        start = (top + oh * SH) * W + ow * SW + k * DW - corner[1]
                        pixels = operand(x[n], start * C, row=DW * C, outer=SH * W * C, inner=SW * C)
                        dz = operand(dy[n], (oh * OW + ow) * C, outer=OW * C, inner=C)
                        sizes = min(height, last - oh), min(width, end - ow)
                        multiply_channels(
                            *(k_end - k, C, lanes, pixels, dz, results, results, *sizes, False, True)
                        )
                i = end
