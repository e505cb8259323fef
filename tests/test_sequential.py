"""Sequential: structure, the flat vectors, training, repeatability, errors."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest

import tinycnn
from tests.networks import small
from tests.networks import small_data as data
from tinycnn import Sequential
from tinycnn.layers import Conv2D, Dense, Dropout, Flatten
from tinycnn.optimizers import SGD, Adam
from tinycnn.training import Callback

pytestmark = pytest.mark.smoke

GOLDEN = Path(__file__).parent / "golden"
SUMMARY = (GOLDEN / "mnist_cnn_summary.txt").read_text(encoding="utf-8").removesuffix("\n")


def endless():
    while True:
        yield data()


def compiled(seed=0, optimizer="adam", **arguments):
    model = small(seed, **arguments)
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def test_mnist_cnn_to_the_character(capsys):
    """The table that its users know; printed and returned."""
    text = tinycnn.mnist_cnn(seed=0).summary()
    assert text == SUMMARY
    assert capsys.readouterr().out == SUMMARY + "\n"


def test_mnist_cnn_has_its_rates_and_activations():
    """What the table does not show."""
    model = tinycnn.mnist_cnn(seed=0)
    assert [layer.rate for layer in model if isinstance(layer, Dropout)] == [0.25, 0.25, 0.5]
    convolutions = [layer for layer in model if isinstance(layer, Conv2D)]
    assert [c.kernel_size for c in convolutions] == [(3, 3), (3, 3), (2, 2), (2, 2)]
    assert {(c.activation, c.padding, c.strides) for c in convolutions} == {("relu", "valid", (1, 1))}
    assert [model[name].activation for name in ("dense_1", "dense_2")] == ["relu", "softmax"]


def test_summary_shows_algorithms_and_frozen_layers(capsys):
    """verbose adds a column; frozen parameters and moving averages are not trainable."""
    model = small()
    model[0].algorithm = "direct"
    model["dense_1"].trainable = False
    text = model.summary(verbose=True)
    rows = {line.split()[0]: line for line in text.splitlines() if "(" in line}
    assert rows["conv2d_1"].rstrip().endswith("direct")
    assert rows["max_pooling2d_1"].rstrip().endswith("(auto)")
    dense = 3 * 3 * 2 * 5 + 5
    assert f"Non-trainable params: {dense + 6}" in text
    wide = model.summary(line_length=90).splitlines()
    assert {len(line) for line in wide if line.startswith("_")} == {90}


def test_parameters_and_gradients_are_views_of_two_vectors():
    """In both directions, after training too."""
    model = compiled()
    for _ in range(2):
        assert model.parameters.size == model.count_params() - 6
        for vector, which in ((model.parameters, "params"), (model.gradients, "grads")):
            arrays = [a for layer in model for a in getattr(layer, which).values()]
            assert all(np.shares_memory(a, vector) for a in arrays)
            np.testing.assert_array_equal(np.concatenate([a.ravel() for a in arrays]), vector)
        model.train_on_batch(*data())
    model.parameters[:] = 7
    assert (model["dense_1"].params["bias"] == 7).all()


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_have_vectors_of_their_own(twin):
    """A copy trains on like the original, and without it."""
    model = compiled()
    model.train_on_batch(*data())
    other = twin(model)
    np.testing.assert_array_equal(other.parameters, model.parameters)
    model.train_on_batch(*data())
    assert (other.parameters != model.parameters).any()
    other.train_on_batch(*data())
    np.testing.assert_array_equal(other.parameters, model.parameters)
    assert np.shares_memory(other[0].params["kernel"], other.parameters)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_seed_makes_a_run_repeatable_to_the_bit(dtype):
    """Weights, dropout, shuffling, the validation split; another seed gives another run."""
    x, y = data(dtype=dtype)
    runs = []
    for seed in (3, 3, 4):
        model = compiled(seed, dtype=dtype)
        history = model.fit(x, y, batch_size=4, epochs=3, validation_split=0.2, verbose=0)
        runs.append((model.parameters, history.history, model.predict(x)))
    np.testing.assert_array_equal(runs[0][0], runs[1][0])
    np.testing.assert_array_equal(runs[0][2], runs[1][2])
    assert runs[0][1] == runs[1][1]
    assert (runs[0][0] != runs[2][0]).any()
    assert runs[0][2].dtype == dtype


def test_a_seed_is_drawn_and_recorded_when_there_is_none():
    """So that a run can be repeated afterwards."""
    first, second = small(seed=None), small(seed=None)
    assert first.seed != second.seed
    np.testing.assert_array_equal(small(seed=first.seed).parameters, first.parameters)
    assert f"seed={first.seed}" in repr(first)


def test_two_fits_are_one_longer_fit():
    """The epochs go on, with orders and masks of their own."""
    x, y = data()
    once, twice = compiled(), compiled()
    whole = once.fit(x, y, batch_size=5, epochs=3, verbose=0)
    twice.fit(x, y, batch_size=5, epochs=1, verbose=0)
    rest = twice.fit(x, y, batch_size=5, epochs=2, verbose=0)
    np.testing.assert_array_equal(once.parameters, twice.parameters)
    assert rest.epoch == [1, 2]
    assert rest.history["loss"] == whole.history["loss"][1:]


def test_training_learns():
    """The loss falls, the accuracy rises; the history says so."""
    x, y = data(60)
    model = compiled(optimizer=Adam(0.01))
    history = model.fit(x, y, batch_size=16, epochs=30, validation_data=data(30, seed=6), verbose=0)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert history.epoch == list(range(30))
    assert history.history["loss"][-1] < history.history["loss"][0] / 2
    assert history.history["val_accuracy"][-1] > 0.6
    assert model.history is history


def test_train_on_batch_is_forward_loss_backward_step():
    """The lesson, written out by hand beside it."""
    x, y = data()
    model, by_hand = compiled(), compiled()
    figures = model.train_on_batch(x, y)
    y_pred = by_hand.forward(x, training=True)
    loss = by_hand.loss(y, y_pred)
    by_hand.backward(by_hand.loss.gradient(y, y_pred))
    by_hand.optimizer.step(by_hand.parameters, by_hand.gradients)
    np.testing.assert_array_equal(model.parameters, by_hand.parameters)
    assert figures == [loss, np.mean(y_pred.argmax(axis=1) == y)]


def test_frozen_layers_do_not_train():
    """From the step at which `trainable` is set."""
    model = compiled(optimizer=SGD(0.1, momentum=0.9))
    model.train_on_batch(*data())
    model["conv2d_1"].trainable = False
    kernel, dense = model[0].params["kernel"].copy(), model["dense_1"].params["kernel"].copy()
    model.train_on_batch(*data())
    np.testing.assert_array_equal(model[0].params["kernel"], kernel)
    assert (model["dense_1"].params["kernel"] != dense).any()


def test_evaluate_weights_batches_by_their_size():
    """A last batch of 3 counts 3, not as much as one of 5; dropout is off."""
    x, y = data(23)
    model = compiled()
    y_pred = model.predict(x, batch_size=5)
    np.testing.assert_allclose(y_pred, model.forward(x), rtol=1e-5)
    loss, accuracy = model.evaluate(x, y, batch_size=5)
    assert loss == pytest.approx(float(np.mean(-np.log(y_pred[np.arange(23), y]))), rel=1e-5)
    assert accuracy == pytest.approx(float(np.mean(y_pred.argmax(axis=1) == y)))
    assert model.evaluate(x, y, return_dict=True) == pytest.approx({"loss": loss, "accuracy": accuracy})
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert model.evaluate(x, y) == pytest.approx(loss)


def test_one_hot_labels_and_regression():
    """The other losses, through `fit`."""
    x, y = data()
    model = small()
    model.compile("adam", "categorical_crossentropy", ["accuracy"])
    history = model.fit(x, np.eye(5)[y], epochs=2, validation_split=0.3, verbose=0)
    assert len(history.history["val_accuracy"]) == 2
    model = Sequential([Flatten(), Dense(3)], seed=0)
    model.compile("adam", "mse")
    model.fit(x, np.random.default_rng(0).random((23, 3)), epochs=2, verbose=0)
    assert model.input_shape == (7, 6, 2)
    assert model.predict(x).shape == (23, 3)


def test_images_are_converted_to_the_models_dtype():
    """float64 images are what NumPy gives by default; integers are a mistake, and the message says which."""
    x, y = data(dtype=np.float64)
    model = compiled()
    assert model.predict(x).dtype == np.float32
    with pytest.raises(
        ValueError, match=r"x: expected an array of floats .*, received an array of uint8; .*scale_images"
    ):
        model.fit((x * 255).astype(np.uint8), y, verbose=0)


class Recorder(Callback):
    """Notes every event; stops after a number of batches."""

    def __init__(self, stop_after=None):
        self.events = []
        self.stop_after = stop_after

    def on_train_begin(self):
        self.events.append("train begin")

    def on_epoch_begin(self, epoch):
        self.events.append(f"epoch {epoch} begin")

    def on_batch_end(self, batch, logs):
        self.events.append(f"batch {batch}, {logs['samples']} samples")
        self.model.stop_training = len(self.events) - 2 == self.stop_after

    def on_epoch_end(self, epoch, logs):
        self.events.append(f"epoch {epoch} end: {sorted(logs)}")

    def on_train_end(self):
        self.events.append("train end")


def test_callbacks_see_every_event():
    """In their order, with means and counts."""
    recorder = Recorder()
    compiled().fit(*data(7), batch_size=3, callbacks=[recorder], validation_data=data(3), verbose=0)
    assert recorder.events == [
        "train begin",
        "epoch 0 begin",
        "batch 0, 3 samples",
        "batch 1, 6 samples",
        "batch 2, 7 samples",
        "epoch 0 end: ['accuracy', 'loss', 'val_accuracy', 'val_loss']",
        "train end",
    ]
    expected = {"epochs": 1, "steps": 3, "samples": 7, "batch_size": 3, "metrics": None}
    assert recorder.params == expected


@pytest.mark.parametrize(("stop_after", "epochs"), [(1, []), (2, []), (3, [0])])
def test_stop_training(stop_after, epochs):
    """After the batch in hand; an epoch that was not finished is not in the history."""
    model, recorder = compiled(), Recorder(stop_after)
    history = model.fit(*data(7), batch_size=3, epochs=4, callbacks=[recorder], verbose=0)
    assert history.epoch == epochs
    assert (model.steps_trained, model.epochs_trained) == (stop_after, len(epochs))
    assert recorder.events[-1] == "train end"


def test_names_indexing_and_repr():
    """By number, slice and name; numbers count within a class."""
    model = Sequential([Dense(3), Dense(4, name="top")], seed=1, input_shape=(5,))
    assert [layer.name for layer in model] == ["dense_1", "top"]
    assert model["top"] is model[-1] is model[1:][0]
    assert len(model) == 2
    assert eval(repr(model)).get_config() == model.get_config()
    with pytest.raises(ValueError, match=r"layer: expected one of 'dense_1', 'top', received 'dense_2'"):
        model["dense_2"]


def test_get_and_set_weights():
    """In Keras' order: parameters, then moving averages, layer by layer; copies, not views."""
    one, other = small(seed=1), small(seed=2)
    assert [name for name, _ in one.named_weights()] == [
        *("conv2d_1/kernel", "conv2d_1/bias"),
        *("batch_normalization_1/gamma", "batch_normalization_1/beta"),
        *("batch_normalization_1/moving_mean", "batch_normalization_1/moving_variance"),
        *("dense_1/kernel", "dense_1/bias"),
    ]
    assert [w.shape for w in one.get_weights()] == [(2, 2, 2, 3), (3,), (3,), (3,), (3,), (3,), (18, 5), (5,)]
    other.set_weights(one.get_weights())
    np.testing.assert_array_equal(one.parameters, other.parameters)
    one.get_weights()[0][...] = 0
    assert one[0].params["kernel"].any()
    weights = one.get_weights()
    before = other.parameters.copy()
    with pytest.raises(ValueError, match="weights: expected 8 arrays, received 7"):
        other.set_weights(weights[:7])
    weights[6] = weights[6].T
    weights[0] = weights[0] + 1
    with pytest.raises(
        ValueError, match=r"weights: dense_1/kernel: expected shape \(18, 5\), received \(5, 18\)"
    ):
        other.set_weights(weights)
    np.testing.assert_array_equal(other.parameters, before)


def _used_twice():
    dense = Dense(3)
    return Sequential([dense, dense])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: small().fit(*data()), r"call model\.compile\(optimizer, loss\) first"),
        (lambda: small().evaluate(*data()), "call model.compile"),
        (lambda: small().train_on_batch(*data()), "call model.compile"),
        (lambda: Sequential([Dense(3)]).summary(), r"call model\.build\(input_shape\) before summary"),
        (lambda: Sequential([]).build((3,)), "expected at least one layer, received none"),
        (lambda: Sequential([Dense]), r"layer: expected a tinycnn.layers.Layer, received <class"),
        (lambda: small().add(Conv2D(3, 2)), r"conv2d_2: input_shape \(H, W, C\): expected shape"),
        (lambda: Sequential([Dense(3, name="a"), Dense(4, name="a")]), "expected one that is not taken.*'a'"),
        (_used_twice, "dense_1: expected a layer that is not in this model"),
        (lambda: Sequential([Conv2D(3, 5)], input_shape=(4, 9, 1)), "conv2d_1: height: .* at least 5"),
        (
            lambda: Sequential([Conv2D(3, 2)], input_shape=(4, 0, 1)),
            "input_shape: expected .* >= 1, received 0",
        ),
        (lambda: Dense(3, name=5), "name: expected a non-empty string, received 5"),
        (lambda: Sequential([Dense(3)], name=""), "name: expected a non-empty string, received ''"),
        (lambda: Sequential([Dense(3)], seed=-1), "seed: expected a whole number >= 0, received -1"),
        (
            lambda: Sequential([Dense(3)], dtype="float16"),
            "dtype: expected float32 or float64, received 'float16'",
        ),
        (lambda: small().build((7, 7, 2)), r"input_shape: expected shape \(7, 6, 2\), received \(7, 7, 2\)"),
        (lambda: small().predict(data()[0][0]), r"x: expected shape \(None, 7, 6, 2\), received \(7, 6, 2\)"),
        (lambda: compiled().fit(data()[0], data()[1][:5]), r"y: expected labels for 23 images.*\(5,\)"),
        (lambda: compiled().fit(data()[0][:0], data()[1][:0]), "x: expected at least one image"),
        (
            lambda: compiled().fit(*data(), batch_size=0),
            "batch_size: expected a whole number >= 1, received 0",
        ),
        (lambda: compiled().fit(*data(), epochs=-1), "epochs: expected a whole number >= 0, received -1"),
        (lambda: compiled().fit(*data(), epochs=1.5), "epochs: expected a whole number"),
        (lambda: compiled().fit(*data(), validation_split=1), r"validation_split: .*\[0, 1\), received 1"),
        (lambda: compiled().fit(*data(), validation_split=0.01), "at least one image on each side"),
        (lambda: compiled().fit(*data(), validation_split=0.1, validation_data=data()), "received both"),
        (
            lambda: compiled().fit(*data(), validation_data=endless()),
            r"validation_data: expected a tuple .* or validation_steps",
        ),
        (
            lambda: compiled().fit(*data(), validation_data=(*data(), 1)),
            "validation_data: sample_weight: ",
        ),
        (lambda: compiled().fit(*data(), verbose=3), 'verbose: expected "auto", 0, 1 or 2, received 3'),
        (lambda: compiled().fit(*data(), shuffle="batch"), "shuffle: expected True or False"),
        (
            lambda: small().compile("adam", "mse", ["auc"]),
            "metric: expected one of 'accuracy', .*received 'auc'",
        ),
        (lambda: small().backward(np.zeros((2, 5), np.float32)), "before backward"),
    ],
)
def test_errors(call, message):
    """Name, expected, received."""
    with pytest.raises(ValueError, match=message):
        call()
