"""Sizes of outputs and of "same" padding, against counting and against Keras' documented rules."""

from itertools import product

import numpy as np
import pytest

from tinycnn.kernels.argument_checks import check_conv, check_pool, check_window
from tinycnn.kernels.geometry import (
    NO_PADDING,
    crop,
    output_size,
    pad,
    resolve_padding,
    same_padding,
    window_counts,
    window_output,
)

pytestmark = pytest.mark.smoke

RECEIVED = "{}: expected .+, received .+"


def places(size, kernel, stride, pads, dilation):
    """Every place where all taps of the kernel lie in the padded axis."""
    taps = np.arange(kernel) * dilation
    starts = range(0, size + sum(pads), stride)
    return [start for start in starts if start + taps[-1] < size + sum(pads)]


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_output_size_counts_the_places(kernel):
    pads = list(product((0, 2), (0, 1)))
    for size, stride, pair, dilation in product(range(1, 9), (1, 2, 3, 5), pads, (1, 2, 4)):
        expected = len(places(size, kernel, stride, pair, dilation))
        if expected:
            assert output_size(size, kernel, stride, pair, dilation) == expected
        else:
            with pytest.raises(ValueError, match=RECEIVED.format("axis")):
                output_size(size, kernel, stride, pair, dilation)


def keras_same_padding(size, kernel, stride):
    """The rule of TensorFlow's guide on "Notes on padding", for a kernel without holes."""
    if size % stride == 0:
        total = max(kernel - stride, 0)
    else:
        total = max(kernel - size % stride, 0)
    return total // 2, total - total // 2


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_same_padding_follows_the_rule_of_keras(dilation):
    for size, kernel, stride in product(range(1, 15), range(1, 6), range(1, 5)):
        pads = same_padding(size, kernel, stride, dilation)
        assert pads == keras_same_padding(size, (kernel - 1) * dilation + 1, stride)
        assert output_size(size, kernel, stride, pads, dilation) == -(-size // stride)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads"),
    [
        (28, 3, 1, (1, 1)),
        (28, 2, 1, (0, 1)),  # the odd pixel goes last
        (28, 3, 2, (0, 1)),
        (27, 3, 2, (1, 1)),
        (28, 2, 2, (0, 0)),
        (27, 2, 2, (0, 1)),
        (5, 1, 3, (0, 0)),
        (1, 5, 1, (2, 2)),
    ],
)
def test_same_padding_by_hand(size, kernel, stride, pads):
    assert same_padding(size, kernel, stride) == pads


def test_padding_by_name():
    how = {"size": (28, 27), "kernel": (3, 2), "strides": (2, 1), "dilation": (1, 3)}
    assert resolve_padding("valid", **how) == ((0, 0), (0, 0))
    assert resolve_padding("same", **how) == ((0, 1), (1, 2))
    assert resolve_padding(((3, 0), (1, 2)), **how) == ((3, 0), (1, 2))


def test_outputs_of_both_axes():
    assert window_output((9, 12), (3, 2), (2, 3), ((1, 0), (0, 2)), (1, 4)) == (4, 4)
    assert check_conv((5, 9, 12, 3), (3, 2, 3, 7), (2, 3), ((1, 0), (0, 2)), (1, 4)) == (4, 4)
    assert check_pool((5, 9, 12, 3), (3, 2), (2, 3), ((1, 0), (0, 1))) == (4, 4)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("strides", {"strides": (0, 1)}),
        ("strides", {"strides": (1, -2)}),
        ("strides", {"strides": (1, 1.5)}),
        ("strides", {"strides": (1, 1, 1)}),
        ("strides", {"strides": (True, 1)}),
        ("dilation", {"dilation": (1, 0)}),
        ("dilation", {"dilation": (-1, 1)}),
        ("kernel size", {"kernel": (0, 1)}),
        ("padding of the height", {"padding": ((-1, 0), (0, 0))}),
        ("padding of the height", {"padding": ((0, 0, 0), (0, 0))}),
        ("padding of the width", {"padding": ((0, 0), (0, -3))}),
        ("height", {"kernel": (10, 1)}),
        ("width", {"kernel": (1, 4), "dilation": (1, 4)}),
        ("width", {"size": (9, 0)}),
    ],
)
def test_errors_give_name_expected_and_received(name, change):
    how = {"size": (9, 12), "kernel": (3, 2), "strides": (1, 1), "padding": NO_PADDING, "dilation": (1, 1)}
    assert window_output(**how) == (7, 11)
    assert check_window(**how) == (7, 11)
    with pytest.raises(ValueError, match=RECEIVED.format(f"^{name}")):
        check_window(**how | change)


def test_a_kernel_that_is_too_large_is_told_by_how_much():
    with pytest.raises(ValueError, match=r"at least 7 \(kernel 4, dilation 2\), received 6 \(input 5, pad"):
        output_size(5, 4, 1, (1, 0), 2)


@pytest.mark.parametrize("padding", [((3, 0), (0, 0)), ((0, 3), (0, 0)), ((0, 0), (0, 2)), ((0, 0), (2, 2))])
def test_no_window_of_a_pool_lies_in_the_padding_alone(padding):
    with pytest.raises(ValueError, match=r"^padding of the (height|width): expected less than .+ received"):
        check_pool((1, 9, 12, 1), (3, 2), (1, 1), padding)


def test_padding_and_cropping():
    x = np.arange(1.0, 25, dtype=np.float32).reshape(2, 2, 3, 2)
    xp = pad(x, ((1, 0), (2, 3)), -np.inf)
    assert xp.shape == (2, 3, 8, 2)
    assert xp.dtype == x.dtype
    assert np.isinf(xp).sum() == xp.size - x.size
    np.testing.assert_array_equal(xp[:, 1:, 2:5], x)
    np.testing.assert_array_equal(crop(xp, ((1, 0), (2, 3))), x)
    assert pad(x, NO_PADDING) is x


def test_window_counts_by_counting():
    size, pool, strides, padding = (5, 7), (3, 4), (2, 3), ((2, 1), (1, 3))
    counts = window_counts(size, pool, strides, padding)
    rows, columns = (
        [sum(0 <= start + k - pads[0] < n for k in range(taps)) for start in places(n, taps, step, pads, 1)]
        for n, taps, step, pads in zip(size, pool, strides, padding, strict=True)
    )
    np.testing.assert_array_equal(counts, np.outer(rows, columns))
    assert counts.min() > 0
