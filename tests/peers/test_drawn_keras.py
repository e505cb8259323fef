"""Drawn networks of every layer, exchanged with Keras 3 and Keras 2 (tf-keras) in every format, both ways."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from tests.drawn_networks import images, networks
from tests.peers.peer_helpers import assert_close
from tests.peers.saving_helpers import keras_weights
from tinycnn import load_model

FEW = settings(
    derandomize=True,
    deadline=None,
    max_examples=12,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One for all examples."""
    return tmp_path_factory.mktemp("drawn")


def exchanged(keras, model, folder, suffix):
    """The predictions are the same in Keras, and again in tinycnn from the file that Keras writes."""
    keras.backend.clear_session()
    x = images(model)
    y = model.predict(x)
    model.save(folder / f"ours.{suffix}")
    theirs = keras.models.load_model(folder / f"ours.{suffix}")
    assert_close(y, theirs(x, training=False), 1e-5)
    theirs.save(folder / f"theirs.{suffix}")
    back = load_model(folder / f"theirs.{suffix}")
    assert all(map(np.array_equal, back.get_weights(), model.get_weights()))
    assert_close(back.predict(x), y, 1e-6)
    return theirs


@pytest.mark.parametrize("suffix", ["h5", "keras"])
@FEW
@given(model=networks())
def test_with_keras_3(keras, folder, suffix, model):
    theirs = exchanged(keras, model, folder, suffix)
    theirs.save_weights(folder / "theirs.weights.h5")
    expected = [array.copy() for array in model.weights]
    model.set_weights([array + 1 for array in model.weights])
    model.load_weights(folder / "theirs.weights.h5")
    assert all(map(np.array_equal, model.get_weights(), expected))
    model.set_weights([array + 1 for array in model.weights])
    model.save_weights(folder / "ours.weights.h5")
    theirs.load_weights(folder / "ours.weights.h5")
    assert all(map(np.array_equal, keras_weights(theirs), model.get_weights()))


@FEW
@given(model=networks())
def test_with_keras_2(tf_keras, folder, model):
    theirs = exchanged(tf_keras, model, folder, "h5")
    theirs.save(folder / "theirs.keras")
    back = load_model(folder / "theirs.keras")
    assert all(map(np.array_equal, back.get_weights(), model.get_weights()))


@FEW
@given(model=networks())
def test_functional_models(keras, tf_keras, folder, model):
    """The layers that Keras loaded, called one after the other."""
    for either in (keras, tf_keras):
        either.backend.clear_session()
        model.save(folder / "ours.h5")
        loaded = either.models.load_model(folder / "ours.h5")
        x = inputs = either.Input(model.input_shape)
        for layer in loaded.layers:
            if "input" not in layer.name:
                x = layer(x)
        theirs = either.Model(inputs, x)
        for suffix in ("h5", "keras"):
            theirs.save(folder / f"functional.{suffix}")
            ours = load_model(folder / f"functional.{suffix}")
            assert_close(ours.predict(images(model)), theirs(images(model), training=False), 1e-5)
