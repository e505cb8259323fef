"""Every layer against Keras 3, in training and at inference."""

import re

import numpy as np
import pytest

from tests.peers.peer_helpers import (
    ACTIVATIONS,
    assert_all_close,
    assert_close,
    compare_with_keras,
    random_array,
    random_sizes,
)
from tinycnn import Sequential
from tinycnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GaussianNoise,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    InputLayer,
    MaxPooling2D,
    ReLU,
    Reshape,
    SeparableConv2D,
    Softmax,
    UpSampling2D,
    ZeroPadding2D,
)

ALGORITHMS = ["naive", "im2col", "direct"]  # those that take every shape


def activation_tolerance(activation, dtype):
    """TensorFlow holds the slope 0.2 of a leaky ReLU in float32, 1.5e-8 off; PyTorch is held to 1e-10."""
    return 1e-7 if (activation, dtype) == ("leaky_relu", "float64") else None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("strides", "dilation"), [((1, 1), (1, 1)), ((2, 3), (1, 1)), ((3, 1), (1, 1)), ((1, 1), (3, 2))]
)
def test_conv2d(tf, keras, strides, dilation, padding, algorithm, dtype):
    rng = np.random.default_rng(1)
    N, H, W, C, F, KH, KW = 2, 13, 11, 3, 6, 4, 5
    ours = Conv2D(F, (KH, KW), strides, padding, dilation, algorithm=algorithm)
    theirs = keras.layers.Conv2D(F, (KH, KW), strides, padding, dilation_rate=dilation, dtype=dtype)
    compare_with_keras(tf, ours, theirs, random_array(rng, (N, H, W, C), dtype), rng)


@pytest.mark.parametrize("algorithm", ["im2col", "direct"])
@pytest.mark.parametrize("seed", range(8))
def test_conv2d_of_random_sizes(tf, keras, seed, algorithm, dtype):
    rng = np.random.default_rng(seed)
    N, H, W, C, F, KH, KW = random_sizes(rng)
    strides = tuple(rng.integers(1, 4, 2).tolist())
    padding = ["valid", "same"][seed % 2]
    use_bias = seed % 4 < 2
    ours = Conv2D(F, (KH, KW), strides, padding, use_bias=use_bias, algorithm=algorithm)
    theirs = keras.layers.Conv2D(F, (KH, KW), strides, padding, use_bias=use_bias, dtype=dtype)
    compare_with_keras(tf, ours, theirs, random_array(rng, (N, H, W, C), dtype), rng)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "dilation"), [(1, (1, 1)), (3, (1, 1)), (1, (3, 2))])
@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise_conv2d(tf, keras, multiplier, size, dilation, padding, algorithm, dtype):
    """With strides that are equal, as TensorFlow wants them; others are compared with PyTorch."""
    rng = np.random.default_rng(1)
    arguments = {
        "strides": size,
        "padding": padding,
        "depth_multiplier": multiplier,
        "dilation_rate": dilation,
    }
    ours = DepthwiseConv2D((4, 5), **arguments, algorithm=algorithm)
    theirs = keras.layers.DepthwiseConv2D((4, 5), **arguments, dtype=dtype)
    compare_with_keras(tf, ours, theirs, random_array(rng, (2, 13, 11, 6), dtype), rng)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "dilation"), [(1, (1, 1)), (3, (1, 1)), (1, (2, 2))])
@pytest.mark.parametrize("multiplier", [1, 3])
def test_separable_conv2d(tf, keras, multiplier, size, dilation, padding, algorithm, dtype):
    rng = np.random.default_rng(1)
    arguments = {
        "strides": size,
        "padding": padding,
        "depth_multiplier": multiplier,
        "dilation_rate": dilation,
    }
    ours = SeparableConv2D(7, (4, 5), **arguments, algorithm=algorithm)
    theirs = keras.layers.SeparableConv2D(7, (4, 5), **arguments, dtype=dtype)
    compare_with_keras(tf, ours, theirs, random_array(rng, (2, 13, 11, 6), dtype), rng)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("use_bias", [True, False])
def test_activation_and_bias_of_depthwise_layers(tf, keras, use_bias, activation, dtype):
    rng = np.random.default_rng(3)
    how = {"activation": activation, "use_bias": use_bias}
    x, tolerance = random_array(rng, (4, 9, 8, 5), dtype), activation_tolerance(activation, dtype)
    theirs = keras.layers.DepthwiseConv2D((2, 3), **how, dtype=dtype)
    compare_with_keras(tf, DepthwiseConv2D((2, 3), **how), theirs, x, rng, tolerance)
    theirs = keras.layers.SeparableConv2D(6, (2, 3), **how, dtype=dtype)
    compare_with_keras(tf, SeparableConv2D(6, (2, 3), **how), theirs, x, rng, tolerance)


@pytest.mark.parametrize("initializer", ["glorot_uniform", "glorot_normal", "he_uniform", "he_normal"])
def test_depthwise_kernels_begin_with_the_same_deviation(keras, initializer):
    """Of 60,000 values; that of a fan-in without the channels would be eight times as large."""
    ours = DepthwiseConv2D((5, 6), depth_multiplier=30, depthwise_initializer=initializer)
    theirs = keras.layers.DepthwiseConv2D((5, 6), depth_multiplier=30, depthwise_initializer=initializer)
    ours.build((9, 8, 70), np.random.default_rng(0))
    theirs.build((None, 9, 8, 70))
    assert ours.kernel.std() == pytest.approx(np.std(theirs.get_weights()[0]), rel=0.02)
    ours = SeparableConv2D(300, (5, 6), 1, "valid", 1, 2, None, True, initializer, initializer)
    theirs = keras.layers.SeparableConv2D(
        *(300, (5, 6)),
        depth_multiplier=2,
        depthwise_initializer=initializer,
        pointwise_initializer=initializer,
    )
    ours.build((9, 8, 400), np.random.default_rng(0))
    theirs.build((None, 9, 8, 400))
    for our, their in zip(ours.get_weights()[:2], theirs.get_weights()[:2], strict=True):
        assert our.shape == their.shape
        assert our.std() == pytest.approx(their.std(), rel=0.02)


@pytest.mark.parametrize("cls", ["DepthwiseConv2D", "SeparableConv2D"])
def test_depthwise_weights_and_attributes_have_keras_names(keras, cls):
    first = {"SeparableConv2D": (7,)}.get(cls, ())
    ours = {"DepthwiseConv2D": DepthwiseConv2D, "SeparableConv2D": SeparableConv2D}[cls](
        *first, (4, 5), depth_multiplier=3
    )
    theirs = getattr(keras.layers, cls)(*first, (4, 5), depth_multiplier=3)
    ours.build((9, 8, 2), np.random.default_rng(0))
    theirs.build((None, 9, 8, 2))
    assert list(ours.params) == [weight.path.split("/")[-1] for weight in theirs.weights]
    for name in ("kernel", "depthwise_kernel", "pointwise_kernel", "bias"):
        if name in ours.params:
            assert getattr(ours, name).shape == tuple(getattr(theirs, name).shape)
    for name in ("kernel_size", "strides", "padding", "depth_multiplier", "dilation_rate", "use_bias"):
        assert getattr(ours, name) == getattr(theirs, name)


@pytest.mark.parametrize("algorithm", ["im2col", "direct"])
def test_conv2d_explicit_padding(tf, keras, algorithm, dtype):
    """Keras has a layer of its own for it."""
    rng = np.random.default_rng(2)
    padding = ((1, 3), (0, 2))
    ours = Conv2D(6, (4, 2), (3, 2), padding, algorithm=algorithm)
    theirs = keras.Sequential(
        [
            keras.layers.ZeroPadding2D(padding, dtype=dtype),
            keras.layers.Conv2D(6, (4, 2), (3, 2), dtype=dtype),
        ]
    )
    compare_with_keras(tf, ours, theirs, random_array(rng, (5, 11, 9, 3), dtype), rng)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_conv2d_activation(tf, keras, activation, dtype):
    rng = np.random.default_rng(3)
    ours = Conv2D(6, (2, 3), activation=activation)
    theirs = keras.layers.Conv2D(6, (2, 3), activation=activation, dtype=dtype)
    tolerance = activation_tolerance(activation, dtype)
    compare_with_keras(tf, ours, theirs, random_array(rng, (4, 9, 8, 5), dtype), rng, tolerance)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("window", "strides"), [((2, 3), None), ((4, 2), (1, 3)), ((2, 2), (3, 4))])
@pytest.mark.parametrize("cls", [MaxPooling2D, AveragePooling2D])
def test_pooling(tf, keras, cls, window, strides, padding, algorithm, dtype):
    rng = np.random.default_rng(4)
    ours = cls(window, strides, padding, algorithm=algorithm)
    theirs = getattr(keras.layers, cls.__name__)(window, strides, padding, dtype=dtype)
    compare_with_keras(tf, ours, theirs, random_array(rng, (3, 11, 10, 5), dtype), rng)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_max_pooling_of_equal_pixels(tf, keras, padding, algorithm, dtype):
    """After a ReLU most windows hold several zeros: the first of equal pixels wins, as in Keras."""
    rng = np.random.default_rng(5)
    ours = MaxPooling2D((3, 4), (2, 1), padding, algorithm=algorithm)
    theirs = keras.layers.MaxPooling2D((3, 4), (2, 1), padding, dtype=dtype)
    compare_with_keras(tf, ours, theirs, rng.integers(-1, 1, (3, 11, 10, 5)).astype(dtype), rng)


@pytest.mark.parametrize("cls", [GlobalAveragePooling2D, GlobalMaxPooling2D, Flatten])
def test_images_to_vectors(tf, keras, cls, dtype):
    rng = np.random.default_rng(6)
    theirs = getattr(keras.layers, cls.__name__)(dtype=dtype)
    compare_with_keras(tf, cls(), theirs, random_array(rng, (4, 7, 5, 3), dtype), rng)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("use_bias", [True, False])
def test_dense(tf, keras, activation, use_bias, dtype):
    rng = np.random.default_rng(7)
    ours = Dense(5, activation=activation, use_bias=use_bias)
    theirs = keras.layers.Dense(5, activation=activation, use_bias=use_bias, dtype=dtype)
    tolerance = activation_tolerance(activation, dtype)
    compare_with_keras(tf, ours, theirs, random_array(rng, (7, 11), dtype), rng, tolerance)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(5, 7), (2, 5, 4, 3)])
def test_activation(tf, keras, activation, shape, dtype):
    rng = np.random.default_rng(8)
    theirs = keras.layers.Activation(activation, dtype=dtype)
    x = 3 * random_array(rng, shape, dtype)
    compare_with_keras(tf, Activation(activation), theirs, x, rng, activation_tolerance(activation, dtype))


@pytest.mark.parametrize("shape", [(9, 5), (4, 7, 5, 3)])
@pytest.mark.parametrize(("center", "scale"), [(True, True), (True, False), (False, True), (False, False)])
def test_batch_normalization(tf, keras, shape, center, scale, dtype):
    rng = np.random.default_rng(9)
    arguments = {"momentum": 0.75, "epsilon": 0.015625, "center": center, "scale": scale}
    theirs = keras.layers.BatchNormalization(**arguments, dtype=dtype)
    x = 3 * random_array(rng, shape, dtype) + 2
    compare_with_keras(tf, BatchNormalization(**arguments), theirs, x, rng)


def test_moving_averages(keras, dtype):
    """After several steps from the initial values, and what they give at inference."""
    rng = np.random.default_rng(10)
    ours, theirs = (
        BatchNormalization(momentum=0.75),
        keras.layers.BatchNormalization(momentum=0.75, dtype=dtype),
    )
    ours.build((7, 5, 3), rng, dtype)
    for _ in range(10):
        x = 3 * random_array(rng, (4, 7, 5, 3), dtype) + 2
        assert_close(ours.forward(x, training=True), theirs(x, training=True))
    assert_all_close(ours.state.values(), [theirs.moving_mean, theirs.moving_variance])
    assert_close(ours.forward(x), theirs(x, training=False))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"max_value": 6},
        {"max_value": 1.25},
        {"max_value": 0},
        {"negative_slope": 0.3},
        {"threshold": 0.7},
        {"max_value": 0.5, "threshold": 0.7},
        {"max_value": 6.0, "negative_slope": 0.25, "threshold": 0.5},
        {"max_value": 2, "negative_slope": 0.125},
    ],
    ids=str,
)
def test_relu(tf, keras, arguments, dtype):
    rng = np.random.default_rng(13)
    x = 4 * random_array(rng, (4, 7, 5, 3), dtype)
    tolerance = 1e-7 if "negative_slope" in arguments and dtype == "float64" else None  # see above
    compare_with_keras(tf, ReLU(**arguments), keras.layers.ReLU(**arguments, dtype=dtype), x, rng, tolerance)


@pytest.mark.parametrize("arguments", [{}, {"negative_slope": 0.5}], ids=str)
def test_relu_of_zeros(tf, keras, arguments, dtype):
    """At the threshold, of which images are full, the slope is the one below."""
    rng = np.random.default_rng(14)
    x = rng.integers(-2, 3, (4, 7, 5, 3)).astype(dtype)
    compare_with_keras(tf, ReLU(**arguments), keras.layers.ReLU(**arguments, dtype=dtype), x, rng)


@pytest.mark.parametrize(
    ("axis", "shape"), [(-1, (5, 7)), *((a, (2, 5, 4, 3)) for a in (1, 2, 3, -1, -2, -3))]
)
def test_softmax(tf, keras, axis, shape, dtype):
    rng = np.random.default_rng(15)
    theirs = keras.layers.Softmax(axis, dtype=dtype)
    compare_with_keras(tf, Softmax(axis), theirs, 3 * random_array(rng, shape, dtype), rng)


@pytest.mark.parametrize("padding", [3, (2, 1), ((0, 4), (2, 1))])
def test_zero_padding(tf, keras, padding, dtype):
    rng = np.random.default_rng(16)
    theirs = keras.layers.ZeroPadding2D(padding, dtype=dtype)
    compare_with_keras(tf, ZeroPadding2D(padding), theirs, random_array(rng, (2, 7, 5, 3), dtype), rng)


@pytest.mark.parametrize("size", [2, (3, 2), (1, 5), (4, 1)])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("shape", [(2, 7, 5, 3), (3, 1, 2, 4)])
def test_upsampling(tf, keras, size, interpolation, shape, dtype):
    """TensorFlow holds the weights of an interpolation in float32."""
    rng = np.random.default_rng(17)
    theirs = keras.layers.UpSampling2D(size, interpolation=interpolation, dtype=dtype)
    tolerance = 1e-6 if interpolation == "bilinear" and dtype == "float64" else None
    ours = UpSampling2D(size, interpolation)
    compare_with_keras(tf, ours, theirs, random_array(rng, shape, dtype), rng, tolerance)


@pytest.mark.parametrize("target", [(15, 7), (-1, 3), (5, -1, 7), (105,)])
def test_reshape(tf, keras, target, dtype):
    rng = np.random.default_rng(18)
    theirs = keras.layers.Reshape(target, dtype=dtype)
    compare_with_keras(tf, Reshape(target), theirs, random_array(rng, (2, 7, 5, 3), dtype), rng)


def test_gaussian_noise(tf, keras, dtype):
    """The identity at inference, and as strong in training; the gradient passes."""
    rng = np.random.default_rng(19)
    ours, theirs = GaussianNoise(0.375, seed=1), keras.layers.GaussianNoise(0.375, seed=1, dtype=dtype)
    x = random_array(rng, (50, 20, 10, 3), dtype)
    ours.build(x.shape[1:], rng, dtype)
    assert_close(ours.forward(x), theirs(x, training=False))
    noises = [ours.forward(x, training=True) - x, np.asarray(theirs(x, training=True)) - x]
    for noise in noises:  # five standard deviations of each figure
        assert noise.mean() == pytest.approx(0, abs=5 * 0.375 / np.sqrt(x.size))
        assert noise.std() == pytest.approx(0.375, rel=5 / np.sqrt(2 * x.size))
    quantiles = np.quantile(noises, [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99], axis=(1, 2, 3, 4))
    np.testing.assert_allclose(*quantiles.T, atol=0.03)
    np.testing.assert_array_equal(ours.backward(x), x)


@pytest.mark.parametrize("arguments", [{"shape": (7, 5, 3)}, {"batch_shape": (None, 7, 5, 3)}], ids=str)
def test_input_layer(keras, arguments):
    """Both build the model at once, and keep no layer of it."""
    ours = Sequential([InputLayer(**arguments), Flatten(), Dense(4)])
    theirs = keras.Sequential(
        [keras.layers.InputLayer(**arguments), keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    assert len(ours.layers) == len(theirs.layers) == 2
    assert (None, *ours.output_shape) == theirs.output_shape
    assert (None, *ours.input_shape) == theirs.input_shape
    assert ours.count_params() == theirs.count_params()


def test_names_of_layers(keras):
    """Those of Keras, which count from 1 here."""
    for cls in (ReLU, Softmax, ZeroPadding2D, UpSampling2D, GlobalMaxPooling2D):
        ours = Sequential([cls()]).layers[0].name
        theirs = keras.layers.__dict__[cls.__name__]().name
        assert re.sub(r"_\d+$", "", ours) == re.sub(r"_\d+$", "", theirs)


def test_dropout(tf, keras, dtype):
    """With the same mask in both: the identity at inference, x times the mask in training."""
    rng = np.random.default_rng(11)
    x = random_array(rng, (5, 9, 8, 3), dtype)
    ours = Dropout(0.375, seed=1)
    ours.build(x.shape[1:], rng, x.dtype)
    mask = ours.forward(np.ones_like(x), training=True)
    ours.mask_index = 0
    scale = mask.max()

    class SameMask(keras.layers.Dropout):
        def call(self, inputs, training=False):
            return tf.where(mask > 0, inputs * scale, 0) if training else super().call(inputs)

    compare_with_keras(tf, ours, SameMask(0.375, dtype=dtype), x, rng)


def test_dropout_drops_as_often(keras, dtype):
    """The same share and the same scale: mean and variance of ones are those of Keras' own dropout."""
    ones = np.ones((100, 1000), dtype)
    ours = Dropout(0.375, seed=1)
    ours.build(ones.shape[1:], np.random.default_rng(12), dtype)
    y = ours.forward(ones, training=True)
    their_y = np.asarray(keras.layers.Dropout(0.375, seed=1, dtype=dtype)(ones, training=True))
    assert_close(np.unique(y), np.unique(their_y))
    share = 4 * np.sqrt(2 * 0.375 * 0.625 / ones.size)  # four deviations of the difference of two shares
    assert np.mean(y == 0) == pytest.approx(np.mean(their_y == 0), abs=share)
    assert y.mean() == pytest.approx(1, abs=0.01)
    assert y.var() == pytest.approx(0.375 / 0.625, abs=0.01)
