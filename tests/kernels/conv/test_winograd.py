"""Winograd's algorithm: the transforms, every pass against the definition, its rounding."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.kernels.cases import (
    COMPILED_DTYPES,
    Case,
    arrays_of,
    assert_same_bits_on_one_thread,
    check,
    conv_arguments,
    every_other,
    reversed_view,
    winograd_cases,
)
from tinycnn.kernels.conv import im2col, naive, winograd, winograd_image
from tinycnn.kernels.conv.winograd_matrices import matrices
from tinycnn.kernels.selection import WINOGRAD_TILES

FUNCTIONS = ["conv2d", "conv2d_grad_input", "conv2d_grad_filter"]
SIZES = [(m, r) for r, ms in WINOGRAD_TILES.items() for m in ms]


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_the_matrices_compute_a_convolution(m, r):
    """A^T [(G w) * (B^T x)] is the correlation of x and w, for any numbers."""
    at, g, bt = matrices(m, r)
    rng = np.random.default_rng(m * r)
    x, w = rng.integers(-9, 9, m + r - 1), rng.integers(-9, 9, r)
    expected = [w @ x[i : i + r] for i in range(m)]
    np.testing.assert_allclose(at @ ((g @ w) * (bt @ x)), expected, atol=1e-11)


def test_the_matrices_of_f23_are_the_published_ones():
    """Lavin & Gray, equation 6, except for signs that cancel."""
    at, g, bt = matrices(2, 3)
    np.testing.assert_array_equal(at, [[1, 1, 1, 0], [0, 1, -1, 1]])
    np.testing.assert_array_equal(np.abs(g), [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 1]])
    np.testing.assert_array_equal(np.abs(bt), [[1, 0, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 0, 1]])


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@settings(deadline=None, max_examples=60)
@given(case=winograd_cases())
def test_agrees_with_the_definition(dtype, case):
    for function, arguments in conv_arguments(case, dtype).items():
        check(
            function,
            getattr(winograd, function)(**arguments),
            getattr(naive, function)(**arguments),
            arguments,
        )


LARGER = [
    Case(batch, (out + r - 1, out + 3), channels, filters, (r, r), padding=padding)
    for batch, out, channels, filters, r, padding in [
        (1, 1, 1, 3, 3, ((0, 0), (0, 0))),
        (2, 7, 3, 17, 3, ((1, 0), (0, 1))),
        (5, 11, 17, 33, 3, ((0, 0), (2, 1))),
        (2, 1, 33, 17, 2, ((0, 0), (0, 0))),
        (5, 7, 17, 3, 2, ((0, 1), (1, 0))),
        (1, 11, 33, 1, 2, ((1, 1), (1, 1))),
        (37, 5, 2, 70, 2, ((0, 0), (0, 0))),
        (37, 9, 2, 5, 3, ((0, 0), (0, 0))),  # the gradient in three blocks of images
    ]
]


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("case", LARGER, ids=str)
def test_remainders_everywhere(case, dtype):
    """Channels of 1, 3, 17 and 33, outputs of 1, 7 and 11: tiles, blocks and vectors that do not fit."""
    for function, arguments in conv_arguments(case, dtype).items():
        wide = {k: v.astype(np.float64) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
        expected = getattr(im2col, function)(**wide)
        check(function, getattr(winograd, function)(**arguments), expected, arguments)


TOLERANCE = {np.float32: 2e-5, np.float64: 1e-13}
ALONE = [
    Case(1, (out + r - 1, out + 5), channels, filters, (r, r), padding=padding)
    for out, channels, filters, r, padding in [
        (7, 17, 33, 3, ((1, 0), (0, 2))),
        (8, 16, 64, 3, ((0, 0), (0, 0))),  # whole vectors, blocks for two threads
        (11, 3, 130, 2, ((0, 0), (0, 0))),  # more blocks than threads, the last of them narrow
        (10, 32, 260, 2, ((0, 1), (1, 0))),
        (1, 33, 17, 3, ((0, 0), (0, 0))),
    ]
]


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("case", ALONE, ids=str)
def test_one_image_on_any_number_of_threads(case, dtype, monkeypatch):
    """Each with its share of the filters, some perhaps with none; every share gives the same bits."""
    for name, arguments in list(conv_arguments(case, dtype).items())[:2]:
        monkeypatch.undo()
        usual = getattr(winograd, name)(**arguments)
        expected = getattr(im2col, name)(**arguments)
        np.testing.assert_allclose(usual, expected, atol=np.abs(expected).max() * TOLERANCE[dtype])
        for threads in (1, 2, 3, 16):
            monkeypatch.setattr(winograd_image, "get_num_threads", lambda threads=threads: threads)
            np.testing.assert_array_equal(getattr(winograd, name)(**arguments), usual)


def test_one_image_that_is_too_large_for_each_thread(monkeypatch):
    """Then it is shared out like a batch, of one."""
    case = Case(1, (120, 123), 17, 33, (3, 3))
    arguments = conv_arguments(case, np.float32)["conv2d"]
    assert not winograd_image.fits_in_cache((3, 3, 17, 33), (1, 118, 121, 33), np.dtype(np.float32))
    assert winograd_image.fits_in_cache((3, 3, 17, 33), (1, 8, 9, 33), np.dtype(np.float32))
    monkeypatch.setattr(winograd, "correlate_image", None)
    expected = im2col.conv2d(**arguments)
    np.testing.assert_allclose(winograd.conv2d(**arguments), expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("size", "channels", "r", "filters"), [(26, 32, 3, 64), (12, 64, 2, 128), (11, 128, 2, 256)]
)
@pytest.mark.parametrize("batch", [1, 4])
def test_rounding_on_mnist_cnn(size, channels, r, filters, batch):
    """At most 5e-6 rms, relative to the result, in float32."""
    case = Case(batch, (size, size), channels, filters, (r, r))
    for function, arguments in conv_arguments(case, np.float32).items():
        wide = {k: v.astype(np.float64) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
        expected = getattr(im2col, function)(**wide)
        error = getattr(winograd, function)(**arguments) - expected
        assert np.sqrt(np.mean(error**2) / np.mean(expected**2)) < 5e-6, function


CASE = Case(2, (6, 7), 3, 4, (3, 3), padding=((1, 0), (0, 2)))


@pytest.mark.parametrize("layout", [np.asfortranarray, every_other, reversed_view])
def test_any_layout(layout):
    for function, arguments in conv_arguments(CASE, np.float32).items():
        views = arguments | {name: layout(a) for name, a in arrays_of(arguments).items()}
        check(
            function, getattr(winograd, function)(**views), getattr(naive, function)(**arguments), arguments
        )


def test_results_are_new_and_inputs_stay_as_they_are():
    for function, arguments in conv_arguments(CASE, np.float32).items():
        before = {name: a.copy() for name, a in arrays_of(arguments).items()}
        result = getattr(winograd, function)(**arguments)
        assert result.flags.writeable
        assert result.flags.c_contiguous
        again = getattr(winograd, function)(**conv_arguments(CASE, np.float32, seed=1)[function])
        assert (result != again).any()
        for name, a in before.items():
            np.testing.assert_array_equal(arguments[name], a)
            assert not np.shares_memory(result, arguments[name])


def test_a_batch_of_no_images():
    for function, arguments in conv_arguments(CASE._replace(batch=0), np.float32).items():
        check(
            function,
            getattr(winograd, function)(**arguments),
            getattr(naive, function)(**arguments),
            arguments,
        )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_number_of_threads_changes_no_bit(function):
    arguments = conv_arguments(CASE._replace(batch=37), np.float32)[function]
    assert_same_bits_on_one_thread(lambda: getattr(winograd, function)(**arguments))
