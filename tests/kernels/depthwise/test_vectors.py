"""Vectors of channels: what follows the sums, and how far a number that is not finite reaches."""

import numpy as np
import pytest

from tests.kernels.cases import Case, depthwise_arguments, every_algorithm, module

NAN, INF = np.nan, np.inf
#: Less than a vector of channels, one and a remainder, several; a depth multiplier; borders and strides.
CASES = [
    Case(2, (6, 5), 3, 1, (2, 2)),
    Case(1, (7, 9), 35, 1, (3, 3), padding=((1, 0), (0, 2))),
    Case(3, (5, 4), 8, 3, (2, 3), (2, 1), ((1, 1), (2, 1))),
    Case(0, (6, 5), 3, 4, (3, 3)),
]


def results(algorithm, case, **change):
    arguments = depthwise_arguments(case, np.float32)["depthwise_conv2d"]
    return module(algorithm).depthwise_conv2d(**arguments | change)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("algorithm", every_algorithm())
def test_relu_is_the_maximum_with_zero_of_the_same_sums(algorithm, case, bias):
    """To the bit."""
    change = {} if bias else {"b": None}
    linear = results(algorithm, case, relu=False, **change)
    assert not linear.size or (linear < 0).any()
    np.testing.assert_array_equal(results(algorithm, case, relu=True, **change), np.maximum(linear, 0))


@pytest.mark.parametrize("algorithm", every_algorithm())
def test_special_numbers(algorithm):
    """From the bias: NaN stays NaN, at every place among the vectors."""
    special = np.array([NAN, INF, -INF, -0.0, 0.0, -1, 1, 1e-40, -1e-40] * 4, np.float32)[:35]
    x, w = np.zeros((2, 4, 5, 35), np.float32), np.ones((2, 2, 35, 1), np.float32)
    y = module(algorithm).depthwise_conv2d(x, w, special, relu=True)
    np.testing.assert_array_equal(y, np.broadcast_to(np.where(special < 0, 0, special), y.shape))
    linear = module(algorithm).depthwise_conv2d(x, w, special)
    np.testing.assert_array_equal(linear, np.broadcast_to(special, y.shape))


@pytest.mark.filterwarnings("ignore:(invalid|overflow)")
@pytest.mark.parametrize("bad", [NAN, INF, 1e38])
@pytest.mark.parametrize("algorithm", ["im2col", "direct"])
@pytest.mark.parametrize(("channels", "multiplier"), [(19, 1), (2, 3)])
def test_a_bad_pixel_changes_its_windows_in_its_channel_only(algorithm, channels, multiplier, bad):
    case = Case(2, (8, 9), channels, multiplier, (3, 2), padding=((1, 1), (0, 0)))
    arguments = depthwise_arguments(case, np.float32)["depthwise_conv2d"] | {"relu": False}
    clean = module(algorithm).depthwise_conv2d(**arguments)
    arguments["x"][1, 4, 5, 1] = bad
    changed = module(algorithm).depthwise_conv2d(**arguments) != clean
    expected = np.zeros_like(changed)
    expected[1, 3:6, 4:6, multiplier : 2 * multiplier] = True
    np.testing.assert_array_equal(changed, expected)
