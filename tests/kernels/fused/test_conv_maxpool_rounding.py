"""The gradients through a max-pool in float32 on the layers of mnist_cnn; arrays of every kind."""

import numpy as np
import pytest

from tests.kernels.cases import COMPILED_DTYPES, every_other, fill_free_memory_with_nan, reversed_view
from tests.kernels.fused.grads_twin import CASES, SCALE, assert_close, compute, example
from tinycnn.kernels.conv import im2col
from tinycnn.kernels.fused import conv_maxpool, conv_maxpool_grads
from tinycnn.kernels.fused.conv_maxpool import Mask, conv2d_maxpool, maxpool
from tinycnn.kernels.fused.conv_maxpool_grads import grad_filter, grad_input
from tinycnn.kernels.pool import im2col as im2col_pool
from tinycnn.support.randomness import philox_key

# conv2 and conv4: size of the images, channels, filters, size of the filter; a pool of 2 and dropout follow
MNIST_CNN = [(26, 32, 64, 3), (11, 128, 256, 2)]
POOL = (2, 2), (2, 2)
VALID = (0, 0), (0, 0)


def relative_rms(result, expected):
    return np.sqrt(np.mean((result - expected) ** 2) / np.mean(expected**2))


@pytest.mark.parametrize("forward", ["winograd", "im2col"])
@pytest.mark.parametrize("layer", MNIST_CNN, ids=["conv2", "conv4"])
def test_rounding_on_mnist_cnn(layer, forward):
    """Relative to float64, with the same argmaxs, 1e-6 rms for eight images: a fifth of what the project
    allows, and five times what it is. Images are positive, as after a ReLU, so that sums do not cancel by
    luck."""
    size, C, F, r = layer
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal((8, size, size, C)), 0).astype(np.float32)
    w = (rng.standard_normal((r, r, C, F)) / np.sqrt(r * r * C)).astype(np.float32)
    b = rng.standard_normal(F).astype(np.float32) / 10
    if forward == "winograd":
        mask = Mask(philox_key(0, "dropout", 0), 16384, 4 / 3)
        _, argmax = conv2d_maxpool(x, w, b, VALID, *POOL, mask)
    else:
        y, argmax = im2col_pool.maxpool2d(im2col.conv2d(x, w, b), *POOL)
        argmax = np.where((y > 0) & (rng.random(y.shape) > 0.25), argmax, 4).astype(np.uint8)
    dy = rng.standard_normal(argmax.shape).astype(np.float32)
    dw, db = grad_filter(x, dy, argmax, w.shape, VALID, *POOL, 4 / 3)
    dx = grad_input(dy, argmax, w, x.shape, VALID, *POOL, 4 / 3)

    z_shape = 8, size - r + 1, size - r + 1, F
    reached = argmax != 4
    assert 0.2 < reached.mean() < 0.8
    dz = im2col_pool.maxpool2d_grad_input(4 / 3 * dy.astype(np.float64) * reached, argmax % 4, z_shape, *POOL)
    x, w = x.astype(np.float64), w.astype(np.float64)
    assert relative_rms(dw, im2col.conv2d_grad_filter(x, dz, w.shape)) < 1e-6
    assert relative_rms(dx, im2col.conv2d_grad_input(dz, w, x.shape)) < 1e-6
    assert relative_rms(db, dz.sum(axis=(0, 1, 2))) < 1e-6


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("layout", [np.asfortranarray, every_other, reversed_view, np.copy])
def test_any_layout_and_read_only(layout, dtype):
    """The same bits, and inputs stay as they are."""
    arrays, argmax, *_ = example(CASES[3], dtype)
    expected = compute(CASES[3], *arrays, argmax)
    before = [a.copy() for a in (*arrays, argmax)]
    views = [layout(a) for a in (*arrays, argmax)]
    for a in views:
        a.flags.writeable = False
    for ours, theirs in zip(compute(CASES[3], *views), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.flags.writeable
        assert ours.flags.c_contiguous
    for a, b in zip((*arrays, argmax), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_views_need_no_kernels_of_their_own():
    """Numba compiles for each layout: half a minute for every new one, if they were not made alike before."""
    (x, w, dy), argmax, *_ = example(CASES[1], np.float32)
    arrays = x, w, dy, argmax
    parallel = (
        conv_maxpool_grads._grad_filter,
        conv_maxpool_grads._grad_input,
        conv_maxpool._conv2d_maxpool,
        conv_maxpool._maxpool,
    )

    def compute_all(x, w, dy, argmax):
        compute(CASES[1], x, w, dy, argmax)
        mask = Mask(philox_key(0, "dropout", 0), 9, 1.0)
        conv2d_maxpool(x, w[:, :2], None, VALID, *POOL, mask)
        maxpool(x, *POOL, mask)

    compute_all(*arrays)
    before = [list(kernel.signatures) for kernel in parallel]
    for layout in (np.copy, np.asfortranarray, every_other, reversed_view):
        views = [layout(a) for a in arrays]
        for a in views:
            a.flags.writeable = False
        compute_all(*views)
    assert [list(kernel.signatures) for kernel in parallel] == before


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_batch_of_no_images(case, dtype):
    """Gradients of zero, in memory that held something else before."""
    (x, w, dy), argmax, *_ = example((0, *case[1:]), dtype)
    fill_free_memory_with_nan()
    dw, db, dx = compute(case, x, w, dy, argmax)
    np.testing.assert_array_equal(dw, np.zeros(w.shape, dtype))
    np.testing.assert_array_equal(db, np.zeros(w.shape[3], dtype))
    assert dx.shape == x.shape
    assert (dw.dtype, db.dtype, dx.dtype) == (dtype,) * 3


def test_gradients_do_not_depend_on_what_memory_held():
    """Nor on values of dy where the gradient ends, which are never looked at."""
    case = (9, 12, 13, 33, 65, 3, 3, ((1, 1), (1, 1)), *POOL)
    (x, w, dy), argmax, *_ = example(case, np.float32)
    usual = compute(case, x, w, dy, argmax)
    fill_free_memory_with_nan()
    dy = np.where(argmax == 4, np.float32(np.nan), dy)
    for ours, theirs in zip(compute(case, x, w, dy, argmax), usual, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("size", [pytest.param((16, 16), marks=pytest.mark.slow), (15, 17)])  # it compiles
def test_windows_whose_pixels_are_as_many_as_a_byte_counts(size):
    """256 and 255: no gradient is the next number, of the next larger type or the last of this."""
    case = (2, size[0] + 3, size[1] + 2, 3, 5, 2, 2, VALID, size, (1, 1))
    (x, w, dy), *_ = example(case, np.float32)
    z = im2col.conv2d(x, w)
    p, first = im2col_pool.maxpool2d(z, size, (1, 1))
    reached = np.random.default_rng(3).random(p.shape) < 0.5
    taps = size[0] * size[1]
    argmax = np.where(reached, first.astype(np.int64), taps).astype(np.min_scalar_type(taps))
    dz = im2col_pool.maxpool2d_grad_input(np.float32(SCALE) * dy * reached, first, z.shape, size, (1, 1))
    expected = (
        im2col.conv2d_grad_filter(x, dz, w.shape),
        dz.sum(axis=(0, 1, 2)),
        im2col.conv2d_grad_input(dz, w, x.shape),
    )
    for ours, theirs in zip(compute(case, x, w, dy, argmax), expected, strict=True):
        assert_close(ours, theirs, np.float32)
