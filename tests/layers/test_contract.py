"""What every layer promises, whichever it is: shapes, dtypes, gradients, configuration, errors."""

import copy
import json

import numpy as np
import pytest

from tinycnn import activations, layers
from tinycnn.inspection import gradcheck
from tinycnn.layers import (
    LAYERS,
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
from tinycnn.support import randomness

pytestmark = pytest.mark.smoke

# Layers and input shapes; all sizes differ, so that a swapped axis cannot go unseen.
CASES = [
    (Conv2D(4, (2, 3)), (6, 7, 5)),
    (Conv2D(4, (3, 2), strides=(2, 3), padding="same", activation="tanh"), (7, 8, 3)),
    (Conv2D(5, (2, 3), padding=((1, 0), (2, 3)), dilation_rate=(2, 1), activation="sigmoid"), (6, 4, 3)),
    (Conv2D(2, 1, use_bias=False, padding=(1, 2), activation="leaky_relu"), (4, 5, 3)),
    (Conv2D(4, (3, 2), padding=1, algorithm="im2col", activation="relu"), (5, 6, 2)),
    (Conv2D(3, (2, 1), algorithm="naive", activation="softmax"), (4, 5, 2)),
    (DepthwiseConv2D((2, 3)), (6, 7, 5)),
    (DepthwiseConv2D((3, 2), (2, 3), "same", 2, activation="tanh"), (7, 8, 3)),
    (
        DepthwiseConv2D((2, 3), 1, ((1, 0), (2, 3)), 4, (2, 1), use_bias=False, activation="sigmoid"),
        (6, 4, 3),
    ),
    (DepthwiseConv2D((2, 1), algorithm="naive", activation="relu"), (4, 3, 2)),
    (SeparableConv2D(4, (2, 3)), (6, 7, 5)),
    (SeparableConv2D(2, (3, 2), (2, 3), "same", depth_multiplier=2, activation="tanh"), (7, 8, 3)),
    (SeparableConv2D(5, (2, 3), 1, (1, 2), (2, 1), 3, use_bias=False, activation="softmax"), (6, 4, 2)),
    (SeparableConv2D(4, (3, 2), padding=1, activation="relu"), (4, 5, 3)),
    (SeparableConv2D(3, (1, 2), algorithm="naive"), (2, 4, 2)),
    (MaxPooling2D((2, 3)), (5, 7, 4)),
    (MaxPooling2D((3, 2), strides=(1, 2), padding="same", algorithm="im2col"), (5, 6, 4)),
    (AveragePooling2D((3, 2), strides=(2, 1), padding="same"), (5, 7, 4)),
    (AveragePooling2D((2, 3), algorithm="im2col"), (5, 7, 4)),
    (GlobalAveragePooling2D(), (4, 5, 3)),
    (Dropout(0.4), (6, 5, 4)),
    (Dense(7, activation="softmax"), (5,)),
    (Dense(4, activation="relu", kernel_initializer="he_normal"), (6,)),
    (Dense(3, use_bias=False), (8,)),
    (Flatten(), (4, 5, 3)),
    (BatchNormalization(), (4, 5, 3)),
    (BatchNormalization(center=False, scale=False, epsilon=0.01), (6,)),
    (GlobalMaxPooling2D(), (4, 5, 3)),
    (ReLU(), (5, 4, 3)),
    (ReLU(max_value=0.75, negative_slope=0.125, threshold=0.25), (5, 4, 3)),
    (Softmax(), (7,)),
    (Softmax(axis=1), (5, 4, 3)),
    (Softmax(axis=-2), (5, 4, 3)),
    (ZeroPadding2D(2), (5, 4, 3)),
    (ZeroPadding2D(((0, 1), (3, 2))), (5, 4, 3)),
    (UpSampling2D(), (5, 4, 3)),
    (UpSampling2D((3, 2), interpolation="bilinear"), (5, 4, 3)),
    (UpSampling2D((1, 4), interpolation="bilinear"), (1, 2, 3)),
    (Reshape((3, 20)), (5, 4, 3)),
    (Reshape([2, -1, 5, 3]), (60,)),
    (GaussianNoise(0.4), (6, 5, 4)),
    *((Activation(name), (5, 7)) for name in activations.ACTIVATIONS),
]
IDS = [repr(layer) for layer, _ in CASES]
every_layer = pytest.mark.parametrize(("layer", "shape"), CASES, ids=IDS)


def built(layer, shape, dtype=np.float32, seed=0):
    """Return a fresh copy of a layer, built, with no parameter left at a special value."""
    rng = np.random.default_rng(seed)
    layer = copy.deepcopy(layer)
    layer.build(shape, rng, dtype)
    for parameter in layer.params.values():
        parameter += (0.1 * rng.standard_normal(parameter.shape)).astype(dtype)
    return layer


def test_every_layer_is_among_the_cases():
    """A new layer must be added above."""
    assert {type(layer) for layer, _ in CASES} == set(LAYERS.values())


@every_layer
def test_gradients_agree_with_finite_differences(layer, shape):
    """dx and every parameter's gradient, in float64, with a random upstream."""
    report = gradcheck.check_layer(layer, shape)
    assert report.passed
    assert {entry.array for entry in report.entries} == {"x", *built(layer, shape).params}


@every_layer
def test_the_parameters_gradients_alone(layer, shape):
    """backward_params assigns what backward does, to the bit."""
    layer = built(layer, shape)
    x = np.random.default_rng(1).standard_normal((2, *shape)).astype(np.float32)
    y = layer.forward(x, training=True)
    layer.backward(np.cos(y))
    expected = copy.deepcopy(layer.grads)
    for gradient in layer.grads.values():
        gradient[...] = np.nan
    layer.backward_params(np.cos(y))
    for name, gradient in expected.items():
        np.testing.assert_array_equal(layer.grads[name], gradient)


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes_and_dtypes(layer, shape, dtype):
    """The output has the promised shape; no array leaves the dtype of the input."""
    layer = built(layer, shape, dtype)
    x = np.random.default_rng(1).standard_normal((2, *shape)).astype(dtype)
    y = layer.forward(x, training=True)
    assert y.shape == (2, *layer.compute_output_shape(shape))
    assert y.dtype == dtype
    dx = layer.backward(np.ones_like(y))
    assert (dx.shape, dx.dtype) == (x.shape, dtype)
    assert list(layer.params) == list(layer.grads)
    for name, parameter in layer.params.items():
        assert layer.grads[name].shape == parameter.shape
        assert layer.grads[name].dtype == parameter.dtype == dtype


@every_layer
def test_inputs_are_not_changed(layer, shape):
    """Neither x nor dy."""
    layer = built(layer, shape)
    rng = np.random.default_rng(2)
    x = rng.standard_normal((3, *shape)).astype(np.float32)
    x_before = x.copy()
    y = layer.forward(x, training=True)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    dy_before = dy.copy()
    layer.backward(dy)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(dy, dy_before)


@every_layer
def test_gradients_are_assigned_not_added(layer, shape):
    """A second backward gives the same gradients, in the same arrays."""
    layer = built(layer, shape)
    x = np.random.default_rng(3).standard_normal((3, *shape)).astype(np.float32)
    y = layer.forward(x, training=True)
    arrays = dict(layer.grads)
    layer.backward(np.ones_like(y))
    first = {name: g.copy() for name, g in layer.grads.items()}
    layer.backward(np.ones_like(y))
    for name, g in layer.grads.items():
        assert g is arrays[name]
        np.testing.assert_array_equal(g, first[name])


@every_layer
def test_config_makes_the_same_layer(layer, shape):
    """Through JSON, as a file would carry it; with the same random numbers, the same output."""
    config = json.loads(json.dumps(layer.get_config()))
    twin = layers.from_config(type(layer).__name__, config)
    assert twin.get_config() == layer.get_config()
    assert repr(twin) == repr(layer)
    x = np.random.default_rng(4).standard_normal((2, *shape)).astype(np.float32)
    outputs = [built(each, shape).forward(x, training=True) for each in (layer, twin)]
    np.testing.assert_array_equal(*outputs)


@every_layer
def test_counts_without_building(layer, shape):
    """The arithmetic of `count_params` is that of the arrays."""
    done = built(layer, shape)
    sizes = sum(a.size for a in (*done.params.values(), *done.state.values()))
    assert layer.count_params(shape) == sizes
    assert not layer.built


@every_layer
def test_building_twice_does_nothing_and_another_shape_is_refused(layer, shape):
    """A built layer keeps its parameters."""
    layer = built(layer, shape)
    before = dict(layer.params)
    layer.build(shape, np.random.default_rng(9))
    assert all(layer.params[name] is array for name, array in before.items())
    other = (shape[0] + 1, *shape[1:])
    with pytest.raises(ValueError, match="expected input shape"):
        layer.build(other, np.random.default_rng(9))


@every_layer
def test_errors_name_expected_and_received(layer, shape):
    """Before build, wrong shape, wrong dtype, no array, backward before forward, wrong dy."""
    with pytest.raises(ValueError, match=r"call build\(input_shape, rng\) before forward"):
        copy.deepcopy(layer).forward(np.zeros((2, *shape), np.float32))
    layer = built(layer, shape)
    for wrong in [(2, *shape, 1), (2, shape[0] + 1, *shape[1:]), shape]:
        with pytest.raises(ValueError, match=r"x: expected shape \(None, .*received \("):
            layer.forward(np.zeros(wrong, np.float32))
    with pytest.raises(ValueError, match=r"expected an array of float32.*received float64"):
        layer.forward(np.zeros((2, *shape)))
    with pytest.raises(ValueError, match="received list"):
        layer.forward(np.zeros((2, *shape), np.float32).tolist())
    with pytest.raises(ValueError, match=r"call forward\(x, training=True\) before backward"):
        layer.backward(np.zeros((2, *layer.compute_output_shape(shape)), np.float32))
    y = layer.forward(np.ones((2, *shape), np.float32), training=True)
    with pytest.raises(ValueError, match="dy: expected shape"):
        layer.backward(np.ones((*y.shape, 1), np.float32))
    with pytest.raises(ValueError, match=r"dy: expected an array of float32.*received float64"):
        layer.backward(np.ones(y.shape))


@every_layer
def test_inference_keeps_nothing(layer, shape):
    """A forward pass that is not training leaves nothing for backward."""
    layer = built(layer, shape)
    y = layer.forward(np.ones((2, *shape), np.float32))
    with pytest.raises(ValueError, match="before backward"):
        layer.backward(np.ones_like(y))


def test_generators_depend_on_seed_purpose_and_index_only():
    """The same name gives the same numbers, any other name gives others."""
    names = [(0, "a"), (1, "a"), (0, "b"), (0, "a", 0), (0, "a", 1), (0, "a", 0, 1), (0, "a", 1, 0)]
    drawn = [randomness.generator(*name).random(4) for name in names]
    assert len({tuple(numbers) for numbers in drawn}) == len(names)
    np.testing.assert_array_equal(randomness.generator(0, "a", 1).random(4), drawn[4])
