"""What is special to each layer."""

import functools

import numpy as np
import pytest

from tinycnn import activations, kernels, regularizers
from tinycnn.inspection import gradcheck
from tinycnn.kernels import conv
from tinycnn.kernels.selection import CONVOLUTIONS
from tinycnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    MaxPooling2D,
    SeparableConv2D,
    from_config,
)

pytestmark = pytest.mark.smoke


def ready(layer, shape, dtype=np.float32):
    layer.build(shape, np.random.default_rng(0), dtype)
    return layer


def test_conv2d_by_hand():
    """Two taps, two channels, two filters, bias and ReLU; every number worked out on paper."""
    conv = ready(Conv2D(2, (1, 2), activation="relu"), (1, 3, 2))
    # kernel[0, kw, c, f]
    conv.params["kernel"][...] = [[[[1, 0], [2, -1]], [[0, 3], [-1, 1]]]]
    conv.params["bias"][...] = [0.5, -4]
    x = np.array([[[[1, 2], [3, 4], [5, 6]]]], np.float32)
    y = conv.forward(x, training=True)
    # pixel 0, filter 0: 1*1 + 2*2 + 3*0 + 4*-1 + .5 = 1.5; filter 1: 0 - 2 + 9 + 4 - 4 = 7
    # pixel 1, filter 0: 3 + 8 + 0 - 6 + .5 = 5.5;          filter 1: 0 - 4 + 15 + 6 - 4 = 13
    np.testing.assert_array_equal(y, [[[[1.5, 7], [5.5, 13]]]])
    dx = conv.backward(np.array([[[[1, 0], [0, 2]]]], np.float32))
    np.testing.assert_array_equal(conv.grads["bias"], [1, 2])
    # dw[kw, c, f] = sum over pixels of x[pixel + kw, c] * dy[pixel, f]
    np.testing.assert_array_equal(conv.grads["kernel"][0], [[[1, 6], [2, 8]], [[3, 10], [4, 12]]])
    np.testing.assert_array_equal(dx, [[[[1, 2], [0, -3], [6, 2]]]])


@pytest.mark.parametrize(
    ("arguments", "shape", "expected"),
    [
        ({"padding": "valid"}, (7, 8, 2), (5, 7, 4)),
        ({"padding": "same"}, (7, 8, 2), (7, 8, 4)),
        ({"padding": "same", "strides": (2, 3)}, (7, 8, 2), (4, 3, 4)),
        ({"padding": 1}, (7, 8, 2), (7, 9, 4)),
        ({"padding": (2, 0)}, (7, 8, 2), (9, 7, 4)),
        ({"padding": ((0, 1), (2, 3))}, (7, 8, 2), (6, 12, 4)),
        ({"dilation_rate": (3, 2)}, (7, 8, 2), (1, 6, 4)),
    ],
)
def test_conv2d_output_shapes(arguments, shape, expected):
    """For a 3x2 kernel with 4 filters."""
    assert Conv2D(4, (3, 2), **arguments).compute_output_shape(shape) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "filters: expected a whole number >= 1, received 0"),
        ({"filters": 2.5}, "filters: expected a whole number"),
        ({"filters": True}, "filters: expected a whole number"),
        ({"kernel_size": (3, -1)}, "kernel_size: expected a whole number >= 1, received -1"),
        (
            {"kernel_size": (3, 3, 3)},
            r"kernel_size: expected one whole number or a pair.*received \(3, 3, 3\)",
        ),
        ({"strides": 0}, "strides: expected a whole number >= 1, received 0"),
        ({"padding": "full"}, "padding: expected one of 'same', 'valid', received 'full'"),
        ({"padding": -1}, "padding: expected a whole number >= 0, received -1"),
        ({"padding": (1, 2, 3)}, "padding: expected"),
        ({"padding": None}, "padding: expected"),
        ({"dilation_rate": 0}, "dilation_rate: expected a whole number >= 1, received 0"),
        ({"activation": "swish"}, "activation: expected one of .*'relu'.*received 'swish'"),
        ({"use_bias": "yes"}, "use_bias: expected True or False, received 'yes'"),
        ({"kernel_initializer": "xavier"}, "initializer: expected one of .*received 'xavier'"),
        ({"algorithm": "fft"}, "algorithm: expected one of .*'im2col'.*received 'fft'"),
    ],
)
def test_conv2d_refuses(arguments, message):
    """Each message names the argument, what was expected and what was received."""
    with pytest.raises(ValueError, match=message):
        Conv2D(**{"filters": 4, "kernel_size": 3, **arguments})


def test_kernel_larger_than_its_input():
    """Found when shapes are computed, with the layer's name."""
    conv = Conv2D(4, (3, 5), name="deep")
    with pytest.raises(ValueError, match=r"deep: width: expected a padded input of at least 5.*received 4"):
        conv.build((6, 4, 1), np.random.default_rng(0))
    with pytest.raises(ValueError, match="height: expected a padded input of at least 3"):
        MaxPooling2D(3).compute_output_shape((2, 6, 1))


def test_an_explicit_algorithm_is_obeyed(monkeypatch):
    """The layer asks for it by name, in all three passes, whatever the context says."""
    called = []
    for algorithm in ("naive", "im2col"):
        module = conv.implementation(kernels.choose("conv2d", algorithm))
        for name in CONVOLUTIONS:
            record = functools.partial(recorded, called, f"{algorithm}.{name}", getattr(module, name))
            monkeypatch.setattr(module, name, record)
    layer = ready(Conv2D(2, 3, algorithm="naive"), (4, 5, 1))
    with kernels.use_algorithm("im2col"):
        layer.backward(layer.forward(np.ones((1, 4, 5, 1), np.float32), training=True))
    assert called == ["naive.conv2d", "naive.conv2d_grad_filter", "naive.conv2d_grad_input"]


def recorded(called, name, function, *arguments):
    called.append(name)
    return function(*arguments)


def test_depthwise_conv2d_by_hand():
    """Two taps, two channels, two filters for each, bias and ReLU."""
    layer = ready(DepthwiseConv2D((1, 2), depth_multiplier=2, activation="relu"), (1, 2, 2))
    layer.kernel = np.arange(1, 9).reshape(1, 2, 2, 2)  # [0][kw][c][m]
    layer.bias = [0.5, -100, 1, 0]
    y = layer.forward(np.array([[[[1, 2], [3, 4]]]], np.float32), training=True)
    # channel 0 under (1, 5) and (2, 6), channel 1 under (3, 7) and (4, 8)
    np.testing.assert_array_equal(y.ravel(), [1 + 15 + 0.5, 0, 6 + 28 + 1, 8 + 32])
    dx = layer.backward(np.array([[[[1, 10, 100, 1000]]]], np.float32))
    np.testing.assert_array_equal(layer.grads["bias"], [1, 0, 100, 1000])
    np.testing.assert_array_equal(layer.grads["kernel"].ravel(), [1, 0, 200, 2000, 3, 0, 400, 4000])
    np.testing.assert_array_equal(dx.ravel(), [1, 300 + 4000, 5, 700 + 8000])


def test_separable_conv2d_by_hand():
    """The channels under their filters are 16, 20, 34 and 40; then each filter adds them up."""
    layer = ready(SeparableConv2D(3, (1, 2), depth_multiplier=2), (1, 2, 2))
    layer.depthwise_kernel = np.arange(1, 9).reshape(1, 2, 2, 2)
    layer.pointwise_kernel = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 0, -1]]).reshape(1, 1, 4, 3)
    layer.bias = [0, 0.5, 1]
    y = layer.forward(np.array([[[[1, 2], [3, 4]]]], np.float32), training=True)
    np.testing.assert_array_equal(y.ravel(), [16 + 20 + 34 + 40, 20.5, 1 - 40])
    dx = layer.backward(np.array([[[[1, 10, 100]]]], np.float32))
    # by channel in between: 1, 11, 1, -99
    np.testing.assert_array_equal(layer.grads["pointwise_kernel"][0, 0, :, 0], [16, 20, 34, 40])
    np.testing.assert_array_equal(layer.grads["pointwise_kernel"][0, 0, 3], [40, 400, 4000])
    expected = [1, 11, 2, -198, 3, 33, 4, -396]
    np.testing.assert_array_equal(layer.grads["depthwise_kernel"].ravel(), expected)
    np.testing.assert_array_equal(dx.ravel(), [1 + 22, 3 - 4 * 99, 5 + 66, 7 - 8 * 99])


def test_the_fans_of_depthwise_kernels_are_keras():
    """Fan-in KH * KW * C and fan-out KH * KW * M, though one output reads KH * KW inputs only."""
    layer = ready(DepthwiseConv2D((3, 5), depth_multiplier=2), (9, 9, 600))
    limit = np.sqrt(6 / (15 * 600 + 15 * 2))
    assert 0.99 * limit < np.abs(layer.kernel).max() <= limit
    layer = ready(
        SeparableConv2D(200, 3, depth_multiplier=2, pointwise_initializer="he_uniform"), (9, 9, 300)
    )
    limit = np.sqrt(6 / (2 * 300))
    assert 0.99 * limit < np.abs(layer.pointwise_kernel).max() <= limit
    limit = np.sqrt(6 / (9 * 300 + 9 * 2))
    assert 0.99 * limit < np.abs(layer.depthwise_kernel).max() <= limit


def test_each_kernel_has_its_own_initializer_and_regularizer():
    layer = SeparableConv2D(
        *(5, 2, 1, "valid", 1, 3, None, True, "ones", "zeros", "ones"),
        depthwise_regularizer="l1",
        pointwise_regularizer=regularizers.L2(0.5),
    )
    ready(layer, (4, 5, 2))
    assert [float(array.mean()) for array in layer.params.values()] == [1, 0, 1]
    found = [
        (p.regularizer, p.weight is layer.params[name])
        for p, name in zip(
            regularizers.penalties([layer]), ("depthwise_kernel", "pointwise_kernel"), strict=True
        )
    ]
    assert found == [(regularizers.L1(0.01), True), (regularizers.L2(0.5), True)]
    layer = ready(DepthwiseConv2D(2, depthwise_initializer="ones", depthwise_regularizer="l2"), (4, 5, 2))
    assert layer.kernel.mean() == 1
    (penalty,) = regularizers.penalties([layer])
    assert penalty.weight is layer.params["kernel"]
    layer.depthwise_regularizer = None
    assert regularizers.penalties([layer]) == []


@pytest.mark.parametrize("make", [DepthwiseConv2D, functools.partial(SeparableConv2D, 4)])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, "kernel_size: expected a whole number >= 1, received 0"),
        ({"strides": (1, 0)}, "strides: expected a whole number >= 1, received 0"),
        ({"padding": "full"}, "padding: expected one of 'same', 'valid', received 'full'"),
        ({"depth_multiplier": 0}, "depth_multiplier: expected a whole number >= 1, received 0"),
        ({"depth_multiplier": 1.5}, "depth_multiplier: expected a whole number"),
        ({"dilation_rate": 0}, "dilation_rate: expected a whole number >= 1, received 0"),
        ({"activation": "swish"}, "activation: expected one of"),
        ({"use_bias": 1}, "use_bias: expected True or False, received 1"),
        ({"depthwise_initializer": "xavier"}, "initializer: expected one of .*received 'xavier'"),
        ({"depthwise_regularizer": 0.1}, "depthwise_regularizer: expected a name such as"),
        ({"algorithm": "winograd"}, r"algorithm: expected one of .*'naive', received 'winograd'"),
    ],
)
def test_depthwise_layers_refuse(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**{"kernel_size": 3, **arguments})


@pytest.mark.parametrize(
    "layer", [DepthwiseConv2D((3, 5), name="deep"), SeparableConv2D(4, (3, 5), name="deep")]
)
def test_a_depthwise_kernel_larger_than_its_input(layer):
    with pytest.raises(ValueError, match=r"deep: width: expected a padded input of at least 5.*received 4"):
        layer.build((6, 4, 1), np.random.default_rng(0))


def test_a_separable_convolution_runs_by_one_algorithm(monkeypatch):
    """Its own request, for both halves, before that of the context."""
    seen = []
    for name in ("conv2d", "conv2d_grad_filter", "conv2d_grad_input"):
        module = conv.implementation(kernels.choose("conv2d", "naive"))
        monkeypatch.setattr(module, name, functools.partial(recorded, seen, name, getattr(module, name)))
        name, module = f"depthwise_{name}", kernels.depthwise.implementation("depthwise_conv2d", "naive")
        monkeypatch.setattr(module, name, functools.partial(recorded, seen, name, getattr(module, name)))
    layer = ready(SeparableConv2D(2, 3, algorithm="naive"), (4, 5, 1))
    with kernels.use_algorithm("im2col"):
        layer.backward(layer.forward(np.ones((1, 4, 5, 1), np.float32), training=True))
    assert seen == [
        *("depthwise_conv2d", "conv2d", "conv2d_grad_filter", "conv2d_grad_input"),
        *("depthwise_conv2d_grad_filter", "depthwise_conv2d_grad_input"),
    ]


@pytest.mark.parametrize("pool", [MaxPooling2D, AveragePooling2D])
def test_a_pool_has_no_winograd(pool):
    with pytest.raises(ValueError, match=r"algorithm: expected one of .*'naive', received 'winograd'"):
        pool(algorithm="winograd")


@pytest.mark.parametrize("algorithm", ["naive", "im2col"])  # and "direct": tests/kernels/test_algorithms.py
def test_max_pooling_ties_go_to_the_first(algorithm):
    """In row-major order; the gradient follows."""
    pool = ready(MaxPooling2D(2, algorithm=algorithm), (2, 4, 1))
    x = np.array([[1, 2, 5, 5], [2, 2, 5, 5]], np.float32).reshape(1, 2, 4, 1)
    np.testing.assert_array_equal(pool.forward(x, training=True).ravel(), [2, 5])
    dx = pool.backward(np.array([3, 4], np.float32).reshape(1, 1, 2, 1))
    np.testing.assert_array_equal(dx.reshape(2, 4), [[0, 3, 4, 0], [0, 0, 0, 0]])


def test_same_padding_does_not_count_in_a_mean():
    """As in Keras: a window at the border is the mean of its pixels inside."""
    pool = ready(AveragePooling2D(2, strides=1, padding="same"), (2, 3, 1))
    x = np.arange(6, dtype=np.float32).reshape(1, 2, 3, 1)
    expected = [[(0 + 1 + 3 + 4) / 4, (1 + 2 + 4 + 5) / 4, (2 + 5) / 2], [(3 + 4) / 2, (4 + 5) / 2, 5]]
    np.testing.assert_array_equal(pool.forward(x)[0, :, :, 0], expected)


class TestDropout:
    """Masks, scale, and what decides them."""

    def test_identity_at_inference(self):
        x = np.random.default_rng(0).random((5, 7), np.float32)
        assert ready(Dropout(0.9), (7,)).forward(x) is x

    def test_inverted_scale_and_rate(self):
        x = np.ones((200, 300), np.float32)
        y = ready(Dropout(0.25), (300,)).forward(x, training=True)
        assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
        # the share of 60,000 draws is within five standard deviations
        assert abs(np.mean(y == 0) - 0.25) < 5 * np.sqrt(0.25 * 0.75 / y.size)

    def test_backward_uses_the_mask_of_its_forward(self):
        dropout = ready(Dropout(0.5), (50,))
        x = np.ones((4, 50), np.float32)
        first = dropout.forward(x, training=True)
        second = dropout.forward(x, training=True)
        assert (first != second).any()
        np.testing.assert_array_equal(dropout.backward(x), second)

    def test_seed_and_index_decide_the_mask(self):
        x = np.ones((4, 50), np.float32)
        one, other = ready(Dropout(0.5, seed=3), (50,)), ready(Dropout(0.5, seed=3), (50,))
        one.forward(x, training=True)
        one.mask_index = other.mask_index = 7
        np.testing.assert_array_equal(one.forward(x, training=True), other.forward(x, training=True))
        other.mask_index = 7
        assert (ready(Dropout(0.5, seed=4), (50,)).forward(x, training=True) != x).any()

    def test_dtypes_share_a_mask(self):
        x = np.ones((6, 50))
        wide = ready(Dropout(0.3, seed=1), (50,), np.float64).forward(x, training=True)
        narrow = ready(Dropout(0.3, seed=1), (50,)).forward(x.astype(np.float32), training=True)
        np.testing.assert_array_equal(wide == 0, narrow == 0)

    @pytest.mark.parametrize("rate", [1, -0.1, 1.5, float("nan"), "half", None, True])
    def test_refuses(self, rate):
        with pytest.raises(ValueError, match=r"rate: expected a number in \[0, 1\), received"):
            Dropout(rate)


class TestBatchNormalization:
    """Statistics of the batch, and their moving averages."""

    def test_training_output_has_mean_0_and_variance_1(self):
        layer = ready(BatchNormalization(epsilon=0), (5, 6, 3), np.float64)
        x = np.random.default_rng(0).normal(4, 3, (7, 5, 6, 3))
        y = layer.forward(x, training=True)
        np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-12)
        np.testing.assert_allclose(y.var(axis=(0, 1, 2)), 1, rtol=1e-12)

    def test_moving_averages_and_inference(self):
        layer = ready(BatchNormalization(momentum=0.75), (2,), np.float64)
        x = np.array([[1.0, 10.0], [3.0, 30.0]])
        layer.forward(x, training=True)
        np.testing.assert_allclose(layer.state["moving_mean"], [0.25 * 2, 0.25 * 20])
        np.testing.assert_allclose(layer.state["moving_variance"], [0.75 + 0.25 * 1, 0.75 + 0.25 * 100])
        layer.params["gamma"][...] = [2, 3]
        layer.params["beta"][...] = [5, 7]
        expected = [(1 - 0.5) / np.sqrt(1 + 1e-3) * 2 + 5, (10 - 5) / np.sqrt(25.75 + 1e-3) * 3 + 7]
        np.testing.assert_allclose(layer.forward(x[:1]), [expected])

    def test_inference_changes_nothing(self):
        layer = ready(BatchNormalization(), (3,))
        before = {name: a.copy() for name, a in layer.state.items()}
        layer.forward(np.random.default_rng(0).random((4, 3), np.float32))
        for name, array in layer.state.items():
            np.testing.assert_array_equal(array, before[name])

    def test_frozen_it_works_as_at_inference(self):
        layer = ready(BatchNormalization(), (3,), np.float64)
        layer.state["moving_mean"][...] = [1, 2, 3]
        layer.trainable = False
        x = np.random.default_rng(0).random((4, 3))
        np.testing.assert_array_equal(layer.forward(x, training=True), layer.forward(x))
        np.testing.assert_array_equal(layer.state["moving_mean"], [1, 2, 3])
        assert gradcheck.check_layer(layer, (3,)).passed

    def test_no_images_are_refused_in_training(self):
        """There is nothing to take a mean of; the averages stay finite."""
        layer = ready(BatchNormalization(), (4,))
        layer.forward(np.ones((3, 4), np.float32), training=True)
        before = {name: array.copy() for name, array in layer.state.items()}
        with pytest.raises(ValueError, match=r"expected at least one image, received shape \(0, 4\)"):
            layer.forward(np.ones((0, 4), np.float32), training=True)
        for name, array in layer.state.items():
            np.testing.assert_array_equal(array, before[name])
        assert layer.forward(np.ones((0, 4), np.float32)).shape == (0, 4)


def test_dense_wants_vectors():
    """With the cure in the message."""
    with pytest.raises(
        ValueError, match=r"expected input shape \(C,\), received \(4, 5, 2\); put a Flatten before it"
    ):
        Dense(3).build((4, 5, 2), np.random.default_rng(0))


def test_softmax_and_sigmoid_do_not_overflow():
    """Also in float32, at logits of 1e4."""
    x = np.array([[1e4, -1e4, 0]], np.float32)
    y = ready(Activation("softmax"), (3,)).forward(x)
    np.testing.assert_allclose(y, [[1, 0, 0]], atol=1e-37)
    assert y.min() > 0
    np.testing.assert_array_equal(ready(Activation("sigmoid"), (3,)).forward(x), [[1, 0, 0.5]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_in_their_tails(dtype):
    """As accurate for -80 as for 1, against their series; and so are the logarithms of the softmax."""
    z = np.array([-80, -30, -10, -1, 0, 1, 30, 100], dtype)
    exact = 1 / (1 + np.exp(-z.astype(np.longdouble)))
    np.testing.assert_allclose(activations.sigmoid(z), exact.astype(np.float64), rtol=4 * np.finfo(dtype).eps)
    softplus = np.log1p(np.exp(z.astype(np.longdouble))).astype(np.float64)
    np.testing.assert_allclose(activations.softplus(z), softplus, rtol=4 * np.finfo(dtype).eps)
    assert activations.sigmoid(np.array([-100], np.float64))[0] == pytest.approx(3.720075976020836e-44)
    np.testing.assert_allclose(activations.tanh(z[1:4] / 1e6), z[1:4] / 1e6, rtol=1e-6)
    log_p = activations.log_softmax(np.array([[0, 80], [1e4, -1e4]], dtype))
    np.testing.assert_allclose(log_p, [[-80, -np.exp(-80)], [0, -2e4]], rtol=1e-6)
    bad = np.array([np.nan, np.inf, -np.inf], dtype)
    np.testing.assert_array_equal(activations.sigmoid(bad), [np.nan, 1, 0])


def test_relu_is_off_at_zero_and_passes_nan():
    """A NaN in the network must be seen, not become a 0."""
    layer = ready(Activation("relu"), (4,))
    y = layer.forward(np.array([[-1, 0, 2, np.nan]], np.float32), training=True)
    np.testing.assert_array_equal(y, [[0, 0, 2, np.nan]])
    np.testing.assert_array_equal(layer.backward(np.ones((1, 4), np.float32))[0, :3], [0, 0, 1])


def test_unknown_layer_in_a_config():
    """Only the layers of the library can be named."""
    with pytest.raises(ValueError, match=r"layer: expected one of 'Activation'.*received 'Lambda'"):
        from_config("Lambda", {})


def test_repr_shows_what_is_not_default():
    """Short enough to read in a list of layers."""
    assert repr(Conv2D(8, 3, activation="relu")) == "Conv2D(filters=8, kernel_size=(3, 3), activation='relu')"
    assert repr(MaxPooling2D()) == "MaxPooling2D()"
    assert repr(Dropout(0.5, name="d")) == "Dropout(rate=0.5, name='d')"
