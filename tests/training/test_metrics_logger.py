"""Experiment loggers: each kind of writer receives the figures of the history, at steps without gaps."""

import copy
import inspect
import logging
import math
import pickle

import numpy as np
import pytest

from tests.networks import dense_only as network
from tests.networks import dense_only_data as data
from tinycnn.optimizers import SGD
from tinycnn.optimizers.schedules import ExponentialDecay
from tinycnn.support import processes
from tinycnn.training import (
    Callback,
    EarlyStopping,
    LambdaCallback,
    MetricsLogger,
    ReduceLROnPlateau,
    checkpoint,
    metrics_logger,
)

pytestmark = pytest.mark.smoke
X, Y = data()


class TensorBoard:
    """Stands for a SummaryWriter: one call a figure. It cannot be copied."""

    def __init__(self):
        self.scalars, self.histograms, self.flushes, self.closed = [], [], 0, False

    def add_scalar(self, tag, scalar_value, global_step=None, walltime=None):
        self.scalars.append((tag, scalar_value, global_step))

    def add_histogram(self, tag, values, global_step=None, bins="tensorflow"):
        self.histograms.append((tag, values.copy(), global_step))

    def write_all(self, figures, step):
        raise AssertionError

    def flush(self):
        self.flushes += 1

    def close(self):
        self.closed = True

    def __reduce__(self):
        raise TypeError("cannot pickle an open file")


class Wandb:
    """Stands for a run of Weights & Biases, which refuses a step below the last one."""

    def __init__(self):
        self.rows = []

    def log(self, data, step=None, commit=None):
        assert not self.rows or step >= self.rows[-1][1]
        self.rows.append((data, step))


class Mlflow:
    """Stands for the module mlflow."""

    def __init__(self):
        self.rows = []

    def log_metrics(self, metrics, step=None, synchronous=None):
        self.rows.append((metrics, step))


class Rows(list):
    """Stands for a function of the user's."""

    def __call__(self, figures, step):
        self.append((figures, step))


def fit(*callbacks, epochs=3, optimizer=None, **arguments):
    model = network(optimizer or SGD(0.125))
    model.fit(X, Y, batch_size=16, epochs=epochs, callbacks=callbacks, verbose=0, **arguments)
    return model


def expected(history, epochs, rate=0.125):
    """Return what an epoch's figures are, by those that `fit` recorded."""
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    return [
        ({"learning_rate": rate, **{name: history[name][epoch] for name in names}}, epoch + 1)
        for epoch in range(epochs)
    ]


@pytest.mark.parametrize("kind", [Wandb, Mlflow, Rows])
def test_figures_of_an_epoch(kind):
    """Those of the history and the rate, in one call an epoch."""
    writer = kind()
    model = fit(MetricsLogger(writer), validation_data=(X[:7], Y[:7]))
    rows = writer if kind is Rows else writer.rows
    assert rows == expected(model.history.history, 3)
    assert {type(value) for figures, _ in rows for value in figures.values()} == {float}


def test_figures_of_tensorboard():
    """One call a figure, with a prefix; flushed once, at the end, and not closed."""
    writer = TensorBoard()
    flushed = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(writer.flushes))
    seen = []
    model = fit(MetricsLogger(writer, prefix="a/"), flushed, validation_data=(X[:7], Y[:7]))
    rows = expected(model.history.history, 3)
    assert writer.scalars == [(f"a/{name}", value, step) for row, step in rows for name, value in row.items()]
    assert (seen, writer.flushes, writer.closed, writer.histograms) == ([0, 0, 0], 1, False, [])


def test_flushed_after_an_error():
    def fail(epoch, logs):
        raise OSError("full")

    writer = TensorBoard()
    with pytest.raises(OSError, match="full"):
        fit(MetricsLogger(writer), LambdaCallback(on_epoch_end=fail))
    assert (writer.flushes, writer.scalars) == (1, [])


def test_what_other_callbacks_add():
    """Numbers, whatever the order of the callbacks; the rate of the epoch and not of the next one."""

    class Add(Callback):
        def on_epoch_end(self, epoch, logs):
            logs |= {"gap": np.float32(epoch / 4), "note": "text"}

    rows, halve = Rows(), ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=99)
    fit(MetricsLogger(rows), Add(), halve)
    assert [figures["gap"] for figures, _ in rows] == [0, 0.25, 0.5]
    assert [figures["learning_rate"] for figures, _ in rows] == [0.125, 0.125, 0.0625]
    assert all("note" not in figures for figures, _ in rows)


def test_the_rate_of_a_schedule():
    """Is that of the last step: of 4 in an epoch."""
    schedule, rows = ExponentialDecay(0.5, 3, 0.5), Rows()
    fit(MetricsLogger(rows, update_freq=2), optimizer=SGD(schedule), epochs=2)
    rates = [figures.get("learning_rate", figures.get("batch_learning_rate")) for figures, _ in rows]
    assert rates == [schedule(step - 1) for step in (2, 4, 4, 6, 8, 8)]


@pytest.mark.parametrize(
    ("freq", "steps"), [("batch", [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]), (3, [3, 4, 6, 8]), (9, [4, 8])]
)
def test_figures_of_batches(freq, steps):
    """On one axis with those of epochs, which also have the number of the epoch."""
    writer, seen = Wandb(), {}
    keep = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.setdefault(len(seen) + 1, dict(logs)))
    model = fit(MetricsLogger(writer, update_freq=freq), keep, epochs=2)
    assert [step for _, step in writer.rows] == steps
    for figures, step in writer.rows:
        if "epoch" in figures:
            number = step // 4
            assert step == 4 * number
            history = {name: column[number - 1] for name, column in model.history.history.items()}
            assert figures == {"epoch": number, "learning_rate": 0.125, **history}
        else:
            logs = {f"batch_{name}": seen[step][name] for name in ("loss", "accuracy")}
            assert figures == {"batch_learning_rate": 0.125, **logs}


def test_a_second_call_goes_on():
    """As the numbers of epochs do; `initial_epoch` sets them."""
    rows, model = Rows(), network()
    for options in ({"epochs": 2}, {"epochs": 1}, {"epochs": 8, "initial_epoch": 7}):
        model.fit(X, Y, callbacks=[MetricsLogger(rows)], verbose=0, **options)
    assert [step for _, step in rows] == [1, 2, 3, 8]


class Stop(Callback):
    """Fails after a step, or as its epoch is reported."""

    def __init__(self, step, event):
        self.step, self.event = step, event

    def fail(self, event):
        if self.model.steps_trained == self.step and event == self.event:
            raise KeyboardInterrupt

    def on_train_batch_end(self, batch, logs):
        self.fail("batch")

    def on_epoch_end(self, epoch, logs):
        self.fail("epoch")


@pytest.mark.parametrize(
    ("seconds", "step", "event"), [(0.0, 6, "batch"), (60.0, 6, "batch"), (60.0, 8, "epoch")]
)
def test_a_resumed_run_logs_each_epoch_once(tmp_path, monkeypatch, seconds, step, event):
    """Stopped in an epoch, or as its callbacks are called; then the same call, with another callback."""
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", seconds)
    rows, whole = Rows(), Rows()
    fit(MetricsLogger(whole))
    with pytest.raises(KeyboardInterrupt):
        fit(MetricsLogger(rows), Stop(step, event), checkpoint=tmp_path / "run")
    for _ in range(2):  # the second call finds the run ended
        fit(MetricsLogger(rows), Stop(-1, ""), checkpoint=tmp_path / "run")
    assert rows == whole
    assert [number for _, number in rows] == [1, 2, 3]


class Double(Callback):
    """Evaluates other weights than those that are trained, as a moving average does."""

    priority = 0
    kept = None

    def on_evaluate_begin(self, logs=None):
        self.model.parameters *= 2

    def on_epoch_end(self, epoch, logs):
        if epoch == 1:
            self.kept = self.model.get_weights()
            self.model["batch_normalization_1"].state["moving_mean"][:2] = np.nan, np.inf

    def on_evaluate_end(self, logs=None):
        self.model.parameters /= 2


def test_histograms():
    """Of every weight, as it was evaluated, every other epoch; without what is not finite."""
    writer, double = TensorBoard(), Double()
    model = fit(MetricsLogger(writer, histogram_freq=2, prefix="w/"), double, epochs=2)
    names = [f"w/{name}" for name, _ in model.named_weights()]
    assert [(tag, step) for tag, _, step in writer.histograms] == [(name, 2) for name in names]
    for (tag, values, _), array in zip(writer.histograms, double.kept, strict=True):
        expected = array[2:] if tag.endswith("moving_mean") else array.ravel()
        np.testing.assert_array_equal(values, expected)


def test_not_finite():
    """NaN is a figure too."""
    rows = Rows()
    fit(
        MetricsLogger(rows),
        LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(gap=math.nan, top=math.inf)),
        epochs=1,
    )
    assert math.isnan(rows[0][0]["gap"])
    assert rows[0][0]["top"] == math.inf


def test_copies():
    """A copy has the same writer, also where that cannot be copied; a pickle has what the writer allows."""
    writer = TensorBoard()
    logger = MetricsLogger(writer, prefix="p/", update_freq=7)
    fit(logger, epochs=1)
    other = copy.deepcopy([logger, logger])
    assert other[0] is other[1] is not logger
    assert other[0].writer is writer
    assert (other[0].prefix, other[0].update_freq) == ("p/", 7)
    assert other[0].model is not logger.model
    assert copy.deepcopy(MetricsLogger(writer.write_all)).writer == writer.write_all
    again = pickle.loads(pickle.dumps(MetricsLogger(print, histogram_freq=0, prefix="q/")))
    assert (again.writer, again.prefix) == (print, "q/")


def test_the_main_process_alone():
    """Others of a job leave the callback out."""
    from tinycnn.training.callback_list import CallbackList

    logger = MetricsLogger(print)
    assert CallbackList([], [logger], main=False).callbacks == []
    assert CallbackList([], [EarlyStopping("loss"), logger]).callbacks[-1] is logger
    assert processes.current().main


@pytest.mark.parametrize(
    "writer",
    [None, "runs", logging.getLogger("x"), math, {"log": 1}, lambda figures: 0, EarlyStopping("loss")],
    ids=["none", "text", "logger", "module", "dictionary", "function of one", "callback"],
)
def test_another_writer_is_refused(writer):
    """With all that is expected; a logger of Python has another `log`."""
    with pytest.raises(
        TypeError, match=r"writer: expected an object with add_scalar.*log_metrics.*log\(.*function"
    ):
        MetricsLogger(writer)


def test_a_function_that_does_not_tell_its_arguments():
    """Some written in C do not, as `print` of Python 3.10."""
    with pytest.raises(ValueError, match="no signature found"):
        inspect.signature(max)
    assert MetricsLogger(max).writer is max


def test_a_class_is_no_writer():
    with pytest.raises(TypeError, match=r"received <class '.*TensorBoard'> itself; make one of it"):
        MetricsLogger(TensorBoard)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prefix": None}, "prefix: expected a string, received None"),
        ({"update_freq": "step"}, "update_freq: expected one of 'batch', 'epoch', received 'step'"),
        ({"update_freq": 0}, "update_freq: expected a whole number >= 1, received 0"),
        ({"histogram_freq": -1}, "histogram_freq: expected a whole number >= 0, received -1"),
        ({"histogram_freq": 1}, "histogram_freq: expected 0, or a writer with add_histogram"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        MetricsLogger(print, **options)


def test_the_writer_may_be_replaced():
    """By one of another kind, between runs."""
    logger, writer = MetricsLogger(Rows()), Wandb()
    logger.writer = writer
    fit(logger, epochs=1)
    assert [step for _, step in writer.rows] == [1]
    assert metrics_logger.CALLS.keys() == {"add_scalar", "log_metrics", "log", ""}
