"""Algorithm selection: the thresholds, and the functions that decide.

::

    operation, geometry, batch size, request -> choose -> Choice (data) -> kernels.conv, kernels.pool, ...
                                                                        -> kernels.explain -> text

A request for an algorithm is read in this order: a layer's own `algorithm`, `use_algorithm`, the environment
variable TINYCNN_ALGORITHM. Without one the choice is automatic. A layer's own request is obeyed or refused.
The other two apply to a whole block or process. Pools and depthwise convolutions, which have no "winograd",
then fall back to their automatic choice (`Choice.cause` says so). A convolution that "winograd" cannot
compute is refused.

Where kernels cannot be compiled (`runtime.availability`), the automatic choice is "im2col", and requests for
"direct" and "winograd" are refused.

Nothing here computes: the same decision serves a kernel call, a plan and a table. Timings behind the
thresholds are in docs/performance.md.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import NamedTuple

from tinycnn.kernels.runtime.availability import obstacle
from tinycnn.support import checks
from tinycnn.support.checks import Pair

#: The algorithms of a convolution, and what each is for.
ALGORITHMS = {
    "naive": "loops over the definition: the specification",
    "im2col": "NumPy: patches as a matrix, one matrix product",
    "direct": "Numba: register blocks of explicit vectors, no patches in memory",
    "winograd": "Numba: minimal filtering, fewer multiplications; 2x2 and 3x3, strides of 1",
}
#: Those that need no compiler. Under a request for one of them, dense layers run on NumPy too.
NUMPY_ALGORITHMS = ("naive", "im2col")
#: Those of a pool.
POOL_ALGORITHMS = ("naive", "im2col", "direct")
#: Those of a depthwise convolution, which adds no channels: Winograd's products would have nothing to save.
DEPTHWISE_ALGORITHMS = POOL_ALGORITHMS
#: The operations that have algorithms to choose from.
CONVOLUTIONS = ("conv2d", "conv2d_grad_input", "conv2d_grad_filter")
POOLS = ("maxpool2d", "maxpool2d_grad_input", "averagepool2d", "averagepool2d_grad_input")
DEPTHWISE = ("depthwise_conv2d", "depthwise_conv2d_grad_input", "depthwise_conv2d_grad_filter")
#: The operations that `choose` decides about.
OPERATIONS = (*CONVOLUTIONS, *POOLS, *DEPTHWISE)

# Winograd's transforms take time in proportion to C + F, and its products save time in proportion to C * F.
# So it is faster than "direct" from a certain C F / (C + F) on, by operation and filter size, and from a
# certain number of outputs N * OH * OW on. A single image has a kernel of its own (`conv.winograd_image`),
# except for the filter gradient.
WINOGRAD_PAYS = {
    "conv2d": {2: 10, 3: 3},
    "conv2d_grad_input": {2: 10, 3: 3},
    "conv2d_grad_filter": {2: 16, 3: 10},
}
WINOGRAD_OUTPUTS, WINOGRAD_OUTPUTS_OF_ONE = 128, 64
#: For each filter size r, the output tile sizes m for which there are transforms F(m, r).
WINOGRAD_TILES = {2: (2, 3, 4, 5), 3: (2, 4)}
# The transform of a filter takes as long as its products with this many tiles (measured: 4 to 8).
FILTER_TILES = 6
#: Up to this many multiplications NumPy finishes a matrix product before other threads have started.
NUMPY_MULTIPLICATIONS = 2**13
#: From this many parameters on, Adam's update is compiled: NumPy's temporaries would leave the cache.
COMPILED_ADAM_PARAMETERS = 2**15
#: Up to this many images are predicted one by one, each in a single compiled call.
IMAGES_ONE_BY_ONE = 8
#: Batches of this size and above share a plan: every output count then passes WINOGRAD_OUTPUTS. Only the
#: product of a dense layer is still chosen by the true batch size, when it runs.
LARGE_BATCH = WINOGRAD_OUTPUTS

#: What `use_algorithm` asks for in this context; and the environment variable that asks for a process.
CONTEXT: ContextVar[str | None] = ContextVar("tinycnn_algorithm", default=None)
VARIABLE = "TINYCNN_ALGORITHM"


class Request(NamedTuple):
    """Request: an algorithm or "auto", and its source, "layer", "context", "environment" or ""."""

    algorithm: str
    by: str = ""


class Choice(NamedTuple):
    """What computes an operation, and why; `kernels.explanation` turns it into a sentence.

    Attributes
    ----------
    algorithm : str
        A name of `ALGORITHMS`, or what an operation without alternatives runs on.
    cause : str
        The key of the reason, a name of `kernels.explanation.SENTENCES`.
    request : Request
        The request that was obeyed, refused or passed over.
    refusal : str
        Why a request cannot be fulfilled, or Winograd's algorithm not compute this convolution; else empty.
    channels : (int, int)
        C and F of a convolution.
    outputs, least_outputs : int
        N * OH * OW, and from how many on Winograd's algorithm pays.
    """

    algorithm: str
    cause: str
    request: Request = Request("auto")
    refusal: str = ""
    channels: Pair = (0, 0)
    outputs: int = 0
    least_outputs: int = 0

    @property
    def refused(self) -> bool:
        """Whether the operation will raise when it runs: the request cannot be fulfilled."""
        return self.cause == "refused"


def check_algorithm(name: str) -> str:
    """Return `name` if it is "auto" or an algorithm; raise ValueError otherwise."""
    return checks.choice("algorithm", name, ["auto", *ALGORITHMS])


@contextmanager
def use_algorithm(name: str) -> Iterator[None]:
    """Compute with one algorithm inside a with-block, for layers whose own `algorithm` is "auto".

    The block applies to its own thread and its own asynchronous task. Another thread does not see the
    request, also one of a pool or one that is started inside the block (unless Python's option
    `thread_inherit_context` is on). Carry it over with `contextvars.copy_context().run`, as below, or request
    an algorithm for the whole process by TINYCNN_ALGORITHM.

    Parameters
    ----------
    name : str
        "auto" or a name of `ALGORITHMS`. Pools and depthwise convolutions have no "winograd" and choose for
        themselves under it; dense layers run on NumPy under "naive" and "im2col", so that nothing is
        compiled.

    Raises
    ------
    ValueError
        For an unknown name.

    Examples
    --------
    >>> with use_algorithm("im2col"):
    ...     choose("conv2d").algorithm
    'im2col'

    In another thread:

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from contextvars import copy_context
    >>> with use_algorithm("im2col"), ThreadPoolExecutor(1) as pool:
    ...     pool.submit(copy_context().run, choose, "conv2d").result().algorithm
    'im2col'
    """
    token = CONTEXT.set(check_algorithm(name))
    try:
        yield
    finally:
        CONTEXT.reset(token)


def requested(own: str = "auto") -> Request:
    """Return what is asked for: by a layer's `own` request, else by `use_algorithm`, else by the environment.

    Raises
    ------
    ValueError
        For an unknown name, in the environment too.
    """
    if own != "auto":
        return Request(check_algorithm(own), "layer")
    context = CONTEXT.get() or "auto"
    if context != "auto":
        return Request(context, "context")
    environment = os.environ.get(VARIABLE) or "auto"
    if environment != "auto":
        return Request(checks.choice(VARIABLE, environment, ["auto", *ALGORITHMS]), "environment")
    return Request("auto")


def choose(
    operation: str,
    algorithm: str = "auto",
    w_shape: tuple[int, int, int, int] | None = None,
    strides: Pair = (1, 1),
    dilation: Pair = (1, 1),
    pixels: int = WINOGRAD_OUTPUTS,
    images: int = 2,
) -> Choice:
    """Return which algorithm computes an operation, and why.

    Parameters
    ----------
    operation : str
        One of `OPERATIONS`, such as "conv2d_grad_input".
    algorithm : str
        What the caller asks for: "auto" or a name of `ALGORITHMS`.
    w_shape : (KH, KW, C, F), optional
        Shape of a convolution's filters. None means 1x1 filters, for which "auto" gives "direct".
    strides, dilation : (int, int)
    pixels, images : int
        OH * OW, and N. The defaults stand for any batch that is large enough for Winograd.

    Raises
    ------
    ValueError
        For an unknown operation or algorithm.

    Examples
    --------
    >>> choose("conv2d", "auto", (3, 3, 32, 64)).algorithm
    'winograd'
    >>> choose("maxpool2d", "winograd").refused
    True
    """
    request = requested(algorithm)
    if operation not in CONVOLUTIONS:
        checks.choice("operation", operation, OPERATIONS)
    if request.algorithm not in NUMPY_ALGORITHMS and obstacle():
        return _choose_uncompiled(operation, request)
    if operation in CONVOLUTIONS:
        return _choose_convolution(
            operation, request, w_shape or (1, 1, 1, 1), strides, dilation, pixels, images
        )
    return _choose_without_winograd(operation, request)


def _choose_uncompiled(operation: str, request: Request) -> Choice:
    """Return the choice where kernels cannot be compiled, unless NumPy's algorithms are requested."""
    if request.algorithm == "auto":
        return Choice("im2col", "no compiler", request)
    if operation in CONVOLUTIONS or request.algorithm in POOL_ALGORITHMS:
        return Choice(request.algorithm, "refused", request, obstacle())
    choice = _choose_without_winograd(operation, request)  # of "winograd"
    return choice if choice.refused else choice._replace(algorithm="im2col", cause="no compiler")


@lru_cache(maxsize=1024)
def _choose_convolution(
    operation: str,
    request: Request,
    w_shape: tuple[int, int, int, int],
    strides: Pair,
    dilation: Pair,
    pixels: int,
    images: int,
) -> Choice:
    KH, _, C, F = w_shape
    refusal = winograd_refusal(w_shape, strides, dilation)
    choice = Choice(request.algorithm, "requested", request, refusal, (C, F), pixels * images)
    if request.algorithm == "winograd" and refusal:
        return choice._replace(cause="refused")
    if request.algorithm != "auto":
        return choice
    choice = choice._replace(algorithm="direct")
    if refusal:
        return choice._replace(cause="unsupported")
    saving = C * F / (C + F)
    if saving < WINOGRAD_PAYS[operation][KH]:
        return choice._replace(cause="channels")
    own_kernel = images == 1 and operation != "conv2d_grad_filter"
    least = WINOGRAD_OUTPUTS_OF_ONE if own_kernel else WINOGRAD_OUTPUTS
    if choice.outputs < least:
        return choice._replace(cause="outputs", least_outputs=least)
    return choice._replace(algorithm="winograd", cause="winograd")


@lru_cache
def _choose_without_winograd(operation: str, request: Request) -> Choice:
    """Return the choice for a pool or a depthwise convolution."""
    name, automatic, other = "a pool", "windows", "not for pools"
    if operation in DEPTHWISE:
        name, automatic, other = "a depthwise convolution", "channels apart", "not for depthwise"
    if request.algorithm == "auto":
        return Choice("direct", automatic, request)
    if request.algorithm in POOL_ALGORITHMS:
        return Choice(request.algorithm, "requested", request)
    if request.by == "layer":
        return Choice(request.algorithm, "refused", request, f"{name} has {', '.join(POOL_ALGORITHMS)}")
    return Choice("direct", other, request)


def choose_matmul(multiplications: int) -> Choice:
    """Return what computes a matrix product of M * K * N multiplications: "numpy" or "blocked"."""
    request = requested()
    if request.algorithm in NUMPY_ALGORITHMS:
        return Choice("numpy", "nothing compiled", request)
    return automatic_matmul(multiplications)


@lru_cache(maxsize=1024)
def automatic_matmul(multiplications: int) -> Choice:
    """Return what `choose_matmul` returns where nothing is requested."""
    if multiplications <= NUMPY_MULTIPLICATIONS:
        return Choice("numpy", "small product")
    if obstacle():
        return Choice("numpy", "no compiler")
    return Choice("blocked", "blocks")


def winograd_refusal(w_shape: tuple[int, ...], strides: Pair, dilation: Pair) -> str:
    """Return why minimal filtering cannot compute a convolution; an empty string if it can."""
    KH, KW = w_shape[:2]
    if KH != KW or KH not in WINOGRAD_TILES:
        return f"expected a square filter of 2 or 3, received {KH}x{KW}"
    for name, values in (("strides", strides), ("dilation", dilation)):
        if tuple(values) != (1, 1):
            return f"expected {name} of 1, received {tuple(values)}"
    return ""


@lru_cache(maxsize=1024)
def tile_size(r: int, OH: int, OW: int, images: int = 2) -> int:
    """Return the m of Winograd's F(m, r) that takes the fewest multiplications for OH x OW outputs.

    Several images share the transformed filter; for a single one it has to pay for itself.
    """
    filters = FILTER_TILES if images == 1 else 0
    multiplications = {m: (-(-OH // m) * -(-OW // m) + filters) * (m + r - 1) ** 2 for m in WINOGRAD_TILES[r]}
    return min(multiplications, key=lambda m: (multiplications[m], -m))
