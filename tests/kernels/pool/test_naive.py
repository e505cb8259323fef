"""The definitions of the pools against numbers worked by hand, and against the oracle on random shapes."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.kernels import oracle
from tests.kernels.cases import DTYPES, cases, check, pool_arguments
from tinycnn.kernels.pool import naive

pytestmark = pytest.mark.smoke

INF, NAN = np.inf, np.nan
TIES = np.array([[1.0, 3, 3, 0], [3, 2, 3, 5], [0, 0, 0, 0]])


def image(rows):
    """One image of one channel."""
    return np.asarray(rows, np.float64)[None, :, :, None]


def test_a_max_pool_with_ties_by_hand():
    y, argmax = naive.maxpool2d(image(TIES), (2, 2), (1, 1))
    np.testing.assert_array_equal(y, image([[3, 3, 5], [3, 3, 5]]))
    np.testing.assert_array_equal(argmax, image([[1, 0, 3], [0, 1, 1]]))
    dy = image([[1, 10, 100], [1000, 10_000, 100_000]])
    dx = naive.maxpool2d_grad_input(dy, argmax, (1, 3, 4, 1), (2, 2), (1, 1))
    np.testing.assert_array_equal(dx, image([[0, 11, 0, 0], [1000, 0, 10_000, 100_100], [0, 0, 0, 0]]))


def test_the_strides_of_a_max_pool_by_hand():
    y, argmax = naive.maxpool2d(image(TIES), (1, 2), (2, 1))
    np.testing.assert_array_equal(y, image([[3, 3, 3], [0, 0, 0]]))
    np.testing.assert_array_equal(argmax, image([[1, 0, 0], [0, 0, 0]]))
    dx = naive.maxpool2d_grad_input(image([[1, 2, 4], [1, 2, 4]]), argmax, (1, 3, 4, 1), (1, 2), (2, 1))
    np.testing.assert_array_equal(dx, image([[0, 3, 4, 0], [0, 0, 0, 0], [1, 2, 4, 0]]))


@pytest.mark.parametrize(
    ("window", "maximum", "tap"),
    [
        ([1, NAN, 2, NAN], NAN, 1),
        ([INF, NAN, 2, 3], NAN, 1),
        ([NAN, INF, 2, 3], NAN, 0),
        ([-INF, -INF, NAN, 1], NAN, 2),
        ([-INF, -INF, -INF, -INF], -INF, 0),
        ([-INF, -7, -INF, -7], -7, 1),
        ([1, INF, INF, 2], INF, 1),
    ],
)
def test_nan_and_infinities_in_a_max_pool(window, maximum, tap):
    y, argmax = naive.maxpool2d(image(np.reshape(window, (2, 2))), (2, 2), (2, 2))
    np.testing.assert_array_equal(y, image([[maximum]]))
    assert argmax.item() == tap


@pytest.mark.parametrize("pixel", [-5.0, -INF, 0.0, NAN])
def test_the_padding_of_a_max_pool_never_wins(pixel):
    padding = ((1, 1), (1, 1))
    y, argmax = naive.maxpool2d(image([[pixel]]), (2, 2), (1, 1), padding)
    np.testing.assert_array_equal(y, image([[pixel, pixel], [pixel, pixel]]))
    np.testing.assert_array_equal(argmax, image([[3, 2], [1, 0]]))
    dx = naive.maxpool2d_grad_input(image([[1, 2], [4, 8]]), argmax, (1, 1, 1, 1), (2, 2), (1, 1), padding)
    np.testing.assert_array_equal(dx, image([[15]]))


def test_an_average_pool_does_not_count_its_padding():
    x, same = image(np.arange(1, 10).reshape(3, 3)), ((0, 1), (0, 1))
    y = naive.averagepool2d(x, (2, 2), (2, 2), same)
    np.testing.assert_array_equal(y, image([[(1 + 2 + 4 + 5) / 4, (3 + 6) / 2], [(7 + 8) / 2, 9]]))
    dx = naive.averagepool2d_grad_input(image([[4, 8], [20, 7]]), x.shape, (2, 2), (2, 2), same)
    np.testing.assert_array_equal(dx, image([[1, 1, 4], [1, 1, 4], [10, 10, 7]]))


def test_overlapping_windows_of_an_average_pool_accumulate():
    y = naive.averagepool2d(image([[1, 2, 6]]), (1, 2), (1, 1))
    np.testing.assert_array_equal(y, image([[1.5, 4]]))
    dx = naive.averagepool2d_grad_input(image([[2, 10]]), (1, 1, 3, 1), (1, 2), (1, 1))
    np.testing.assert_array_equal(dx, image([[1, 1 + 5, 5]]))


@settings(deadline=None, max_examples=20)
@given(case=cases(pool=True))
@pytest.mark.parametrize("dtype", DTYPES)
def test_pools_against_the_oracle(dtype, case):
    for function, arguments in pool_arguments(case, dtype).items():
        expected = getattr(oracle, function)(**arguments)
        check(function, getattr(naive, function)(**arguments), expected, arguments)
