"""Gradients of a convolution that a max-pool follows: sums over the non-zeros of the gradient only.

::

    dy, argmax (N, PH, PW, F) -> lists of non-zeros -> add_rows -> dw (KH, KW, C, F), dx (N, H, W, C)

A 2x2 max-pool passes a gradient to at most one in four outputs of the convolution. ReLU and dropout remove
more: in `mnist_cnn` one in seven is left. The lists hold these, each with the offset of its pixel, and the
sums run over the lists alone. Nothing is approximated: every term that is left out is zero.

For the filter's gradient there is a list for each filter: the patches of x at its pixels, scaled, add up to
the gradient, which stays in registers. For the input's gradient there is a list for each pixel: the filters
whose argmax it is. Scaled, they add up to its patch of dx.
"""

from functools import lru_cache

import numpy as np
from numba import get_thread_id

from tinycnn.kernels.conv.winograd_tiles import gather_image
from tinycnn.kernels.fused.nonzero_lists import Lists, list_by_filter, list_by_tap
from tinycnn.kernels.primitives.integers import round_up
from tinycnn.kernels.primitives.operand import operand
from tinycnn.kernels.primitives.simd import VECTOR_BYTES
from tinycnn.kernels.primitives.sparse_rows import add_rows, nonzeros
from tinycnn.kernels.runtime import threads
from tinycnn.kernels.runtime.jit import jit
from tinycnn.kernels.runtime.memory import allocate, contiguous
from tinycnn.kernels.runtime.parallel import parallel_for
from tinycnn.kernels.runtime.partition import PARTIAL_SUMS
from tinycnn.kernels.runtime.threads import get_num_threads
from tinycnn.support.checks import Pads, Pair

# What a thread works on at a time should stay in its level 2 cache: bytes of images, entries of lists.
IMAGES, LIST = 2**18, 2**14
# Entries that are added up in registers; a longer list is added in sums of this length.
LONG_SUM = 1024
# The counts of each thread fill whole cache lines, so that no two threads write to one.
COUNTS_OF_A_LINE = 8

Specs = list[tuple[tuple[int, ...], np.dtype]]


def grad_filter(
    x: np.ndarray,
    dy: np.ndarray,
    argmax: np.ndarray,
    w_shape: tuple[int, ...],
    padding: Pads,
    pool_size: Pair,
    pool_strides: Pair,
    scale: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return dw of shape `w_shape` and db (F,), of a convolution with strides and dilation of 1.

    Parameters
    ----------
    x : ndarray of shape (N, H, W, C)
        The input of the convolution.
    dy, argmax : ndarray of shape (N, PH, PW, F)
        The gradient of the pooled output, and which pixel of each window is the maximum, or KH * KW of the
        pool where the gradient ends (`epilogue`).
    padding
        Of the convolution; the pool has none.
    scale : float
        The factor of the dropout.
    """
    KH, KW, C, F = w_shape
    block, size, specs = _filter_workspace(x.shape, w_shape, dy.shape, padding, x.dtype, get_num_threads())
    _check(argmax, pool_size, size)
    image, _, _, _, partial, biases = scratch = allocate(*specs)
    image[:, -partial.shape[3] :] = 0  # the last vector of a row reads that far
    biases.fill(0)
    (dw,) = allocate(((KH, KW * C, F), x.dtype))
    x, dy, argmax, scale = contiguous(x), contiguous(dy), contiguous(argmax), x.dtype.type(scale)
    with threads.guard:
        _grad_filter(x, dy, argmax, dw, tuple(scratch), block, padding, pool_size, pool_strides, scale)
    return dw.reshape(w_shape), biases.sum(axis=0).astype(x.dtype)


@lru_cache(maxsize=256)
def _filter_workspace(
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    dy_shape: tuple[int, ...],
    padding: Pads,
    dtype: np.dtype,
    threads: int,
) -> tuple[Pair, int, Specs]:
    """Return the images and filters of a block, the size of its images, and (shape, dtype) of the scratch."""
    (N, H, W, C), (KH, KW, _, F), (_, PH, PW, _) = x_shape, w_shape, dy_shape
    row = round_up(KW * C, VECTOR_BYTES // dtype.itemsize)
    HP, WP = H + sum(padding[0]), W + sum(padding[1])
    images = min(max(IMAGES // (HP * WP * C * dtype.itemsize), 1), max(N // PARTIAL_SUMS, 1))
    size, group = images * HP * WP * C, min(max(LIST // (images * PH * PW), 1), F)
    # an image without padding is read where it is, unless the last vector of a row would end outside
    in_place = (H, W) == (HP, WP) and row == KW * C
    sums = min(PARTIAL_SUMS, max(N, 1))
    specs = [
        ((threads, 0 if in_place else size + row), dtype),
        ((threads, group * images * PH * PW), dtype),
        ((threads, group * images * PH * PW), np.dtype(np.int32)),
        ((threads, round_up(group, COUNTS_OF_A_LINE)), np.dtype(np.int64)),
        ((sums, F, KH, row), dtype),
        ((sums, F), np.dtype(np.float64)),
    ]
    return (images, group), size, specs


def _check(argmax: np.ndarray, pool_size: Pair, size: int) -> None:
    """Raise for an argmax outside of its window, and for offsets that 32 bits do not hold."""
    no_gradient = pool_size[0] * pool_size[1]
    if argmax.size and argmax.max() > no_gradient:
        raise ValueError(f"argmax: expected 0 to {no_gradient}, received {argmax.max()}")
    if size >= 2**31:
        raise ValueError(f"x, w: expected blocks of fewer than 2**31 elements, received {size}")


@jit
def _grad_filter(x, dy, argmax, dw, scratch, block, padding, pool_size, pool_strides, scale):
    """dw (KH, KW * C, F), and the partial sums of db, of x (N, H, W, C) and dy, argmax (N, PH, PW, F).

    `scratch` holds images (threads, size), values and offsets (threads, entries) and counts (threads, lists)
    of `Lists`, and the partial sums of dw (P, F, KH, row) and db (P, F), of which sum p has the blocks p,
    p + P, ...; `block` is (images, filters). The sums of
    db are float64.
    """
    _, _, _, _, partial, _ = scratch
    operands = x, dy, argmax, scratch, block, padding, pool_size, pool_strides, scale
    parallel_for(_grad_filter_sum, len(partial), operands)
    parallel_for(_sum_filter, partial.shape[1], (partial, dw))


@jit
def _grad_filter_sum(p, x, dy, argmax, scratch, block, padding, pool_size, pool_strides, scale):
    """Compute partial sum p of dw and db."""
    image, values, offsets, counts, partial, biases = scratch
    N, H, W, C = x.shape
    P, F, KH, row = partial.shape
    (images, group), (PT, PB), (PL, PR) = block, padding[0], padding[1]
    HP, WP, lanes = H + PT + PB, W + PL + PR, VECTOR_BYTES // x.itemsize
    capacity, flat = images * dy.shape[1] * dy.shape[2], x.reshape(x.size)
    t = get_thread_id()
    lists = Lists(values[t], offsets[t], counts[t], capacity)
    partial[p] = 0
    for first in range(p * images, N, P * images):
        last = min(first + images, N)
        if image.shape[1] == 0:  # the images can be read where they are
            source = flat[first * HP * WP * C :]
        else:
            source = image[t]
            _load_images(x[first:last], source, HP, WP, PT, PL)
        for f0 in range(0, F, group):
            f1 = min(f0 + group, F)
            some_dy, some_argmax = dy[first:last, :, :, f0:f1], argmax[first:last, :, :, f0:f1]
            bias, shape = biases[p, f0:f1], (HP, WP, C)
            list_by_filter(some_dy, some_argmax, lists, bias, shape, pool_size, pool_strides, scale)
            for f in range(f0, f1):
                begin, count = (f - f0) * capacity, lists.counts[f - f0]
                target = operand(partial[p, f], row=row)
                for i in range(0, count, LONG_SUM):
                    entries = nonzeros(lists.values, lists.offsets, begin + i, min(LONG_SUM, count - i))
                    add_rows(KH, row // lanes, entries, operand(source, row=WP * C), target)


@jit
def _load_images(x, source, HP, WP, PT, PL):
    """Copy the images x (N, H, W, C), padded, into source, a flat (N, HP, WP, C)."""
    size = HP * WP * x.shape[3]
    for n in range(len(x)):
        gather_image(x[n], source[n * size : (n + 1) * size].reshape((HP, WP, x.shape[3])), PT, PL)


@jit
def _sum_filter(f, partial, dw):
    """dw (KH, KW * C, F)[..., f] = the sum of partial (P, F, KH, row)[:, f]."""
    for kh in range(partial.shape[2]):
        total = partial[0, f, kh]
        for p in range(1, len(partial)):
            for i in range(dw.shape[1]):
                total[i] += partial[p, f, kh, i]
        for i in range(dw.shape[1]):
            dw[kh, i, f] = total[i]


def grad_input(
    dy: np.ndarray,
    argmax: np.ndarray,
    w: np.ndarray,
    x_shape: tuple[int, ...],
    padding: Pads,
    pool_size: Pair,
    pool_strides: Pair,
    scale: float = 1.0,
) -> np.ndarray:
    """Return dx of shape `x_shape`; see `grad_filter`."""
    KH, KW, C, F = w.shape
    taps = pool_size[0] * pool_size[1]
    specs = _input_workspace(x_shape, w.shape, padding, taps, dy.dtype, get_num_threads())
    filters, *scratch = allocate(*specs)
    _check(argmax, pool_size, filters.size)
    filters[..., KW * C :] = 0
    filters[..., : KW * C] = w.transpose(3, 0, 1, 2).reshape(F, KH, KW * C)
    (dx,) = allocate((x_shape, dy.dtype))
    dy, argmax = contiguous(dy), contiguous(argmax)
    corner = padding[0][0], padding[1][0]
    row = x_shape[2] + sum(padding[1])
    with threads.guard:
        _grad_input(
            dy,
            argmax,
            filters,
            dx,
            tuple(scratch),
            row,
            corner,
            pool_size,
            pool_strides,
            dy.dtype.type(scale),
        )
    return dx


@lru_cache(maxsize=256)
def _input_workspace(
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    padding: Pads,
    taps: int,
    dtype: np.dtype,
    threads: int,
) -> Specs:
    """Return (shape, dtype) of the padded filters, and of each thread's image, values, offsets, counts."""
    (_, H, W, C), (KH, KW, _, F) = x_shape, w_shape
    row = round_up(KW * C, VECTOR_BYTES // dtype.itemsize)
    HP, WP = H + sum(padding[0]), W + sum(padding[1])
    in_place = (H, W) == (HP, WP) and row == KW * C  # as in `_filter_workspace`
    lists = taps + 1  # the last is for filters without a gradient
    return [
        ((F, KH, row), dtype),
        ((threads, 0 if in_place else HP * WP * C + row), dtype),
        ((threads, lists * F), dtype),
        ((threads, lists * F), np.dtype(np.int32)),
        ((threads, round_up(lists, COUNTS_OF_A_LINE)), np.dtype(np.int64)),
    ]


@jit
def _grad_input(dy, argmax, filters, dx, scratch, WP, corner, pool_size, pool_strides, scale):
    """dx (N, H, W, C) of dy, argmax (N, PH, PW, F) and filters (F, KH, row).

    `scratch` has for each thread a padded image (threads, size), and values and offsets (threads, entries)
    and counts (threads, lists) of `Lists`; WP is the width of that image.
    """
    operands = dy, argmax, filters, dx, scratch, WP, corner, pool_size, pool_strides, scale
    parallel_for(_grad_input_image, len(dx), operands)


@jit
def _grad_input_image(n, dy, argmax, filters, dx, scratch, WP, corner, pool_size, pool_strides, scale):
    """Do the work of `_grad_input` for image n."""
    image, values, offsets, counts = scratch
    _, H, W, C = dx.shape
    F, KH, row = filters.shape
    taps, lanes = pool_size[0] * pool_size[1], VECTOR_BYTES // dx.itemsize
    t = get_thread_id()
    lists = Lists(values[t], offsets[t], counts[t], F)
    in_place = image.shape[1] == 0
    target = dx[n].reshape(H * W * C) if in_place else image[t]
    target[:] = 0
    for ph in range(dy.shape[1]):
        for pw in range(dy.shape[2]):
            list_by_tap(dy[n, ph, pw], argmax[n, ph, pw], lists, KH * row, scale)
            for tap in range(taps):
                h, w = (
                    ph * pool_strides[0] + tap // pool_size[1],
                    pw * pool_strides[1] + tap % pool_size[1],
                )
                entries = nonzeros(lists.values, lists.offsets, tap * F, lists.counts[tap])
                patch = operand(target, (h * WP + w) * C, row=WP * C)
                add_rows(KH, row // lanes, entries, operand(filters, row=row), patch)
    if not in_place:
        _crop_image(target, dx[n], WP, corner)


@jit
def _crop_image(image, dx, WP, corner):
    """dx (H, W, C) = the part of a flat image (HP, WP, C) that begins at `corner`."""
    H, W, C = dx.shape
    for h in range(H):
        for w in range(W):
            start = ((h + corner[0]) * WP + w + corner[1]) * C
            pixel = dx[h, w]
            for c in range(C):
                pixel[c] = image[start + c]
