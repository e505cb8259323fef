"""Several layers in one call, for a single image: a compiled loop that walks over a table of steps.

::

    steps, parameters, x -> Program -> y     memory: | each thread's | the outputs, step by step |

An image goes through the documented network in about a quarter of a millisecond, and as much again would be
spent in Python between its layers: checks, allocations, calls of kernels. Here one call does it all. The
kernels are those of the layers; only a pool has one of its own, whose rows are shared out and which remembers
no winners, and after Winograd's sums it is done with them.

A step is a row of the table (`STEP`): what to do, where the numbers lie, and the geometry in the letters of
the design. Every number has a place in memory of its own, and every thread its own buffers, the same in all
steps: so a cache line that one core has written is read by the other, but seldom written by both. (With two
places for the maps, used in turn, and buffers that lay elsewhere in each step, it took a twelfth longer.)
"""

import numpy as np
from numba import get_num_threads, prange

from tinycnn.kernels.buffers import aligned_empty
from tinycnn.kernels.dense import ROW_PARTS, multiply_row
from tinycnn.kernels.direct import convolve_rows, row_room
from tinycnn.kernels.epilogue import larger
from tinycnn.kernels.jit import jit
from tinycnn.kernels.simd import VECTOR_BYTES
from tinycnn.kernels.turns import in_turn
from tinycnn.kernels.winograd_image import correlate_filters, filters_room

#: What a step does, and with what activation. Softmax is for dense layers.
DIRECT, WINOGRAD, MAXPOOL, DENSE = range(4)
LINEAR, RELU, SOFTMAX = range(3)
#: The columns of the table, all numbers. w and b are the places of weights and bias in the parameters; b < 0
#: is no bias. Of a dense layer, images and filter are 1 x 1. m is that of Winograd's F(m, r), with strides of
#: 1: there, QH, QW, SH and SW are the window and the strides of the pool after it, OH and OW its output.
COLUMNS = "kind, w, b, H, W, C, KH, KW, F, OH, OW, SH, SW, DH, DW, PT, PL, m, QH, QW, activation"
STEP = np.dtype([(name, np.int64) for name in COLUMNS.split(", ")])
# Compiled functions call Numba's own kernels: the turns are taken once, around the whole.
_direct, _winograd, _dense = (f.__wrapped__ for f in (convolve_rows, correlate_filters, multiply_row))


class Program:
    """A table of steps that is ready to run, with the memory of earlier runs, from any number of threads.

    Parameters
    ----------
    steps : ndarray of STEP
        At least one; each takes what the one before gives.
    parameters : ndarray of shape (count,)
        float32 or float64, contiguous.
    """

    def __init__(self, steps: np.ndarray, parameters: np.ndarray) -> None:
        self.steps, self.parameters = steps, parameters
        self._lanes = VECTOR_BYTES // parameters.itemsize
        # by the number of threads: the room of each thread, that of all, and memory that no run is using
        self._memory: dict[int, tuple[int, int, list[np.ndarray]]] = {}

    def __call__(self, x: np.ndarray, y: np.ndarray) -> None:
        """Fill y with the output of the last step for an image x, both contiguous and of one axis."""
        threads = get_num_threads()
        if threads not in self._memory:
            shared = sum(shared_room(step, self._lanes) for step in self.steps)
            own = max(own_room(step, self._lanes, threads) for step in self.steps)
            self._memory[threads] = own, shared + threads * own, []
        own, size, spare = self._memory[threads]
        try:
            memory = spare.pop()
        except IndexError:
            memory = aligned_empty(size, x.dtype)
        run(self.steps, self.parameters, memory, own, self._lanes, threads, x, y)
        spare.append(memory)


@jit
def walk(steps, parameters, memory, own, lanes, threads, x, y):
    """Fill y with the output of the last step for an image x; all arrays but the steps have one axis.

    `memory` is for this run alone: `own` numbers for each thread, and the `shared_room` of each step.
    """
    near = np.int64(1)  # neighbours are; for a literal, the kernel would be compiled once more
    buffers = memory[: threads * own].reshape((threads, own))
    rest = memory[threads * own :]
    source = x
    for i in range(len(steps)):
        s = steps[i]
        image = source.reshape((s.H, s.W, s.C))
        source = rest[: s.OH * s.OW * s.F]
        out = source.reshape((s.OH, s.OW, s.F))
        rest = rest[in_lines(source.size, lanes) :]
        if s.kind == DIRECT:
            w, b = _weights(s, parameters, rest, lanes)
            _direct(
                image.reshape((1, s.H, s.W, s.C)), w.reshape((s.KH, s.KW * s.C, b.size)), b,
                out.reshape((1, s.OH, s.OW, s.F)), buffers, s.KW, lanes, s.SH, s.SW, s.PT, s.PL, s.DH, s.DW,
                near, near, s.activation == RELU,
            )  # fmt: skip
        elif s.kind == WINOGRAD:
            w, b = _weights(s, parameters, rest, lanes)
            _winograd(
                image, w.reshape((s.KH, s.KW, s.C, b.size)), b, out, buffers, s.m, lanes, s.PT, s.PL,
                s.activation == RELU, s.QH, s.QW, s.SH, s.SW,
            )  # fmt: skip
        elif s.kind == DENSE:
            _multiply(s, image.reshape(s.C), parameters, source, rest, lanes)
        else:
            _maxpool(image, out, s.KH, s.KW, s.SH, s.SW, s.PT, s.PL)
        rest = rest[shared_room(s, lanes) - in_lines(source.size, lanes) :]
    y[:] = source


run = in_turn(walk)


@jit
def in_lines(size, lanes):
    """Return a number of numbers that fills cache lines: no two threads should write to one."""
    line = 4 * lanes  # at least 64 bytes, whatever the width of the vectors
    return (size + line - 1) // line * line


@jit
def shared_room(s, lanes):
    """Return how many numbers of memory a step takes for its output and for what its threads share."""
    F, FP = s.F, (s.F + lanes - 1) // lanes * lanes
    room = in_lines(s.OH * s.OW * F, lanes)
    if s.kind == DENSE:
        room += in_lines(ROW_PARTS * F, lanes)
    elif s.kind != MAXPOOL:
        room += in_lines((s.KH * s.KW * s.C if F < FP else 0) * FP + FP, lanes)
    return room


@jit
def own_room(s, lanes, threads):
    """Return how many numbers of memory each thread needs for itself."""
    if s.kind == WINOGRAD:
        OH, OW = (s.OH - 1) * s.SH + s.QH, (s.OW - 1) * s.SW + s.QW
        return in_lines(filters_room(OH, OW, s.KH, s.C, s.F, s.m, lanes, threads), lanes)
    if s.kind == DIRECT:
        FP = (s.F + lanes - 1) // lanes * lanes
        return in_lines(row_room(s.OW, s.KH, s.KW, s.C, FP, s.SW, s.DW, lanes), lanes)
    return 0


@jit
def _weights(s, parameters, memory, lanes):
    """Return weights and bias of a convolution, with F in whole vectors: in memory, if they are not so."""
    F, rows = s.F, s.KH * s.KW * s.C
    FP = (F + lanes - 1) // lanes * lanes
    b, w = memory[:FP], memory[FP : FP + rows * FP]
    b[:] = 0
    if s.b >= 0:
        b[:F] = parameters[s.b : s.b + F]
    if F == FP:
        return parameters[s.w : s.w + rows * F], b
    w[:] = 0
    for i in range(rows):
        w[i * FP : i * FP + F] = parameters[s.w + i * F : s.w + i * F + F]
    return w, b


@jit
def _multiply(s, x, parameters, y, memory, lanes):
    """y = activation(x @ w + b), the parts of the sum in memory."""
    parts = memory[: ROW_PARTS * s.F].reshape((ROW_PARTS, s.F))
    _dense(x, parameters[s.w : s.w + s.C * s.F].reshape((s.C, s.F)), parts, lanes)
    y[:] = parts[0]
    for p in range(1, ROW_PARTS):
        y += parts[p]
    if s.b >= 0:
        y += parameters[s.b : s.b + s.F]
    if s.activation == RELU:
        np.maximum(y, y.dtype.type(0), y)
    elif s.activation == SOFTMAX:
        _softmax(y)


@jit
def _softmax(z):
    """Replace z by its softmax; see `activations.softmax`."""
    z -= z.max()
    np.exp(z, z)
    z /= z.sum()
    np.maximum(z, np.finfo(z.dtype).tiny, z)


@jit(parallel=True)
def _maxpool_rows(x, y, KH, KW, SH, SW, PT, PL):
    for oh in prange(len(y)):
        _maxpool_row(x, y[oh], oh * SH - PT, KH, KW, SW, PL)


@jit
def _maxpool_row(x, y, top, KH, KW, SW, PL):
    """y (OW, C) = the maximum of each window that begins in row `top` of x; the first NaN stays."""
    H, W, C = x.shape
    for ow in range(len(y)):
        left, out = ow * SW - PL, y[ow]
        out[:] = x[max(top, 0), max(left, 0)]
        for h in range(max(top, 0), min(top + KH, H)):
            for w in range(max(left, 0), min(left + KW, W)):
                pixel = x[h, w]
                for c in range(C):
                    out[c] = larger(out[c], pixel[c])


_maxpool = _maxpool_rows.__wrapped__
