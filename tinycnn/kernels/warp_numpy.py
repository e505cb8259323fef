"""Moved and bent images in NumPy: the readable twin of `warp`, which runs where nothing can be compiled.

::

    x (N, H, W, C) -> for each pixel of y: where in x it comes from -> the four pixels around -> y

The random numbers are those of `warp` to the bit, and the images up to rounding.
"""

import numpy as np

from tinycnn.support import checks

MIDDLE = 2**15  # of numbers of 16 bits
PER_BLOCK = 16  # numbers that the generator makes at once


def draw(key: np.ndarray, starts: np.ndarray, count: int) -> np.ndarray:
    """See `warp.draw`: random numbers of 16 bits, (N, count)."""
    numbers = np.empty((len(starts), count), np.uint16)
    for n, start in enumerate(starts):
        block, first = divmod(int(start), PER_BLOCK)
        stream = np.random.Generator(np.random.Philox(key=key, counter=block)).bytes(2 * (first + count))
        numbers[n] = np.frombuffer(stream, "<u2")[first:]
    return numbers


def warp(
    x: np.ndarray,
    maps: np.ndarray,
    amplitudes: np.ndarray,
    smoothing: tuple[np.ndarray, np.ndarray],
    key: np.ndarray,
    starts: np.ndarray,
) -> np.ndarray:
    """See `warp.warp`: images (N, H, W, C), sampled along maps (N, 2, 3) and displacements."""
    checks.float_array("x", x, 4)
    N, H, W, _ = x.shape
    y = np.empty(x.shape, x.dtype)
    for n in range(N):
        field = np.zeros((2, H, W), x.dtype)
        if amplitudes[n] != 0:
            noise = draw(key, starts[n : n + 1], 2 * H * W).reshape(2, H, W)
            field = smooth(noise, amplitudes[n], smoothing, x.dtype)
        y[n] = sample_image(x[n], maps[n], field)
    return y


def smooth(
    noise: np.ndarray, amplitude: float, smoothing: tuple[np.ndarray, np.ndarray], dtype: np.dtype
) -> np.ndarray:
    """Return amplitude * smoothing[0] (H, H) @ (noise (2, H, W) in -1..1) @ smoothing[1] (W, W)."""
    centred = (noise.astype(dtype) - dtype.type(MIDDLE)) * dtype.type(amplitude / MIDDLE)
    field: np.ndarray = smoothing[0] @ centred @ smoothing[1]
    return field


def sample_image(x: np.ndarray, to_x: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Return x (H, W, C) at the pixels to_x (2, 3) @ (i, j, 1) + field (2, H, W), interpolated."""
    H, W, _ = x.shape
    framed = np.pad(x, ((1, 2), (1, 2), (0, 0)))  # zeros around x, so that no pixel needs a check
    i, j = np.indices((H, W))
    h, w = (a * i + b * j + c + moved for (a, b, c), moved in zip(to_x, field, strict=True))
    h, w = np.clip(h, -1, H) + 1, np.clip(w, -1, W) + 1  # in the frame
    top, left = h.astype(int), w.astype(int)
    down, right = ((part % 1)[:, :, np.newaxis].astype(x.dtype) for part in (h, w))  # (H, W, 1)
    above = framed[top, left] * (1 - right) + framed[top, left + 1] * right
    below = framed[top + 1, left] * (1 - right) + framed[top + 1, left + 1] * right
    y: np.ndarray = above * (1 - down) + below * down
    return y
