"""Sums over many terms in float32, in every kernel: constants add up to what they should."""

import numpy as np
import pytest

from tinycnn import kernels
from tinycnn.kernels.dense import blocked
from tinycnn.kernels.fused import conv_maxpool_grads, relu_bias_grads
from tinycnn.kernels.geometry import NO_PADDING

TENTH = float(np.float32(0.1))


def tenths(*shape):
    return np.full(shape, 0.1, np.float32)


def test_bias_gradients_of_fused_layers():
    """Of 1024 images: a plain sum is off by 5e-4, and 1e-4 behind a pool."""
    _, db = relu_bias_grads.relu_gradient(np.ones((1024, 28, 28, 2), np.float32), tenths(1024, 28, 28, 2))
    np.testing.assert_allclose(db, TENTH * 1024 * 28 * 28, rtol=5e-6)
    dy = tenths(1024, 13, 13, 3)
    argmax = np.zeros(dy.shape, np.uint8)
    x = tenths(1024, 28, 28, 1)
    dw, db = conv_maxpool_grads.grad_filter(x, dy, argmax, (3, 3, 1, 3), NO_PADDING, (2, 2), (2, 2))
    np.testing.assert_allclose(db, TENTH * 1024 * 13 * 13, rtol=5e-6)
    np.testing.assert_allclose(dw, TENTH**2 * 1024 * 13 * 13, rtol=2e-5)


@pytest.mark.parametrize("algorithm", ["direct", "im2col", "winograd"])
@pytest.mark.parametrize("shape", [(1024, 18, 18, 4), (1, 400, 500, 4)])
def test_filter_gradients(algorithm, shape):
    """Many images, and one large one."""
    N, H, W, C = shape
    dw = kernels.conv2d_grad_filter(
        tenths(*shape), tenths(N, H - 2, W - 2, 8), (3, 3, C, 8), (1, 1), NO_PADDING, (1, 1), algorithm
    )
    np.testing.assert_allclose(dw, TENTH**2 * N * (H - 2) * (W - 2), rtol=2e-5)


@pytest.mark.parametrize("algorithm", ["direct", "im2col"])
@pytest.mark.parametrize("shape", [(1024, 18, 18, 9), (1, 400, 500, 9), (1, 3, 10**5, 2)])
def test_filter_gradients_of_depthwise_convolutions(algorithm, shape):
    """Many images, a large one, and a long row."""
    N, H, W, C = shape
    dw = kernels.depthwise_conv2d_grad_filter(
        tenths(*shape), tenths(N, H, W - 2, C), (3, 3, C, 1), padding=((1, 1), (0, 0)), algorithm=algorithm
    )
    rows = np.array([H - 1, H, H - 1])[:, None, None, None]
    np.testing.assert_allclose(dw, np.broadcast_to(TENTH**2 * N * rows * (W - 2), dw.shape), rtol=2e-5)


@pytest.mark.parametrize("strides", [(1, 1), (2, 1)])
@pytest.mark.parametrize("dilation", [(1, 1), (1, 2)])
def test_a_convolution_of_many_channels(strides, dilation):
    """Rows of the filter are cut where its sum is long, and give what shorter ones give."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 6, 7, 700)).astype(np.float32), tenths(3, 2, 700, 5)
    w += rng.standard_normal(w.shape).astype(np.float32)
    arguments = None, strides, ((1, 0), (0, 1)), dilation, False
    ours = kernels.conv2d(x, w, *arguments, "direct")
    theirs = kernels.conv2d(x.astype(np.float64), w.astype(np.float64), *arguments, "im2col")
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=3e-6 * np.abs(theirs).max())
    y = kernels.conv2d(tenths(1, 4, 4, 9000), tenths(3, 3, 9000, 3), algorithm="direct", strides=(1, 1))
    np.testing.assert_allclose(y, TENTH**2 * 9 * 9000, rtol=2e-5)


@pytest.mark.parametrize("K", [16 * 1024 + 1, 32 * 480 + 7, 10**6])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_products_of_long_rows(K, rows):
    """A matrix of one row, and of more, whose blocks are summed a few at a time."""
    np.testing.assert_allclose(
        blocked.matmul(tenths(rows, K), tenths(K, 7)), np.full((rows, 7), TENTH**2 * K), rtol=2e-5
    )
    rng = np.random.default_rng(0)
    a, b = rng.random((rows, K)).astype(np.float32), rng.random((K, 3)).astype(np.float32)
    np.testing.assert_allclose(blocked.matmul(a, b), a.astype(np.float64) @ b, rtol=1e-5)
    np.testing.assert_array_equal(blocked.matmul(b.T, np.ascontiguousarray(a.T)).shape, (3, rows))


@pytest.mark.parametrize("algorithm", ["direct", "im2col", "naive"])
def test_the_mean_of_a_large_window(algorithm):
    """A plain sum is off by a hundredth for a million pixels."""
    size = 60 if algorithm == "naive" else 1000
    y = kernels.averagepool2d(tenths(1, size, size, 2), (size, size), (size, size), NO_PADDING, algorithm)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, TENTH, rtol=1e-7)
