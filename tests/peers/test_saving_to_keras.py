"""Files that tinycnn writes, read by Keras 3 and by Keras 2 (tf-keras)."""

import h5py
import pytest

from tests.peers.peer_helpers import assert_all_close, assert_close
from tests.peers.saving_helpers import (
    CLASSES,
    OPTIMIZERS,
    batches,
    every_layer,
    keras_weights,
    small_network,
    train,
)
from tinycnn import losses, mnist_cnn, optimizers
from tinycnn.layers import Dropout
from tinycnn.optimizers.schedules import CosineDecay, ExponentialDecay, OneCycle


def assert_same_predictions(ours, theirs):
    x, _ = batches(1, ours.input_shape)[0]
    assert_close(ours.predict(x), theirs(x, training=False))


@pytest.mark.parametrize("network", [mnist_cnn, every_layer, small_network])
def test_not_compiled(either_keras, network, tmp_path):
    ours = network()
    ours.save(tmp_path / "x.h5")
    theirs = either_keras.models.load_model(tmp_path / "x.h5")
    assert theirs.count_params() == ours.count_params()
    assert_same_predictions(ours, theirs)


@pytest.mark.parametrize("network", [mnist_cnn, every_layer])
def test_trained(either_keras, network, tmp_path):
    """With moving averages that are no longer 0 and 1; Keras names the layers alike and freezes the same."""
    ours = network()
    ours.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    train(ours, batches(3, ours.input_shape))
    ours.save(tmp_path / "x.h5")
    theirs = either_keras.models.load_model(tmp_path / "x.h5")
    assert_same_predictions(ours, theirs)
    names = {layer.name: layer.trainable for layer in theirs.layers if "_padding" not in layer.name}
    assert names == {layer.name: layer.trainable for layer in ours}


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
def test_metrics(either_keras, loss, tmp_path):
    ours = small_network()
    ours.compile("sgd", loss, ["accuracy"])
    x, y = batches(1)[0]
    if not ours.loss.integer_labels:
        y = (y[:, None] == range(CLASSES)).astype("float32")
    ours.save(tmp_path / "x.h5")
    theirs = either_keras.models.load_model(tmp_path / "x.h5")
    figures = theirs.evaluate(x, y, verbose=0, return_dict=True)
    assert figures == pytest.approx(ours.evaluate(x, y, return_dict=True), rel=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        losses.MeanSquaredError(),
        losses.CategoricalCrossentropy(label_smoothing=0.125),
        losses.CategoricalCrossentropy(from_logits=True),
        losses.SparseCategoricalCrossentropy(from_logits=True),
    ],
)
def test_losses(either_keras, loss, tmp_path):
    ours = small_network("linear" if getattr(loss, "from_logits", False) else "softmax")
    ours.compile("sgd", loss)
    x, y = batches(1)[0]
    if not loss.integer_labels:
        y = (y[:, None] == range(CLASSES)).astype("float32")
    ours.save(tmp_path / "x.h5")
    theirs = either_keras.models.load_model(tmp_path / "x.h5")
    assert theirs.evaluate(x, y, verbose=0) == pytest.approx(ours.evaluate(x, y), rel=1e-5)


def load_to_train_on(keras, path):
    """Return the model with an optimizer that holds what the file has for it.

    A bug in Keras (3.15 has it) stands between: load_model builds the optimizer for a Sequential's own
    variables, of which it has none, so that no .h5 can be trained on, not even one that Keras wrote. This
    is what load_model sets out to do, with all variables.
    """
    model = keras.models.load_model(path)
    optimizer = type(model.optimizer).from_config(model.optimizer.get_config())
    optimizer.build(model.trainable_variables)
    with h5py.File(path) as file:
        group = file["optimizer_weights"]
        optimizer.set_weights([group[name][()] for name in group.attrs["weight_names"]])
        assert len(group.attrs["weight_names"]) == len(optimizer.variables)
    model.compile(optimizer, model.loss, jit_compile=False)
    return model


@pytest.mark.parametrize(("name", "arguments"), OPTIMIZERS)
@pytest.mark.parametrize(("network", "steps"), [(small_network, 0), (small_network, 4), (every_layer, 4)])
def test_keras_3_trains_on(keras, network, steps, name, arguments, tmp_path):
    """With the moments, the learning rate and the count of steps: the next steps are the same."""
    ours = network()
    for layer in ours:
        if isinstance(layer, Dropout):
            layer.rate = 0.0
    ours.compile(getattr(optimizers, name)(**arguments), "sparse_categorical_crossentropy")
    train(ours, batches(steps))
    ours.save(tmp_path / "x.h5")
    theirs = load_to_train_on(keras, tmp_path / "x.h5")
    assert int(theirs.optimizer.iterations) == steps
    train(ours, batches(3))
    train(theirs, batches(3))
    assert_all_close(ours.get_weights(), keras_weights(theirs))


@pytest.mark.parametrize(("name", "arguments"), OPTIMIZERS)
def test_keras_2_loads(tf_keras, name, arguments, tmp_path):
    """It cannot take the moments from such a file; the optimizer and its settings it can, except AdamW:

    it reads an entry without its own marks as one of its old optimizers, which have no AdamW, and Keras 3
    refuses the marks. `compile=False` leaves the optimizer out.
    """
    ours = small_network()
    ours.compile(getattr(optimizers, name)(**arguments), "sparse_categorical_crossentropy")
    train(ours, batches(4))
    ours.save(tmp_path / "x.h5")
    theirs = tf_keras.models.load_model(tmp_path / "x.h5", compile=name != "AdamW")
    assert_same_predictions(ours, theirs)
    if name != "AdamW":
        config = theirs.optimizer.get_config()
        assert {key: config[key] for key in arguments} == pytest.approx(arguments)
        train(theirs, batches(1))


@pytest.mark.parametrize(
    "rate",
    [CosineDecay(0.02, 9), ExponentialDecay(0.02, 3, 0.5), OneCycle(0.02, 9)],
)
def test_keras_3_follows_our_schedule(keras, rate, tmp_path):
    """The next steps are the same; of a schedule that Keras has not, the first of them."""
    ours = small_network()
    ours.compile(optimizers.SGD(rate, momentum=0.5, weight_decay=0.1), "sparse_categorical_crossentropy")
    train(ours, batches(4))
    ours.save(tmp_path / "x.h5")
    theirs = load_to_train_on(keras, tmp_path / "x.h5")
    steps = 1 if isinstance(rate, OneCycle) else 3
    train(ours, batches(steps))
    train(theirs, batches(steps))
    assert_all_close(ours.get_weights(), keras_weights(theirs))
