"""Several layers in one call, for a single image: a compiled interpreter of a table of instructions.

::

    table, parameters, x -> Interpreter -> y   memory: | each thread's | outputs, instruction by instruction |

An image goes through `mnist_cnn` in about a quarter of a millisecond, and as much again would be spent in
Python between its layers: checks, allocations, calls of kernels. Here one call does it all, with the layers'
kernels. A pool after Winograd's algorithm is part of that instruction; any other pool has a kernel here,
parallel over rows, without argmax.

An instruction is a row of the table (`Instruction`). It writes its output to memory of its own, and each
thread uses the same buffers for all instructions. So two cores seldom write to the same cache line. (Two
output buffers used alternately, with other buffers for each instruction, took a twelfth longer.)
"""

import numpy as np
from numba.extending import register_jitable

from tinycnn.kernels.conv.direct import convolve_rows, row_workspace
from tinycnn.kernels.conv.winograd_image import correlate_filters, filters_workspace
from tinycnn.kernels.dense.blocked import ROW_SUMS, multiply_row
from tinycnn.kernels.fused.instructions import DENSE, DIRECT, MAXPOOL, RELU, SOFTMAX, WINOGRAD, Instruction
from tinycnn.kernels.primitives.epilogue import larger
from tinycnn.kernels.primitives.integers import round_up
from tinycnn.kernels.primitives.simd import VECTOR_BYTES
from tinycnn.kernels.runtime import threads
from tinycnn.kernels.runtime.jit import jit
from tinycnn.kernels.runtime.memory import aligned_empty
from tinycnn.kernels.runtime.parallel import parallel_for
from tinycnn.kernels.runtime.threads import get_num_threads


class Interpreter:
    """A table of instructions, ready to run from any number of threads, with the memory of earlier runs.

    Parameters
    ----------
    table : structured ndarray of `Instruction`s
        At least one; each takes the output of the one before.
    parameters : ndarray of shape (count,)
        float32 or float64, contiguous.
    """

    def __init__(self, table: np.ndarray, parameters: np.ndarray) -> None:
        self.table, self.parameters = table, parameters
        # by the number of threads: numbers of each thread and of all, and memory that no run is using
        self._memory: dict[int, tuple[int, int, list[np.ndarray]]] = {}

    def __call__(self, x: np.ndarray, y: np.ndarray) -> None:
        """Fill y with the output of the last instruction for an image x, both contiguous and of one axis."""
        count = get_num_threads()
        if count not in self._memory:
            instructions = [Instruction(*row.item()) for row in self.table]
            lanes = VECTOR_BYTES // self.parameters.itemsize
            shared = sum(shared_workspace(s, lanes) for s in instructions)
            own = max(own_workspace(s, lanes, count) for s in instructions)
            self._memory[count] = own, shared + count * own, []
        own, size, spare = self._memory[count]
        try:
            memory = spare.pop()
        except IndexError:
            memory = aligned_empty(size, x.dtype)
        with threads.guard:
            interpret(self.table, self.parameters, memory, own, count, x, y)
        spare.append(memory)


@register_jitable
def in_lines(size, lanes):
    """Return `size` rounded up to whole cache lines: no two threads should write to one."""
    return round_up(size, 4 * lanes)  # at least 64 bytes, whatever the width of the vectors


@register_jitable
def shared_workspace(s, lanes):
    """Return the workspace of an instruction, in elements: its output, and what its threads share."""
    FP = round_up(s.F, lanes)
    room = in_lines(s.OH * s.OW * s.F, lanes)
    if s.kind == DENSE:
        room += in_lines(ROW_SUMS * s.F, lanes)
    elif s.kind != MAXPOOL:
        room += in_lines((s.KH * s.KW * s.C if FP > s.F else 0) * FP + FP, lanes)
    return room


@register_jitable
def own_workspace(s, lanes, threads):
    """Return the workspace of each thread, in elements."""
    if s.kind == WINOGRAD:
        OH, OW = (s.OH - 1) * s.SH + s.pool_height, (s.OW - 1) * s.SW + s.pool_width
        return in_lines(filters_workspace(OH, OW, s.KH, s.C, s.F, s.m, lanes, threads), lanes)
    if s.kind == DIRECT:
        FP = round_up(s.F, lanes)
        return in_lines(row_workspace(s.OW, s.KH, s.KW, s.C, FP, s.SW, s.DW, lanes), lanes)
    return 0


@jit
def interpret(table, parameters, memory, own, threads, x, y):
    """y (numbers of the last output) of an image x (H * W * C), by a table of instructions.

    `memory` (size,) is for this run alone: `own` numbers for each thread, and the `shared_workspace` of each
    instruction.
    """
    lanes = VECTOR_BYTES // x.itemsize
    buffers = memory[: threads * own].reshape((threads, own))
    rest = memory[threads * own :]
    source = x
    for i in range(len(table)):
        s = table[i]
        image = source.reshape((s.H, s.W, s.C))
        source = rest[: s.OH * s.OW * s.F]
        out = source.reshape((s.OH, s.OW, s.F))
        shared = rest[in_lines(source.size, lanes) :]
        if s.kind == DIRECT:
            _run_direct(s, image, parameters, out, shared, buffers)
        elif s.kind == WINOGRAD:
            _run_winograd(s, image, parameters, out, shared, buffers)
        elif s.kind == DENSE:
            _run_dense(s, image.reshape(s.C), parameters, source, shared)
        else:
            _maxpool_rows(image, out, (s.KH, s.KW), (s.SH, s.SW), (s.PT, s.PL))
        rest = rest[shared_workspace(s, lanes) :]
    y[:] = source


@jit
def _run_direct(s, x, parameters, y, shared, buffers):
    """y (OH, OW, F) of x (H, W, C): a direct convolution; buffers (threads, room)."""
    one = np.int64(1)  # for a literal, the kernel would be compiled once more
    w, b = _weights(s, parameters, shared, VECTOR_BYTES // x.itemsize)
    convolve_rows(
        x.reshape((1, s.H, s.W, s.C)), w.reshape((s.KH, s.KW * s.C, b.size)), b,
        y.reshape((1, s.OH, s.OW, s.F)), buffers, s.KW, (s.SH, s.SW), (s.PT, s.PL), (s.DH, s.DW), (one, one),
        s.activation == RELU,
    )  # fmt: skip


@jit
def _run_winograd(s, x, parameters, y, shared, buffers):
    """y (OH, OW, F) of x (H, W, C): Winograd's algorithm and a max-pool; buffers (threads, room)."""
    w, b = _weights(s, parameters, shared, VECTOR_BYTES // x.itemsize)
    correlate_filters(
        x, w.reshape((s.KH, s.KW, s.C, b.size)), b, y, buffers, s.m, (s.PT, s.PL), s.activation == RELU,
        (s.pool_height, s.pool_width), (s.SH, s.SW),
    )  # fmt: skip


@jit
def _weights(s, parameters, memory, lanes):
    """Return w (KH * KW * C * FP) and b (FP) of a convolution; w is copied unless F is whole vectors."""
    F, rows, FP = s.F, s.KH * s.KW * s.C, round_up(s.F, lanes)
    b, w = memory[:FP], memory[FP : FP + rows * FP]
    b[:] = 0
    if s.bias >= 0:
        b[:F] = parameters[s.bias : s.bias + F]
    if F == FP:
        return parameters[s.kernel : s.kernel + rows * F], b
    w[:] = 0
    for i in range(rows):
        w[i * FP : i * FP + F] = parameters[s.kernel + i * F : s.kernel + i * F + F]
    return w, b


@jit
def _run_dense(s, x, parameters, y, shared):
    """y (F) = activation(x (C) @ w + b), the partial sums of the product in `shared`."""
    partial = shared[: ROW_SUMS * s.F].reshape((ROW_SUMS, s.F))
    multiply_row(x, parameters[s.kernel : s.kernel + s.C * s.F].reshape((s.C, s.F)), partial)
    y[:] = partial[0]
    for p in range(1, ROW_SUMS):
        y += partial[p]
    if s.bias >= 0:
        y += parameters[s.bias : s.bias + s.F]
    if s.activation == RELU:
        np.maximum(y, y.dtype.type(0), y)
    elif s.activation == SOFTMAX:
        _softmax(y)


@jit
def _softmax(z):
    """z (F) = softmax(z); see `activations.softmax`."""
    z -= z.max()
    np.exp(z, z)
    z /= z.sum()
    np.maximum(z, np.finfo(z.dtype).tiny, z)


@jit
def _maxpool_rows(x, y, pool_size, strides, corner):
    """y (OH, OW, C) = max-pool of x (H, W, C); `corner` is the padding at the top and at the left."""
    parallel_for(_maxpool_row, len(y), (x, y, pool_size, strides, corner))


@jit
def _maxpool_row(oh, x, y, pool_size, strides, corner):
    """Row `oh` of y: the maximum of each window; the first NaN stays."""
    (H, W, C), top = x.shape, oh * strides[0] - corner[0]
    for ow in range(y.shape[1]):
        left, out = ow * strides[1] - corner[1], y[oh, ow]
        out[:] = x[max(top, 0), max(left, 0)]
        for h in range(max(top, 0), min(top + pool_size[0], H)):
            for w in range(max(left, 0), min(left + pool_size[1], W)):
                pixel = x[h, w]
                for c in range(C):
                    out[c] = larger(out[c], pixel[c])
