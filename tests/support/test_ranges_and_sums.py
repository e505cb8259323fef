"""Sums of many numbers, and numbers at the ends of a float's range."""

import numpy as np
import pytest

from tinycnn.layers import BatchNormalization, Conv2D, Dense, GlobalAveragePooling2D
from tinycnn.optimizers import SGD, Adadelta, Adam, RMSprop
from tinycnn.support.ranges import flush, with_squares
from tinycnn.support.sums import mean_rows, sum_rows

pytestmark = pytest.mark.smoke

TENTH = float(np.float32(0.1))


@pytest.mark.parametrize("rows", [1, 63, 256, 257, 4095, 4097, 10**6])
@pytest.mark.parametrize("lead", [(), (3,)])
def test_sums_of_rows(rows, lead):
    """Of a constant, and of numbers that differ, at every remainder of the slabs."""
    constant = np.full((*lead, rows, 2), 0.1, np.float32)
    np.testing.assert_allclose(sum_rows(constant), np.full((*lead, 2), rows * TENTH), rtol=5e-6)
    np.testing.assert_allclose(mean_rows(constant), np.full((*lead, 2), TENTH), rtol=5e-6)
    numbers = np.random.default_rng(rows).random((*lead, rows, 2)).astype(np.float32)
    np.testing.assert_allclose(sum_rows(numbers), numbers.sum(axis=-2, dtype=np.float64), rtol=5e-6)
    numbers[..., rows // 2, 1] = np.nan
    assert np.isnan(sum_rows(numbers)[..., 1]).all()
    assert np.isfinite(sum_rows(numbers)[..., 0]).all()


def test_short_sums_are_numpys():
    """To the bit: a batch of a usual size trains as before."""
    a = np.random.default_rng(0).standard_normal((128, 10)).astype(np.float32)
    np.testing.assert_array_equal(sum_rows(a).astype(np.float32), a.sum(axis=0))


def built(layer, shape, dtype=np.float32):
    layer.build(shape, np.random.default_rng(0), dtype)
    return layer


def test_bias_gradients():
    """Published numbers: 80,281.6 and 100,000, where a plain float32 sum gives 80,932 and 100,958."""
    conv = built(Conv2D(2, 3, algorithm="im2col"), (30, 30, 1))
    y = conv.forward(np.zeros((1024, 30, 30, 1), np.float32), training=True)
    conv.backward_params(np.full_like(y, 0.1))
    np.testing.assert_allclose(conv.grads["bias"], 80_281.6, rtol=1e-5)
    dense = built(Dense(2), (1,))
    y = dense.forward(np.zeros((10**6, 1), np.float32), training=True)
    dense.backward_params(np.full_like(y, 0.1))
    np.testing.assert_allclose(dense.grads["bias"], 100_000, rtol=1e-5)


def test_the_mean_of_a_large_image():
    """Three channels, so that the pixels of one are not side by side."""
    pool = built(GlobalAveragePooling2D(), (1000, 1000, 3))
    y = pool.forward(np.full((1, 1000, 1000, 3), 0.1, np.float32))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, TENTH, rtol=5e-6)


def test_batch_normalization_of_many_rows():
    """The mean of a million tenths, and gradients that are sums over them."""
    layer = built(BatchNormalization(momentum=0), (2,))
    x = np.full((10**6, 2), 0.1, np.float32)
    y = layer.forward(x, training=True)
    np.testing.assert_allclose(layer.state["moving_mean"], 0.1, rtol=1e-6)
    np.testing.assert_array_equal(layer.state["moving_variance"], 0)
    np.testing.assert_array_equal(y, 0)
    x[::2] += 2
    layer.forward(x, training=True)
    np.testing.assert_allclose(layer.state["moving_variance"], 1, rtol=1e-5)
    layer.backward(np.full_like(x, 0.1))
    np.testing.assert_allclose(layer.grads["beta"], 100_000, rtol=1e-5)


@pytest.mark.parametrize("constant", [0.1, 1e4, 3e7])
def test_a_constant_channel(constant):
    """It becomes beta, beside a channel of noise."""
    x = np.random.default_rng(0).standard_normal((128, 26, 26, 2)).astype(np.float32)
    x[..., 0] = constant
    layer = built(BatchNormalization(), (26, 26, 2))
    layer.params["beta"][...] = 0.25
    y = layer.forward(x, training=True)
    np.testing.assert_array_equal(y[..., 0], 0.25)
    assert y[..., 1].std() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e30), (np.float32, 3e38), (np.float64, 1e300)])
def test_squares_that_overflow(dtype, size):
    """+-size becomes +-1, a zero channel stays 0, and the moving variance comes back to what follows."""
    sign = np.where(np.arange(640) % 2, 1, -1).astype(dtype)
    x = np.stack([sign * dtype(size), 0 * sign, sign], axis=1)
    layer = built(BatchNormalization(momentum=0.5), (3,), dtype)
    y = layer.forward(x, training=True)
    np.testing.assert_allclose(y[:, 0], sign, rtol=1e-5)
    np.testing.assert_array_equal(y[:, 1], 0)
    np.testing.assert_allclose(y[:, 2], sign, rtol=1e-3)
    assert np.isfinite(layer.state["moving_variance"]).all()
    for _ in range(1200):
        layer.forward(np.stack([sign] * 3, axis=1), training=True)
    np.testing.assert_allclose(layer.state["moving_variance"], 1, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_number_is_seen_in_its_channel(bad):
    """In the whole channel, since all of it has that mean, and in no other."""
    x = np.random.default_rng(0).standard_normal((300, 2)).astype(np.float32)
    x[5, 0] = bad
    layer = built(BatchNormalization(), (2,))
    y = layer.forward(x, training=True)
    assert np.isnan(y[:, 0]).all()
    assert np.isfinite(y[:, 1]).all()
    assert np.isnan(layer.state["moving_mean"][0])


def test_flush():
    """Below the smallest normal number, in place; NaN, infinity and normal numbers stay."""
    a = np.array([1e-39, -1e-39, 1.2e-38, 0, -5, np.nan, np.inf], np.float32)
    flush(a)
    np.testing.assert_array_equal(a, np.array([0, 0, 1.2e-38, 0, -5, np.nan, np.inf], np.float32))


def test_with_squares():
    """Finite numbers get finite squares; what is not finite stays."""
    g = np.array([1e25, -1e25, 3, np.nan, np.inf, -np.inf], np.float32)
    cut = with_squares(g)
    np.testing.assert_array_equal(cut[2:], g[2:])
    np.testing.assert_array_equal(cut[:2], [2.0**63, -(2.0**63)])
    assert with_squares(g[2:3]).base is g
    assert np.isfinite(np.square(cut[:2])).all()


OPTIMIZERS = [
    SGD(momentum=0.5),
    SGD(momentum=0.5, nesterov=True),
    RMSprop(rho=0.5, momentum=0.5, centered=True),
    Adadelta(rho=0.5),
    Adam(beta_1=0.5, beta_2=0.5),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_moments_that_die_away(optimizer):
    """After a gradient and a thousand of zeros they are 0, and were never denormal on the way."""
    p = np.ones(5, np.float32)
    optimizer.step(p, np.full(5, 1e-3, np.float32))
    for _ in range(1000):
        optimizer.step(p, np.zeros(5, np.float32))
        for slot in optimizer.slots.values():
            assert not ((slot != 0) & (np.abs(slot) < np.finfo(np.float32).tiny)).any()
    for slot in optimizer.slots.values():
        np.testing.assert_array_equal(slot, 0)


def test_moving_averages_that_die_away():
    """Those of batch normalisation, of a channel that is 0 from some batch on."""
    layer = built(BatchNormalization(momentum=0.5), (2,))
    layer.forward(np.ones((4, 2), np.float32), training=True)
    for _ in range(200):
        layer.forward(np.zeros((4, 2), np.float32), training=True)
    np.testing.assert_array_equal(layer.state["moving_mean"], 0)
    np.testing.assert_array_equal(layer.state["moving_variance"], 0)


def test_weights_that_decay_away():
    """They become 0."""
    p, optimizer = np.ones(5, np.float32), SGD(0.5, weight_decay=1.0)
    for _ in range(192):
        optimizer.step(p, np.zeros(5, np.float32))
    np.testing.assert_array_equal(p, 0)


@pytest.mark.parametrize("optimizer", [Adam(0.1), RMSprop(0.1), RMSprop(0.1, centered=True)], ids=repr)
def test_a_gradient_with_a_square_that_overflows(optimizer):
    """The step has the size of any first step, and the parameter moves on afterwards."""
    p, usual = np.zeros(1, np.float32), np.zeros(1, np.float32)
    other = type(optimizer)(**optimizer.get_config())
    optimizer.step(p, np.array([1e25], np.float32))
    other.step(usual, np.array([1e9], np.float32))
    np.testing.assert_allclose(p, usual, rtol=1e-5)
    assert np.isfinite(next(iter(optimizer.slots.values()))).all()


def test_a_constant_gradient_under_centred_rmsprop():
    """The mean of the squares less the square of the mean is 0, and rounding does not bring it below."""
    p, optimizer = np.zeros(8, np.float32), RMSprop(centered=True)
    g = np.array([1, 3, 10, 33, 100, 333, 1000, 3333], np.float32)
    for _ in range(300):
        optimizer.step(p, g)
    assert np.isfinite(p).all()


@pytest.mark.parametrize(
    ("size", "dtype"),
    [(1e25, np.float32), (3e38, np.float32), (1e-30, np.float32), (1e200, np.float64), (1e-200, np.float64)],
)
def test_clipping_by_a_norm_out_of_range(size, dtype):
    """The norm is that of the numbers, whatever their squares."""
    p = np.zeros(4, dtype)
    SGD(1.0, global_clipnorm=0.5 * size).step(p, np.full(4, size, dtype))
    np.testing.assert_allclose(p, -0.25 * size, rtol=1e-5)
    p = np.zeros(4, dtype)
    SGD(1.0, global_clipnorm=1.0).step(p, np.full(4, size, dtype))
    np.testing.assert_allclose(p, -0.5 if size > 1 else -size, rtol=1e-5)
