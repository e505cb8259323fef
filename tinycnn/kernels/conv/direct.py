"""Direct convolution in Numba: implicit GEMM on register blocks, no matrix of patches.

::

    forward      out (OW, F)        = sum over kh of  x rows (OW, KW*C) @ w[kh] (KW*C, F)
    grad_input   the forward pass, of dy dilated by the strides, with the filter rotated by 180 degrees
    grad_filter  dw[kh] (KW*C, F)  += sum over oh of  x row (OW, KW*C).T @ dy row (OW, F)

BLAS cannot take the patches of an image row as a matrix, because its rows overlap: the next patch begins C
elements later, not KW*C. `gemm` takes any strides, so the patches are never copied.

Image rows are copied instead. Each thread gathers the rows that one output row needs into its own buffer,
with padding around them and space for the overrun of the last block. That costs KH*W*C copies for
OW*KH*KW*C*F multiplications. `gemm` reads the buffer only, so every shape is safe.
"""

from functools import lru_cache

import numpy as np
from numba import get_thread_id, types
from numba.extending import register_jitable

from tinycnn.kernels.geometry import NO_PADDING, window_output
from tinycnn.kernels.primitives.gemm import ROWS, gemm
from tinycnn.kernels.primitives.integers import round_up
from tinycnn.kernels.primitives.operand import array_type, operand
from tinycnn.kernels.primitives.simd import VECTOR_BYTES
from tinycnn.kernels.runtime import threads
from tinycnn.kernels.runtime.jit import jit
from tinycnn.kernels.runtime.linking import linked
from tinycnn.kernels.runtime.memory import allocate, contiguous, whole_vectors
from tinycnn.kernels.runtime.parallel import parallel_for
from tinycnn.kernels.runtime.partition import PARTIAL_SUMS
from tinycnn.kernels.runtime.threads import get_num_threads
from tinycnn.support.checks import Pads, Pair

# Floats of the band of image rows that a thread holds for the filter gradient: about half a level 2 cache.
BAND = 2**17
# Terms of a sum in registers. A longer one is cut into sums of this length: each loses fewer digits.
LONG_SUM = 1024


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
    (y,) = allocate(((x.shape[0], OH, OW, w.shape[3]), x.dtype))
    _convolve(x, w, b, y, strides, (padding[0][0], padding[1][0]), dilation, (1, 1), relu)
    return y


def conv2d_grad_input(
    dy: np.ndarray,
    w: np.ndarray,
    x_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """See `naive.conv2d_grad_input`."""
    rotated = w[::-1, ::-1].transpose(0, 1, 3, 2)  # (KH, KW, F, C)
    (KH, KW), (DH, DW), (top, left) = w.shape[:2], dilation, padding
    corner = (KH - 1) * DH - top[0], (KW - 1) * DW - left[0]
    (dx,) = allocate((x_shape, dy.dtype))
    _convolve(dy, rotated, None, dx, (1, 1), corner, dilation, strides, False)
    return dx


def _convolve(
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
    """Fill y with the convolution of x, dilated by `spread`: zeros between neighbouring pixels.

    `corner` is the padding at the top and at the left; a negative value crops that many rows or columns.
    """
    KH, KW, C, F = w.shape
    memory, bias = allocate(
        *_forward_workspace(w.shape, y.shape[2], strides[1], dilation[1], x.dtype, get_num_threads())
    )
    bias.fill(0)
    if b is not None:
        bias[:F] = b
    weights = whole_vectors(w, VECTOR_BYTES // x.itemsize).reshape(KH, KW * C, bias.size)
    with threads.guard:
        convolve_rows(contiguous(x), weights, bias, y, memory, KW, strides, corner, dilation, spread, relu)


@lru_cache(maxsize=256)
def _forward_workspace(
    w_shape: tuple[int, ...], OW: int, SW: int, DW: int, dtype: np.dtype, threads: int
) -> list[tuple[tuple[int, ...], np.dtype]]:
    """Return (shape, dtype) of the threads' memory and of the bias in whole vectors."""
    KH, KW, C, F = w_shape
    lanes = VECTOR_BYTES // dtype.itemsize
    FP = round_up(F, lanes)
    return [((threads, row_workspace(OW, KH, KW, C, FP, SW, DW, lanes)), dtype), ((FP,), dtype)]


@register_jitable
def row_length(OW, KW, C, SW, DW, lanes):
    """Return the length of a padded image row, in elements, including the overrun of the last block."""
    return round_up(((OW + ROWS - 1) * SW + (KW - 1) * DW + 1) * C, lanes)


@register_jitable
def row_workspace(OW, KH, KW, C, FP, SW, DW, lanes):
    """Return the workspace of a thread, in elements: rows of the image, and the sums of one row of y."""
    return KH * row_length(OW, KW, C, SW, DW, lanes) + (OW + ROWS) * FP


@linked(lambda real: (array_type(real, 2), array_type(real, 1), types.int64, types.int64))
def gather_row(x, buffer, PL, UW):
    """Copy x (W, C) into the padded row `buffer`, from pixel PL on and UW pixels apart, zeros elsewhere."""
    W, C = x.shape
    buffer[:] = 0
    if UW == 1:  # neighbours stay neighbours: one run of numbers
        start = PL * C
        first, last = max(-start, 0), min(W * C, buffer.size - start)
        source, target = x.reshape(W * C)[first:last], buffer[start + first : start + last]
        for i in range(last - first):
            target[i] = source[i]
        return
    for w in range(W):
        at = (w * UW + PL) * C
        if at >= 0 and at + C <= buffer.size:
            for c in range(C):
                buffer[at + c] = x[w, c]


@jit
def convolve_rows(x, w, b, y, memory, KW, strides, corner, dilation, spread, relu):
    """y (N, OH, OW, F) of x (N, H, W, C), w (KH, KW * C, FP) and b (FP), by rows; memory (threads, room)."""
    operands = x, w, b, y, memory, KW, strides, corner, dilation, spread, relu
    parallel_for(_convolve_row, y.shape[0] * y.shape[1], operands)


@jit
def _convolve_row(row, x, w, b, y, memory, KW, strides, corner, dilation, spread, relu):
    """Do the work of `convolve_rows` for one row of one image of y."""
    C, (KH, KWC, FP), (_, OH, OW, F) = x.shape[3], w.shape, y.shape
    n, oh, lanes = row // OH, row % OH, VECTOR_BYTES // x.itemsize
    groups = 1 if dilation[1] == 1 else KW  # without dilation, the pixels under a row of w lie side by side
    K = KWC // groups
    lowest = x.dtype.type(0) if relu else x.dtype.type(-np.inf)
    length = row_length(OW, KW, C, strides[1], dilation[1], lanes)
    own = memory[get_thread_id()]
    buffer = own[: KH * length].reshape((KH, length))
    sums = own[KH * length : KH * length + (OW + ROWS) * FP].reshape((OW + ROWS, FP))
    first, step, count = _gather_rows(x[n], buffer, oh, strides, corner, dilation, spread)
    for ow in range(OW):
        pixel = sums[ow]
        for f in range(FP):
            pixel[f] = b[f]
    rows, run = (max(count, 1), K) if count * K <= LONG_SUM else (1, LONG_SUM)
    for g in range(groups):
        for kh in range(0, count, rows):
            for k in range(0, K, run):
                start = kh * length + g * dilation[1] * C + k
                pixels = operand(buffer, start, row=strides[1] * C, outer=length, inner=1)
                start = (first + kh * step) * KWC + g * K + k
                filters = operand(w, start * FP, outer=step * KWC * FP, inner=FP)
                gemm(OW, FP // lanes, pixels, filters, operand(sums, row=FP), rows, min(run, K - k), True)
    for ow in range(OW):
        pixel, total = y[n, oh, ow], sums[ow]
        for f in range(F):
            pixel[f] = lowest if total[f] < lowest else total[f]


@jit
def _gather_rows(x, buffer, oh, strides, corner, dilation, spread):
    """Gather the rows of x (H, W, C) that row `oh` of the output needs into buffer (KH, length).

    Return the first row of the filter that meets the image, the stride between such rows, and their number.
    """
    first, step, count = 0, 1, 0
    for kh in range(len(buffer)):
        h = oh * strides[0] + kh * dilation[0] - corner[0]
        if h < 0 or h % spread[0] != 0 or h // spread[0] >= len(x):
            continue
        if count == 0:
            first = kh
        elif count == 1:
            step = kh - first
        gather_row(x[h // spread[0]], buffer[count], corner[1], spread[1])
        count += 1
    return first, step, count


def conv2d_grad_filter(
    x: np.ndarray,
    dy: np.ndarray,
    w_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """See `naive.conv2d_grad_filter`."""
    (_, KW, C, F), corner = w_shape, (padding[0][0], padding[1][0])
    _, gradients, partial = scratch = allocate(
        *_gradient_workspace(w_shape, *dy.shape[:3], strides, dilation, x.dtype, get_num_threads())
    )
    gradients.fill(0)  # the filters that fill up the last vector stay 0
    partial.fill(0)
    with threads.guard:
        _grad_filter(contiguous(x), contiguous(dy), tuple(scratch), KW, strides, corner, dilation)
    rows = KW * C // partial.shape[2]
    return np.ascontiguousarray(partial.sum(axis=0)[:, :, :rows, :F].reshape(w_shape))


@lru_cache(maxsize=256)
def _gradient_workspace(
    w_shape: tuple[int, ...],
    N: int,
    OH: int,
    OW: int,
    strides: Pair,
    dilation: Pair,
    dtype: np.dtype,
    threads: int,
) -> list[tuple[tuple[int, ...], np.dtype]]:
    """Return (shape, dtype) of the three arrays that `_grad_filter` works on."""
    KH, KW, C, F = w_shape
    lanes = VECTOR_BYTES // dtype.itemsize
    FP = round_up(F, lanes)
    width = round_up(((OW - 1) * strides[1] + (KW - 1) * dilation[1] + 1 + ROWS) * C, lanes)
    reach = (KH - 1) * dilation[0] + 1
    band = min(max((BAND // width - reach) // strides[0] + 1, 1), OH)
    groups = 1 if dilation[1] == 1 else KW
    shapes = [
        (threads, (band - 1) * strides[0] + reach, width),
        (threads, band, OW, FP),
        # the last block of a group runs over into rows of its own
        (min(PARTIAL_SUMS, max(1, N)), KH, groups, KW * C // groups + ROWS, FP),
    ]
    return [(shape, dtype) for shape in shapes]


@jit
def _grad_filter(x, dy, scratch, KW, strides, corner, dilation):
    """Add to the partial sums of dw, from x (N, H, W, C) and dy (N, OH, OW, F), by bands of output rows.

    `scratch` holds a band of image rows (threads, rows, width) and of gradients (threads, band, OW, FP) for
    each thread, and partial sums (P, KH, groups, rows, FP), of which sum p has the images p, p + P, ...
    """
    parallel_for(_grad_filter_sum, len(scratch[2]), (x, dy, scratch, KW, strides, corner, dilation))


@jit
def _grad_filter_sum(p, x, dy, scratch, KW, strides, corner, dilation):
    """Compute partial sum p of dw."""
    images, gradients, partial = scratch
    N, OH, C = x.shape[0], dy.shape[1], x.shape[3]
    P, KH, groups, _, FP = partial.shape
    (SH, SW), (DH, DW) = strides, dilation
    band, OW, width, lanes = gradients.shape[1], dy.shape[2], images.shape[2], VECTOR_BYTES // x.itemsize
    image, gradient = images[get_thread_id()], gradients[get_thread_id()]
    rows = max(LONG_SUM // OW, 1)
    for n in range(p, N, P):
        for top in range(0, OH, band):
            count = min(band, OH - top)
            _load_band(x[n], image, top * SH - corner[0], (count - 1) * SH + (KH - 1) * DH + 1, corner[1])
            _load_gradients(dy[n, top : top + count], gradient)
            for kh in range(KH):
                for g in range(groups):
                    target = operand(partial[p, kh, g], row=FP)
                    for row in range(0, count, rows):
                        start = (kh * DH + row * SH) * width + g * DW * C
                        pixels = operand(image, start, row=1, outer=SH * width, inner=SW * C)
                        dz = operand(gradient, row * OW * FP, outer=OW * FP, inner=FP)
                        outer = min(rows, count - row)
                        gemm(KW * C // groups, FP // lanes, pixels, dz, target, outer, OW, True)


@jit
def _load_band(x, image, top, count, PL):
    """Copy `count` rows of x (H, W, C) from row `top` on into image (rows, width); zeros outside of x."""
    for i in range(count):
        if 0 <= top + i < len(x):
            gather_row(x[top + i], image[i], PL, 1)
        else:
            image[i] = 0


@jit
def _load_gradients(dy, gradient):
    """Copy dy (count, OW, F) into gradient (band, OW, FP)."""
    rows, OW, F = dy.shape
    for i in range(rows):
        for ow in range(OW):
            source, target = dy[i, ow], gradient[i, ow]
            for f in range(F):
                target[f] = source[f]
