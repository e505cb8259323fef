"""Steps whose loss or gradients are NaN or infinite: what is named, what is left out, what goes on."""

import math
import pickle
import re
import warnings
from itertools import pairwise

import numpy as np
import pytest

from tests.networks import assert_same_weights as same
from tests.networks import dense_only as network
from tests.networks import dense_only_data as data
from tests.networks import small, small_data
from tinycnn import Sequential
from tinycnn.layers import BatchNormalization, Dense, Flatten
from tinycnn.losses import Loss, MeanSquaredError
from tinycnn.optimizers import SGD, Adam
from tinycnn.optimizers.schedules import OneCycle
from tinycnn.regularizers import L2
from tinycnn.support import processes
from tinycnn.support.processes import OneProcess
from tinycnn.training import (
    Callback,
    LambdaCallback,
    ModelCheckpoint,
    NonFiniteError,
    RecoverFromNaN,
    TerminateOnNaN,
    WeightAverage,
    checkpoint,
    culprit,
)
from tinycnn.training.batches import split
from tinycnn.training.sources import Batch

pytestmark = [
    pytest.mark.smoke,
    # NumPy's own words about NaN and overflow, which are planted here
    pytest.mark.filterwarnings("ignore:(invalid value|overflow|divide by zero):RuntimeWarning"),
]


@pytest.fixture(autouse=True)
def no_compiled_average(monkeypatch):
    """Averages of weights are moved by NumPy, so that nothing is compiled."""
    monkeypatch.setattr("tinycnn.training.averaging.obstacle", lambda: "a test")


X, Y = data()  # 50 images: 5 batches of 11, of which the last has 6
BATCHES = {"batch_size": 11, "verbose": 0}


def regression(dtype="float32", optimizer="sgd", loss="mse", **first):
    """Return a compiled network of two dense layers with one output."""
    layers = [Flatten(), Dense(4, activation="tanh", **first), Dense(1)]
    model = Sequential(layers, seed=2, input_shape=(4, 5, 1), dtype=dtype)
    model.compile(optimizer, loss)
    return model


def everything(model):
    """Return all arrays that a step changes, as copies."""
    slots = model.optimizer.slots
    return [*(a.copy() for _, a in model.named_weights()), *(slots[name].copy() for name in slots)]


def assert_equal(arrays, others):
    for array, other in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(array, other)


def refused(model, x, y, **arguments):
    """Return the error of a run, after a look at what it leaves: the state before its step."""
    before = []
    keep = LambdaCallback(on_batch_begin=lambda batch: before.append(everything(model)))
    callbacks = [keep, *arguments.pop("callbacks", [])]
    with pytest.raises(NonFiniteError) as caught:
        model.fit(x, y, **BATCHES | arguments, callbacks=callbacks)
    assert_equal(everything(model), before[-1])
    assert model.steps_trained == caught.value.problem.step
    assert isinstance(caught.value, FloatingPointError)
    return caught.value


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("image", [0, 27, 49])
def test_an_image(image, value, dtype):
    """In the first, a middle and the last batch of the second epoch."""
    model = regression(dtype, "adam")
    model.fit(X, Y, **BATCHES)
    x = X.astype(dtype)
    x[image, 2, 3] = value
    error = refused(model, x, Y, shuffle=False)
    batch = image // 11
    assert (error.problem.epoch, error.problem.batch, error.problem.step) == (1, batch, 5 + batch)
    place = rf"at batch {batch + 1} of epoch 2 \(step {6 + batch}\)"
    assert re.match(
        rf"the loss is (nan|inf) {place}: x\[{image}\] is not finite in {dtype}; the step was not taken, so "
        "the weights are finite; there is no checkpoint; mend the data, lower",
        str(error),
    ) or re.match(rf"the loss is \S+, but its gradients are not finite, {place}: x\[{image}\]", str(error))
    assert np.isfinite(model.parameters).all()


def test_the_number_of_an_image_is_that_of_the_array_given():
    """Also where some are held out, and shuffled."""
    rows, _ = split(Y, 0.3, network().seed)
    image = int(rows[20])
    assert image != 20
    x = X.copy()
    x[image] = np.nan
    error = refused(network(), x, Y, validation_split=0.3)
    assert error.problem.where == f"x[{image}] is not finite in float32"
    x = X.copy()
    x[[3, 9, 30, 31, 48]] = np.nan
    error = refused(network(), x, Y, batch_size=50, shuffle=False)
    assert error.problem.where == "x[3], x[9], x[30] and 2 more are not finite in float32"


def test_an_image_of_a_batch():
    """The batches of an iterable have no other names."""
    x = X.copy()
    x[[14, 15]] = np.inf
    batches = [(x[:11], Y[:11]), (x[11:22], Y[11:22])]
    error = refused(network(), batches, None, batch_size=None)
    assert error.problem.where == "x[3] of the batch and x[4] of the batch are not finite in float32"


def test_an_image_that_augmentation_ruins():
    """It is called once for each batch, also for this one."""
    calls = []

    def augment(images, seed, epoch, samples, step):
        calls.append(step)
        images = images.copy()
        images[samples == 17] = np.nan
        return images

    error = refused(network(), X, Y, augment=augment, shuffle=False)
    assert error.problem.where == "x[17] is not finite in float32 after augmentation"
    assert calls == [0, 1]


def test_a_label():
    """Of a regression; one whose weight is 0 does not count."""
    y = np.linspace(0, 1, 50)
    y[[29, 31]] = np.nan, np.inf
    error = refused(regression(), X, y, shuffle=False)
    assert error.problem.where == "y[29] and y[31] are not finite"
    weights = np.ones(50)
    weights[29] = 0
    error = refused(regression("float64"), X, y, shuffle=False, sample_weight=weights)
    assert error.problem.where == "y[31] is not finite"
    weights[31] = 0
    history = regression().fit(X, y, sample_weight=weights, **BATCHES)
    assert np.isfinite(history.history["loss"]).all()


def test_a_sample_weight():
    """Finite, as it must be, but not in the dtype of the model."""
    weights = np.ones(50)
    weights[45] = 1e39
    error = refused(regression(), X, Y, sample_weight=weights, shuffle=False)
    assert error.problem.where == "sample_weight[45] is not finite in float32"
    assert error.problem.batch == 4


def test_the_weights_of_a_layer():
    """A callback ruins them in the second epoch: the batch after that names them."""
    model = network()

    def ruin(batch, logs):
        if model.steps_trained == 7:
            model["dense_2"].bias[1] = np.inf

    ruining = LambdaCallback(on_batch_end=ruin)
    error = refused(model, X, Y, epochs=3, callbacks=[ruining])
    assert error.problem.where == "dense_2/bias is not finite"
    assert (error.problem.step, error.problem.weights_are_finite) == (7, False)
    assert "the weights are no longer finite" in str(error)


def test_the_output_of_a_layer():
    """The first one of the forward pass, not those above it."""
    model = regression()
    model["dense_1"].activation = "linear"
    model["dense_1"].kernel = np.full((20, 4), 1e36, np.float32)
    x = X * np.float32(1e-36)
    x[[40, 42]] = 100 * X[[40, 42]]
    error = refused(model, x, Y, shuffle=False)
    assert error.problem.batch == 3
    reach = float(np.abs(x[33:44]).max())
    assert error.problem.where == (
        "the output of dense_1 is the first that is not finite in the forward pass, for x[40] and x[42]; "
        f"its inputs reach {reach:.3g}"
    )


def test_moving_averages_stay():
    """Those of a layer below the overflow have seen the batch, and forget it."""
    model = Sequential([Flatten(), BatchNormalization(), Dense(1)], seed=2, input_shape=(4, 5, 1))
    model.compile(SGD(1e-3), "mse")
    y = np.zeros(50)
    y[30] = np.nan
    averages = []
    watch = LambdaCallback(
        on_batch_end=lambda batch, logs: averages.append(model[1].state["moving_mean"].copy())
    )
    with pytest.warns(UserWarning, match=r"y\[30\] is not finite"):
        model.fit(X, y, callbacks=[RecoverFromNaN(), watch], shuffle=False, **BATCHES)
    same_as_before = [np.array_equal(a, b) for a, b in pairwise(averages)]
    assert same_as_before == [False, True, False, False]


def test_the_loss_of_finite_outputs():
    """In float64, in which losses are computed anyway."""
    model = regression("float64")
    model["dense_2"].kernel = np.full((4, 1), 1e200)
    error = refused(model, X.astype(np.float64), Y)
    assert re.fullmatch(
        r"the loss, meansquarederror, of outputs that reach \S+e\+200 is the first that is not finite",
        error.problem.where.replace("mean_squared_error", "meansquarederror"),
    )


class Steep(Loss):
    """A finite loss with an infinite gradient."""

    name = "steep"

    def __call__(self, y_true, y_pred, sample_weight=None):
        return 0.25

    def gradient(self, y_true, y_pred, sample_weight=None):
        return np.full_like(y_pred, np.inf)


def test_the_gradient_of_the_loss():
    error = refused(regression(loss=Steep()), X, Y)
    assert error.problem.where == (
        "the gradient of the loss, steep, by the outputs is the first that is not finite"
    )
    assert str(error).startswith("the loss is 0.25, but its gradients are not finite, at batch 1 of epoch 1")


def test_the_gradients_of_a_layer():
    """A finite loss; the first of the backward pass, not those below it."""
    model = regression()
    model["dense_2"].kernel = np.full((4, 1), 1e25, np.float32)
    model["dense_1"].kernel = np.zeros((20, 4), np.float32)  # so the outputs are small
    x = X * np.float32(1e15)
    error = refused(model, x, Y, shuffle=False)
    assert math.isfinite(error.problem.loss)
    assert re.fullmatch(
        "the gradient of dense_1/kernel is the first that is not finite in the backward pass; those above it "
        r"reach \S+",
        error.problem.where,
    )


def test_the_gradient_that_a_layer_passes_down():
    """Its own gradients are finite."""
    model = regression()
    model["dense_2"].kernel = np.full((4, 1), 3e38, np.float32)
    model["dense_1"].kernel = np.zeros((20, 4), np.float32)
    error = refused(model, X, np.full(50, -30.0), shuffle=False)
    assert error.problem.where.startswith("the gradient by the inputs of dense_2 is the first")


@pytest.mark.parametrize("rate", [3e38, 1e5])
def test_a_penalty(rate):
    """Its value, or its gradient, which is added to those of the loss."""
    model = regression(kernel_regularizer=L2(rate))
    model[1].kernel = np.full((20, 4), 1.5, np.float32) if rate > 1e6 else np.full((20, 4), 1e200)
    if rate < 1e6:
        model = regression("float64", kernel_regularizer=L2(rate))
        model[1].kernel = np.full((20, 4), 1e200)
    error = refused(model, X, Y)
    what = "the gradient of the penalty" if rate > 1e6 else "the penalty"
    assert error.problem.where.startswith(f"{what} of dense_1/kernel is")


def test_large_gradients_are_finite():
    """Their squares overflow, the gradients do not: the step is taken."""
    model = regression(optimizer=SGD(1e-35))
    model.fit(X, Y * 1e25, **BATCHES)
    assert np.abs(model.gradients).max() > 1e20
    assert model.optimizer.iterations == 5


def test_the_gradients_of_frozen_layers_do_not_count():
    """They are not applied."""
    model = regression()
    model["dense_1"].trainable = False
    model["dense_1"].grads["kernel"][...] = np.nan
    model.fit(X, Y, **BATCHES)
    model["dense_1"].grads["kernel"][...] = np.nan
    assert model.optimizer.iterations == 5
    model["dense_1"].trainable = True
    model["dense_2"].trainable = False
    model.fit(X, Y, **BATCHES)
    assert np.isfinite(model.gradients).all()


def test_a_convolution():
    """In a network of every kind of layer; the search leaves the gradients as they are."""
    model = small()
    model.compile("adam")
    x, y = small_data()
    model["conv2d_1"].kernel = np.full((2, 2, 2, 3), 10, np.float32)
    x[5] = 1e38
    seen = []
    keep = LambdaCallback(on_nonfinite=lambda batch, problem: seen.append(model.gradients.copy()))
    error = refused(model, x, y, callbacks=[keep], shuffle=False)
    assert error.problem.where.startswith(
        "the output of conv2d_1 is the first that is not finite in the forward pass, for x[5]; its inputs"
    )
    np.testing.assert_array_equal(seen[0], model.gradients)
    assert not np.isfinite(seen[0]).all()


def test_weights_that_overflow_in_the_last_step():
    """No step follows that would find it, so the end of the epoch does; a shorter run goes well."""
    model = regression()
    rates = LambdaCallback(
        on_batch_begin=lambda batch: setattr(model.optimizer, "learning_rate", 1e35 if batch == 4 else 1e-3)
    )
    validated = []
    watch = LambdaCallback(on_test_begin=lambda: validated.append(1))
    with pytest.raises(NonFiniteError) as caught:
        model.fit(X, Y * 1e4, callbacks=[rates, watch], validation_data=(X, Y), **BATCHES)
    error = caught.value
    assert (error.problem.batch, error.problem.step, validated) == (4, 4, [])
    assert re.match(
        r"the loss is \S+, but the weights are not finite, at batch 5 of epoch 1 \(step 5\): "
        r"dense_\d/kernel is not finite; the weights are no longer finite",
        str(error),
    )


def test_the_last_good_checkpoint(tmp_path, monkeypatch):
    """That of `fit`, after its last step that was saved; or of a ModelCheckpoint, if that is newer."""
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    x = X.copy()
    x[30] = np.nan
    error = refused(network(), x, Y, shuffle=False, checkpoint=tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.npz"
    assert f"; the last good checkpoint is {path}, after step 2; " in str(error)
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 60.0)
    error = refused(network(), x, Y, shuffle=False, checkpoint=tmp_path / "other")
    assert f"{tmp_path / 'other' / 'checkpoint.npz'}, after step 0" in str(error)
    saver = ModelCheckpoint(tmp_path / "{batch}.npz", save_freq=2)
    error = refused(network(), x, Y, shuffle=False, checkpoint=tmp_path / "third", callbacks=[saver])
    assert f"the last good checkpoint is {tmp_path / '2.npz'}, after step 2" in str(error)


def test_an_error_can_be_sent():
    """To another process, as a pool of them does."""
    x = X.copy()
    x[0] = np.nan
    error = refused(network(), x, Y)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_search_that_fails_hides_nothing(monkeypatch):
    """Layer by layer takes more memory than a step does."""

    def forward(self, x, training):
        raise MemoryError("too little")

    def gradients(model, x, y, weights):
        model.gradients[...] = np.nan
        monkeypatch.setattr(Dense, "forward", forward)
        return [0.5, 0.0]

    monkeypatch.setattr(Sequential, "compute_gradients", gradients)
    with pytest.raises(NonFiniteError, match=r"where could not be found out \(MemoryError: too little\)"):
        network().fit(X, Y, **BATCHES)


def test_validation():
    """Is reported and warned of, not an error."""
    x = X.copy()
    x[3] = np.nan
    with pytest.warns(UserWarning, match="the val_loss is nan after epoch 1; look for validation images"):
        history = network().fit(X, Y, validation_data=(x, Y), **BATCHES)
    assert math.isnan(history.history["val_loss"][0])


def test_without_fit():
    """`train_on_batch` takes the step, as in Keras; its caller sees the loss."""
    model = network()
    assert math.isnan(model.train_on_batch(np.full_like(X, np.nan), Y)[0])
    assert model.steps_trained == 1


class Log(Callback):
    """Keeps the state after each batch, and the logs."""

    def __init__(self):
        self.states, self.logs, self.steps = [], [], []

    def on_batch_end(self, batch, logs):
        self.states.append(everything(self.model))
        self.logs.append(logs)
        self.steps.append((self.model.optimizer.iterations, self.model.steps_trained))


@pytest.mark.parametrize("image", [0, 27, 49])
def test_skip(image):
    """The step is left out of the weights, the moments and the means; the dropout masks go on."""
    x, log, model = X.copy(), Log(), network()
    x[image] = np.nan
    batch = image // 11
    start = everything(model)
    with pytest.warns(UserWarning, match=rf"x\[{image}\] .* the batch is left out; 1 in a row of at most 10"):
        model.fit(x, Y, callbacks=[RecoverFromNaN(), log], shuffle=False, **BATCHES)
    iterations = [i - (i > batch) for i in range(1, 6)]
    assert log.steps == list(zip(iterations, range(1, 6), strict=True))
    if batch:
        assert_equal(log.states[batch], log.states[batch - 1])
    else:
        for array, first in zip(log.states[0], start, strict=False):
            np.testing.assert_array_equal(array, first)
    samples = 50 - (6 if batch == 4 else 11)
    assert log.logs[-1]["samples"] == samples
    losses = model.history.history["loss"]
    assert np.isfinite(losses).all()
    twin = network()
    total = 0.0
    for i in range(5):
        rows = slice(11 * i, 11 * i + 11)
        if i == batch:
            twin.steps_trained += 1
        else:
            total += twin.train_on_batch(X[rows], Y[rows])[0] * len(X[rows])
    same(model, twin)
    assert losses[0] == pytest.approx(total / samples, rel=1e-12)


def counts(recover, images, **arguments):
    """Return the counts in the warnings of a run, and whether it ended with an error."""
    x = X.copy()
    x[images] = np.nan
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", UserWarning)
        try:
            network().fit(x, Y, callbacks=[recover], shuffle=False, **BATCHES | arguments)
            refused = False
        except NonFiniteError:
            refused = True
    texts = [str(w.message) for w in warned if w.category is UserWarning]
    return [int(re.search(r"(\d+) (in a row )?of at most", text)[1]) for text in texts], refused


def test_most_in_a_row():
    """Good steps between begin the count again."""
    assert counts(RecoverFromNaN(most=2), [0, 11, 33], epochs=3) == ([1, 2, 1] * 3, False)
    assert counts(RecoverFromNaN(most=1), [0, 11, 33]) == ([1], True)
    assert counts(RecoverFromNaN(most=2), [0, 11, 44], epochs=2) == ([1, 2, 1, 2], True)


def test_most_without_a_good_epoch():
    """Each of these steps undoes the ones before it, so good steps between do not count."""
    lower = "lower_rate"
    assert counts(RecoverFromNaN(lower, most=6), [0, 22, 44], epochs=2) == ([1, 2, 3, 4, 5, 6], False)
    assert counts(RecoverFromNaN(lower, most=5), [0, 22, 44], epochs=2) == ([1, 2, 3, 4, 5], True)
    assert counts(RecoverFromNaN(lower, most=2), [0, 22, 44]) == ([1, 2], True)


def test_a_good_epoch_begins_the_count_again():
    """Only the first and the third epoch have such a step."""

    def augment(images, seed, epoch, samples, step):
        return images * np.float32(np.nan if epoch != 1 and 27 in samples else 1)

    recover = RecoverFromNaN("lower_rate", most=1)
    assert counts(recover, [], epochs=3, augment=augment) == ([1, 1], False)
    assert counts(RecoverFromNaN("lower_rate", most=1), [27], epochs=2) == ([1], True)


def test_where_lower_rate_goes_back_to():
    """The last epoch from whose beginning a step was finite."""

    def augment(images, seed, epoch, samples, step):
        return images * np.float32(np.nan if epoch == 2 and 0 in samples else 1)

    model, log = network(), Log()
    starts = []
    keep = LambdaCallback(on_epoch_begin=lambda epoch: starts.append(everything(model)))
    with pytest.warns(UserWarning, match="the weights are those after step 5 again"):
        model.fit(
            X,
            Y,
            epochs=3,
            augment=augment,
            callbacks=[RecoverFromNaN("lower_rate"), log, keep],
            shuffle=False,
            **BATCHES,
        )
    assert_equal(log.states[10], starts[1])
    assert log.steps[10] == (5, 11)


def test_skipping_does_not_help_weights_that_are_not_finite():
    model = network()
    model["dense_1"].kernel[2, 3] = np.nan
    with pytest.raises(
        NonFiniteError, match="dense_1/kernel is not finite; the weights are no longer finite"
    ):
        model.fit(X, Y, callbacks=[RecoverFromNaN()], **BATCHES)
    with pytest.raises(NonFiniteError, match="dense_1/kernel is not finite"):
        model.fit(X, Y, callbacks=[RecoverFromNaN("lower_rate")], **BATCHES)


def test_lower_rate():
    """Weights and moments of the epoch's beginning, a lower rate, the next batch."""
    x, log, model = X.copy(), Log(), network(Adam(0.01))
    model.fit(X, Y, **BATCHES)
    x[27] = np.nan
    start = everything(model)
    recover = RecoverFromNaN("lower_rate", factor=0.25)
    with pytest.warns(
        UserWarning,
        match="after step 5 again, with a learning rate of 0.0025 instead of 0.01; 1 of at most 10",
    ):
        model.fit(x, Y, callbacks=[recover, log], shuffle=False, **BATCHES)
    assert_equal(log.states[2], start)
    assert log.steps == [(6, 6), (7, 7), (5, 8), (6, 9), (7, 10)]
    assert model.optimizer.rate == 0.0025
    assert log.logs[-1]["samples"] == 39
    assert np.isfinite(model.history.history["loss"]).all()


def test_lower_rate_ends_a_divergence():
    """A rate of which the weights overflow falls until they do not, also in the last step of an epoch."""
    for size in (11, 50):
        model = regression(optimizer=SGD(1e38))
        with pytest.warns(UserWarning, match="a learning rate of"):
            model.fit(
                X,
                Y,
                batch_size=size,
                epochs=4,
                callbacks=[RecoverFromNaN("lower_rate", factor=1e-40), WeightAverage(0.5)],
                validation_data=(X, Y),
                verbose=0,
            )
        assert model.history.history["loss"][-1] < 5
        assert model.history.history["val_loss"][-1] < 5
        assert np.isfinite(model.parameters).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"action": "stop"}, "action: expected one of 'lower_rate', 'skip', received 'stop'"),
        ({"factor": 1}, r"factor: expected a number in \[5e-324, 1\), received 1"),
        ({"most": 0}, "most: expected a whole number >= 1, received 0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RecoverFromNaN(**arguments)


def test_a_schedule_cannot_be_lowered():
    """Before the first epoch; it does not hinder skipping."""
    model = network(SGD(OneCycle(0.1, 10)))
    with pytest.raises(ValueError, match="learning_rate: expected a number, since a callback changes it"):
        model.fit(X, Y, callbacks=[RecoverFromNaN("lower_rate")], **BATCHES)
    model.fit(X, Y, callbacks=[RecoverFromNaN()], **BATCHES)


def test_the_moving_average_of_weights():
    """A step that is left out changes no average; after going back it begins anew."""
    x = X.copy()
    x[27] = np.nan
    seen = []

    class Watch(Callback):
        def on_batch_end(self, batch, logs):
            seen.append((average.updates, [a.copy() for a in average.averages]))

    average = WeightAverage(0.9)
    with pytest.warns(UserWarning, match="left out"):
        network().fit(x, Y, callbacks=[average, RecoverFromNaN(), Watch()], shuffle=False, **BATCHES)
    assert [updates for updates, _ in seen] == [1, 2, 2, 3, 4]
    assert_equal(seen[1][1], seen[2][1])
    seen.clear()
    average, model = WeightAverage(0.9), network()
    start = [a.copy() for a in (model.parameters, *model[2].state.values())]
    with pytest.warns(UserWarning, match="instead of"):
        model.fit(x, Y, callbacks=[average, RecoverFromNaN("lower_rate"), Watch()], shuffle=False, **BATCHES)
    assert [updates for updates, _ in seen] == [1, 2, 0, 1, 2]
    assert_equal(seen[2][1], start)


class Kill(Callback):
    """Fails as a process that is killed, after a step that is in the checkpoint."""

    def __init__(self, step, monkeypatch):
        self.step, self.monkeypatch = step, monkeypatch

    def on_batch_end(self, batch, logs):
        if self.model.steps_trained == self.step:
            self.monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)

    def on_batch_begin(self, batch, logs=None):
        if self.model.steps_trained == self.step:
            self.monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 60.0)
            raise KeyboardInterrupt


@pytest.mark.parametrize("action", ["skip", "lower_rate"])
def test_a_killed_run_ends_with_the_same_bits(tmp_path, monkeypatch, action):
    """Killed just after a step that is left out: the first one, and one in the second epoch."""

    def augment(images, seed, epoch, samples, step):
        return images * np.float32(np.nan if 27 in samples or (epoch == 0 and 0 in samples) else 1)

    def run(folder, step=-1):
        recover, average = RecoverFromNaN(action, most=4), WeightAverage(0.8)
        model, callbacks = network(Adam(0.02)), [recover, average, Kill(step, monkeypatch)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(
                X,
                Y,
                epochs=2,
                augment=augment,
                callbacks=callbacks,
                checkpoint=tmp_path / folder,
                shuffle=False,
                **BATCHES,
            )
        return model, recover, average

    whole, *callbacks = run("whole")
    for step in (1, 8):
        folder = f"run {step}"
        with pytest.raises(KeyboardInterrupt):
            run(folder, step)
        model, *twins = run(folder)
        same(model, whole)
        assert model.optimizer.rate == whole.optimizer.rate
        assert model.optimizer.iterations == whole.optimizer.iterations
        assert model.history.history == whole.history.history
        for name, slot in whole.optimizer.slots.items():
            np.testing.assert_array_equal(model.optimizer.slots[name], slot)
        for callback, twin in zip(callbacks, twins, strict=True):
            assert list(callback.get_state()) == list(twin.get_state())
            assert_equal(list(callback.get_state().values()), list(twin.get_state().values()))


class Half(OneProcess):
    """One of two processes, which has the first half of each batch; the sums of both are given."""

    alone = False

    def __init__(self, main):
        self.main = main

    def gradients(self, model, batch, images):
        half = len(batch.x) // 2
        part = Batch(*(array[:half] if array is not None else None for array in batch))
        values = model.compute_gradients(images(part), part.y)
        if np.isnan(batch.x).any():
            model.gradients[...] = values[0] = np.nan
        return values


@pytest.mark.parametrize("main", [True, False])
def test_a_part_of_a_batch(tmp_path, main):
    """Each process names the image, also one of another's part; one of them warns; all decide alike."""
    x = X.copy()
    x[[10, 21]] = np.nan
    model, asked = network(), []
    writer = LambdaCallback(on_nonfinite=lambda batch, problem: True)
    writer.main_only = True
    watch = LambdaCallback(on_nonfinite=lambda batch, problem: asked.append(problem))
    watch.priority = 0
    folder = tmp_path / "run"
    token = processes.enter(Half(main))
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", UserWarning)
            with pytest.raises(NonFiniteError, match="batch 2"):
                model.fit(
                    x,
                    Y,
                    augment=lambda images, *_: images + np.float32(1),
                    callbacks=[writer, RecoverFromNaN(most=1), watch],
                    checkpoint=folder,
                    shuffle=False,
                    **BATCHES,
                )
    finally:
        processes.leave(token)
    assert [problem.where for problem in asked] == [f"x[{i}] is not finite in float32" for i in (10, 21)]
    assert len([w for w in warned if w.category is UserWarning]) == main
    assert isinstance(processes.current(), OneProcess)
    place = f"{folder / 'checkpoint.npz'}, after step 0" if main else f"in {folder}"
    assert asked[0].checkpoint == f"the last good checkpoint is {place}"


class Other(OneProcess):
    """A process whose gradients are not finite, without a cause in its batch."""

    alone = False

    def gradients(self, model, batch, images):
        model.gradients[...] = np.nan
        return [0.5, 0.0]

    def total(self, sums):
        raise AssertionError("the search talks to other processes")


def test_a_search_changes_nothing():
    """It goes through all layers alone, finds nothing, and leaves gradients and moving averages."""
    model = network()
    token = processes.enter(Other())
    try:
        error = refused(model, X, Y)
    finally:
        processes.leave(token)
    assert error.problem.where == culprit.UNKNOWN
    assert np.isnan(model.gradients).all()
    assert not model[2].state["moving_mean"].any()


def test_the_first_callback_that_handles_a_step_decides():
    """In the order of priorities: first recover, then, when that has had enough, end the run."""
    x = X.copy()
    x[[0, 11]] = np.nan
    asked = []
    last = LambdaCallback(on_nonfinite=lambda batch, problem: asked.append((batch, problem.step)))
    last.priority = 3
    first = LambdaCallback(on_nonfinite=lambda batch, problem: asked.append(problem.where))
    first.priority = 0
    callbacks = [last, TerminateOnNaN(), RecoverFromNaN(most=1), first]
    model = network()
    with pytest.warns(UserWarning, match="the loss is nan at batch"):
        model.fit(x, Y, callbacks=callbacks, shuffle=False, **BATCHES)
    assert asked == [f"x[{image}] is not finite in float32" for image in (0, 11)]
    assert (model.epochs_trained, model.history.epoch) == (0, [])


def test_a_callback_of_one_line():
    """True leaves the step out; anything else does not."""
    x = X.copy()
    x[0] = np.nan
    model = network()
    model.fit(x, Y, callbacks=[LambdaCallback(on_nonfinite=lambda batch, problem: True)], **BATCHES)
    assert (model.optimizer.iterations, model.steps_trained) == (4, 5)
    for answer in (None, False, 1):
        with pytest.raises(NonFiniteError):
            model.fit(x, Y, callbacks=[LambdaCallback(on_nonfinite=lambda *_, a=answer: a)], **BATCHES)


def test_a_gradient_alone_ends_the_run_of_terminate_on_nan():
    """Keras' callback looks at the loss; here a finite loss with an infinite gradient counts too."""
    model = regression(loss=Steep())
    before = model.parameters.copy()
    with pytest.warns(UserWarning, match="the loss is 0.25, but its gradients are not finite, at batch 1"):
        model.fit(X, Y, epochs=3, callbacks=[TerminateOnNaN()], **BATCHES)
    np.testing.assert_array_equal(model.parameters, before)
    assert model.epochs_trained == 0
    assert isinstance(MeanSquaredError(), Loss)
