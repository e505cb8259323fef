"""Weights alone (`.weights.h5`) and regularizers in `.h5`, exchanged with Keras 3 and Keras 2 (tf-keras)."""

import numpy as np
import pytest

from tests.peers.peer_helpers import assert_all_close, assert_close
from tests.peers.saving_helpers import IMAGE, batches, every_layer, keras_every_layer, keras_weights
from tinycnn import Sequential, load_model, regularizers
from tinycnn.layers import Conv2D, Dense, Flatten


def noisy(model):
    """The model with another value in each weight."""
    rng = np.random.default_rng(6)
    model.set_weights([rng.uniform(0.5, 1.5, np.shape(w)).astype("float32") for w in model.get_weights()])
    return model


def own_every_layer(either_keras, tmp_path):
    """tinycnn's network of the same layers as `keras_every_layer`, with other weights."""
    theirs = keras_every_layer(either_keras)
    theirs.save(tmp_path / "model.h5")
    ours = load_model(tmp_path / "model.h5")
    ours.set_weights([array + 1 for array in ours.weights])
    return ours


def test_keras_reads_what_tinycnn_wrote(keras, tmp_path):
    """Every layer, by position: the names differ."""
    ours = every_layer()
    ours.save(tmp_path / "model.h5")
    theirs = keras.models.load_model(tmp_path / "model.h5")
    noisy(ours).save_weights(tmp_path / "x.weights.h5")
    theirs.load_weights(tmp_path / "x.weights.h5")
    assert_all_close(ours.get_weights(), keras_weights(theirs), 1e-7)
    x, _ = batches(1)[0]
    assert_close(ours.predict(x), theirs(x, training=False))


def test_keras_2_reads_it_too(tf_keras, tmp_path):
    ours = own_every_layer(tf_keras, tmp_path)
    theirs = keras_every_layer(tf_keras)
    noisy(ours).save_weights(tmp_path / "x.weights.h5")
    theirs.load_weights(tmp_path / "x.weights.h5")
    assert_all_close(ours.get_weights(), keras_weights(theirs), 1e-7)


@pytest.mark.parametrize("compiled", [False, True])
def test_tinycnn_reads_what_keras_wrote(either_keras, compiled, tmp_path):
    """Also with an optimizer in the file, and Dropout's random numbers."""
    theirs = noisy(keras_every_layer(either_keras))
    if compiled:
        theirs.compile("adam", "sparse_categorical_crossentropy")
        theirs.fit(*batches(1)[0], verbose=0)
    theirs.save_weights(tmp_path / "x.weights.h5")
    ours = own_every_layer(either_keras, tmp_path)
    ours.load_weights(tmp_path / "x.weights.h5")
    assert_all_close(ours.get_weights(), keras_weights(theirs), 1e-7)


def test_weights_of_keras_2_in_its_old_form(tf_keras, tmp_path):
    """`save_weights("x.h5")`."""
    theirs = noisy(keras_every_layer(tf_keras))
    theirs.save_weights(tmp_path / "old.h5")
    ours = own_every_layer(tf_keras, tmp_path)
    ours.load_weights(tmp_path / "old.h5")
    assert_all_close(ours.get_weights(), keras_weights(theirs), 1e-7)


def test_other_layers_are_refused_by_both(keras, tmp_path):
    """And a shape, which Keras names too."""
    ours = Sequential([Flatten(), Dense(4)], seed=1, input_shape=IMAGE)
    ours.save_weights(tmp_path / "x.weights.h5")
    for units, layers in ((5, 1), (4, 2)):
        dense = [keras.layers.Dense(units) for _ in range(layers)]
        theirs = keras.Sequential([keras.Input(IMAGE), keras.layers.Flatten(), *dense])
        with pytest.raises(ValueError, match=r"shape|could not be loaded"):
            theirs.load_weights(tmp_path / "x.weights.h5")
        theirs.save_weights(tmp_path / "k.weights.h5")
        with pytest.raises(ValueError, match=r"expected .*received .*dense"):
            ours.load_weights(tmp_path / "k.weights.h5")


REGULARIZERS = [
    ("l2", None),
    (regularizers.L1(0.3), "l2"),
    (regularizers.L1L2(0.1, 0.25), regularizers.L2(0.5)),
]


def config_of(regularizer):
    """What a regularizer of either library says, to the rounding of float32, in which Keras 2 keeps it."""
    if regularizer is None:
        return None
    return type(regularizer).__name__, pytest.approx(dict(regularizer.get_config()), rel=1e-6)


@pytest.mark.parametrize(("kernel", "bias"), REGULARIZERS)
def test_regularizers(either_keras, kernel, bias, tmp_path):
    """There and back; the loss that Keras computes has the same penalty."""
    layers = [
        Conv2D(3, 2, kernel_regularizer=kernel, bias_regularizer=bias),
        Flatten(),
        Dense(5, "softmax", kernel_regularizer=kernel),
    ]
    ours = noisy(Sequential(layers, seed=1, input_shape=IMAGE))
    ours.compile("sgd", "sparse_categorical_crossentropy")
    ours.save(tmp_path / "ours.h5")
    theirs = either_keras.models.load_model(tmp_path / "ours.h5")
    for layer in (0, 2):
        for name in ("kernel_regularizer", "bias_regularizer"):
            found = getattr(theirs.layers[layer], name)
            assert config_of(getattr(ours[layer], name)) == (
                None if found is None else (type(found).__name__, dict(found.get_config()))
            )
    x, y = batches(1)[0]
    assert theirs.evaluate(x, y, verbose=0) == pytest.approx(ours.evaluate(x, y), rel=1e-5)
    theirs.save(tmp_path / "theirs.h5")
    again = load_model(tmp_path / "theirs.h5")
    for layer in (0, 2):
        for name in ("kernel_regularizer", "bias_regularizer"):
            found = getattr(again[layer], name)
            assert config_of(getattr(ours[layer], name)) == (
                None if found is None else (type(found).__name__, found.get_config())
            )
    assert again.evaluate(x, y) == pytest.approx(ours.evaluate(x, y), rel=1e-5)
