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
TINYCNN_ALGORITHM, and "auto". `choose` makes it and says why; `explain(model)` prints a network's choices.
"""

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from tinycnn import checks
from tinycnn.checks import Pair
from tinycnn.kernels.explanation import explain as explain  # a name of this module
from tinycnn.kernels.geometry import check_same_dtype, winograd_refuses

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
# The transforms of "winograd" take time in proportion to C + F, and its products save some in proportion to
# C * F. So it is faster than "direct" from a certain C F / (C + F) on, by the pass and the size of the filter
# (docs/performance.md has the measurement), and from so many outputs in all, N * OH * OW, on; a single image
# has a kernel of its own (`winograd_image`), except for the filter gradient.
WINOGRAD_PAYS = {
    "conv2d": {2: 10, 3: 3},
    "conv2d_grad_input": {2: 10, 3: 3},
    "conv2d_grad_kernel": {2: 16, 3: 10},
}
WINOGRAD_OUTPUTS, WINOGRAD_OUTPUTS_OF_ONE = 128, 64

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


class Choice(NamedTuple):
    """An algorithm, and why it is that one; `refused` when it will raise, for this reason, if it is run."""

    name: str
    reason: str
    refused: bool = False


def request(requested: str) -> Choice:
    """Return what is asked for: by a layer, else by `use_algorithm`, else by the environment, or "auto"."""
    askers = (
        (requested, 'algorithm="{}" of the layer'),
        (_context.get() or "auto", 'use_algorithm("{}")'),
        (os.environ.get("TINYCNN_ALGORITHM") or "auto", "TINYCNN_ALGORITHM={}"),
    )
    for name, asker in askers:
        if check_algorithm(name) != "auto":
            return Choice(name, f"asked for: {asker.format(name)}")
    return Choice("auto", "nothing is asked for")


def requested_now(requested: str) -> str:
    """Return the name of what is asked for; see `request`."""
    return request(requested).name


def choose(
    operation: str,
    requested: str,
    w_shape: tuple[int, ...] = (0, 0, 0, 0),
    strides: Pair = (1, 1),
    dilation: Pair = (1, 1),
    places: int = WINOGRAD_OUTPUTS,
    images: int = 2,
) -> Choice:
    """Return which algorithm computes an operation for a layer with `algorithm=requested`, and why.

    Parameters
    ----------
    operation : str
        One of `OPERATIONS`, such as "conv2d_grad_input".
    requested : str
        "auto" or the name of an algorithm, which is then obeyed.
    w_shape, strides, dilation
        Of a convolution; "auto" chooses by them.
    places, images : int
        OH * OW and N of a convolution; the defaults stand for many.

    Examples
    --------
    >>> choose("conv2d", "auto", (3, 3, 1, 32)).reason
    '1 to 32 channels: too few for winograd'
    """
    checks.choice("operation", operation, OPERATIONS)
    asked = request(requested)
    convolves = operation.startswith("conv")
    refusal = winograd_refuses(w_shape, strides, dilation) if convolves else ""
    if asked.name == "winograd" and refusal:
        return Choice(asked.name, f"refused: {refusal}; {asked.reason}", refused=True)
    if asked.name != "auto":
        return asked
    if not convolves:
        return Choice("direct", "compiled loops over the windows")
    if refusal:
        return Choice("direct", f"winograd refuses: {refusal}")
    KH, KW, C, F = w_shape
    saving = C * F / (C + F)
    if saving < WINOGRAD_PAYS[operation][KH]:
        return Choice("direct", f"{C} to {F} channels: too few for winograd")
    alone = images == 1 and operation != "conv2d_grad_kernel"
    least = WINOGRAD_OUTPUTS_OF_ONE if alone else WINOGRAD_OUTPUTS
    if places * images < least:
        return Choice("direct", f"{places * images} outputs; winograd pays from {least} on")
    return Choice("winograd", f"{KH}x{KW}, {C} channels")


def select(operation: str, requested: str, *geometry: Any) -> str:
    """Return the name of the algorithm that `choose` decides on; the arguments are its."""
    return choose(operation, requested, *geometry).name


def find(operation: str, requested: str, *geometry: Any) -> Callable[..., Any]:
    """Return the function that `select` decides on."""
    function: Callable[..., Any] = getattr(module(select(operation, requested, *geometry)), operation)
    return function


def choose_matmul(weights: int = 0) -> Choice:
    """Return what multiplies matrices: "numpy" where "naive" or "im2col" are asked for, else "dense".

    With the number of a layer's `weights`, the reason says for which batches "dense" calls NumPy.
    """
    asked = request("auto")
    if asked.name in ("naive", "im2col"):
        return Choice("numpy", asked.reason)
    reason = "in blocks for the caches"
    if batch := module("dense").SMALL // weights if weights else 0:
        reason += f"; NumPy if batch <= {batch}"
    elif weights:
        reason += "; the forward pass of one image row by row"
    return Choice("dense", reason)


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return a (M, K) @ b (K, N), both float32 or both float64; views with any strides are welcome.

    By what `choose_matmul` says; `kernels.dense` itself leaves small products to NumPy. With `out` (M, N),
    which must be contiguous and apart from a and b, the result is written there.
    """
    checks.shape("b", b.shape, (a.shape[1], None))
    check_same_dtype(a=a, b=b, out=out)
    if out is not None:
        checks.shape("out", out.shape, (a.shape[0], b.shape[1]))
        if not out.flags.c_contiguous or np.may_share_memory(out, a) or np.may_share_memory(out, b):
            raise ValueError("out: expected a contiguous array apart from a and b, received another")
    if choose_matmul().name == "numpy":
        return np.matmul(a, b, out=out)
    product: np.ndarray = module("dense").matmul(a, b, out)
    return product


def module(name: str) -> Any:
    """Return a module of this folder. It, and Numba with it, is imported when first needed."""
    return importlib.import_module(f"tinycnn.kernels.{name}")
