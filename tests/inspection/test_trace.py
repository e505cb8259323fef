"""A trace holds what the layers compute, and the gradients of what the model predicts."""

import numpy as np
import pytest

from tinycnn import Sequential
from tinycnn.inspection.trace import trace
from tinycnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
)

pytestmark = pytest.mark.smoke
rng = np.random.default_rng(0)
IMAGE = rng.random((9, 8, 2))


def network(*, last=None, loss=None, dtype="float64"):
    layers = [
        Conv2D(5, (3, 2), activation="relu"),
        BatchNormalization(),
        MaxPooling2D(2),
        Dropout(0.6),
        Conv2D(4, 2, padding="same", activation="tanh"),
        AveragePooling2D((1, 2)),
        Activation("leaky_relu"),
        Flatten(),
        *(last or [Dense(3, activation="softmax")]),
    ]
    model = Sequential(layers, seed=1, input_shape=IMAGE.shape, dtype=dtype)
    for layer in model.layers:
        for array in layer.state.values():
            array[...] = rng.uniform(0.5, 1.5, array.shape)
    if loss:
        model.compile("sgd", loss)
    return model


def test_the_arrays_are_those_of_the_layers():
    """At inference, to the bit; an activation is a step of its own, between the sums and the output."""
    model = network(dtype="float32")
    found = trace(model, IMAGE)
    outputs = model.activations(IMAGE[np.newaxis])
    for name, y in outputs.items():
        np.testing.assert_array_equal(found.of(name)[-1].y, y[0])
    np.testing.assert_array_equal(found.output, model(IMAGE[np.newaxis])[0])
    np.testing.assert_array_equal(found.image, IMAGE.astype(np.float32))
    for before, after in zip(found.steps, found.steps[1:], strict=False):
        np.testing.assert_array_equal(before.y, after.x)
    sums, output = found.of("conv2d_1")
    assert sums.y.min() < 0
    np.testing.assert_array_equal(output.y, np.maximum(sums.y, 0))
    assert (found.label, found.loss, found.image_gradient, found.steps[3].dy) == (None, None, None, None)


@pytest.mark.parametrize(
    ("last", "loss"),
    [
        (None, None),
        (None, "sparse_categorical_crossentropy"),
        (None, "categorical_crossentropy"),
        (None, "mse"),
        ([Dense(1, activation="sigmoid")], "binary_crossentropy"),
    ],
)
def test_gradients_are_those_of_the_prediction(last, loss):
    """By finite differences of the loss of `predict`, at pixels and at the sums of a layer in between."""
    model = network(last=last, loss=loss)
    found = trace(model, IMAGE, label=1)

    def value(image):
        p = model(image[np.newaxis])[0]
        if loss == "mse":
            return np.mean((p - [0, 1, 0]) ** 2)
        return -np.log(p[0] if last else p[1])

    assert found.loss == pytest.approx(value(IMAGE), rel=1e-12)
    step = 1e-6
    for index in [(0, 0, 0), (4, 3, 1), (8, 7, 0), (5, 6, 1)]:
        moved = [IMAGE.copy(), IMAGE.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        expected = (value(moved[0]) - value(moved[1])) / (2 * step)
        assert found.image_gradient[index] == pytest.approx(expected, rel=1e-5, abs=1e-9)
    for before, after in zip(found.steps, found.steps[1:], strict=False):
        np.testing.assert_array_equal(before.dy, after.dx)
        assert before.dy.shape == before.y.shape


def test_the_model_is_not_changed():
    """Nor its weights, averages, gradients and masks, nor what a training step is about to use."""
    model = network(loss="mse")
    x = IMAGE[np.newaxis]
    y = model.forward(x, training=True)
    before = [
        array.copy() for layer in model.layers for array in (*layer.params.values(), *layer.state.values())
    ]
    model.gradients[...] = 7
    trace(model, IMAGE, label=0)
    after = [array for layer in model.layers for array in (*layer.params.values(), *layer.state.values())]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (model.gradients == 7).all()
    assert model.layers[3].rate == pytest.approx(0.6, abs=1e-4)
    assert model.layers[0].activation == "relu"
    assert model.backward(np.ones_like(y)).shape == x.shape


def test_global_pools_and_models_without_activations():
    model = Sequential([Conv2D(3, 2), GlobalAveragePooling2D()], seed=0, input_shape=(5, 4, 1))
    found = trace(model, np.ones((5, 4, 1)))
    assert [step.name for step in found.steps] == ["conv2d_1", "global_average_pooling2d_1"]


@pytest.mark.parametrize(
    ("model", "image", "label", "message"),
    [
        (Sequential([Dense(3)]), np.ones(4), None, r"call model.build\(input_shape\) before it is traced"),
        (network(), np.ones((9, 8, 1)), None, r"x: expected shape \(None, 9, 8, 2\)"),
        (network(), IMAGE, 3, "label: expected a class below 3, received 3"),
        (network(), IMAGE, -1, "label: expected a whole number >= 0"),
        (network(), IMAGE, "2", "label: expected a whole number >= 0"),
    ],
)
def test_what_is_refused(model, image, label, message):
    with pytest.raises(ValueError, match=message):
        trace(model, image, label)


def test_a_layer_that_is_not_there():
    with pytest.raises(
        ValueError, match=r"layer: expected one of conv2d_1, batch_normalization_1, .* 'conv2d_9'"
    ):
        trace(network(), IMAGE).of("conv2d_9")


@pytest.mark.parametrize(("units", "activation"), [(4, None), (4, "softmax"), (1, None), (1, "sigmoid")])
def test_the_loss_of_a_model_that_is_not_compiled(units, activation):
    """Cross-entropy of the probabilities that the outputs are, or stand for."""
    model = Sequential([Flatten(), Dense(units, activation=activation)], seed=0, input_shape=(3, 2, 1))
    image = np.random.default_rng(1).random((3, 2, 1)).astype(np.float32)
    y = model(image[np.newaxis])[0].astype(np.float64)
    if units == 1:
        p = y[0] if activation else 1 / (1 + np.exp(-y[0]))
        expected = {0: -np.log(1 - p), 1: -np.log(p)}
    else:
        p = y if activation else np.exp(y) / np.exp(y).sum()
        expected = {0: -np.log(p[0]), 3: -np.log(p[3])}
    for label, loss in expected.items():
        assert trace(model, image, label).loss == pytest.approx(loss, rel=1e-5)
