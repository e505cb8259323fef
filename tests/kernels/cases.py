"""Cases for the tests of the kernels: sizes, arrays made from them, and how close is close enough.

::

    Case -> conv_arguments, depthwise_arguments, pool_arguments -> {function: its arguments}
         -> module(algorithm).function(...)
"""

from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import strategies as st

from tests.kernels import oracle
from tinycnn import kernels
from tinycnn.kernels import ALGORITHMS, OPERATIONS
from tinycnn.kernels.selection import CONVOLUTIONS, DEPTHWISE, POOL_ALGORITHMS

FUNCTIONS = list(OPERATIONS)
DTYPES = [np.float32, np.float64]
#: For a test that compiles its kernel anew for each: the vectors of float64 have half the lanes.
COMPILED_DTYPES = [np.float32, pytest.param(np.float64, marks=pytest.mark.slow)]
TOLERANCES = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}
#: The algorithms that take every shape.
GENERAL = [name for name in ALGORITHMS if name != "winograd"]


class Case(NamedTuple):
    """The sizes of one convolution or pool (whose window is the kernel); if depthwise, `filters` is M."""

    batch: int
    size: tuple
    channels: int
    filters: int
    kernel: tuple
    strides: tuple = (1, 1)
    padding: tuple = oracle.NO_PADDING
    dilation: tuple = (1, 1)

    @property
    def out(self):
        axes = zip(self.size, self.kernel, self.strides, self.padding, self.dilation, strict=True)
        return tuple(oracle.outputs(*axis) for axis in axes)


def module(algorithm):
    """Return the public functions of `tinycnn.kernels`, bound to an algorithm."""
    functions = OPERATIONS if algorithm in POOL_ALGORITHMS else CONVOLUTIONS
    return SimpleNamespace(
        **{name: partial(getattr(kernels, name), algorithm=algorithm) for name in functions}
    )


def every_algorithm():
    """The algorithms that take every shape; `winograd`, which does not, has tests of its own."""
    return GENERAL


def every_other_algorithm():
    """Those that are compared with the definition."""
    return [name for name in GENERAL if name != "naive"]


def conv_arguments(case, dtype, seed=0):
    """Arguments of the three functions of a convolution, drawn from a normal distribution.

    Every other height has a ReLU.
    """
    rng = np.random.default_rng(seed)
    x_shape = (case.batch, *case.size, case.channels)
    w_shape = (*case.kernel, case.channels, case.filters)
    shapes = x_shape, w_shape, (case.filters,), (case.batch, *case.out, case.filters)
    x, w, b, dy = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    how = {"strides": case.strides, "padding": case.padding, "dilation": case.dilation}
    return {
        "conv2d": {"x": x, "w": w, "b": b, **how, "relu": case.size[0] % 2 == 0},
        "conv2d_grad_input": {"dy": dy, "w": w, "x_shape": x_shape, **how},
        "conv2d_grad_filter": {"x": x, "dy": dy, "w_shape": w_shape, **how},
    }


def depthwise_arguments(case, dtype, seed=0):
    """The same of a depthwise convolution."""
    rng = np.random.default_rng(seed)
    x_shape = (case.batch, *case.size, case.channels)
    w_shape = (*case.kernel, case.channels, case.filters)
    channels = case.channels * case.filters
    shapes = x_shape, w_shape, (channels,), (case.batch, *case.out, channels)
    x, w, b, dy = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    how = {"strides": case.strides, "padding": case.padding, "dilation": case.dilation}
    return {
        "depthwise_conv2d": {"x": x, "w": w, "b": b, **how, "relu": case.size[0] % 2 == 0},
        "depthwise_conv2d_grad_input": {"dy": dy, "w": w, "x_shape": x_shape, **how},
        "depthwise_conv2d_grad_filter": {"x": x, "dy": dy, "w_shape": w_shape, **how},
    }


def pool_arguments(case, dtype, seed=0):
    """Arguments of the four functions of a pool; most windows of the images hold equal pixels."""
    rng = np.random.default_rng(seed)
    x_shape = (case.batch, *case.size, case.channels)
    x = rng.integers(-2, 3, x_shape).astype(dtype)
    dy = rng.standard_normal((case.batch, *case.out, case.channels)).astype(dtype)
    how = {"pool_size": case.kernel, "strides": case.strides, "padding": case.padding}
    _, argmax = oracle.maxpool2d(x, **how)
    argmax = argmax.astype(np.min_scalar_type(case.kernel[0] * case.kernel[1] - 1))
    return {
        "maxpool2d": {"x": x, **how},
        "maxpool2d_grad_input": {"dy": dy, "argmax": argmax, "x_shape": x_shape, **how},
        "averagepool2d": {"x": x, **how},
        "averagepool2d_grad_input": {"dy": dy, "x_shape": x_shape, **how},
    }


def all_arguments(conv_case, pool_case, dtype, seed=0):
    """Arguments of every function. Those of a depthwise convolution have the sizes of the other one."""
    depthwise = depthwise_arguments(conv_case, dtype, seed)
    return conv_arguments(conv_case, dtype, seed) | pool_arguments(pool_case, dtype, seed) | depthwise


def wide(function):
    """float64, but float32 of the functions whose kernels the fast tests compile once only."""
    return np.float32 if function in DEPTHWISE else np.float64


def each_dtype(algorithms, functions):
    """Each (algorithm, dtype, function) as parameters; slow where the kernel would be compiled once more."""
    return [
        pytest.param(algorithm, dtype, function, marks=[pytest.mark.slow] * compiles)
        for algorithm in algorithms
        for dtype in DTYPES
        for function in functions
        for compiles in [algorithm == "direct" and dtype is np.float64 and function in DEPTHWISE]
    ]


def arrays_of(arguments):
    return {name: value for name, value in arguments.items() if isinstance(value, np.ndarray)}


def check(function, result, expected, arguments):
    """Compare with what is expected; an error is measured against the sum of all magnitudes."""
    dtype = next(a.dtype for a in arrays_of(arguments).values() if a.dtype.kind == "f")
    if function == "maxpool2d":
        (result, argmax), (expected, expected_argmax) = result, expected
        np.testing.assert_array_equal(argmax, expected_argmax)
        assert argmax.dtype.kind == "u"
    assert result.dtype == dtype
    assert result.shape == expected.shape
    magnitudes = arguments | {k: abs(a) for k, a in arrays_of(arguments).items()}
    scale = getattr(oracle, function)(**magnitudes)
    scale = np.max(scale[0] if function == "maxpool2d" else scale, initial=1e-30)
    error = np.max(np.abs(result - expected), initial=0) / scale
    assert error <= TOLERANCES[dtype], f"{function}: error {error:.1e} of scale {scale:.1e}"


def size_for(out, kernel, strides, padding, dilation, left_over):
    """The (H, W) that gives `out` outputs and leaves `left_over` pixels at the end that no window reaches."""
    axes = zip(out, kernel, strides, padding, dilation, left_over, strict=True)
    return tuple((o - 1) * s + (k - 1) * d + 1 - sum(p) + extra for o, k, s, p, d, extra in axes)


@st.composite
def cases(draw, pool=False):
    """Small cases: batch, channels and filters differ, and so do height and width."""

    def pairs(low, high):
        return draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    batch, channels, filters = draw(
        st.lists(st.integers(1, 4), min_size=3, max_size=3, unique=True), label="batch, channels, filters"
    )
    kernel, strides = pairs(1, 4), pairs(1, 3)
    dilation = (1, 1) if pool else pairs(1, 3)
    most = [k - 1 if pool else 3 for k in kernel]
    padding = pairs(0, most[0]), pairs(0, most[1])
    least = [max(1, (k - 1) * d + 1 - sum(p)) for k, d, p in zip(kernel, dilation, padding, strict=True)]
    height, width = (low + extra for low, extra in zip(least, pairs(0, 4), strict=True))
    width += height == width
    return Case(batch, (height, width), channels, filters, kernel, strides, padding, dilation)


@st.composite
def winograd_cases(draw):
    """Square filters of 2 or 3; all other sizes differ where they can."""
    batch, channels, filters = draw(st.lists(st.integers(1, 5), min_size=3, max_size=3, unique=True))
    r = draw(st.sampled_from((2, 3)))
    pads = st.integers(0, 3)
    padding = draw(st.tuples(st.tuples(pads, pads), st.tuples(pads, pads)))
    height, width = (
        max(1, r - sum(p)) + extra
        for p, extra in zip(padding, draw(st.tuples(st.integers(0, 7), st.integers(0, 7))), strict=True)
    )
    return Case(batch, (height, width + (height == width)), channels, filters, (r, r), padding=padding)


def every_other(a):
    """The same values in a view of every second item along each axis."""
    wide = np.zeros([2 * n for n in a.shape], a.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def reversed_view(a):
    """The same values in a view with negative strides."""
    axes = tuple(range(a.ndim))
    return np.flip(np.flip(a, axes).copy(), axes)


def as_tuple(result):
    return result if isinstance(result, tuple) else (result,)


@contextmanager
def numba_threads(count):
    """Run kernels on a given number of threads."""
    import numba

    before = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def assert_same_bits_on_one_thread(compute):
    """A sum is cut into parts that do not follow the number of threads."""
    usual = as_tuple(compute())
    with numba_threads(1):
        alone = as_tuple(compute())
    for a, b in zip(usual, alone, strict=True):
        np.testing.assert_array_equal(a, b)


def fill_free_memory_with_nan():
    """Leave NaN in the memory that the next arrays are made from (`runtime.memory`)."""
    from tinycnn.kernels.runtime.memory import aligned_empty

    for size in range(16, 23):
        arrays = [aligned_empty(2**size // 8 * i, np.float64) for i in range(1, 9)]
        for a in arrays:
            a.fill(np.nan)
        del a, arrays
