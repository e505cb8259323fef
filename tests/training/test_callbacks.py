"""Callbacks: when they are called, what they change, what they keep."""

import csv
import sys

import numpy as np
import pytest

from tests.networks import assert_same_weights as same
from tests.networks import dense_only as network
from tests.networks import dense_only_data as data
from tinycnn import load_model
from tinycnn.optimizers import SGD
from tinycnn.optimizers.schedules import OneCycle
from tinycnn.training import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
    WeightAverage,
)
from tinycnn.training.monitors import Monitor

X, Y = data()


class Script(Callback):
    """Puts figures of its own into the logs of each epoch, before the callbacks after it see them."""

    def __init__(self, **figures):
        self.figures = figures

    def on_epoch_end(self, epoch, logs):
        logs.update({name: values[epoch] for name, values in self.figures.items()})


class Recorder(Callback):
    """Keeps the order of the events, and the weights after each epoch."""

    def __init__(self):
        self.events, self.weights, self.rates = [], [], []

    def __getattribute__(self, name):
        value = super().__getattribute__(name)
        if not name.startswith("on_"):
            return value
        return lambda *arguments: self.events.append(name) or value(*arguments)

    def on_epoch_end(self, epoch, logs):
        self.weights.append(self.model.get_weights())
        self.rates.append(self.model.optimizer.rate)


def fit(*callbacks, epochs=4, optimizer=None, **arguments):
    model = network(optimizer)
    model.fit(X, Y, batch_size=16, epochs=epochs, callbacks=callbacks, verbose=0, **arguments)
    return model


def test_the_order_of_events():
    """Batches, then the evaluation around the report of the epoch."""
    recorder = Recorder()
    fit(recorder, epochs=2)
    batch = ["on_batch_begin", "on_train_batch_begin", "on_batch_end", "on_train_batch_end"]
    epoch = ["on_epoch_begin", *batch * 4, "on_evaluate_begin", "on_epoch_end", "on_evaluate_end"]
    assert recorder.events == ["on_train_begin", *epoch, *epoch, "on_train_end"]


@pytest.mark.parametrize("shuffle", [True, False])
def test_augment_is_told_what_a_variant_depends_on(shuffle):
    """The seed, the epoch, the numbers of the samples in the training set, the step."""
    calls = []

    def augment(images, seed, epoch, samples, step):
        np.testing.assert_array_equal(images, X[samples])
        calls.append((seed, epoch, step, list(samples)))
        return images

    model = fit(augment=augment, epochs=2, shuffle=shuffle)
    assert [call[:3] for call in calls] == [(model.seed, step // 4, step) for step in range(8)]
    for epoch in (calls[:4], calls[4:]):
        numbers = [sample for call in epoch for sample in call[3]]
        assert sorted(numbers) == list(range(50))
        assert (numbers == sorted(numbers)) is not shuffle


def test_what_augment_returns_is_what_is_trained_on():
    """Blank images teach nothing: the first layer's kernel stays, and not without."""
    blank = fit(augment=lambda images, *rest: np.zeros_like(images), epochs=1)
    np.testing.assert_array_equal(blank.get_weights()[0], network().get_weights()[0])
    assert (fit(epochs=1).get_weights()[0] != network().get_weights()[0]).any()


def test_lambda_callback():
    """Each function gets what the method would."""
    seen = []
    fit(
        LambdaCallback(
            on_train_begin=lambda: seen.append("begin"),
            on_epoch_begin=lambda epoch: seen.append(epoch),
            on_batch_end=lambda batch, logs: seen.append((batch, logs["samples"])),
            on_epoch_end=lambda epoch, logs: seen.append(sorted(logs)),
            on_train_end=lambda: seen.append("end"),
        ),
        epochs=1,
    )
    batches = [(0, 16), (1, 32), (2, 48), (3, 50)]
    assert seen == ["begin", 0, *batches, ["accuracy", "loss"], "end"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_terminate_on_nan(value):
    """After the batch in which it happened, with the state before its epoch; and not before."""
    model, x, before = network(), X.copy(), []
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: before.append(model.parameters.copy()))
    batches = []
    count = LambdaCallback(on_batch_end=lambda batch, logs: batches.append(batch))
    model.fit(X, Y, batch_size=10, callbacks=[keep], verbose=0)
    x[40] = value
    message = r"the loss is (nan|inf) at batch 5 of epoch 2 \(step 10\)"
    callbacks = [TerminateOnNaN(), WeightAverage(), count]
    with np.errstate(all="ignore"), pytest.warns(UserWarning, match=message):
        model.fit(x, Y, batch_size=10, epochs=5, callbacks=callbacks, shuffle=False, verbose=0)
    assert batches == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(model.parameters, before[0])
    assert (model.steps_trained, model.epochs_trained, model.optimizer.iterations) == (5, 1, 5)
    assert all(np.isfinite(slot).all() for slot in model.optimizer.slots.values())
    assert fit(TerminateOnNaN(), epochs=2).epochs_trained == 2


def test_what_is_not_finite_replaces_no_file(tmp_path):
    """Weights that a callback ruins after the last batch of an epoch, before the model would be saved."""
    model = network()
    path = tmp_path / "model.npz"
    model.fit(X, Y, batch_size=10, callbacks=[ModelCheckpoint(path)], verbose=0)
    good = path.read_bytes()

    def ruin(epoch, logs):
        model.parameters[3] = np.nan

    callbacks = [LambdaCallback(on_epoch_end=ruin), ModelCheckpoint(path)]
    with pytest.warns(UserWarning, match="not saved after epoch 2, since weights are not finite"):
        model.fit(X, Y, batch_size=10, callbacks=callbacks, verbose=0)
    assert path.read_bytes() == good


def test_a_diverged_run_goes_on_from_its_last_finite_checkpoint(tmp_path):
    """An image that becomes infinite in epoch 2 ends the run; with the cause mended it ends well."""

    def run(breaks):
        def augment(images, seed, epoch, samples, step):
            images = images.copy()
            images[0, 0] = np.inf if breaks and epoch == 1 and 7 in samples else images[0, 0]
            return images

        model = network()
        model.fit(
            X,
            Y,
            batch_size=10,
            epochs=5,
            callbacks=[TerminateOnNaN()],
            augment=augment,
            checkpoint=tmp_path / "run",
            verbose=0,
        )
        return model

    with np.errstate(all="ignore"), pytest.warns(UserWarning, match="the loss is .* epoch 2"):
        stopped = run(True)
    assert (stopped.epochs_trained, np.isfinite(stopped.parameters).all()) == (1, True)
    resumed = run(False)
    assert (resumed.epochs_trained, len(resumed.history.epoch)) == (5, 5)
    (tmp_path / "run").rename(tmp_path / "old")
    np.testing.assert_array_equal(run(False).parameters, resumed.parameters)


def test_learning_rate_scheduler():
    """It is given the epoch and the rate; a schedule in the optimizer is not overridden."""
    recorder, seen = Recorder(), []
    scheduler = LearningRateScheduler(lambda epoch, rate: seen.append((epoch, rate)) or rate / 2)
    fit(scheduler, recorder, epochs=3, optimizer=SGD(0.8))
    assert seen == [(0, 0.8), (1, 0.4), (2, 0.2)]
    assert recorder.rates == [0.4, 0.2, 0.1]
    with pytest.raises(ValueError, match="learning_rate: expected a number, since a callback changes it"):
        fit(scheduler, optimizer=SGD(OneCycle(0.1, 10)))
    with pytest.raises(ValueError, match=r"learning_rate: expected a number in \[0, inf\), received -1"):
        fit(LearningRateScheduler(lambda epoch, rate: -1))


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (lambda epoch: 0.1 / (epoch + 1), [0.1, 0.05]),
        (lambda epoch, rate: rate / 2, [0.005, 0.0025]),
        (lambda epoch, rate=0.5: rate / 2, [0.005, 0.0025]),
        (lambda *given: given[1] / 2, [0.005, 0.0025]),
    ],
)
def test_a_schedule_may_be_a_function_of_the_epoch_alone(schedule, rates):
    """As in Keras, which passes the rate to a function that takes it."""
    recorder = Recorder()
    fit(LearningRateScheduler(schedule), recorder, epochs=2, optimizer=SGD(0.01))
    assert recorder.rates == rates


@pytest.mark.parametrize("schedule", [lambda: 0.1, lambda epoch, rate, step: 0.1, 0.1])
def test_a_schedule_of_other_arguments_is_refused(schedule):
    """When the callback is made, not in its first epoch."""
    with pytest.raises(ValueError, match=r"schedule: expected a function \(epoch, rate\) or \(epoch\)"):
        LearningRateScheduler(schedule)


def test_csv_logger(tmp_path):
    """A line an epoch, as it ends; a new run begins anew, or adds."""
    path, lines = tmp_path / "log.csv", []
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: lines.append(path.read_text().count("\n")))
    fit(CSVLogger(path), watch, epochs=3, validation_data=(X, Y))
    assert lines == [2, 3, 4]
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    logger = CSVLogger(path)
    fit(logger, epochs=1)
    fit(logger, epochs=1)
    assert path.read_text().count("\n") == 2
    fit(CSVLogger(path, append=True), epochs=2)
    assert [line.split(",")[0] for line in path.read_text().splitlines()] == ["epoch", "1", "1", "2"]


FIGURES = [0.5, 0.3, 0.4, 0.2, 0.6, 0.7, 0.8]


@pytest.mark.parametrize(("patience", "stopped", "best"), [(0, 3, 1), (1, 3, 1), (2, 6, 3), (9, 7, 3)])
def test_early_stopping(patience, stopped, best):
    """It stops after `patience` epochs without improvement, and restores the best weights in every case."""
    recorder, stopping = Recorder(), EarlyStopping("val_loss", patience=patience)
    model = fit(Script(val_loss=FIGURES), stopping, recorder, epochs=7)
    assert (model.epochs_trained, stopping.best_epoch, stopping.best) == (stopped, best, FIGURES[best])
    for weight, kept in zip(model.get_weights(), recorder.weights[best], strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_early_stopping_can_leave_the_last_weights():
    """As Keras does by default."""
    recorder = Recorder()
    stopping = EarlyStopping("val_loss", patience=9, restore_best_weights=False)
    model = fit(Script(val_loss=FIGURES), stopping, recorder, epochs=7)
    np.testing.assert_array_equal(model.get_weights()[0], recorder.weights[-1][0])


@pytest.mark.parametrize(
    ("monitor", "mode", "delta", "figures", "better"),
    [
        ("val_loss", "auto", 0, [2, 1, 1, 0.5], [1, 1, 0, 1]),
        ("loss", "auto", 0, [2, 3], [1, 0]),
        ("val_accuracy", "auto", 0, [0.5, 0.6, 0.6, 0.7], [1, 1, 0, 1]),
        ("val_accuracy", "min", 0, [0.5, 0.6, 0.4], [1, 0, 1]),
        ("distance", "max", 0.25, [1, 1.25, 1.5], [1, 0, 1]),
        ("loss", "auto", 0.25, [1, 0.75, 0.5], [1, 0, 1]),
        ("loss", "auto", 0, [np.nan, 2, np.nan, 1], [0, 1, 0, 1]),
        ("val_mse", "auto", 0, [2, 1, 3], [1, 1, 0]),
        ("categorical_crossentropy", "auto", 0, [2, 1, 3], [1, 1, 0]),
        ("val_mse", "max", 0, [2, 1, 3], [1, 0, 1]),
    ],
)
def test_what_is_better(monitor, mode, delta, figures, better):
    """Less of a loss, more of anything else; by more than min_delta; NaN never."""
    watch = Monitor(monitor, mode, delta)
    assert [watch.improved(i, {monitor: value}) for i, value in enumerate(figures)] == list(map(bool, better))


def test_less_of_a_metric_that_is_a_loss():
    """Under any name; more of a function."""
    model = network()
    figures = {"distance": "mse", "top": lambda y_true, y_pred: y_pred.max(axis=1), "acc": "accuracy"}
    model.compile("sgd", metrics=figures)
    for name, expected in (("val_distance", [1, 1, 0]), ("top", [1, 0, 1]), ("val_acc", [1, 0, 1])):
        watch = Monitor(name, "auto")
        watch.set_model(model)
        assert [watch.improved(i, {name: value}) for i, value in enumerate([2, 1, 3])] == expected


def test_a_figure_that_is_not_there():
    """Is an error with what there is, not silence."""
    with pytest.raises(ValueError, match=r"expected one of 'loss', 'accuracy', received 'val_loss'; is"):
        fit(EarlyStopping())


def test_model_checkpoint(tmp_path):
    """Every epoch under its name; or the best one, with the weights of that epoch."""
    recorder = Recorder()
    script = Script(val_loss=FIGURES)
    every = ModelCheckpoint(tmp_path / "{epoch:02d}-{val_loss:.1f}.npz")
    best = ModelCheckpoint(tmp_path / "best.npz", save_best_only=True, include_optimizer=False)
    fit(script, every, best, recorder, epochs=5)
    names = ["01-0.5.npz", "02-0.3.npz", "03-0.4.npz", "04-0.2.npz", "05-0.6.npz", "best.npz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    kept = load_model(tmp_path / "best.npz")
    assert kept.optimizer is None
    for weight, expected in zip(kept.get_weights(), recorder.weights[3], strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert load_model(tmp_path / "05-0.6.npz").optimizer.iterations == 20


def test_model_checkpoint_within_epochs(tmp_path):
    """After each third step, whatever the epoch; 4 steps make an epoch, so 10 is the second of the third."""
    weights = []
    keep = LambdaCallback(on_batch_end=lambda batch, logs: weights.append(keep.model.get_weights()))
    fit(keep, ModelCheckpoint(tmp_path / "{epoch}-{batch}.npz", save_freq=3), epochs=3)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["1-3.npz", "2-2.npz", "3-1.npz", "3-4.npz"]
    for name, step in zip(names, (3, 6, 9, 12), strict=True):
        kept = load_model(tmp_path / name)
        assert kept.steps_trained == step
        for weight, expected in zip(kept.get_weights(), weights[step - 1], strict=True):
            np.testing.assert_array_equal(weight, expected)


def test_model_checkpoint_within_epochs_has_no_validation(tmp_path):
    with pytest.raises(ValueError, match="filepath: expected fields among epoch, batch, loss"):
        fit(ModelCheckpoint(tmp_path / "{val_loss}.npz", save_freq=3))
    with pytest.raises(ValueError, match="save_best_only: expected save_freq='epoch'"):
        ModelCheckpoint("m.npz", save_freq=3, save_best_only=True)
    for wrong in (0, "batch", 2.5):
        with pytest.raises((TypeError, ValueError), match="save_freq: expected"):
            ModelCheckpoint("m.npz", save_freq=wrong)


def test_reduce_on_plateau():
    """After `patience` epochs without improvement; not during the cooldown; never below the minimum.

    Two epochs are the patience, and the second of the cooldown is the first of them.
    """
    recorder = Recorder()
    plateau = ReduceLROnPlateau(factor=0.5, patience=2, cooldown=2, min_lr=0.3)
    fit(Script(val_loss=[1] * 9), plateau, recorder, epochs=9, optimizer=SGD(1.0))
    assert recorder.rates == [1, 1, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3]
    fit(Script(val_loss=range(9, 0, -1)), plateau, recorder, epochs=9, optimizer=SGD(1.0))
    assert set(recorder.rates[9:]) == {1}


def test_weight_average_is_its_formula():
    """With its warm-up; the weights that are trained are those of a run without it."""
    steps = []
    keep = LambdaCallback(on_batch_end=lambda batch, logs: steps.append(keep.model.get_weights()))
    start = network().get_weights()
    model = fit(WeightAverage(0.6), keep, epochs=3)
    plain = LambdaCallback(on_batch_end=lambda batch, logs: plain_steps.append(plain.model.get_weights()))
    plain_steps = []
    fit(plain, epochs=3)
    for weights, twins in zip(steps, plain_steps, strict=True):
        for weight, twin in zip(weights, twins, strict=True):
            np.testing.assert_array_equal(weight, twin)
    expected = [w.astype(np.float64) for w in start]
    for t, weights in enumerate(steps):
        share = 1 - min(0.6, (1 + t) / (10 + t))
        expected = [e + share * (w - e) for e, w in zip(expected, weights, strict=True)]
    for weight, mean in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(weight, mean, rtol=1e-5, atol=1e-6)


def test_the_average_is_what_is_evaluated_and_kept(tmp_path):
    """Validation, saved models and best weights are those of the averages."""
    average, stopping = WeightAverage(0.9), EarlyStopping("val_loss", patience=9)
    saver = ModelCheckpoint(tmp_path / "{epoch}.npz")
    model = fit(average, stopping, saver, epochs=3, validation_data=(X, Y))
    for epoch in range(3):
        kept = load_model(tmp_path / f"{epoch + 1}.npz")
        assert kept.evaluate(X, Y)[0] == pytest.approx(model.history.history["val_loss"][epoch], rel=1e-6)
    same(model, load_model(tmp_path / f"{stopping.best_epoch + 1}.npz"))


def test_the_average_stays_when_a_report_fails():
    """An error between the exchanges finds the averages in the model, and leaves them there."""
    model, average, seen = network(), WeightAverage(0.9), []

    def fail(epoch, logs):
        seen.append(model.get_weights())
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        model.fit(X, Y, callbacks=[average, LambdaCallback(on_epoch_end=fail)], verbose=0)
    for weight, mean in zip(model.get_weights(), seen[0], strict=True):
        np.testing.assert_array_equal(weight, mean)


def test_every_callback_ends_that_began():
    """Also after one that fails; and none that did not begin."""
    ended = []

    def end(name, error=None):
        def on_train_end():
            ended.append(name)
            if error:
                raise error

        return LambdaCallback(on_train_end=on_train_end)

    with pytest.raises(OSError, match="first"):
        fit(end("a"), end("b", OSError("first")), end("c"), epochs=1)
    assert ended == ["a", "b", "c"]

    def refuse():
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        fit(end("d"), LambdaCallback(on_train_begin=refuse), WeightAverage(0.9), end("e"))
    assert ended == ["a", "b", "c", "d"]


@pytest.mark.parametrize("columns", ["loss,accuracy", "loss", "loss,val_loss", "accuracy,loss"])
def test_csv_logger_appends_to_the_same_columns_only(tmp_path, columns):
    """Rows of other figures, of more or in another order are refused; a file of the same goes on."""
    path = tmp_path / "log.csv"
    before = f"epoch,{columns}\n1,0.5,0.5\n"
    path.write_text(before)
    if columns == "loss,accuracy":
        fit(CSVLogger(path, append=True), epochs=1)
        assert path.read_text().startswith(before)
        assert len(path.read_text().splitlines()) == 3
        return
    with pytest.raises(ValueError, match=r"log\.csv: expected the columns \['epoch', 'loss', 'accuracy'\]"):
        fit(CSVLogger(path, append=True), epochs=1)
    assert path.read_text() == before


def test_csv_logger_begins_anew_when_its_file_is_gone(tmp_path):
    """With a heading, although the run goes on."""
    logger = CSVLogger(tmp_path / "log.csv")
    for epochs in (1, 2):
        network().fit(X, Y, epochs=epochs, callbacks=[logger], checkpoint=tmp_path / "run", verbose=0)
        text = (tmp_path / "log.csv").read_text()
        (tmp_path / "log.csv").unlink()
    assert text.startswith("epoch,loss,accuracy\n2,")


def test_a_name_of_a_figure_that_is_not_there(tmp_path):
    """Is an error with what there is."""
    with pytest.raises(ValueError, match="filepath: expected fields among epoch, loss, accuracy, received"):
        fit(ModelCheckpoint(tmp_path / "{val_loss}.npz"))


@pytest.mark.parametrize("first", [0, 1])
def test_the_best_weights_stay_beside_an_average(first):
    """Whatever the order of the two callbacks."""
    script = Script(val_loss=[3.0, 1.0, 2.0, 2.5])
    recorder, stopping = Recorder(), EarlyStopping("val_loss", patience=9)
    two = [WeightAverage(0.7), stopping]
    model = fit(script, two[first], two[1 - first], recorder)
    assert stopping.best_epoch == 1
    for weight, best in zip(model.get_weights(), recorder.weights[1], strict=True):
        np.testing.assert_array_equal(weight, best)


@pytest.mark.parametrize(
    "callback", [ReduceLROnPlateau("loss"), LearningRateScheduler(lambda epoch, rate: rate)]
)
def test_a_schedule_is_refused_before_the_first_step(callback):
    """Not at the first plateau, hours later."""
    model = network(SGD(OneCycle(0.1, 20)))
    with pytest.raises(ValueError, match="learning_rate: expected a number, since a callback changes it"):
        model.fit(X, Y, callbacks=[callback], verbose=0)
    assert model.steps_trained == 0


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (lambda folder: ModelCheckpoint(folder / "m.pth"), "expected a file name ending in .h5"),
        (lambda folder: ModelCheckpoint(folder / "no" / "m.h5"), "the folder to write into does not exist"),
        (lambda folder: ModelCheckpoint(folder / "no" / "{epoch}.h5"), "the folder to write into does not"),
        (lambda folder: CSVLogger(folder / "no" / "x.csv"), "the folder to write into does not exist"),
    ],
)
def test_a_path_is_refused_before_the_first_step(tmp_path, callback, message):
    """Not after an epoch."""
    model = network()
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        model.fit(X, Y, callbacks=[callback(tmp_path)], verbose=0)
    assert model.steps_trained == 0


@pytest.mark.parametrize(("suffix", "library"), [("safetensors", "safetensors"), ("onnx", "onnx")])
def test_a_missing_library_is_named_before_the_first_step(tmp_path, monkeypatch, suffix, library):
    monkeypatch.setitem(sys.modules, library, None)
    model = network()
    with pytest.raises(ImportError, match=rf'pip install "tinycnn\[{library}\]"'):
        model.fit(X, Y, callbacks=[ModelCheckpoint(tmp_path / f"m.{suffix}")], verbose=0)
    assert model.steps_trained == 0


def test_a_folder_may_have_a_figure_in_its_name(tmp_path):
    """It is not known before the epoch."""
    (tmp_path / "1").mkdir()
    model = fit(ModelCheckpoint(tmp_path / "{epoch}" / "m.npz"), epochs=1)
    same(load_model(tmp_path / "1" / "m.npz"), model)


def test_the_hint_of_a_missing_figure():
    """Asks for validation data only when there are none."""
    with pytest.raises(ValueError, match=r"received 'val_acc'$"):
        fit(EarlyStopping("val_acc"), validation_split=0.2)
    with pytest.raises(ValueError, match=r"received 'val_loss'; is there validation data\?$"):
        fit(EarlyStopping())


def test_the_strength_of_augmentation_begins_with_the_optimizer():
    """As a schedule of the rate does, when a trained model is compiled again."""
    steps = []

    def augment(images, seed, epoch, samples, step):
        steps.append(step)
        return images

    model = fit(epochs=2)
    model.compile(SGD(0.1), "sparse_categorical_crossentropy")
    model.fit(X, Y, batch_size=16, augment=augment, verbose=0)
    assert steps == [0, 1, 2, 3]
    assert model.steps_trained == 12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: EarlyStopping(patience=-1), "patience: expected a whole number >= 0, received -1"),
        (lambda: EarlyStopping(mode="best"), "mode: expected one of 'auto', 'max', 'min', received 'best'"),
        (lambda: ReduceLROnPlateau(factor=1), "factor: expected a number"),
        (lambda: WeightAverage(1), r"momentum: expected a number in \[0, 1\), received 1"),
        (lambda: CSVLogger("x.csv", append=1), "append: expected"),
    ],
)
def test_errors(call, message):
    """Name, expected, received."""
    with pytest.raises(ValueError, match=message):
        call()
