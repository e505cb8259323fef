"""The adjoint identity <A x, dy> == <x, A* dy>: a gradient of a linear map is its transpose.

It takes no reference, so it also holds the definitions themselves to the mark.
"""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.kernels.cases import (
    COMPILED_DTYPES,
    TOLERANCES,
    Case,
    cases,
    conv_arguments,
    depthwise_arguments,
    every_algorithm,
    module,
    pool_arguments,
    winograd_cases,
)

CONV = Case(5, (9, 11), 3, 7, (3, 2), (2, 1), ((1, 0), (0, 2)), (1, 3))
POOL = Case(5, (9, 11), 3, 0, (3, 2), (2, 1), ((1, 2), (0, 1)))


def assert_same_product(u, v, p, q):
    """<u, v> == <p, q>, relative to the magnitudes that are summed."""
    tolerance = TOLERANCES[u.dtype]
    u, v, p, q = (a.astype(np.float64) for a in (u, v, p, q))
    scale = max(np.vdot(abs(u), abs(v)), np.vdot(abs(p), abs(q)), 1e-30)
    assert abs(np.vdot(u, v) - np.vdot(p, q)) <= tolerance * scale


def results(algorithm, arguments):
    return {name: getattr(module(algorithm), name)(**values) for name, values in arguments.items()}


def check_convolution(algorithm, case, dtype=np.float64, name="conv2d"):
    arguments = (conv_arguments if name == "conv2d" else depthwise_arguments)(case, dtype)
    arguments[name].update(b=None, relu=False)
    x, w, dy = (arguments[name]["x"], arguments[name]["w"], arguments[f"{name}_grad_input"]["dy"])
    got = results(algorithm, arguments)
    assert_same_product(got[name], dy, x, got[f"{name}_grad_input"])
    assert_same_product(got[name], dy, w, got[f"{name}_grad_filter"])


def check_pools(algorithm, case, dtype=np.float64):
    arguments = pool_arguments(case, dtype)
    x, dy = arguments["maxpool2d"]["x"], arguments["maxpool2d_grad_input"]["dy"]
    own = arguments["maxpool2d_grad_input"]
    own["argmax"] = module(algorithm).maxpool2d(**arguments["maxpool2d"])[1]
    got = results(algorithm, arguments)
    assert_same_product(got["maxpool2d"][0], dy, x, got["maxpool2d_grad_input"])
    assert_same_product(got["averagepool2d"], dy, x, got["averagepool2d_grad_input"])


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", every_algorithm())
def test_a_larger_convolution(algorithm):
    check_convolution(algorithm, CONV)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", every_algorithm())
def test_larger_pools(algorithm):
    check_pools(algorithm, POOL)


@settings(deadline=None, max_examples=40)
@given(case=cases())
@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("algorithm", every_algorithm())
def test_convolutions(algorithm, dtype, case):
    check_convolution(algorithm, case, dtype)


@settings(deadline=None, max_examples=20)
@given(case=cases())
@pytest.mark.parametrize("algorithm", every_algorithm())
def test_depthwise_convolutions(algorithm, case):
    check_convolution(algorithm, case, np.float32, "depthwise_conv2d")


@settings(deadline=None, max_examples=40)
@given(case=cases(pool=True))
@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("algorithm", every_algorithm())
def test_pools(algorithm, dtype, case):
    check_pools(algorithm, case, dtype)


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@settings(deadline=None, max_examples=30)
@given(case=winograd_cases())
def test_winograds_convolutions(dtype, case):
    check_convolution("winograd", case, dtype)
