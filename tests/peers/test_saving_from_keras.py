"""Files that Keras 3 and Keras 2 (tf-keras) write, read by tinycnn."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest

from tests.peers.conftest import import_peer
from tests.peers.peer_helpers import assert_close
from tests.peers.saving_helpers import (
    CLASSES,
    OPTIMIZERS,
    batches,
    keras_every_layer,
    keras_small_network,
    keras_weights,
    train,
)
from tinycnn import load_model

LEGACY_OPTIMIZERS = [
    ("SGD", {"learning_rate": 0.05}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    ("RMSprop", {"learning_rate": 0.005}),
    ("RMSprop", {"learning_rate": 0.005, "momentum": 0.5, "centered": True}),
    ("Adadelta", {"learning_rate": 1.0}),
    ("Adam", {"learning_rate": 0.01}),
    ("Adam", {"learning_rate": 0.01, "amsgrad": True}),
]


def compiled(model, optimizer, loss="sparse_categorical_crossentropy"):
    model.compile(optimizer, loss, metrics=["accuracy"])
    model.jit_compile = False
    return model


def assert_trains_on(ours, theirs):
    """The same predictions, and the same weights after the next steps.

    The weights are compared as one vector: a step that is divided by a moment has a rounding error in
    proportion to the learning rate, however small the bias that it changes.
    """
    x, _ = batches(1)[0]
    assert_close(ours.predict(x), theirs(x, training=False))
    train(ours, batches(3))
    train(theirs, batches(3))
    assert_close(flat(ours.get_weights()), flat(keras_weights(theirs)))


def flat(weights):
    return np.concatenate([np.ravel(array) for array in weights])


def test_every_layer(either_keras, tmp_path):
    theirs = compiled(keras_every_layer(either_keras), "adam")
    train(theirs, batches(3))
    theirs.save(tmp_path / "x.h5")
    ours = load_model(tmp_path / "x.h5")
    x, y = batches(1)[0]
    assert_close(ours.predict(x), theirs(x, training=False))
    assert ours.count_params() == theirs.count_params()
    assert ours.evaluate(x, y) == pytest.approx(theirs.evaluate(x, y, verbose=0), rel=1e-5)
    frozen = [layer.name for layer in theirs.layers if not layer.trainable]
    assert [layer.name for layer in ours if not layer.trainable] == frozen


def test_every_layer_trains_on(keras, tmp_path):
    """In Keras 3, whose moving variance is tinycnn's; Keras 2's is divided by one less than the count."""
    theirs = keras_every_layer(keras)
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    compiled(theirs, keras.optimizers.Adam(0.01))
    train(theirs, batches(3))
    theirs.save(tmp_path / "x.h5")
    assert_trains_on(load_model(tmp_path / "x.h5"), theirs)


@pytest.mark.parametrize(("name", "arguments"), OPTIMIZERS)
def test_trains_on(either_keras, name, arguments, tmp_path):
    """With the moments, the learning rate and the count of steps."""
    theirs = compiled(keras_small_network(either_keras), getattr(either_keras.optimizers, name)(**arguments))
    train(theirs, batches(4))
    theirs.save(tmp_path / "x.h5")
    ours = load_model(tmp_path / "x.h5")
    assert ours.optimizer.iterations == 4
    assert_trains_on(ours, theirs)


@pytest.mark.parametrize(("name", "arguments"), OPTIMIZERS)
def test_compiled_but_not_trained(either_keras, name, arguments, tmp_path):
    """Keras 3 has made no moments yet."""
    theirs = compiled(keras_small_network(either_keras), getattr(either_keras.optimizers, name)(**arguments))
    theirs.save(tmp_path / "x.h5")
    ours = load_model(tmp_path / "x.h5")
    assert ours.optimizer.iterations == 0
    assert_trains_on(ours, theirs)


def test_input_shape_from_the_data(either_keras, tmp_path):
    """A network without an Input, which Keras builds when it is first called."""
    theirs = either_keras.Sequential(keras_small_network(either_keras).layers)
    x, _ = batches(1)[0]
    y = theirs(x)
    theirs.save(tmp_path / "x.h5")
    assert_close(load_model(tmp_path / "x.h5").predict(x), y)


@pytest.mark.parametrize(("name", "arguments"), LEGACY_OPTIMIZERS)
def test_trains_on_after_legacy_optimizers(tf_keras, name, arguments, tmp_path):
    """Keras 2's optimizers up to version 2.10, which save one kind of moment after the other."""
    optimizer = getattr(tf_keras.optimizers.legacy, name)(**arguments)
    theirs = compiled(keras_small_network(tf_keras), optimizer)
    train(theirs, batches(4))
    theirs.save(tmp_path / "x.h5")
    ours = load_model(tmp_path / "x.h5")
    assert ours.optimizer.iterations == 4
    assert_trains_on(ours, theirs)


# Optimizers of Keras 2.2. RMSprop's epsilon is small, since it is added to the root there, and below it here.
KERAS_2_2 = {
    "sgd": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "rmsprop": ("RMSprop", {"lr": 0.005, "rho": 0.8, "epsilon": 1e-14}),
    "adadelta": ("Adadelta", {"lr": 1.0}),
    "adam": ("Adam", {"lr": 0.01}),
    "amsgrad": ("Adam", {"lr": 0.01, "amsgrad": True}),
}
# tf-keras has them where TensorFlow behaves like its version 1, which needs a process of its own.
PROGRAM = """
import json, sys, numpy as np, tensorflow as tf
tf.compat.v1.disable_v2_behavior()
import tf_keras
from tf_keras.src.optimizers import optimizer_v1
folder, cases = sys.argv[1], json.loads(sys.argv[2])
layers = tf_keras.layers
with np.load(folder + "/data.npz") as data:
    batches = list(zip(data["x"], data["y"]))
for case, (name, arguments) in cases.items():
    tf_keras.backend.clear_session()
    model = tf_keras.Sequential([
        layers.Conv2D(3, (4, 3), activation="tanh", input_shape=batches[0][0].shape[1:]),
        layers.Flatten(),
        layers.Dense(5, activation="softmax"),
    ])
    model.compile(getattr(optimizer_v1, name)(**arguments), "sparse_categorical_crossentropy", ["acc"])
    for x, y in batches[:4]:
        model.train_on_batch(x, y)
    model.save(f"{folder}/{case}.h5")
    for x, y in batches[4:]:
        model.train_on_batch(x, y)
    np.save(f"{folder}/{case}.npy", np.concatenate([array.ravel() for array in model.get_weights()]))
"""


@pytest.fixture(scope="module")
def keras_2_2(tf, tmp_path_factory):
    """A folder with a file for each optimizer, after four batches, and with the weights after three more."""
    import_peer("tf_keras")
    folder, data = tmp_path_factory.mktemp("keras_2_2"), batches(7)
    np.savez(folder / "data.npz", x=[x for x, _ in data], y=[y for _, y in data])
    command = [sys.executable, "-c", PROGRAM, str(folder), json.dumps(KERAS_2_2)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder


@pytest.mark.parametrize("case", KERAS_2_2)
def test_trains_on_after_the_optimizers_of_keras_2_2(keras_2_2, case):
    """The rate is `lr`, and the moments have no names; RMSprop and Adadelta do not count their steps."""
    counts = case not in ("rmsprop", "adadelta")
    with warnings.catch_warnings():
        if not counts:
            warnings.filterwarnings("ignore", "the optimizer's count of steps is not in the file")
        ours = load_model(keras_2_2 / f"{case}.h5")
    assert ours.optimizer.learning_rate == float(np.float32(KERAS_2_2[case][1]["lr"]))
    assert ours.optimizer.iterations == (4 if counts else 0)
    train(ours, batches(7)[4:])
    assert_close(flat(ours.get_weights()), np.load(keras_2_2 / f"{case}.npy"))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("MeanSquaredError", {}),
        ("CategoricalCrossentropy", {"label_smoothing": 0.125}),
        ("CategoricalCrossentropy", {"from_logits": True}),
        ("SparseCategoricalCrossentropy", {"from_logits": True}),
    ],
)
def test_losses(either_keras, name, arguments, tmp_path):
    loss = getattr(either_keras.losses, name)(**arguments)
    activation = "linear" if arguments.get("from_logits") else "softmax"
    theirs = compiled(keras_small_network(either_keras, activation), "sgd", loss)
    x, y = batches(1)[0]
    if not name.startswith("Sparse"):
        y = (y[:, None] == range(CLASSES)).astype("float32")
    theirs.train_on_batch(x, y)
    theirs.save(tmp_path / "x.h5")
    ours = load_model(tmp_path / "x.h5")
    assert ours.evaluate(x, y) == pytest.approx(theirs.evaluate(x, y, verbose=0), rel=1e-5)


def test_float64(either_keras, tmp_path):
    layers = either_keras.layers
    theirs = either_keras.Sequential(
        [
            either_keras.Input((7, 5, 2), dtype="float64"),
            layers.Conv2D(3, (4, 2), activation="tanh", dtype="float64"),
            layers.Flatten(dtype="float64"),
            layers.Dense(CLASSES, activation="softmax", dtype="float64"),
        ]
    )
    theirs.save(tmp_path / "x.h5")
    x = batches(1, (7, 5, 2))[0][0].astype("float64")
    assert_close(load_model(tmp_path / "x.h5").predict(x), theirs(x, training=False))
