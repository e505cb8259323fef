"""Cases for the tests of the kernels: sizes, arrays made from them, and how close is close enough.

::

    Case -> conv_arguments / pool_arguments -> {function: its arguments} -> module.function(**arguments)
"""

import importlib
from typing import NamedTuple

import kernel_oracle
import numpy as np
from hypothesis import strategies as st

from tinycnn.kernels import ALGORITHMS, OPERATIONS

FUNCTIONS = list(OPERATIONS)
DTYPES = [np.float32, np.float64]
TOLERANCES = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}


class Case(NamedTuple):
    """The sizes of one convolution or pool (whose window is the kernel)."""

    batch: int
    size: tuple
    channels: int
    filters: int
    kernel: tuple
    strides: tuple = (1, 1)
    padding: tuple = kernel_oracle.NO_PADDING
    dilation: tuple = (1, 1)

    @property
    def out(self):
        axes = zip(self.size, self.kernel, self.strides, self.padding, self.dilation, strict=True)
        return tuple(kernel_oracle.outputs(*axis) for axis in axes)


def module(algorithm):
    return importlib.import_module(f"tinycnn.kernels.{algorithm}")


def every_algorithm():
    """The algorithms that take every shape; `winograd`, which does not, has tests of its own."""
    return [name for name in ALGORITHMS if name != "winograd"]


def every_other_algorithm():
    return [name for name in every_algorithm() if name != "naive"]


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
        "conv2d_grad_kernel": {"x": x, "dy": dy, "w_shape": w_shape, **how},
    }


def pool_arguments(case, dtype, seed=0):
    """Arguments of the four functions of a pool; most windows of the images hold equal pixels."""
    rng = np.random.default_rng(seed)
    x_shape = (case.batch, *case.size, case.channels)
    x = rng.integers(-2, 3, x_shape).astype(dtype)
    dy = rng.standard_normal((case.batch, *case.out, case.channels)).astype(dtype)
    how = {"pool_size": case.kernel, "strides": case.strides, "padding": case.padding}
    _, argmax = kernel_oracle.maxpool2d(x, **how)
    argmax = argmax.astype(np.min_scalar_type(case.kernel[0] * case.kernel[1] - 1))
    return {
        "maxpool2d": {"x": x, **how},
        "maxpool2d_grad_input": {"dy": dy, "argmax": argmax, "x_shape": x_shape, **how},
        "averagepool2d": {"x": x, **how},
        "averagepool2d_grad_input": {"dy": dy, "x_shape": x_shape, **how},
    }


def all_arguments(conv_case, pool_case, dtype, seed=0):
    return {**conv_arguments(conv_case, dtype, seed), **pool_arguments(pool_case, dtype, seed)}


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
    scale = getattr(kernel_oracle, function)(**magnitudes)
    scale = np.max(scale[0] if function == "maxpool2d" else scale, initial=1e-30)
    error = np.max(np.abs(result - expected), initial=0) / scale
    assert error <= TOLERANCES[dtype], f"{function}: error {error:.1e} of scale {scale:.1e}"


def size_for(out, kernel, strides, padding, dilation, left_over):
    """The (H, W) that gives `out` outputs and leaves so many pixels at the end that no window reaches."""
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
