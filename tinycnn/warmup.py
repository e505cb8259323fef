"""Compilation ahead of time, on all cores, so that training starts without a pause.

::

    warmup() -> calls of the kernels of mnist_cnn, on tiny arrays -> machine code in the cache
    this process and its helpers: each makes the next call that is free

Numba compiles on one core and holds one lock in a process. So `warmup` starts helpers, one for each other
core and at most three, and each process takes the next call that no other has taken. What one has compiled,
all find in the cache. Kernels are compiled for types, not for sizes, so the arrays are tiny.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.kernels.geometry import NO_PADDING
from tinycnn.kernels.runtime.availability import obstacle
from tinycnn.support import checks
from tinycnn.support.notices import status

MOST_PROCESSES = 4
Call = Callable[[np.dtype], object]


def warmup(dtype: str = "float32", training_only: bool = False) -> float:
    """Compile all kernels of `mnist_cnn`, or load them from the cache; return the seconds it took.

    Kernels are otherwise compiled by the first training step, once on each machine, on one core. Call this
    while a program starts or a container is built. Afterwards `mnist_cnn` trains, evaluates and predicts
    without a pause, with any batch size, with fused layers or layer by layer. Nothing else changes: no random
    state, no number of threads.

    Parameters
    ----------
    dtype : "float32" or "float64"
        The dtype of the model to be trained. Each dtype has kernels of its own.
    training_only : bool
        Leave out the layers that run one by one, and single-image programs. `fit` compiles the latter when
        the last batch of its validation data has 8 images or fewer.

    Returns
    -------
    float
        Seconds; about one when the cache had everything. Close to zero where kernels cannot be compiled, and
        everything runs on NumPy: a notice on stderr has the reason.

    Raises
    ------
    ValueError
        For another dtype.

    Notes
    -----
    Kernels are compiled for types, not for sizes. So a network of the same layers in other sizes finds most
    of its kernels compiled too. Kernels that `mnist_cnn` does not use are compiled at their first use.

    Examples
    --------
    >>> import tinycnn
    >>> seconds = tinycnn.warmup()
    """
    start = time.perf_counter()
    number = checks.float_dtype("dtype", dtype)
    if obstacle():
        return time.perf_counter() - start
    from tinycnn.kernels.runtime.jit import on_first_compilation

    calls = kernel_calls(training_only)
    with tempfile.TemporaryDirectory(prefix="tinycnn-") as folder, ExitStack() as helpers:
        settings = [number.name, str(int(training_only)), folder]
        compiling = []  # filled by the first compilation; what is loaded from the cache takes a moment

        def begin() -> None:
            compiling.append(True)
            start_helpers(helpers, settings)

        with on_first_compilation(begin):
            work(calls, number, Path(folder), lambda text: status(text if compiling else ""))
        if compiling:
            status("waiting for the kernels that other processes compile ...")
        helpers.close()
        status("")
        for call in calls:  # loads what they have compiled
            call(number)
    return time.perf_counter() - start


def work(calls: list[Call], dtype: np.dtype, folder: Path, say: Callable[[str], object] = status) -> None:
    """Make the calls that no other process has taken; a call is taken by creating its file in `folder`."""
    for number, call in enumerate(calls):
        try:
            (folder / str(number)).touch(exist_ok=False)
        except FileExistsError:
            continue
        say(f"kernels for this machine, step {number + 1} of {len(calls)} ...")
        call(dtype)


def start_helpers(helpers: ExitStack, settings: list[str]) -> None:
    """Start helpers on other cores; `helpers` waits for them. Without them the work is only slower."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TINYCNN_QUIET": "1"}
    command = [sys.executable, "-c", "from tinycnn.warmup import help_out; help_out()", *settings]
    for _ in range(min(cores, MOST_PROCESSES) - 1):
        with suppress(OSError):
            helper = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            helpers.callback(helper.wait)


def help_out() -> None:
    """Work in a process that `start_helpers` has started."""
    dtype, training_only, folder = sys.argv[1:]
    work(kernel_calls(bool(int(training_only))), np.dtype(dtype), Path(folder))


def kernel_calls(training_only: bool) -> list[Call]:
    """Return calls that together compile the kernels of `mnist_cnn`, those that take longest first."""
    training: list[Call] = [
        convolution_and_maxpool,
        filter_gradient_through_maxpool,
        winograd_convolution,
        winograd_filter_gradient,
        direct_convolution,
        matrix_products,
        direct_filter_gradient,
        input_gradient_through_maxpool,
        relu_gradient,
        adam_update,
    ]
    others: list[Call] = [
        single_image_program,
        winograd_single_image,
        maxpool_after_convolution,
        maxpool,
        row_times_matrix,
    ]
    return training if training_only else [others[0], training[0], others[1], *training[1:], *others[2:]]


def zeros(dtype: np.dtype, *shapes: tuple[int, ...]) -> Any:
    """Return arrays of zeros, in a list."""
    return [np.zeros(shape, dtype) for shape in shapes]


X, W, B, Y, POOLED = (2, 6, 6, 3), (3, 3, 3, 4), (4,), (2, 4, 4, 4), (2, 2, 2, 4)
POOL = (2, 2), (2, 2)  # size and strides


def convolution_and_maxpool(dtype: np.dtype) -> None:
    """Compile the forward pass of a fused convolution, ReLU, max-pool and dropout."""
    from tinycnn.kernels.fused import conv_maxpool

    x, w, b = zeros(dtype, X, W, B)
    conv_maxpool.conv2d_maxpool(x, w, b, NO_PADDING, *POOL)


def filter_gradient_through_maxpool(dtype: np.dtype) -> None:
    """Compile the filter gradient of the same."""
    from tinycnn.kernels.fused import conv_maxpool_grads

    x, dy = zeros(dtype, X, POOLED)
    conv_maxpool_grads.grad_filter(x, dy, np.zeros(POOLED, np.uint8), W, NO_PADDING, *POOL, 1.0)


def input_gradient_through_maxpool(dtype: np.dtype) -> None:
    """Compile the input gradient of the same."""
    from tinycnn.kernels.fused import conv_maxpool_grads

    dy, w = zeros(dtype, POOLED, W)
    conv_maxpool_grads.grad_input(dy, np.zeros(POOLED, np.uint8), w, X, NO_PADDING, *POOL, 1.0)


def winograd_convolution(dtype: np.dtype) -> None:
    """Compile the forward pass, and with it the input gradient."""
    from tinycnn.kernels.conv import winograd

    x, w, b = zeros(dtype, X, W, B)
    winograd.conv2d(x, w, b, relu=True)


def winograd_filter_gradient(dtype: np.dtype) -> None:
    """Compile the filter gradient."""
    from tinycnn.kernels.conv import winograd

    x, dy = zeros(dtype, X, Y)
    winograd.conv2d_grad_filter(x, dy, W)


def winograd_single_image(dtype: np.dtype) -> None:
    """Compile the forward pass of a single image."""
    from tinycnn.kernels.conv import winograd

    x, w, b = zeros(dtype, (1, *X[1:]), W, B)
    winograd.conv2d(x, w, b, relu=True)


def direct_convolution(dtype: np.dtype) -> None:
    """Compile the forward pass, and with it the input gradient."""
    from tinycnn.kernels.conv import direct

    x, w, b = zeros(dtype, X, W, B)
    direct.conv2d(x, w, b, relu=True)


def direct_filter_gradient(dtype: np.dtype) -> None:
    """Compile the filter gradient."""
    from tinycnn.kernels.conv import direct

    x, dy = zeros(dtype, X, Y)
    direct.conv2d_grad_filter(x, dy, W)


def relu_gradient(dtype: np.dtype) -> None:
    """Compile the gradient of a fused convolution's ReLU."""
    from tinycnn.kernels.fused import relu_bias_grads

    y, dy = zeros(dtype, Y, Y)
    relu_bias_grads.relu_gradient(y, dy)


def maxpool_after_convolution(dtype: np.dtype) -> None:
    """Compile the max-pool and dropout of a fused convolution that is in memory."""
    from tinycnn.kernels.fused import conv_maxpool

    (z,) = zeros(dtype, Y)
    conv_maxpool.maxpool(z, *POOL)


def maxpool(dtype: np.dtype) -> None:
    """Compile a max-pool that runs alone, and its gradient."""
    from tinycnn.kernels.pool import direct

    (x,) = zeros(dtype, Y)
    y, argmax = direct.maxpool2d(x, *POOL)
    direct.maxpool2d_grad_input(y, argmax, Y, *POOL)


def matrix_products(dtype: np.dtype) -> None:
    """Compile the products of a dense layer's forward and backward pass."""
    from tinycnn.kernels.dense import blocked

    x, kernel, dz = zeros(dtype, (2, 5), (5, 3), (2, 3))
    blocked.matmul(x, kernel)
    blocked.matmul(x.T, dz)
    blocked.matmul(dz, kernel.T)


def row_times_matrix(dtype: np.dtype) -> None:
    """Compile the forward pass of a dense layer for one image."""
    from tinycnn.kernels.dense import blocked

    x, kernel = zeros(dtype, (1, 5), (5, 3))
    blocked.matmul(x, kernel)


def adam_update(dtype: np.dtype) -> None:
    """Compile the step of the optimizer."""
    from tinycnn.kernels import adam

    p, g, m, v = zeros(dtype, (5,), (5,), (5,), (5,))
    adam.update(p, g, m, v, 0.001, 0.9, 0.999, 1e-7)


def single_image_program(dtype: np.dtype) -> None:
    """Compile the inference of a single image."""
    from tinycnn.kernels.fused.instructions import DENSE, Instruction, pack
    from tinycnn.kernels.fused.single_image import Interpreter

    instructions = pack([Instruction(DENSE, kernel=0, C=3, F=2)])
    parameters, x, y = zeros(dtype, (6,), (3,), (2,))
    Interpreter(instructions, parameters)(x, y)
