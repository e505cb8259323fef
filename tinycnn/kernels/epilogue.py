"""What follows a convolution's sums, while they are still in the cache: bias, ReLU, max-pool, dropout.

::

    z (OH, OW, F) -> + bias -> ReLU -> y                                            rectify_image
    z (OH, OW, F) -> max-pool -> + bias -> ReLU -> y                                pool_filters
    z (OH, OW, F) -> max-pool -> + bias -> ReLU -> dropout -> y, winner             pool_image
    dy, y -> dz = dy where y > 0, db = sum of dz                                    relu_gradient

One image at a time, in the thread that computed it, so z need not exist for the whole batch. Bias and ReLU
come after the maximum: they change no order, and there are fewer numbers left. `winner` says what the
backward pass needs, in one small number for each output: which pixel of the window won, or, as `nobody`,
that the gradient ends here, because the ReLU was off or the dropout dropped it.
"""

import numpy as np
from numba import get_num_threads, get_thread_id, prange

from tinycnn.checks import Pair
from tinycnn.kernels.buffers import aligned_empty, contiguous
from tinycnn.kernels.direct import PARTS
from tinycnn.kernels.jit import jit
from tinycnn.kernels.random import bits_room, fill_bits


@jit
def rectify_image(z, b, relu, y, first):
    """y = z + b, and nothing below zero if `relu`, for the filters of z, which are those from `first` on.

    z may be larger than y at its ends. NaN stays NaN.
    """
    OH, OW, F = y.shape
    lowest = z.dtype.type(0) if relu else z.dtype.type(-np.inf)
    bias = b[first:]
    for oh in range(OH):
        for ow in range(OW):
            row, out = z[oh, ow], y[oh, ow, first:]
            for f in range(min(row.size, F - first)):
                value = row[f] + bias[f]
                out[f] = lowest if value < lowest else value


@jit
def pool_filters(z, b, relu, y, first, QH, QW, SH, SW):
    """y = ReLU(max-pool of z + b), as `rectify_image` takes its arguments: for inference, without winners."""
    PH, PW, F = y.shape
    lowest = z.dtype.type(0) if relu else z.dtype.type(-np.inf)
    bias, count = b[first:], min(z.shape[2], F - first)
    for ph in range(PH):
        for pw in range(PW):
            out, top, left = y[ph, pw, first:], ph * SH, pw * SW
            if QH == QW == 2:  # the usual pool: its four numbers in registers, instead of passes over `out`
                p, q, r, s = z[top, left], z[top, left + 1], z[top + 1, left], z[top + 1, left + 1]
                for f in range(count):
                    value = larger(larger(p[f], q[f]), larger(r[f], s[f])) + bias[f]
                    out[f] = lowest if value < lowest else value
                continue
            out[:count] = z[top, left, :count]
            for tap in range(1, QH * QW):
                row = z[top + tap // QW, left + tap % QW]
                for f in range(count):
                    out[f] = larger(out[f], row[f])
            for f in range(count):
                value = out[f] + bias[f]
                out[f] = lowest if value < lowest else value


@jit
def pool_image(z, b, y, winner, QH, QW, SH, SW, bits, first, dropped, scale):
    """y = dropout(ReLU(max-pool of z + b)), of one image; see above for `winner`.

    Number `first` + i of `bits` belongs to output i, which is dropped when the number is below `dropped`;
    what is kept is multiplied by `scale`. `dropped` = 0 is no dropout.
    """
    PH, PW, F = y.shape
    # numbers of the arrays' own types: with wider ones between, the loops would not vectorise
    nobody, zero, least = winner.dtype.type(QH * QW), y.dtype.type(0), bits.dtype.type(dropped)
    number = winner.dtype.type
    taps = number(0), number(1), number(2), number(3)
    for ph in range(PH):
        for pw in range(PW):
            out, won, top, left = y[ph, pw], winner[ph, pw], ph * SH, pw * SW
            drawn = bits[first + (ph * PW + pw) * F :]
            if QH == QW == 2:  # as above, in registers
                p, q, r, s = z[top, left], z[top, left + 1], z[top + 1, left], z[top + 1, left + 1]
                for f in range(F):
                    top_best, bottom_best = larger(p[f], q[f]), larger(r[f], s[f])
                    top_tap = taps[1] if beats(q[f], p[f]) else taps[0]
                    bottom_tap = taps[3] if beats(s[f], r[f]) else taps[2]
                    out[f] = larger(top_best, bottom_best)
                    won[f] = bottom_tap if beats(bottom_best, top_best) else top_tap
            else:
                out[:] = z[top, left, :F]
                won[:] = 0
                for tap in range(1, QH * QW):
                    row = z[top + tap // QW, left + tap % QW]
                    this = number(tap)
                    for f in range(F):
                        wins = beats(row[f], out[f])
                        out[f] = row[f] if wins else out[f]
                        won[f] = this if wins else won[f]
            for f in range(F):
                value = out[f] + b[f]
                passes = (value > zero) & (drawn[f] >= least)
                won[f] = won[f] if passes else nobody
                out[f] = value * scale if passes else (value if value != value else zero)


@jit
def beats(value, best):
    """Return whether a value takes the place of the best so far: the first NaN does, and stays."""
    return (value > best) | ((value != value) & (best == best))


@jit
def larger(best, value):
    """Return the one of two numbers that stays."""
    return value if beats(value, best) else best


def pool(
    z: np.ndarray, pool_size: Pair, strides: Pair, key: np.ndarray, dropped: int, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return y = dropout(ReLU(max-pool of z)) and `winner`, for a batch z (N, OH, OW, F) with its bias.

    Parameters
    ----------
    pool_size, strides
        Of the pool, which has no padding.
    key : ndarray of 2 uint64
        Of the stream of the dropout; see `kernels.random`.
    dropped : int
        The share that is dropped, in 1 / 65536.
    scale : float
        What is kept is multiplied by it.
    """
    y, winner, words = pooled_outputs(z.shape, z.dtype, pool_size, strides)
    bias = np.zeros(z.shape[3], z.dtype)
    _pool(
        contiguous(z), bias, y, winner, words, words.view(np.uint16), *pool_size, *strides, key, dropped,
        z.dtype.type(scale),
    )  # fmt: skip
    return y, winner


@jit(parallel=True)
def _pool(z, b, y, winner, words, bits, QH, QW, SH, SW, key, dropped, scale):
    size = y.shape[1] * y.shape[2] * y.shape[3]
    for n in prange(y.shape[0]):
        t = get_thread_id()
        first = fill_bits(key, n * size, size, words[t]) if dropped > 0 else 0
        pool_image(z[n], b, y[n], winner[n], QH, QW, SH, SW, bits[t], first, dropped, scale)


def pooled_outputs(
    z_shape: tuple[int, ...], dtype: np.dtype, pool_size: Pair, strides: Pair
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return y, winner and each thread's words for `fill_bits`, not filled yet."""
    N, OH, OW, F = z_shape
    PH, PW = (OH - pool_size[0]) // strides[0] + 1, (OW - pool_size[1]) // strides[1] + 1
    winner = aligned_empty((N, PH, PW, F), np.min_scalar_type(pool_size[0] * pool_size[1]))
    words = aligned_empty((get_num_threads(), bits_room(PH * PW * F)), np.uint64)
    return aligned_empty((N, PH, PW, F), dtype), winner, words


def relu_gradient(y: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return dz = dy where y > 0, else 0, and db, the sum of dz over all axes but the last."""
    F = y.shape[-1]
    dz = aligned_empty(dy.shape, dy.dtype)
    parts = np.zeros((PARTS, F), dy.dtype)
    y, dy = contiguous(y), contiguous(dy)
    _relu_gradient(y.reshape(-1, F), dy.reshape(-1, F), dz.reshape(-1, F), parts)
    return dz, parts.sum(axis=0)


@jit(parallel=True)
def _relu_gradient(y, dy, dz, parts):
    rows = (len(y) + len(parts) - 1) // len(parts)
    for p in prange(len(parts)):
        total = parts[p]
        for i in range(p * rows, min(p * rows + rows, len(y))):
            for f in range(total.size):
                dz[i, f] = dy[i, f] if y[i, f] > 0 else 0
                total[f] += dz[i, f]
