"""Moved and bent images, for augmentation; the readable twin is `warp_numpy`.

::

    x (N, H, W, C) -> for each pixel of y: where in x it comes from -> the four pixels around -> y

A pixel of y is mapped to x by one affine map for each image, plus a field of displacements where the image is
to be bent. So an image is sampled once, however many movements were put together in its map, and is not
blurred by each. What lies outside of x is 0.
"""

import numpy as np

from tinycnn.kernels.primitives.philox import fill_bits, words_needed
from tinycnn.kernels.runtime import threads
from tinycnn.kernels.runtime.jit import jit
from tinycnn.kernels.runtime.memory import aligned_empty, contiguous
from tinycnn.kernels.runtime.parallel import parallel_for
from tinycnn.support import checks

MIDDLE = 2**15  # of numbers of 16 bits


def draw(key: np.ndarray, starts: np.ndarray, count: int) -> np.ndarray:
    """Return random numbers of 16 bits, (N, count): row n is the stream of `key` from number starts[n] on."""
    numbers = np.empty((len(starts), count), np.uint16)
    _draw(key, starts, numbers, words_needed(count))
    return numbers


@jit
def _draw(key, starts, numbers, room):
    """numbers (N, count) of the stream of key (2), from starts (N) on; `room` is that of `fill_bits`."""
    words = np.empty(room, np.uint64)
    for n in range(len(starts)):
        first = fill_bits(key, starts[n], numbers.shape[1], words)
        numbers[n] = words.view(np.uint16)[first : first + numbers.shape[1]]


def warp(
    x: np.ndarray,
    maps: np.ndarray,
    amplitudes: np.ndarray,
    smoothing: tuple[np.ndarray, np.ndarray],
    key: np.ndarray,
    starts: np.ndarray,
) -> np.ndarray:
    """Sample images along maps and displacements.

    Parameters
    ----------
    x : ndarray of shape (N, H, W, C)
    maps : ndarray of shape (N, 2, 3)
        Of rows (a, b, c): pixel (i, j) of y comes from row a0 i + b0 j + c0 and column a1 i + b1 j + c1 of x.
    amplitudes : ndarray of shape (N,)
        Pixels by which the smoothed noise of an image is multiplied; where it is 0 there is none.
    smoothing : (ndarray of shape (H, H), ndarray of shape (W, W))
        The matrices that noise is multiplied by, from the left and from the right, in the dtype of `x`.
    key : ndarray of shape (2,) of uint64
        Of the random numbers (`randomness.philox_key`).
    starts : ndarray of shape (N,) of int64
        Where in that stream the noise of each image begins, 2 H W numbers.

    Returns
    -------
    y : ndarray of shape (N, H, W, C), in the dtype of `x`

    Raises
    ------
    ValueError
        When `x` is no array of four axes of float32 or float64.
    """
    dtype = checks.float_array("x", x, 4)
    _, H, W, _ = x.shape
    y = aligned_empty(x.shape, dtype)
    with threads.guard:
        _warp(contiguous(x), y, maps, amplitudes, *smoothing, key, starts, words_needed(2 * H * W))
    return y


@jit
def _warp(x, y, maps, amplitudes, smooth_h, smooth_w, key, starts, room):
    """y (N, H, W, C) of x (N, H, W, C), maps (N, 2, 3), amplitudes (N), smooth_h (H, H), smooth_w (W, W)."""
    operands = x, y, maps, amplitudes, smooth_h, smooth_w, key, starts, room
    parallel_for(_warp_image, len(x), operands)


@jit
def _warp_image(n, x, y, maps, amplitudes, smooth_h, smooth_w, key, starts, room):
    """Compute image n of y."""
    _, H, W, _ = x.shape
    field = np.zeros((2, H, W), x.dtype)
    if amplitudes[n] != 0:
        words = np.empty(room, np.uint64)
        first = fill_bits(key, starts[n], 2 * H * W, words)
        noise = words.view(np.uint16)[first : first + 2 * H * W].reshape(2, H, W)
        for axis in range(2):
            fill_field(noise[axis], amplitudes[n], smooth_h, smooth_w, field[axis])
    sample_image(x[n], maps[n], field, y[n])


@jit
def fill_field(noise, amplitude, smooth_h, smooth_w, field):
    """field (H, W) += amplitude * smooth_h @ (noise (H, W) in -1..1) @ smooth_w, in loops over vectors."""
    H, W = noise.shape
    scale = field.dtype.type(amplitude / MIDDLE)
    rows = np.zeros((H, W), field.dtype)  # noise, smoothed along its rows
    for i in range(H):
        for k in range(W):
            value = (field.dtype.type(noise[i, k]) - field.dtype.type(MIDDLE)) * scale
            for j in range(W):
                rows[i, j] += value * smooth_w[k, j]
    for i in range(H):
        for k in range(H):
            share = smooth_h[i, k]
            for j in range(W):
                field[i, j] += share * rows[k, j]


@jit
def sample_image(x, to_x, field, y):
    """y (H, W, C) = x (H, W, C) at the pixels to_x (2, 3) @ (i, j, 1) + field (2, H, W), interpolated."""
    H, W, C = x.shape
    one = x.dtype.type(1)
    framed = np.zeros((H + 3, W + 3, C), x.dtype)  # zeros around x, so that no pixel needs a check
    framed[1 : H + 1, 1 : W + 1] = x
    for i in range(H):
        for j in range(W):
            h = to_x[0, 0] * i + to_x[0, 1] * j + to_x[0, 2] + field[0, i, j]
            w = to_x[1, 0] * i + to_x[1, 1] * j + to_x[1, 2] + field[1, i, j]
            h, w = min(max(h, -1.0), float(H)) + 1, min(max(w, -1.0), float(W)) + 1  # in the frame
            top, left = int(h), int(w)
            down, right = x.dtype.type(h - top), x.dtype.type(w - left)
            for c in range(C):
                above = framed[top, left, c] * (one - right) + framed[top, left + 1, c] * right
                below = framed[top + 1, left, c] * (one - right) + framed[top + 1, left + 1, c] * right
                y[i, j, c] = above * (one - down) + below * down
