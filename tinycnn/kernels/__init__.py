"""How the heavy layers are computed: arrays and integers in, arrays out. Knows nothing of layers.

::

    layers/conv.py -> find("conv2d", "direct") -> kernels/direct.py -> arrays

Letters, here and in every loop of this folder:

=======  =======================================  =======  ==================================
N        images in the batch                      KH, KW   height and width of the kernel
H, W     height and width of the input            SH, SW   strides
C        input channels                           DH, DW   dilation
F        filters, the output channels             PT, PL   padding at the top and at the left
OH, OW   height and width of the output           dy       gradient of the loss by y
=======  =======================================  =======  ==================================

Images are (N, H, W, C), filters (KH, KW, C, F), as in Keras: the channel axis is contiguous. `padding` is
((top, bottom), (left, right)). float32 and float64; results have the dtype of the arguments. Every
algorithm is a module that offers these seven functions, with the signatures of `kernels.naive`:

conv2d, conv2d_grad_input, conv2d_grad_kernel, maxpool2d, maxpool2d_grad_input, averagepool2d,
averagepool2d_grad_input

A selection is made in this order: what the layer asks for, `use_algorithm`, the environment's
TINYCNN_ALGORITHM, and "auto".
"""

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tinycnn import checks

#: The algorithms, and what each is for.
ALGORITHMS = {
    "naive": "loops over the definition: the specification",
    "im2col": "NumPy: patches as a matrix, one matrix product",
    "direct": "Numba: loops over the output, no patches in memory",
}

#: What "auto" stands for: the fastest of the three on the documented network (examples/conv_three_ways.py
#: prints the times): BLAS wins the convolutions, compiled loops win the pools.
AUTO = {
    "conv2d": "im2col",
    "conv2d_grad_input": "im2col",
    "conv2d_grad_kernel": "im2col",
    "maxpool2d": "direct",
    "maxpool2d_grad_input": "direct",
    "averagepool2d": "direct",
    "averagepool2d_grad_input": "direct",
}

_context: ContextVar[str | None] = ContextVar("tinycnn_algorithm", default=None)


def check_algorithm(name: str) -> str:
    """Return `name` if it is "auto" or an algorithm; raise ValueError otherwise."""
    return checks.choice("algorithm", name, ["auto", *ALGORITHMS])


@contextmanager
def use_algorithm(name: str) -> Iterator[None]:
    """Compute with one algorithm inside a with-block, for layers whose own `algorithm` is "auto".

    >>> with use_algorithm("im2col"):
    ...     select("conv2d", "auto")
    'im2col'
    """
    token = _context.set(check_algorithm(name))
    try:
        yield
    finally:
        _context.reset(token)


def select(operation: str, requested: str) -> str:
    """Return the name of the algorithm that computes an operation for a layer with `algorithm=requested`.

    Parameters
    ----------
    operation : str
        One of the seven functions, such as "conv2d_grad_input".
    requested : str
        "auto" or the name of an algorithm, which is then obeyed.
    """
    checks.choice("operation", operation, AUTO)
    for name in (requested, _context.get() or "auto", os.environ.get("TINYCNN_ALGORITHM") or "auto"):
        if check_algorithm(name) != "auto":
            return name
    return AUTO[operation]


def find(operation: str, requested: str) -> Callable[..., Any]:
    """Return the function that `select` decides on. Its module is imported when first needed."""
    module = importlib.import_module(f"tinycnn.kernels.{select(operation, requested)}")
    function: Callable[..., Any] = getattr(module, operation)
    return function
