"""Files of Keras with what users do besides the plain layers: as Keras writes them, and read by tinycnn."""

import numpy as np
import pytest

from tests.peers.peer_helpers import random_array
from tinycnn import load_model

IMAGE = (7, 6, 3)
both_formats = pytest.mark.parametrize("suffix", ["h5", "keras"])


def network(keras, *layers):
    return keras.Sequential([keras.Input(IMAGE), *layers, keras.layers.Flatten(), keras.layers.Dense(4)])


def assert_same_predictions(model, path):
    x = random_array(np.random.default_rng(3), (5, *IMAGE))
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(load_model(path).predict(x), expected, rtol=0, atol=1e-5)


@both_formats
@pytest.mark.parametrize("functional", [False, True])
def test_layers_as_activations(either_keras, suffix, functional, tmp_path):
    """With options that differ from the defaults."""
    layers = either_keras.layers
    slope = {"negative_slope" if hasattr(layers.LeakyReLU(), "negative_slope") else "alpha": 0.15}
    model = network(
        either_keras,
        layers.Conv2D(4, 3, activation=layers.LeakyReLU(**slope)),
        layers.Conv2D(4, 2, activation=layers.ReLU(max_value=0.25)),
        layers.Activation(layers.LeakyReLU()),
        layers.Conv2D(3, 1, activation=layers.Softmax()),
    )
    if functional:
        model = either_keras.Model(model.inputs, model.outputs)
    model.save(tmp_path / f"m.{suffix}")
    assert_same_predictions(model, tmp_path / f"m.{suffix}")


def test_a_class_of_the_name_of_one_of_keras(either_keras, tmp_path):
    """It computes something else."""

    class Dense(either_keras.layers.Dense):
        def call(self, x):
            return 3 * super().call(x)

    network(either_keras, either_keras.layers.Flatten(), Dense(3)).save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match=r"layer 'dense\w*': expected a class of Keras, received 'Dense'"):
        load_model(tmp_path / "m.keras")


def test_bfloat16(keras, tmp_path):
    """Keras computes in bfloat16 too, so the weights are compared."""
    layers = keras.layers
    model = network(keras, layers.Conv2D(4, 3, dtype="bfloat16"), layers.BatchNormalization(dtype="bfloat16"))
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    with pytest.warns(UserWarning, match="leaves out dtype bfloat16, computed in float32"):
        loaded = load_model(tmp_path / "m.keras")
    expected = [np.asarray(weight).astype(np.float32) for weight in model.get_weights()]
    assert all(np.array_equal(a, b) for a, b in zip(loaded.weights, expected, strict=True))
    loaded.set_weights([np.zeros_like(array) for array in expected])
    loaded.load_weights(tmp_path / "m.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(loaded.weights, expected, strict=True))
