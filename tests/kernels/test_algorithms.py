"""Every algorithm against the definitions on small shapes, and against the oracle on awkward larger ones."""

import importlib
import inspect

import numpy as np
import pytest
from hypothesis import example, given, settings

from tests.kernels import oracle
from tests.kernels.cases import (
    DTYPES,
    FUNCTIONS,
    Case,
    all_arguments,
    cases,
    check,
    conv_arguments,
    depthwise_arguments,
    each_dtype,
    every_algorithm,
    every_other_algorithm,
    module,
    pool_arguments,
    size_for,
)
from tinycnn import kernels
from tinycnn.kernels import ALGORITHMS
from tinycnn.kernels.conv import naive as naive_conv
from tinycnn.kernels.depthwise import naive as naive_depthwise
from tinycnn.kernels.pool import naive as naive_pool
from tinycnn.kernels.selection import DEPTHWISE, POOL_ALGORITHMS

INF, NAN = np.inf, np.nan


def naive(function):
    """The module with the definition of a function."""
    if function in DEPTHWISE:
        return naive_depthwise
    return naive_conv if "conv" in function else naive_pool


def awkward(batch, channels, filters, out, kernel, strides, padding, dilation, left_over):
    """A case of `out` outputs, after which `left_over` pixels remain that no window reaches."""
    size = size_for(out, kernel, strides, padding, dilation, left_over)
    return Case(batch, size, channels, filters, kernel, strides, padding, dilation)


CONVOLUTIONS = [
    awkward(1, 1, 3, (7, 11), (3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), (0, 0)),
    awkward(2, 3, 17, (11, 7), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), (0, 0)),
    awkward(5, 17, 33, (7, 11), (3, 2), (2, 3), ((1, 0), (0, 2)), (1, 1), (1, 2)),
    awkward(2, 33, 3, (11, 1), (2, 4), (1, 2), ((0, 3), (1, 0)), (3, 2), (0, 1)),
    awkward(5, 33, 17, (1, 7), (1, 3), (3, 1), ((0, 0), (3, 1)), (2, 3), (2, 0)),
    awkward(1, 17, 1, (11, 11), (1, 1), (3, 2), ((0, 0), (0, 0)), (1, 1), (2, 1)),
    awkward(3, 3, 33, (7, 7), (4, 1), (1, 3), ((3, 2), (0, 1)), (2, 1), (0, 2)),
    awkward(1, 33, 33, (1, 1), (3, 4), (1, 1), ((0, 0), (0, 0)), (1, 1), (0, 0)),
    awkward(37, 1, 3, (7, 1), (2, 3), (2, 1), ((1, 1), (2, 0)), (1, 2), (1, 0)),  # a large batch
    Case(2, (3, 5), 3, 17, (2, 1), (1, 1), ((2, 0), (0, 3))),  # outputs that see nothing but padding
    Case(2, (2, 1), 3, 5, (4, 3), (1, 2), ((3, 2), (3, 3)), (2, 3)),  # a kernel larger than its image
]

# channels C * M: less than a vector, a vector and a remainder, two vectors and one, ...
DEPTHWISE_CASES = [
    awkward(1, 1, 3, (7, 11), (3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), (0, 0)),
    awkward(2, 17, 1, (11, 7), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), (0, 0)),
    awkward(5, 33, 1, (7, 11), (3, 2), (2, 3), ((1, 0), (0, 2)), (1, 1), (1, 2)),
    awkward(2, 5, 3, (11, 1), (2, 4), (1, 2), ((0, 3), (1, 0)), (3, 2), (0, 1)),
    awkward(5, 9, 2, (1, 7), (1, 3), (3, 1), ((0, 0), (3, 1)), (2, 3), (2, 0)),
    awkward(1, 16, 1, (11, 13), (1, 1), (3, 2), ((0, 0), (0, 0)), (1, 1), (2, 1)),
    awkward(3, 3, 11, (7, 7), (4, 1), (1, 3), ((3, 2), (0, 1)), (2, 1), (0, 2)),
    awkward(1, 70, 1, (1, 1), (3, 5), (1, 1), ((0, 0), (0, 0)), (1, 1), (0, 0)),
    awkward(37, 2, 4, (7, 1), (2, 3), (2, 1), ((1, 1), (2, 0)), (1, 2), (1, 0)),  # a large batch
    # strides and dilation share a factor
    awkward(2, 25, 1, (5, 6), (3, 3), (4, 6), ((2, 0), (1, 3)), (6, 4), (3, 1)),
    Case(2, (3, 5), 3, 17, (2, 1), (1, 1), ((2, 0), (0, 3))),  # outputs that see nothing but padding
    Case(2, (2, 1), 3, 5, (4, 3), (1, 2), ((3, 2), (3, 3)), (2, 3)),  # a filter larger than its image
    Case(2, (9, 11), 8, 1, (2, 1), (3, 4)),  # pixels that no window reaches
]

POOLS = [
    awkward(1, 33, 0, (7, 11), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), (1, 1)),
    awkward(5, 17, 0, (11, 7), (3, 2), (1, 3), ((1, 0), (0, 1)), (1, 1), (0, 2)),
    awkward(2, 3, 0, (7, 1), (4, 5), (3, 1), ((2, 3), (1, 2)), (1, 1), (2, 0)),
    awkward(5, 1, 0, (11, 11), (1, 1), (3, 2), ((0, 0), (0, 0)), (1, 1), (2, 1)),
    Case(37, (1, 2), 5, 0, (2, 3), (1, 1), ((1, 1), (2, 2))),  # a window larger than its image
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", every_other_algorithm())
@example(case=Case(2, (9, 8), 3, 4, (3, 2), (2, 1), ((1, 0), (0, 2)), (1, 3)))
@example(case=Case(3, (1, 7), 2, 1, (2, 4), (1, 3), ((2, 3), (1, 0)), (3, 1)))
@example(case=Case(1, (6, 5), 4, 2, (1, 1), (3, 2)))
@settings(deadline=None, max_examples=60)
@given(case=cases())
def test_convolutions_agree_with_the_definition(algorithm, dtype, case):
    for function, arguments in conv_arguments(case, dtype).items():
        expected = getattr(naive(function), function)(**arguments)
        check(function, getattr(module(algorithm), function)(**arguments), expected, arguments)


@pytest.mark.parametrize(("algorithm", "dtype", "function"), each_dtype(every_other_algorithm(), DEPTHWISE))
@example(case=Case(2, (9, 8), 3, 4, (3, 2), (2, 1), ((1, 0), (0, 2)), (1, 3)))
@example(case=Case(3, (1, 7), 9, 1, (2, 4), (1, 3), ((2, 3), (1, 0)), (3, 1)))
@settings(deadline=None, max_examples=30)
@given(case=cases())
def test_depthwise_convolutions_agree_with_the_definition(algorithm, dtype, function, case):
    arguments = depthwise_arguments(case, dtype)[function]
    expected = getattr(naive(function), function)(**arguments)
    check(function, getattr(module(algorithm), function)(**arguments), expected, arguments)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", every_other_algorithm())
@example(case=Case(2, (7, 5), 3, 0, (3, 2), (2, 1), ((1, 2), (0, 1))))
@example(case=Case(3, (1, 6), 2, 0, (2, 4), (1, 3), ((1, 1), (3, 0))))
@settings(deadline=None, max_examples=60)
@given(case=cases(pool=True))
def test_pools_agree_with_the_definition(algorithm, dtype, case):
    for function, arguments in pool_arguments(case, dtype).items():
        expected = getattr(naive(function), function)(**arguments)
        check(function, getattr(module(algorithm), function)(**arguments), expected, arguments)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", every_other_algorithm())
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_awkward_convolutions(case, algorithm, dtype):
    for function, arguments in conv_arguments(case, dtype).items():
        expected = getattr(oracle, function)(**arguments)
        check(function, getattr(module(algorithm), function)(**arguments), expected, arguments)


@pytest.mark.parametrize(("algorithm", "dtype", "function"), each_dtype(every_other_algorithm(), DEPTHWISE))
@pytest.mark.parametrize("case", DEPTHWISE_CASES, ids=str)
def test_awkward_depthwise_convolutions(case, algorithm, dtype, function):
    arguments = depthwise_arguments(case, dtype)[function]
    expected = getattr(oracle, function)(**arguments)
    check(function, getattr(module(algorithm), function)(**arguments), expected, arguments)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", every_other_algorithm())
@pytest.mark.parametrize("case", POOLS, ids=str)
def test_awkward_pools(case, algorithm, dtype):
    for function, arguments in pool_arguments(case, dtype).items():
        expected = getattr(oracle, function)(**arguments)
        check(function, getattr(module(algorithm), function)(**arguments), expected, arguments)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_signatures_are_those_of_the_definition(function):
    """Of every algorithm and, with `algorithm` at the end, of the function that chooses one."""
    family, algorithms = ("conv", ALGORITHMS) if "conv" in function else ("pool", POOL_ALGORITHMS)
    family, algorithms = ("depthwise", POOL_ALGORITHMS) if function in DEPTHWISE else (family, algorithms)
    definition = inspect.signature(getattr(naive(function), function))
    for algorithm in algorithms:
        module = importlib.import_module(f"tinycnn.kernels.{family}.{algorithm}")
        assert inspect.signature(getattr(module, function)) == definition
    public = inspect.signature(getattr(kernels, function))
    *same, last = public.parameters.values()
    assert public.replace(parameters=same) == definition
    assert (last.name, last.default) == ("algorithm", "auto")
    assert list(inspect.signature(getattr(oracle, function)).parameters) == list(definition.parameters)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", every_algorithm())
def test_the_first_of_equal_pixels_wins(algorithm, dtype):
    x = np.zeros((1, 5, 7, 2), dtype)
    padding = ((0, 1), (1, 0))
    _, argmax = module(algorithm).maxpool2d(x, (2, 3), (2, 2), padding)
    np.testing.assert_array_equal(argmax[:, :, 1:], 0)
    np.testing.assert_array_equal(argmax[:, :, 0], 1)  # tap 0 is in the padding
    x[0, 1, 2] = x[0, 0, 3] = 1
    _, argmax = module(algorithm).maxpool2d(x, (2, 3), (2, 2), padding)
    assert argmax[0, 0].tolist() == [[1, 1], [2, 2], [0, 0]]  # (0, 3) comes before (1, 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", every_algorithm())
def test_nan_wins_and_the_first_nan_stays(algorithm, dtype):
    windows = [[NAN, 1, NAN, 2], [INF, NAN, 3, NAN], [1, 2, 3, NAN], [-INF, -INF, NAN, 0]]
    x = np.array(windows, dtype).reshape(4, 2, 2, 1)
    y, argmax = module(algorithm).maxpool2d(x, (2, 2), (2, 2))
    assert np.isnan(y).all()
    assert argmax.ravel().tolist() == [0, 1, 3, 2]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", every_algorithm())
def test_windows_of_minus_infinity_name_a_pixel_of_the_image(algorithm, dtype):
    x = np.full((2, 2, 3, 2), -INF, dtype)
    how = {"pool_size": (3, 2), "strides": (1, 1), "padding": ((2, 1), (1, 1))}
    y, argmax = module(algorithm).maxpool2d(x, **how)
    np.testing.assert_array_equal(y, -INF)
    expected = [[5, 4, 4, 4], [3, 2, 2, 2], [1, 0, 0, 0]]
    np.testing.assert_array_equal(argmax, np.broadcast_to(np.array(expected)[:, :, None], argmax.shape))
    dx = module(algorithm).maxpool2d_grad_input(np.ones_like(y), argmax, x.shape, **how)
    assert dx.sum() == y.size  # nothing went into the padding


@pytest.mark.parametrize("algorithm", every_algorithm())
def test_nan_is_seen_in_every_pass(algorithm):
    case = Case(2, (5, 4), 3, 2, (2, 3))
    arguments = all_arguments(case, case, np.float32)
    for function, values in arguments.items():
        values["dy" if "grad" in function else "x"][0, 2, 1, 0] = NAN
        result = getattr(module(algorithm), function)(**values)
        result = result[0] if function == "maxpool2d" else result
        assert np.isnan(result).any(), function
        assert np.isfinite(result).any(), function


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_module_of_an_algorithm_is_the_one_of_its_name(algorithm):
    assert kernels.conv.implementation(kernels.choose("conv2d", algorithm, (3, 3, 4, 5))).__name__ == (
        f"tinycnn.kernels.conv.{algorithm}"
    )
    if algorithm in POOL_ALGORITHMS:
        assert (
            kernels.pool.implementation("maxpool2d", algorithm).__name__
            == f"tinycnn.kernels.pool.{algorithm}"
        )
        assert (
            kernels.depthwise.implementation("depthwise_conv2d", algorithm).__name__
            == f"tinycnn.kernels.depthwise.{algorithm}"
        )
