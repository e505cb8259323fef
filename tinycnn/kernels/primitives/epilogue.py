"""The end of a convolution, while its sums are still in the cache: bias, ReLU, max-pool, dropout.

::

    z (OH, OW, F) -> + bias -> ReLU -> y                                            bias_relu
    z (OH, OW, F) -> max-pool -> + bias -> ReLU -> y                                pool_filters
    z (OH, OW, F) -> max-pool -> + bias -> ReLU -> dropout -> y, argmax             pool_image

One image at a time, in the thread that computed it, so z need not exist for the whole batch. Bias and ReLU
come after the maximum: they change no order, and there are fewer numbers left. `argmax` is what the backward
pass needs, one small number for each output: the pixel of the window that is the maximum, or KH * KW of
the pool (`no_gradient` below) where the ReLU is off or the dropout dropped the output.
"""

import numpy as np
from numba import types

from tinycnn.kernels.primitives.operand import array_type
from tinycnn.kernels.runtime.jit import jit
from tinycnn.kernels.runtime.linking import linked

PAIR = types.UniTuple(types.int64, 2)


@jit
def beats(value, best):
    """Return whether a number is a new maximum: greater than the best so far, or the first NaN."""
    return (value > best) | ((value != value) & (best == best))


@jit
def larger(best, value):
    """Return the maximum of two numbers; the first NaN stays."""
    return value if beats(value, best) else best


@linked(
    lambda real: (array_type(real, 3), array_type(real, 1), types.boolean, array_type(real, 3), types.int64)
)
def bias_relu(z, b, relu, y, first):
    """y (OH, OW, F)[..., first:] = z + b[first:], and ReLU if `relu`, for the filters that z has.

    z may be larger than y along each axis. NaN stays NaN.
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


@linked(
    lambda real: (
        array_type(real, 3),
        array_type(real, 1),
        types.boolean,
        array_type(real, 3),
        types.int64,
        PAIR,
        PAIR,
    )
)
def pool_filters(z, b, relu, y, first, pool_size, strides):
    """y (PH, PW, F)[..., first:] = max-pool of z + b[first:], and ReLU if `relu`, for the filters that z has.

    For inference: without argmax.
    """
    PH, PW, F = y.shape
    (KH, KW), (SH, SW) = pool_size, strides
    lowest = z.dtype.type(0) if relu else z.dtype.type(-np.inf)
    bias, count = b[first:], min(z.shape[2], F - first)
    for ph in range(PH):
        for pw in range(PW):
            out, top, left = y[ph, pw, first:], ph * SH, pw * SW
            if KH == KW == 2:  # the usual pool: its four numbers in registers, instead of passes over `out`
                p, q, r, s = z[top, left], z[top, left + 1], z[top + 1, left], z[top + 1, left + 1]
                for f in range(count):
                    value = larger(larger(p[f], q[f]), larger(r[f], s[f])) + bias[f]
                    out[f] = lowest if value < lowest else value
                continue
            out[:count] = z[top, left, :count]
            for tap in range(1, KH * KW):
                row = z[top + tap // KW, left + tap % KW]
                for f in range(count):
                    out[f] = larger(out[f], row[f])
            for f in range(count):
                value = out[f] + bias[f]
                out[f] = lowest if value < lowest else value


@jit
def pool_image(z, b, y, argmax, pool_size, strides, bits, threshold, scale):
    """y, argmax (PH, PW, F) = dropout(ReLU(max-pool of z (OH, OW, >= F) + b)), of one image.

    Output i is dropped if bits[i], 16 random bits, is below `threshold`; the others are multiplied by
    `scale`.
    """
    PH, PW, F = y.shape
    (KH, KW), (SH, SW) = pool_size, strides
    # numbers of the arrays' own types: with wider ones between, the loops would not vectorise
    zero, least, number = y.dtype.type(0), bits.dtype.type(threshold), argmax.dtype.type
    no_gradient, taps = number(KH * KW), (number(0), number(1), number(2), number(3))
    for ph in range(PH):
        for pw in range(PW):
            out, best_tap, top, left = y[ph, pw], argmax[ph, pw], ph * SH, pw * SW
            drawn = bits[(ph * PW + pw) * F :]
            if KH == KW == 2:  # as above, in registers
                p, q, r, s = z[top, left], z[top, left + 1], z[top + 1, left], z[top + 1, left + 1]
                for f in range(F):
                    top_best, bottom_best = larger(p[f], q[f]), larger(r[f], s[f])
                    top_tap = taps[1] if beats(q[f], p[f]) else taps[0]
                    bottom_tap = taps[3] if beats(s[f], r[f]) else taps[2]
                    out[f] = larger(top_best, bottom_best)
                    best_tap[f] = bottom_tap if beats(bottom_best, top_best) else top_tap
            else:
                out[:] = z[top, left, :F]
                best_tap[:] = 0
                for tap in range(1, KH * KW):
                    row = z[top + tap // KW, left + tap % KW]
                    this = number(tap)
                    for f in range(F):
                        is_larger = beats(row[f], out[f])
                        out[f] = row[f] if is_larger else out[f]
                        best_tap[f] = this if is_larger else best_tap[f]
            for f in range(F):
                value = out[f] + b[f]
                passes = (value > zero) & (drawn[f] >= least)
                best_tap[f] = best_tap[f] if passes else no_gradient
                out[f] = value * scale if passes else (value if value != value else zero)
