"""The definition of a convolution against numbers worked by hand, and against the oracle on random shapes."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.kernels import oracle
from tests.kernels.cases import DTYPES, cases, check, conv_arguments
from tinycnn.kernels.conv import naive

pytestmark = pytest.mark.smoke

ROWS = np.arange(1.0, 13).reshape(3, 4)  # [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]
KERNEL = np.array([[1.0, 2], [3, 4]])  # the same neither flipped nor transposed

# two pixels of two channels, (1, 2) and (3, 4), and w[0, pixel, channel, filter]
PIXELS = np.array([1.0, 2, 3, 4]).reshape(1, 1, 2, 2)
FILTERS = np.arange(1.0, 9).reshape(1, 2, 2, 2)


def image(rows):
    """One image of one channel."""
    return np.asarray(rows, np.float64)[None, :, :, None]


def kernel(rows):
    """One filter of one channel."""
    return np.asarray(rows, np.float64)[:, :, None, None]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, [[44, 54, 64], [84, 94, 104]]),  # 1*1 + 2*2 + 5*3 + 6*4 = 44
        ({"strides": (1, 2)}, [[44, 64], [84, 104]]),
        ({"strides": (2, 1)}, [[44, 54, 64]]),
        ({"dilation": (2, 1)}, [[72, 82, 92]]),  # 1*1 + 2*2 + 9*3 + 10*4 = 72
        ({"dilation": (1, 2)}, [[50, 60], [90, 100]]),  # 1*1 + 3*2 + 5*3 + 7*4 = 50
        ({"dilation": (2, 3)}, [[84]]),  # 1*1 + 4*2 + 9*3 + 12*4 = 84
        ({"padding": ((1, 0), (0, 2))}, [[11, 18, 25, 12, 0], [44, 54, 64, 28, 0], [84, 94, 104, 44, 0]]),
        ({"padding": ((0, 1), (1, 0)), "strides": (2, 2)}, [[22, 54], [18, 32]]),
    ],
)
def test_a_convolution_by_hand(how, expected):
    y = naive.conv2d(image(ROWS), kernel(KERNEL), **how)
    np.testing.assert_array_equal(y, image(expected))


def test_channels_filters_and_bias_by_hand():
    y = naive.conv2d(PIXELS, FILTERS)
    np.testing.assert_array_equal(y, [[[[50, 60]]]])  # 1*1 + 2*3 + 3*5 + 4*7, 1*2 + 2*4 + 3*6 + 4*8
    y = naive.conv2d(PIXELS, FILTERS, np.array([100.0, 200]))
    np.testing.assert_array_equal(y, [[[[150, 260]]]])


def test_gradients_over_channels_by_hand():
    dy = np.array([10.0, 1]).reshape(1, 1, 1, 2)
    dx = naive.conv2d_grad_input(dy, FILTERS, PIXELS.shape)
    np.testing.assert_array_equal(dx.ravel(), [12, 34, 56, 78])  # 10*1 + 1*2, 10*3 + 1*4, ...
    dw = naive.conv2d_grad_filter(PIXELS, dy, FILTERS.shape)
    np.testing.assert_array_equal(dw.ravel(), [10, 1, 20, 2, 30, 3, 40, 4])


def test_gradients_of_overlapping_windows_by_hand():
    x, dy = image([[1, 2, 3], [4, 5, 6]]), image([[10, 1]])
    dx = naive.conv2d_grad_input(dy, kernel(KERNEL), x.shape)
    np.testing.assert_array_equal(dx, image([[10, 20 + 1, 2], [30, 40 + 3, 4]]))
    dw = naive.conv2d_grad_filter(x, dy, (2, 2, 1, 1))
    np.testing.assert_array_equal(dw, kernel([[10 + 2, 20 + 3], [40 + 5, 50 + 6]]))


def test_the_gradient_of_the_kernel_is_summed_over_the_batch():
    x = image([[1, 2, 3], [4, 5, 6]])
    dy = np.concatenate([image([[10, 1]]), image([[0, 2]])])
    dw = naive.conv2d_grad_filter(np.concatenate([x, 100 * x]), dy, (2, 2, 1, 1))
    np.testing.assert_array_equal(dw, kernel([[12 + 400, 23 + 600], [45 + 1000, 56 + 1200]]))


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 2, 1, 3)], ids=["along the width", "along the height"])
def test_stride_padding_and_dilation_of_the_gradients_by_hand(axes):
    # 0 | 1 2 3 4 5 under 2 _ 3 in steps of two: (0, 2) and then (2, 4)
    x, w, dy = (a.transpose(axes) for a in (image([[1, 2, 3, 4, 5]]), image([[2, 3]]), image([[10, 1]])))
    w = w.reshape(w.shape[1:3])[:, :, None, None]
    how = {"strides": (1, 2), "padding": ((0, 0), (1, 0)), "dilation": (1, 2)}
    if axes[1] == 2:
        how = {name: value[::-1] for name, value in how.items()}
    np.testing.assert_array_equal(naive.conv2d(x, w, **how).ravel(), [2 * 0 + 3 * 2, 2 * 2 + 3 * 4])
    dx = naive.conv2d_grad_input(dy, w, x.shape, **how)
    np.testing.assert_array_equal(dx.ravel(), [0, 10 * 3 + 1 * 2, 0, 1 * 3, 0])
    dw = naive.conv2d_grad_filter(x, dy, w.shape, **how)
    np.testing.assert_array_equal(dw.ravel(), [10 * 0 + 1 * 2, 10 * 2 + 1 * 4])


@settings(deadline=None, max_examples=40)
@given(case=cases())
@pytest.mark.parametrize("dtype", DTYPES)
def test_convolutions_against_the_oracle(dtype, case):
    for function, arguments in conv_arguments(case, dtype).items():
        expected = getattr(oracle, function)(**arguments)
        check(function, getattr(naive, function)(**arguments), expected, arguments)
