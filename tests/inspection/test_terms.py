"""The terms of a number add up to what the layer computed, forward and backward, for every kind of layer."""

import numpy as np
import pytest

from tinycnn import Sequential
from tinycnn.inspection.fields import kernel_of
from tinycnn.inspection.terms import backward_terms, forward_terms
from tinycnn.inspection.trace import trace
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
    MaxPooling2D,
    ReLU,
    Reshape,
    SeparableConv2D,
    Softmax,
    UpSampling2D,
    ZeroPadding2D,
)

pytestmark = pytest.mark.smoke
rng = np.random.default_rng(0)
IMAGE = rng.normal(size=(7, 6, 2))
LAYERS = [
    Conv2D(3, (3, 2)),
    Conv2D(3, (2, 3), strides=(2, 1), padding="same", use_bias=False),
    Conv2D(4, 2, padding=((1, 2), (0, 3)), dilation_rate=(2, 3)),
    Conv2D(2, (4, 3), strides=(3, 4), padding="same"),  # strides that leave some inputs unread
    DepthwiseConv2D((3, 2)),
    DepthwiseConv2D((2, 3), (2, 1), "same", 3, use_bias=False),
    SeparableConv2D(5, (2, 3), (2, 1), "same"),
    SeparableConv2D(3, 2, 1, ((1, 2), (0, 3)), (2, 3), 4, use_bias=False),
    MaxPooling2D((3, 2), strides=(2, 1)),
    MaxPooling2D(2, padding="same"),
    AveragePooling2D((2, 3), strides=(1, 2), padding="same"),
    GlobalAveragePooling2D(),
    BatchNormalization(),
    BatchNormalization(scale=False, center=False),
    Dropout(0.4),
    Flatten(),
    GlobalMaxPooling2D(),
    GaussianNoise(0.3),
    ZeroPadding2D(((1, 0), (2, 3))),
    UpSampling2D((3, 2)),
    UpSampling2D((2, 3), interpolation="bilinear"),
    Reshape((3, 14, 2)),
    Reshape((-1, 12)),
    ReLU(),
    ReLU(negative_slope=0.3),
    ReLU(max_value=0.8, negative_slope=0.3, threshold=0.1),
    Softmax(),
    Softmax(axis=1),
    Softmax(axis=-2),
    Activation("relu"),
    Activation("leaky_relu"),
    Activation("sigmoid"),
    Activation("softmax"),
    Activation("linear"),
]


def traced(layer):
    """Return the step of a layer in a network that has a loss behind it."""
    layer = type(layer).from_config(layer.get_config())
    flat = isinstance(layer, GlobalAveragePooling2D | GlobalMaxPooling2D | Flatten)
    after = [] if flat else [Flatten()]
    model = Sequential([layer, *after, Dense(5), Activation("softmax")], seed=2, dtype="float64")
    model.build(IMAGE.shape)
    for array in (*layer.params.values(), *layer.state.values()):
        array[...] = rng.uniform(0.3, 1.7, array.shape)
    return trace(model, IMAGE, label=3).steps[0]


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_every_output_is_the_sum_of_its_terms(layer):
    step = traced(layer)
    linear = getattr(layer, "activation", None) in (None, "linear", "relu", "leaky_relu")
    linear = linear and not getattr(layer, "threshold", 0)
    for index in np.ndindex(step.y.shape):
        terms = forward_terms(step, index)
        assert terms.value == step.y[index]
        for position, factor in zip(terms.positions, terms.factors, strict=True):
            position = tuple(position)
            inside = all(0 <= p < n for p, n in zip(position, step.x.shape, strict=True))
            assert factor == (step.x[position] if inside else 0)
        if linear:
            assert terms.products.sum() + terms.bias == pytest.approx(terms.value, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_every_gradient_is_the_sum_of_its_terms(layer):
    """The chain rule, also where an input is read by no output, which has no terms."""
    step = traced(layer)
    for index in np.ndindex(step.x.shape):
        terms = backward_terms(step, index)
        assert terms.value == step.dx[index]
        assert terms.products.sum() == pytest.approx(terms.value, rel=1e-12, abs=1e-15)
        for position, factor in zip(terms.positions, terms.factors, strict=True):
            assert factor == step.dy[tuple(position)]


@pytest.mark.parametrize(
    "layer", [layer for layer in LAYERS if "epthwise" in repr(layer) + str(layer.get_config())]
)
def test_the_kernel_of_the_convolution_that_a_layer_is(layer):
    """A plain convolution with it, and the same bias, computes the same."""
    step = traced(layer)
    filters = step.y.shape[-1]
    conv = Conv2D(filters, layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate)
    conv.build(step.x.shape, rng, np.float64)
    conv.kernel, conv.bias = kernel_of(step.layer), step.layer.params.get("bias", np.zeros(filters))
    np.testing.assert_allclose(conv.forward(step.x[None])[0], step.y, rtol=1e-12, atol=1e-12)


def test_a_dense_layer():
    model = Sequential([Dense(3), Activation("softmax")], seed=2, input_shape=(4,), dtype="float64")
    step = trace(model, rng.normal(size=4), label=1).steps[0]
    terms = forward_terms(step, (2,))
    np.testing.assert_array_equal(terms.weights, model.layers[0].params["kernel"][:, 2])
    assert terms.products.sum() + terms.bias == pytest.approx(step.y[2], rel=1e-12)
    terms = backward_terms(step, (3,))
    np.testing.assert_array_equal(terms.weights, model.layers[0].params["kernel"][3])
    assert terms.products.sum() == pytest.approx(step.dx[3], rel=1e-12)


def test_a_maximum_is_that_of_one_input():
    """The first among equals, as the layer has it."""
    model = Sequential([MaxPooling2D(2), Flatten(), Activation("softmax")], seed=0, input_shape=(2, 2, 2))
    image = np.array([[[1, 0], [3, 0]], [[3, 0], [2, 0]]], np.float32)
    step = trace(model, image, label=0).steps[0]
    terms = forward_terms(step, (0, 0, 0))
    assert terms.operation == "maximum"
    assert terms.weights.tolist() == [0, 1, 0, 0]
    assert [backward_terms(step, (i, j, 0)).weights.tolist() for i in (0, 1) for j in (0, 1)] == [
        [0],
        [1],
        [0],
        [0],
    ]


def test_what_is_refused():
    model = Sequential([Conv2D(3, 2)], seed=0, input_shape=(4, 4, 1))
    step = trace(model, np.ones((4, 4, 1))).steps[0]
    with pytest.raises(
        ValueError, match=r"index: expected one inside of shape \(3, 3, 3\), received \(3, 0, 0\)"
    ):
        forward_terms(step, (3, 0, 0))
    with pytest.raises(ValueError, match=r"index: expected one inside of shape"):
        forward_terms(step, (0, 0))
    with pytest.raises(ValueError, match="step: expected one of a trace with a label"):
        backward_terms(step, (0, 0, 0))

    class Mine(Dropout):
        pass

    step = trace(Sequential([Mine(0.1)], seed=0, input_shape=(3,)), np.ones(3)).steps[0]
    with pytest.raises(TypeError, match="expected a layer of tinycnn, received a Mine"):
        forward_terms(step, (0,))
