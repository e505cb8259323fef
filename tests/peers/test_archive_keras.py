"""`.keras` archives, exchanged with Keras 3 and Keras 2 (tf-keras): predictions, and runs that go on."""

import json
import zipfile

import h5py
import numpy as np
import pytest

from tests.peers.peer_helpers import assert_all_close, assert_close
from tests.peers.saving_helpers import (
    CLASSES,
    IMAGE,
    OPTIMIZERS,
    batches,
    every_layer,
    keras_every_layer,
    keras_small_network,
    keras_weights,
    small_network,
    train,
)
from tinycnn import load_model, losses, optimizers
from tinycnn.layers import Dropout
from tinycnn.optimizers.schedules import CosineDecay, OneCycle


def without_dropout(model):
    """The model, in which nothing is random."""
    for layer in model:
        if isinstance(layer, Dropout):
            layer.rate = 0.0
    return model


@pytest.mark.parametrize(("name", "arguments"), OPTIMIZERS)
@pytest.mark.parametrize(("network", "steps"), [(small_network, 0), (small_network, 4), (every_layer, 4)])
def test_keras_3_trains_on(keras, network, steps, name, arguments, tmp_path):
    """Each variable of the optimizer is the same, bit for bit; then the next steps are."""
    ours = without_dropout(network())
    ours.compile(getattr(optimizers, name)(**arguments), "sparse_categorical_crossentropy", ["accuracy"])
    train(ours, batches(steps))
    ours.save(tmp_path / "x.keras")
    theirs = keras.models.load_model(tmp_path / "x.keras")
    theirs.jit_compile = False
    x, y = batches(1)[0]
    assert_close(ours.predict(x), theirs(x, training=False))
    assert int(theirs.optimizer.iterations) == steps
    kinds = ours.optimizer.slot_names()
    moments = [variable.numpy() for variable in theirs.optimizer.variables[2:]]
    assert len(moments) == len(kinds) * len(theirs.trainable_variables)
    total = sum(float(np.abs(ours.optimizer.slots[kind]).sum()) for kind in kinds) if steps else 0.0
    assert sum(float(np.abs(moment).sum()) for moment in moments) == pytest.approx(total, rel=1e-5)
    train(ours, batches(3))
    train(theirs, batches(3))
    assert_all_close(ours.get_weights(), keras_weights(theirs))
    theirs.fit(x, y, epochs=1, verbose=0)


@pytest.mark.parametrize(("name", "arguments"), OPTIMIZERS)
@pytest.mark.parametrize("steps", [0, 4])
def test_tinycnn_trains_on(either_keras, name, arguments, steps, tmp_path):
    """With the moments, bit for bit, the learning rate and the count of steps."""
    theirs = keras_small_network(either_keras)
    theirs.compile(getattr(either_keras.optimizers, name)(**arguments), "sparse_categorical_crossentropy")
    theirs.jit_compile = False
    train(theirs, batches(steps))
    theirs.save(tmp_path / "x.keras")
    ours = load_model(tmp_path / "x.keras")
    assert ours.optimizer.iterations == steps
    x, _ = batches(1)[0]
    assert_close(ours.predict(x), theirs(x, training=False))
    train(ours, batches(3))
    train(theirs, batches(3))
    flat = [np.concatenate([np.ravel(a) for a in w]) for w in (ours.get_weights(), keras_weights(theirs))]
    assert_close(*flat)


def test_every_layer(either_keras, tmp_path):
    theirs = keras_every_layer(either_keras)
    theirs.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    train(theirs, batches(3))
    theirs.save(tmp_path / "x.keras")
    ours = load_model(tmp_path / "x.keras")
    x, y = batches(1)[0]
    assert_close(ours.predict(x), theirs(x, training=False))
    assert ours.evaluate(x, y) == pytest.approx(theirs.evaluate(x, y, verbose=0), rel=1e-5)
    frozen = [layer.name for layer in theirs.layers if not layer.trainable]
    assert [layer.name for layer in ours if not layer.trainable] == frozen


def test_there_and_back(keras, tmp_path):
    """What Keras wrote again loads, without tinycnn's own words, with the same moments bit for bit."""
    ours = every_layer()
    ours.compile(optimizers.Adam(0.01), "sparse_categorical_crossentropy", ["accuracy"])
    train(ours, batches(3))
    ours.save(tmp_path / "x.keras")
    keras.models.load_model(tmp_path / "x.keras").save(tmp_path / "y.keras")
    back = load_model(tmp_path / "y.keras")
    assert all(map(np.array_equal, back.get_weights(), ours.get_weights()))
    for kind in ours.optimizer.slot_names():
        np.testing.assert_array_equal(back.optimizer.slots[kind], ours.optimizer.slots[kind])
    assert back.optimizer.iterations == 3
    assert list(back.metrics) == list(ours.metrics)


@pytest.mark.parametrize("rate", [CosineDecay(0.02, 9), OneCycle(0.02, 9)])
def test_schedules(keras, rate, tmp_path):
    """Of a schedule that Keras has not, the first step is the same."""
    ours = small_network()
    ours.compile(optimizers.SGD(rate, momentum=0.5, weight_decay=0.1), "sparse_categorical_crossentropy")
    train(ours, batches(4))
    ours.save(tmp_path / "x.keras")
    theirs = keras.models.load_model(tmp_path / "x.keras")
    theirs.jit_compile = False
    steps = 1 if isinstance(rate, OneCycle) else 3
    train(ours, batches(steps))
    train(theirs, batches(steps))
    assert_all_close(ours.get_weights(), keras_weights(theirs))


@pytest.mark.parametrize(
    "loss",
    [
        losses.MeanSquaredError(),
        losses.CategoricalCrossentropy(label_smoothing=0.125),
        losses.SparseCategoricalCrossentropy(from_logits=True),
    ],
)
def test_losses_and_metrics(keras, loss, tmp_path):
    ours = small_network("linear" if getattr(loss, "from_logits", False) else "softmax")
    ours.compile("sgd", loss, ["accuracy"])
    x, y = batches(1)[0]
    if not loss.integer_labels:
        y = (y[:, None] == range(CLASSES)).astype("float32")
    ours.save(tmp_path / "x.keras")
    theirs = keras.models.load_model(tmp_path / "x.keras")
    figures = theirs.evaluate(x, y, verbose=0, return_dict=True)
    assert figures == pytest.approx(ours.evaluate(x, y, return_dict=True), rel=1e-5)


def test_what_keras_writes_has_the_same_form(keras, tmp_path):
    """Member by member, key by key: of Keras' own, and of tinycnn's read and written again."""
    theirs = keras_small_network(keras)
    theirs.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    train(theirs, batches(2))
    theirs.save(tmp_path / "theirs.keras")
    load_model(tmp_path / "theirs.keras").save(tmp_path / "ours.keras")
    with zipfile.ZipFile(tmp_path / "theirs.keras") as a, zipfile.ZipFile(tmp_path / "ours.keras") as b:
        assert b.namelist() == a.namelist()
        assert [x.external_attr for x in b.infolist()] == [x.external_attr for x in a.infolist()]
        one, two = (json.loads(x.read("config.json")) for x in (a, b))
        assert two.keys() == one.keys()
        assert two["compile_config"].keys() <= one["compile_config"].keys()
        for ours, keras_entry in zip(two["config"]["layers"], one["config"]["layers"], strict=True):
            assert (ours["module"], ours["class_name"]) == (keras_entry["module"], keras_entry["class_name"])
            assert ours["config"].keys() <= keras_entry["config"].keys()
        with h5py.File(a.open("model.weights.h5")) as one, h5py.File(b.open("model.weights.h5")) as two:
            paths = [[], []]
            for file, found in zip((one, two), paths, strict=True):
                file.visititems(
                    lambda name, item, found=found: found.append((name, getattr(item, "shape", 0)))
                )
    assert sorted(paths[1]) == sorted(paths[0])


def test_weights_alone_of_an_archive(keras, tmp_path):
    """Keras' `load_weights` reads tinycnn's `.keras`, and tinycnn Keras'."""
    ours, theirs = small_network(), keras_small_network(keras)
    ours.save(tmp_path / "x.keras")
    theirs.load_weights(tmp_path / "x.keras")
    assert_all_close(ours.get_weights(), keras_weights(theirs), 1e-7)
    theirs.set_weights([weight + 1 for weight in theirs.get_weights()])
    theirs.save(tmp_path / "y.keras")
    ours.load_weights(tmp_path / "y.keras")
    assert_all_close(ours.get_weights(), keras_weights(theirs), 1e-7)


def test_a_graph_is_refused(either_keras, tmp_path):
    """By the layer where it branches, in both formats, of a model that Keras wrote."""
    layers = either_keras.layers
    x = either_keras.Input(IMAGE)
    a = layers.Conv2D(2, 3, padding="same", name="first")(x)
    b = layers.Conv2D(2, 3, padding="same", name="second")(a)
    branched = either_keras.Model(x, layers.Flatten()(layers.Add(name="sum")([a, b])))
    multiplied = either_keras.Model(x, layers.Flatten()(a * 2.0))
    shared = layers.Conv2D(2, 3, padding="same", name="shared")
    twice = either_keras.Model(x, shared(shared(layers.Conv2D(2, 1)(x))))
    for suffix in ("h5", "keras"):
        for model, message in (
            (branched, "layer 'first': expected one layer after it|layer 'sum': expected one input"),
            (multiplied, "layer '.*mul.*': expected"),
            (twice, "layer 'shared': expected one use in the model, received"),
        ):
            model.save(tmp_path / f"x.{suffix}")
            with pytest.raises(ValueError, match=message):
                load_model(tmp_path / f"x.{suffix}")


def test_a_model_in_a_model_is_refused(either_keras, tmp_path):
    layers = either_keras.layers
    inner = either_keras.Sequential([either_keras.Input(IMAGE), layers.Flatten()], name="inner")
    outer = either_keras.Sequential([either_keras.Input(IMAGE), inner, layers.Dense(2)])
    for suffix in ("h5", "keras"):
        outer.save(tmp_path / f"x.{suffix}")
        with pytest.raises(ValueError, match=r"layer 'inner': expected one of .* received 'Sequential'"):
            load_model(tmp_path / f"x.{suffix}")
