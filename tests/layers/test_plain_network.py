"""A network of the layers without weights: its gradients, its noise, and what looks at it."""

import warnings

import numpy as np
import pytest

from tests.networks import CROSSENTROPY, assert_same_weights, normal_images, plain_layers
from tinycnn import Sequential, load_model
from tinycnn.inspection import gradcheck
from tinycnn.inspection.diagnosis import diagnose
from tinycnn.inspection.saliency import saliency
from tinycnn.inspection.trace import gives_probabilities, trace
from tinycnn.layers import (
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    InputLayer,
    RandomLayer,
    ReLU,
    Reshape,
    Softmax,
)
from tinycnn.losses import SparseCategoricalCrossentropy

pytestmark = pytest.mark.smoke
LABELS = np.random.default_rng(1).integers(0, 5, 23)


def compiled(dtype="float32"):
    model = plain_layers(dtype)
    model.compile("adam", CROSSENTROPY, ["accuracy"])
    return model


def test_gradients_of_the_whole_network():
    model = compiled("float64")
    x = normal_images(model, 3)

    def loss():
        return model.compute_gradients(x, LABELS[:3])[0]

    loss()
    gradients = {"parameters": model.gradients.copy()}
    report = gradcheck.check_gradients(loss, {"parameters": model.parameters}, gradients)
    assert report.passed


def test_parts_of_a_batch_have_the_noise_of_the_batch():
    """As processes that share a batch compute them: the gradients of the parts add up."""
    model = compiled("float64")
    x, total = normal_images(model, 23), 0.0
    model.steps_trained = 3
    for start, stop in ((0, 9), (9, 16), (16, 23)):
        model.compute_gradients(x[start:stop], LABELS[start:stop], None, (stop - start) / 23, start)
        total = total + model.gradients
    model.compute_gradients(x, LABELS)
    np.testing.assert_allclose(total, model.gradients, rtol=1e-9, atol=1e-12)


def test_a_run_that_was_stopped_has_the_same_noise(tmp_path):
    """2 + 2 epochs with a file between them are 4, to the bit; and so is a run with a checkpoint."""
    x, whole = normal_images(plain_layers(), 23), compiled()
    whole.fit(x, LABELS, batch_size=7, epochs=4, verbose=0)
    first = compiled()
    first.fit(x, LABELS, batch_size=7, epochs=2, verbose=0)
    first.save(tmp_path / "m.npz")
    second = load_model(tmp_path / "m.npz")
    second.fit(x, LABELS, batch_size=7, epochs=2, verbose=0)
    assert_same_weights(second, whole)
    for epochs in (1, 4):
        model = compiled()
        model.fit(x, LABELS, batch_size=7, epochs=epochs, verbose=0, checkpoint=tmp_path / "run")
    assert_same_weights(model, whole)


def test_what_looks_at_one_image():
    """As at inference, without noise: the trace, and the pixels that matter; in a notebook too."""
    model = compiled("float64")
    image = normal_images(model)[0]
    found = trace(model, image, 2)
    assert [step.name for step in found.steps if step.name in ("gaussian_noise_1", "bent", "softmax_2")]
    np.testing.assert_allclose(found.output, model.predict(image[np.newaxis])[0], rtol=1e-12)
    assert model["gaussian_noise_1"].stddev == 0.1
    loss = SparseCategoricalCrossentropy()
    slope = np.zeros(image.shape)
    for index in np.ndindex(image.shape):
        unit = np.zeros(image.shape)
        unit[index] = 1e-6
        ends = [loss(np.array([2]), model.predict(x[np.newaxis])) for x in (image + unit, image - unit)]
        slope[index] = (ends[0] - ends[1]) / 2e-6
    np.testing.assert_allclose(found.image_gradient, slope, rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(saliency(model, image, 2), np.abs(found.image_gradient).max(-1))
    text = model.explain_image(image, 2)._repr_html_()
    assert "zero_padding2d_1: 7 x 10 x 2" in text
    assert "gaussian_noise_2" not in text
    picture = model._repr_html_()
    assert "+ bent" in picture
    assert "up_sampling2d_1 (UpSampling2 (None, 10, 27, 7)" in model.summary()
    assert [type(x).__name__ for x in model if x.name in picture] == [type(x).__name__ for x in model]


def test_the_ends_of_networks():
    """Softmax and ReLU are activations for what checks the last one; noise and Reshape let it through."""

    def ends(*layers):
        return Sequential([InputLayer((8,)), Dense(5), *layers], seed=0)

    assert gives_probabilities(ends(Softmax(), GaussianNoise(0.1), Reshape((5, 1))))
    assert not gives_probabilities(ends(ReLU()))
    for model, loss, message in (
        (ends(Softmax()), SparseCategoricalCrossentropy(from_logits=True), "ends with 'softmax'"),
        (ends(ReLU(), GaussianNoise(0.1)), CROSSENTROPY, "ends with 'relu'"),
        (ends(ReLU(negative_slope=0.1)), CROSSENTROPY, "ends with 'leaky_relu'"),
        (ends(Softmax(), Softmax()), CROSSENTROPY, "applied twice"),
    ):
        with pytest.warns(UserWarning, match=message):
            model.compile("sgd", loss)
    ends(ReLU(), Dense(5), Softmax(), Reshape((5,))).compile("sgd", CROSSENTROPY)


def test_a_diagnosis():
    """Healthy where it is: without noise; and each wrong end is found by the layers too."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = (rng.random((90, 4, 3, 1)) + np.eye(12)[y].reshape(90, 4, 3, 1)).astype(np.float32) / 2

    def checks(*ends):
        model = Sequential(
            [InputLayer((4, 3, 1)), GaussianNoise(0.3), Flatten(), Dense(9), ReLU(), Dense(3), *ends], seed=1
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # `compile` warns of some of them already
            model.compile("adam", CROSSENTROPY)
        before = [layer.mask_index for layer in model if isinstance(layer, RandomLayer)]
        found = diagnose(model, x, y)
        assert [layer.mask_index for layer in model if isinstance(layer, RandomLayer)] == before
        assert model["gaussian_noise_1"].stddev == 0.3
        return found

    assert checks(Softmax()).healthy
    assert "relu_output" in [f.check for f in checks(ReLU()).findings]
    assert "softmax_twice" in [f.check for f in checks(Softmax(), Softmax()).findings]


def test_random_layers_are_switched_off():
    """What looks at a network without chance: they become the identity in training too."""
    x = np.random.default_rng(0).random((6, 7))
    for layer in (Dropout(0.5), GaussianNoise(0.5)):
        layer.build((7,), np.random.default_rng(0), np.float64)
        assert (layer.forward(x, training=True) != x).any()
        layer.switch_off()
        np.testing.assert_array_equal(layer.forward(x, training=True), x)
        np.testing.assert_array_equal(layer.backward(x), x)
