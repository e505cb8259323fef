"""The definition of a depthwise convolution against numbers worked by hand, and against the oracle."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.kernels import oracle
from tests.kernels.cases import DTYPES, Case, cases, check, depthwise_arguments
from tinycnn.kernels.conv import naive as conv
from tinycnn.kernels.depthwise import naive

pytestmark = pytest.mark.smoke

# two pixels of two channels, (1, 2) and (3, 4), and w[0, pixel, channel, multiple]
PIXELS = np.array([1.0, 2, 3, 4]).reshape(1, 1, 2, 2)
FILTERS = np.arange(1.0, 9).reshape(1, 2, 2, 2)


def test_each_channel_has_its_own_filters():
    """Channel 0 is under 1, 5 and under 2, 6; channel 1 under 3, 7 and under 4, 8."""
    y = naive.depthwise_conv2d(PIXELS, FILTERS)
    np.testing.assert_array_equal(y.ravel(), [1 * 1 + 3 * 5, 1 * 2 + 3 * 6, 2 * 3 + 4 * 7, 2 * 4 + 4 * 8])
    y = naive.depthwise_conv2d(PIXELS, FILTERS, np.array([100.0, 200, -40, 300]), relu=True)
    np.testing.assert_array_equal(y.ravel(), [116, 220, 0, 340])


def test_gradients_by_hand():
    dy = np.array([1.0, 10, 100, 1000]).reshape(1, 1, 1, 4)
    dx = naive.depthwise_conv2d_grad_input(dy, FILTERS, PIXELS.shape)
    np.testing.assert_array_equal(dx.ravel(), [1 + 20, 300 + 4000, 5 + 60, 700 + 8000])
    dw = naive.depthwise_conv2d_grad_filter(PIXELS, dy, FILTERS.shape)
    np.testing.assert_array_equal(dw.ravel(), [1, 10, 200, 2000, 3, 30, 400, 4000])


@pytest.mark.parametrize("how", [{}, {"strides": (2, 1), "padding": ((1, 0), (0, 2)), "dilation": (1, 2)}])
def test_it_is_a_convolution_whose_filters_see_one_channel_each(how):
    """Filter c * M + m of that convolution is 0 in all channels except c."""
    arguments = (
        depthwise_arguments(Case(2, (7, 6), 3, 4, (3, 1)), np.float64)["depthwise_conv2d"]
        | how
        | {"relu": False}
    )
    x, w, b = (arguments.pop(name) for name in ("x", "w", "b"))
    KH, KW, C, M = w.shape
    sparse = np.zeros((KH, KW, C, C, M))
    for c in range(C):
        sparse[:, :, c, c] = w[:, :, c]
    expected = conv.conv2d(x, sparse.reshape(KH, KW, C, C * M), b, **arguments)
    np.testing.assert_allclose(naive.depthwise_conv2d(x, w, b, **arguments), expected, rtol=0, atol=1e-13)


@settings(deadline=None, max_examples=20)
@given(case=cases())
@pytest.mark.parametrize("dtype", DTYPES)
def test_depthwise_convolutions_against_the_oracle(dtype, case):
    for function, arguments in depthwise_arguments(case, dtype).items():
        expected = getattr(oracle, function)(**arguments)
        check(function, getattr(naive, function)(**arguments), expected, arguments)
