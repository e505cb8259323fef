"""The gradient of a ReLU and of the bias before it, against NumPy."""

import numpy as np
import pytest

from tests.kernels.cases import (
    COMPILED_DTYPES,
    assert_same_bits_on_one_thread,
    every_other,
    fill_free_memory_with_nan,
    reversed_view,
)
from tests.kernels.fused.maxpool_twin import INF, KEY, NAN, images
from tinycnn.kernels.fused.conv_maxpool import Mask, maxpool
from tinycnn.kernels.fused.relu_bias_grads import relu_gradient


@pytest.mark.parametrize("shape", [(3, 4, 5, 1), (2, 7, 3, 3), (5, 4, 4, 17), (1, 1, 1, 33), (37, 2, 3, 7)])
@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
def test_relu_gradient(dtype, shape):
    """dz is dy where y > 0, to the bit, and db its sum, within the rounding of a sum."""
    rng = np.random.default_rng(0)
    y, dy = rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape).astype(dtype)
    y.flat[::5] = 0
    y.flat[1::7] = -0.0
    y.flat[2::11] = NAN
    before = y.copy(), dy.copy()
    dz, db = relu_gradient(y, dy)
    expected = np.where(y > 0, dy, 0).astype(np.float64)
    np.testing.assert_array_equal(dz, expected)
    assert (dz.dtype, db.dtype, db.shape) == (dtype, dtype, shape[-1:])
    axes = tuple(range(dy.ndim - 1))
    bound = np.finfo(dtype).eps * np.prod(shape[:-1]) * np.abs(expected).max()
    np.testing.assert_allclose(db, expected.sum(axis=axes), rtol=0, atol=bound)
    for a, b in zip((y, dy), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_relu_gradient_of_views_and_of_nothing():
    y, dy = images(2, 5, 4, 3, np.float32), np.random.default_rng(0).random((2, 5, 4, 3), np.float32)
    expected = relu_gradient(y, dy)
    for layout in (np.asfortranarray, every_other, reversed_view):
        for ours, theirs in zip(relu_gradient(layout(y), layout(dy)), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    dz, db = relu_gradient(y[:0], dy[:0])
    assert dz.shape == (0, 5, 4, 3)
    np.testing.assert_array_equal(db, np.zeros(3))


def test_a_gradient_that_is_not_finite_ends_where_the_relu_is_off():
    """And is passed on where it is on: a run that diverges must be seen."""
    y = np.array([[1, 0, 1, 0, 2, NAN]], np.float32)
    dz, db = relu_gradient(y, np.array([[NAN, NAN, INF, INF, -INF, 1]], np.float32))
    np.testing.assert_array_equal(dz, [[NAN, 0, INF, 0, -INF, 0]])
    np.testing.assert_array_equal(db, dz[0])


def test_the_sum_of_the_bias_gradient_is_accurate():
    """As many rows as the first layer of mnist_cnn has for 64 images."""
    rng = np.random.default_rng(0)
    y = np.ones((64 * 26 * 26, 2), np.float32)
    dy = rng.random(y.shape, np.float32)  # all of one sign: the worst for a sum that runs along
    _, db = relu_gradient(y, dy)
    np.testing.assert_allclose(db, dy.sum(axis=0, dtype=np.float64), rtol=2e-5)


def both(z, dy):
    """The two passes over a whole map: max-pool with dropout, and the gradient."""
    return *maxpool(z, (2, 2), (2, 2), Mask(KEY, 20000, 1.5)), *relu_gradient(z, dy)


def test_the_number_of_threads_changes_no_bit():
    z = images(37, 7, 6, 17, np.float32)
    z[~np.isfinite(z)] = 1
    dy = np.random.default_rng(0).standard_normal(z.shape).astype(np.float32)
    assert_same_bits_on_one_thread(lambda: both(z, dy))


def test_outputs_do_not_depend_on_what_memory_held():
    """Fresh arrays come from memory that was used before, here for NaN."""
    z = np.random.default_rng(0).standard_normal((9, 32, 30, 17)).astype(np.float32)
    usual = both(z, z)
    fill_free_memory_with_nan()
    for ours, theirs in zip(both(z, z), usual, strict=True):
        np.testing.assert_array_equal(ours, theirs)
