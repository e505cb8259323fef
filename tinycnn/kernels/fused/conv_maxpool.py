"""A convolution with its bias, ReLU, max-pool and dropout, while the sums are in the cache.

::

    z (OH, OW, F) -> max-pool -> + bias -> ReLU -> dropout -> y, argmax
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import get_thread_id

from tinycnn.kernels.conv.winograd import Buffers, prepare, products
from tinycnn.kernels.conv.winograd_tiles import output_tiles, tiling_of
from tinycnn.kernels.geometry import window_output
from tinycnn.kernels.primitives.epilogue import pool_image
from tinycnn.kernels.primitives.integers import ceil_div
from tinycnn.kernels.primitives.philox import fill_bits, words_needed
from tinycnn.kernels.runtime import threads
from tinycnn.kernels.runtime.jit import jit
from tinycnn.kernels.runtime.memory import allocate, contiguous
from tinycnn.kernels.runtime.parallel import parallel_for
from tinycnn.kernels.runtime.threads import get_num_threads
from tinycnn.support.checks import Pads, Pair


class Mask(NamedTuple):
    """A dropout mask, by the random numbers that it is drawn from.

    Attributes
    ----------
    key : ndarray of shape (2,) of uint64
        Of the random stream (`primitives.philox`): number i decides on output i.
    threshold : int
        An output is dropped if its 16-bit number is below; 0 drops none.
    scale : float
        The other outputs are multiplied by it.
    first_row : int
        Images of the batch before the first one here, whose numbers are left out.
    """

    key: np.ndarray
    threshold: int
    scale: float
    first_row: int = 0

    def numbers(self, dtype: np.dtype) -> tuple[np.ndarray, int, np.floating, int]:
        """Return the fields as a kernel takes them, for outputs of this dtype."""
        return self.key, self.threshold, dtype.type(self.scale), self.first_row


NO_DROPOUT = Mask(np.zeros(2, np.uint64), 0, 1.0)


def conv2d_maxpool(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    padding: Pads,
    pool_size: Pair,
    pool_strides: Pair,
    mask: Mask = NO_DROPOUT,
) -> tuple[np.ndarray, np.ndarray]:
    """Return `maxpool` of the convolution of x (N, H, W, C) with w (r, r, C, F), which is never in memory.

    The convolution has strides and dilation of 1; Winograd's algorithm computes it.
    """
    OH, OW = window_output(x.shape[1:3], w.shape[:2], (1, 1), padding, (1, 1))
    z_shape = len(x), OH, OW, w.shape[3]
    y, argmax, words = _outputs(z_shape, x.dtype, pool_size, pool_strides)
    U, bias, scratch, images, m = prepare(x, w, b, OH, OW)
    scratch = (*scratch, words, words.view(np.uint16))
    conv, numbers = (m, w.shape[0], OH, OW, padding[0][0], padding[1][0]), mask.numbers(x.dtype)
    with threads.guard:
        _conv2d_maxpool(
            contiguous(x), U, bias, y, argmax, scratch, images, conv, pool_size, pool_strides, numbers
        )
    return y, argmax


@jit
def _conv2d_maxpool(x, U, b, y, argmax, scratch, images, conv, pool_size, pool_strides, mask):
    """y, argmax (N, PH, PW, F) of x (N, H, W, C), U (alpha^2, C * FP + lanes) and b (FP).

    `scratch` has for each thread the four arrays of `winograd.Buffers`, and random bits (threads, room) as
    words and as numbers of 16 bits; `conv` is (m, r, OH, OW, PT, PL); `mask` has the fields of a `Mask`.
    """
    operands = x, U, b, y, argmax, scratch, images, conv, pool_size, pool_strides, mask
    parallel_for(_conv2d_maxpool_block, ceil_div(len(y), images), operands)


@jit
def _conv2d_maxpool_block(block, x, U, b, y, argmax, scratch, images, conv, pool_size, pool_strides, mask):
    """Do the work of `_conv2d_maxpool` for one block of images."""
    N, PH, PW, F = y.shape
    image, V, M, out, words, bits = scratch
    m, r, OH, OW, PT, PL = conv
    key, threshold, scale, first_row = mask
    size, t = PH * PW * F, get_thread_id()
    first, last = block * images, min(block * images + images, N)
    tiling = tiling_of(m, r, OH, OW)
    buffers = Buffers(image[t], V[t], M[t], out[t])
    products(x, first, last, U, buffers, tiling, (PT, PL))
    for n in range(first, last):
        output_tiles(buffers.M, buffers.out, n - first, tiling)
        start = fill_bits(key, (first_row + n) * size, size, words[t]) if threshold > 0 else 0
        pool_image(
            buffers.out, b, y[n], argmax[n], pool_size, pool_strides, bits[t, start:], threshold, scale
        )


def maxpool(
    z: np.ndarray, pool_size: Pair, strides: Pair, mask: Mask = NO_DROPOUT
) -> tuple[np.ndarray, np.ndarray]:
    """Return y = dropout(ReLU(max-pool of z)) and its argmax, both (N, PH, PW, F).

    Parameters
    ----------
    z : ndarray of shape (N, OH, OW, F)
        A convolution with its bias.
    pool_size, strides : (int, int)
        Of the pool, which has no padding.
    mask : Mask

    Returns
    -------
    y : ndarray
    argmax : unsigned integer ndarray
        Which pixel of its window is the maximum, or KH * KW of the pool where no gradient passes: the ReLU is
        off, or the dropout dropped the output.
    """
    y, argmax, words = _outputs(z.shape, z.dtype, pool_size, strides)
    bias, numbers = np.zeros(z.shape[3], z.dtype), mask.numbers(z.dtype)
    with threads.guard:
        _maxpool(contiguous(z), bias, y, argmax, words, words.view(np.uint16), pool_size, strides, numbers)
    return y, argmax


@jit
def _maxpool(z, b, y, argmax, words, bits, pool_size, strides, mask):
    """y, argmax (N, PH, PW, F) of z (N, OH, OW, F), b (F); random bits (threads, room), `mask` as above."""
    parallel_for(_maxpool_image, len(y), (z, b, y, argmax, words, bits, pool_size, strides, mask))


@jit
def _maxpool_image(n, z, b, y, argmax, words, bits, pool_size, strides, mask):
    """Do the work of `_maxpool` for image n."""
    _, PH, PW, F = y.shape
    key, threshold, scale, first_row = mask
    size, t = PH * PW * F, get_thread_id()
    start = fill_bits(key, (first_row + n) * size, size, words[t]) if threshold > 0 else 0
    pool_image(z[n], b, y[n], argmax[n], pool_size, strides, bits[t, start:], threshold, scale)


def _outputs(
    z_shape: tuple[int, ...], dtype: np.dtype, pool_size: Pair, strides: Pair
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return y, argmax and each thread's words for `fill_bits`, not filled yet."""
    outputs, words = _workspace(z_shape, dtype, pool_size, strides, get_num_threads())
    y, argmax = allocate(*outputs)
    return y, argmax, allocate(words)[0]


@lru_cache(maxsize=256)
def _workspace(
    z_shape: tuple[int, ...], dtype: np.dtype, pool_size: Pair, strides: Pair, threads: int
) -> tuple[list[tuple[tuple[int, ...], np.dtype]], tuple[tuple[int, int], np.dtype]]:
    """Return (shape, dtype) of y and argmax, and of the words."""
    N, OH, OW, F = z_shape
    PH, PW = (OH - pool_size[0]) // strides[0] + 1, (OW - pool_size[1]) // strides[1] + 1
    argmax = (N, PH, PW, F), np.min_scalar_type(pool_size[0] * pool_size[1])
    words = (threads, words_needed(PH * PW * F)), np.dtype(np.uint64)
    return [((N, PH, PW, F), dtype), argmax], words
