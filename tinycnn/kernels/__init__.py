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

import numpy as np

from tinycnn import checks
from tinycnn.checks import Pair
from tinycnn.kernels.geometry import winograd_refuses

#: The algorithms, and what each is for.
ALGORITHMS = {
    "naive": "loops over the definition: the specification",
    "im2col": "NumPy: patches as a matrix, one matrix product",
    "direct": "Numba: register blocks of explicit vectors, no patches in memory",
    "winograd": "Numba: minimal filtering, fewer multiplications; 2x2 and 3x3, strides of 1",
}

#: The functions that every algorithm offers.
OPERATIONS = (
    "conv2d",
    "conv2d_grad_input",
    "conv2d_grad_kernel",
    "maxpool2d",
    "maxpool2d_grad_input",
    "averagepool2d",
    "averagepool2d_grad_input",
)
# Below so many input channels the transforms of "winograd" cost more than its products save.
WINOGRAD_CHANNELS = 16

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


def requested_now(requested: str) -> str:
    """Return what is asked for: by a layer, else by `use_algorithm`, else by the environment, or "auto"."""
    for name in (requested, _context.get() or "auto", os.environ.get("TINYCNN_ALGORITHM") or "auto"):
        if check_algorithm(name) != "auto":
            return name
    return "auto"


def select(
    operation: str,
    requested: str,
    w_shape: tuple[int, ...] = (0, 0, 0, 0),
    strides: Pair = (1, 1),
    dilation: Pair = (1, 1),
) -> str:
    """Return the name of the algorithm that computes an operation for a layer with `algorithm=requested`.

    Parameters
    ----------
    operation : str
        One of `OPERATIONS`, such as "conv2d_grad_input".
    requested : str
        "auto" or the name of an algorithm, which is then obeyed.
    w_shape, strides, dilation
        Of a convolution; "auto" chooses by them.
    """
    checks.choice("operation", operation, OPERATIONS)
    if (name := requested_now(requested)) != "auto":
        return name
    small = w_shape[2] < WINOGRAD_CHANNELS
    if operation.startswith("conv") and not small and not winograd_refuses(w_shape, strides, dilation):
        return "winograd"
    return "direct"


def find(operation: str, requested: str, *geometry: Any) -> Callable[..., Any]:
    """Return the function that `select` decides on."""
    function: Callable[..., Any] = getattr(module(select(operation, requested, *geometry)), operation)
    return function


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return a (M, K) @ b (K, N), both float32 or both float64; views with any strides are welcome.

    By NumPy where "naive" or "im2col" are asked for, else by `kernels.dense`. With `out` (M, N), which must
    be contiguous, the result is written there.
    """
    checks.shape("b", b.shape, (a.shape[1], None))
    if requested_now("auto") in ("naive", "im2col"):
        return np.matmul(a, b, out=out)
    product: np.ndarray = module("dense").matmul(a, b, out)
    return product


def module(name: str) -> Any:
    """Return a module of this folder. It, and Numba with it, is imported when first needed."""
    return importlib.import_module(f"tinycnn.kernels.{name}")
