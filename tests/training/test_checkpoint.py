"""A run that was stopped, at any moment and in any way, ends with the bits of one that was not."""

import os
import subprocess
import sys
import time
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.networks import assert_same_weights as same
from tests.networks import dense_only as network
from tests.networks import dense_only_data as data
from tinycnn import load_model, saving
from tinycnn.datasets import Augmentation
from tinycnn.optimizers import SGD, Adam, AdamW
from tinycnn.optimizers.schedules import CosineDecay, Schedule
from tinycnn.saving import npz
from tinycnn.training import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    StopOnInterrupt,
    WeightAverage,
    checkpoint,
)

X, Y = data()
AUGMENT = Augmentation(shift=1, rotation=20)
DECAY = LearningRateScheduler(lambda epoch, rate: 0.9 * rate)  # twice in an epoch would show


class Stop(Callback):
    """Fails in the middle of a step, or ends the training after it, as Ctrl-C would."""

    def __init__(self, step=-1, error=True):
        self.step, self.error, self.interrupted = step, error, False

    def on_batch_end(self, batch, logs):
        if self.model.steps_trained == self.step:
            if self.error:
                raise KeyboardInterrupt
            self.interrupted = True


def run(folder, stop=None, epochs=5, optimizer=AdamW, metrics=("accuracy",), **arguments):
    """Train with all that keeps a state."""
    model = network(optimizer(CosineDecay(0.05, 20) if optimizer is AdamW else 0.05), metrics=metrics)
    callbacks = [
        WeightAverage(0.8),
        EarlyStopping("val_loss", patience=4),
        CSVLogger(folder.with_suffix(".csv")),
        *(
            []
            if optimizer is AdamW
            else [ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.5), DECAY]
        ),
        stop or Stop(),
    ]
    settings = {"batch_size": 11, "validation_split": 0.2, "augment": AUGMENT, "callbacks": callbacks}
    settings |= {"epochs": epochs, "verbose": 0, "checkpoint": folder, **arguments}
    model.fit(X, Y, **settings)
    return model, callbacks


@pytest.fixture(autouse=True)
def every_step(monkeypatch):
    """Checkpoints after each step, not each minute."""
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)


@pytest.fixture(scope="module")
def whole_runs(tmp_path_factory):
    """Return a function from an optimizer to a run that nothing stops, its callbacks and its CSV file."""

    @cache
    def whole(optimizer):
        folder = tmp_path_factory.mktemp("whole") / "run"
        return *run(folder, optimizer=optimizer), folder.with_suffix(".csv")

    return whole


@pytest.mark.parametrize("optimizer", [AdamW, pytest.param(SGD, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("step", "error"),  # epochs have 4 steps
    [(1, True), (3, False), (4, True), (4, False), (5, True), (5, False), (13, False), (19, True)],
)
def test_a_stopped_run_ends_with_the_same_bits(tmp_path, whole_runs, step, error, optimizer):
    """Weights, moments, averages, history, the CSV file; stopped in an epoch, at its end, and after it."""
    whole, callbacks, csv = whole_runs(optimizer)
    try:
        run(tmp_path / "run", Stop(step, error), optimizer=optimizer)
    except KeyboardInterrupt:
        assert error
    model, again = run(tmp_path / "run", optimizer=optimizer)
    same(model, whole)
    for name, slot in whole.optimizer.slots.items():
        np.testing.assert_array_equal(model.optimizer.slots[name], slot)
    assert model.optimizer.rate == whole.optimizer.rate
    assert (model.epochs_trained, model.steps_trained) == (whole.epochs_trained, whole.steps_trained)
    assert (model.history.epoch, model.history.history) == (whole.history.epoch, whole.history.history)
    assert (tmp_path / "run.csv").read_text(encoding="utf-8") == csv.read_text(encoding="utf-8")
    for callback, twin in zip(callbacks, again, strict=True):
        for value, other in zip(callback.get_state().values(), twin.get_state().values(), strict=True):
            np.testing.assert_array_equal(value, other)


def test_stopped_again_and_again(tmp_path):
    """After every single step of the run."""
    whole, _ = run(tmp_path / "whole")
    for step in range(1, 20):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", Stop(step))
    same(run(tmp_path / "run")[0], whole)


def test_an_ended_run_is_not_trained_on(tmp_path):
    """The same call returns at once, with the same model; more epochs go on, as one run would."""
    model, _ = run(tmp_path / "run", epochs=2)
    again, _ = run(tmp_path / "run", epochs=2)
    assert again.steps_trained == model.steps_trained
    same(again, model)
    assert again.history.history == model.history.history
    same(run(tmp_path / "run", epochs=5)[0], run(tmp_path / "whole", epochs=5)[0])


def test_a_run_that_stopped_early_stays_stopped(tmp_path):
    """With the best weights in it."""
    arguments = {"batch_size": 16, "epochs": 9, "verbose": 0, "validation_data": (X, Y)}
    models = []
    for _ in range(2):
        model = network(SGD(0.0))
        stopping = EarlyStopping("val_loss", patience=2, min_delta=9.0)
        model.fit(X, Y, callbacks=[stopping], checkpoint=tmp_path / "run", **arguments)
        models.append(model)
    assert [model.epochs_trained for model in models] == [3, 3]
    same(*models)


def test_a_checkpoint_is_a_model(tmp_path):
    """It opens as one, with the state of its optimizer; none of the run's own files is left half written."""
    run(tmp_path / "run", epochs=2)
    model = load_model(tmp_path / "run" / "checkpoint.npz")
    assert (model.epochs_trained, model.optimizer.iterations) == (2, 8)
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["checkpoint.npz", "checkpoint.previous.npz"]


@pytest.mark.parametrize("damage", ["truncated", "missing", "garbage"])
def test_the_one_before_takes_over(tmp_path, damage, capsys):
    """When the newest cannot be read; the run still ends with the same bits."""
    whole, _ = run(tmp_path / "whole", epochs=3)
    run(tmp_path / "run", epochs=2)
    path = tmp_path / "run" / "checkpoint.npz"
    (tmp_path / "run" / ".checkpoint.new.npz.1234.tmp").write_text("left by a process that was killed")
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:5000] if damage == "truncated" else b"no archive")
    same(run(tmp_path / "run", epochs=3)[0], whole)
    assert ("resuming from the previous one" in capsys.readouterr().err) == (damage != "missing")
    assert (tmp_path / "run" / "checkpoint.npz.damaged").exists() == (damage != "missing")
    assert len(list((tmp_path / "run").iterdir())) == 2 + (damage != "missing")


def test_two_damaged_checkpoints_are_an_error(tmp_path):
    """Beginning anew without a word would lose the run."""
    run(tmp_path / "run", epochs=2)
    for path in (tmp_path / "run").iterdir():
        path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="run: cannot be loaded: "):
        run(tmp_path / "run")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 12}, "run: batch_size: expected 11, as in its checkpoint, received 12"),
        ({"augment": None}, "run: augment: expected {'name': 'tinycnn.datasets.augment.Augm.* received None"),
        ({"augment": Augmentation(shift=1)}, "augment: config: rotation: expected 20.0, .* received 0.0"),
        ({"metrics": ["top_k_categorical_accuracy"]}, r"run: metrics\[0\]: expected 'accuracy'"),
        ({"shuffle": False}, "run: shuffle: expected True"),
        ({"optimizer": SGD}, "run: optimizer"),
        ({"callbacks": []}, "run: callbacks: expected .*'WeightAverage'.* received "),
        ({"validation_split": 0.3}, "run: validation_split: expected 0.2"),
    ],
)
def test_another_run_is_refused(tmp_path, arguments, message):
    """With the setting that differs; also when the data do."""
    run(tmp_path / "run", epochs=1)
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "run", **arguments)


@pytest.mark.parametrize(
    ("saved", "now", "message"),
    [
        (EarlyStopping("val_accuracy"), EarlyStopping("val_loss"), "monitor: expected 'val_accuracy'"),
        (
            WeightAverage(0.9),
            WeightAverage(0.5),
            "momentum: expected 0.9, as in its checkpoint, received 0.5",
        ),
        (ReduceLROnPlateau(factor=0.1), ReduceLROnPlateau(factor=0.5), "factor: expected 0.1"),
    ],
)
def test_other_settings_of_a_callback_are_refused(tmp_path, saved, now, message):
    """It would compare with figures of another kind."""
    arguments = {"validation_split": 0.2, "verbose": 0, "checkpoint": tmp_path / "run"}
    network(SGD(0.1)).fit(X, Y, callbacks=[saved], **arguments)
    with pytest.raises(ValueError, match=r"run: callbacks\[0\]: config: " + message):
        network(SGD(0.1)).fit(X, Y, callbacks=[now], epochs=2, **arguments)


def test_where_models_are_kept_may_change(tmp_path):
    """A folder may be elsewhere the next time."""
    for name in ("a.npz", "b.npz"):
        model = network()
        keep = ModelCheckpoint(tmp_path / name)
        model.fit(
            X, Y, epochs=1 + (name == "b.npz"), callbacks=[keep], checkpoint=tmp_path / "run", verbose=0
        )
    same(load_model(tmp_path / "b.npz"), model)


@pytest.mark.parametrize("optimizer", [SGD, Adam])
@pytest.mark.parametrize("rate_changes", [True, False])
def test_the_same_model_goes_back_to_its_last_checkpoint(tmp_path, monkeypatch, rate_changes, optimizer):
    """As in a notebook, where the model of the stopped call is at hand; the first checkpoint is the start."""
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 60.0)

    def arguments(folder, stop):
        callbacks = [DECAY, stop] if rate_changes else [stop]
        return {"epochs": 3, "batch_size": 16, "callbacks": callbacks, "checkpoint": folder, "verbose": 0}

    whole, model = network(optimizer(0.1)), network(optimizer(0.1))
    whole.fit(X, Y, **arguments(tmp_path / "whole", Stop()))
    for step in (2, 7):
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, Y, **arguments(tmp_path / "run", Stop(step)))
    model.fit(X, Y, **arguments(tmp_path / "run", Stop()))
    same(model, whole)
    assert model.steps_trained == whole.steps_trained == 12


def test_it_says_that_it_goes_on(tmp_path, capsys):
    """So that nobody wonders why a call trains nothing."""
    run(tmp_path / "run", epochs=1)
    assert capsys.readouterr().err == ""
    run(tmp_path / "run", epochs=1)
    assert "run: resuming from its checkpoint (1 epochs, 0 batches)" in capsys.readouterr().err


def test_an_appended_log_has_each_epoch_once(tmp_path):
    """Stopped before its first line was written, and killed after."""
    (tmp_path / "log.csv").write_text("epoch,loss,accuracy\n1,9,0\n")

    class Die(Callback):
        def on_evaluate_end(self):
            raise KeyboardInterrupt

    arguments = {"batch_size": 16, "epochs": 2, "checkpoint": tmp_path / "run", "verbose": 0}
    with pytest.raises(KeyboardInterrupt):
        network().fit(X, Y, callbacks=[CSVLogger(tmp_path / "log.csv", append=True), Die()], **arguments)
    assert len((tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()) == 3
    Die.on_evaluate_end = Callback.on_evaluate_end
    network().fit(X, Y, callbacks=[CSVLogger(tmp_path / "log.csv", append=True), Die()], **arguments)
    lines = (tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "1", "1", "2"]


class Mine:
    """An augmentation of a user, who did not think of `__repr__`."""

    def __init__(self, share):
        self.share = share

    def __call__(self, images, seed, epoch, samples, step):
        return images * np.float32(self.share)

    def get_config(self):
        return {"share": self.share}


def test_an_augmentation_of_ones_own(tmp_path):
    """Is known by its settings."""
    for epochs, share in ((1, 0.5), (2, 0.5), (3, 0.25)):
        arguments = {"epochs": epochs, "augment": Mine(share), "checkpoint": tmp_path / "run", "verbose": 0}
        if share == 0.25:
            with pytest.raises(ValueError, match=r"augment: config: share: expected 0\.5, .* received 0\.25"):
                network().fit(X, Y, **arguments)
        else:
            network().fit(X, Y, **arguments)


def test_other_data_are_refused(tmp_path):
    """One pixel is enough."""
    x = X.copy()
    for _ in range(2):
        model = network()
        if x[3, 2, 1, 0] != X[3, 2, 1, 0]:
            with pytest.raises(ValueError, match="SHA-256 of the data: expected"):
                model.fit(x, Y, checkpoint=tmp_path / "run", verbose=0)
        else:
            model.fit(x, Y, checkpoint=tmp_path / "run", verbose=0)
        x[3, 2, 1, 0] += 1


KILLED = """
from tests.networks import dense_only, dense_only_data
from tinycnn.training import WeightAverage, checkpoint
checkpoint.SECONDS_BETWEEN = 0.0
model = dense_only()
average = WeightAverage(0.9)
model.fit(*dense_only_data(), batch_size=5, epochs=30, checkpoint={folder!r}, callbacks=[average], verbose=0)
model.save({folder!r} + "/final.npz")
"""


@pytest.mark.slow  # benchmarks/kill_storm.py has the short form
@pytest.mark.parametrize("deaths", [12])
def test_kill(tmp_path, deaths):
    """SIGKILL at any moment after a new checkpoint, also while the next is written."""
    code, path = KILLED.format(folder=str(tmp_path)), tmp_path / "checkpoint.npz"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    def start():
        return subprocess.Popen([sys.executable, "-c", code], stderr=-1, text=True, env=environment)

    for attempt in range(deaths):
        before, deadline = written(path), time.monotonic() + 60
        with start() as process:
            while written(path) == before and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(0.007 * attempt)
            process.kill()
            process.communicate()
        assert not (tmp_path / "final.npz").exists()
    with start() as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "resuming from its checkpoint" in errors
    whole = network()
    whole.fit(*data(), batch_size=5, epochs=30, callbacks=[WeightAverage(0.9)], verbose=0)
    same(load_model(tmp_path / "final.npz"), whole)


def written(path):
    """Return when a file was written, or None."""
    return path.stat().st_mtime_ns if path.exists() else None


def test_ctrl_c_at_the_end_of_an_epoch_does_not_end_the_run(tmp_path):
    """As it would be taken for a callback's own wish."""
    whole, _ = run(tmp_path / "whole")
    model = network()
    assert isinstance(StopOnInterrupt().interrupted, bool)
    model, _ = run(tmp_path / "run", Stop(8, error=False))
    assert model.epochs_trained == 2
    same(run(tmp_path / "run")[0], whole)


def test_a_damaged_average_is_damage(tmp_path, capsys):
    """The archive opens, and one bit of an array in it is wrong: the one before takes over."""
    whole, _ = run(tmp_path / "whole", epochs=3)
    run(tmp_path / "run", epochs=2)
    path = tmp_path / "run" / "checkpoint.npz"
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("run/0.npy")
    data = bytearray(path.read_bytes())
    data[info.header_offset + 200] ^= 4
    path.write_bytes(data)
    same(run(tmp_path / "run", epochs=3)[0], whole)
    assert "resuming from the previous one" in capsys.readouterr().err


@pytest.mark.parametrize("of_the_model", [True, False])
def test_a_checkpoint_without_a_rate_is_refused(of_the_model, tmp_path):
    """Of the model's optimizer, or of the settings that the run is recognised by."""
    run(tmp_path, epochs=1)
    snapshot, extra = saving.read(tmp_path / "checkpoint.npz"), npz.read_extra(tmp_path / "checkpoint.npz")
    checkpoint._check(snapshot, extra)
    training = snapshot.training if of_the_model else extra[0]["settings"]
    del training["optimizer"]["config"]["learning_rate"]
    with pytest.raises(ValueError, match="expected a learning_rate in a checkpoint, received none"):
        checkpoint._check(snapshot, extra)


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    """Also when the newest was damaged and the one before had taken over."""
    whole, _ = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", Stop(7))
    (tmp_path / "run" / "checkpoint.npz").write_bytes(b"no archive")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint.npz, "write", full)
            with pytest.warns(UserWarning, match="No space"), pytest.raises(OSError, match="No space"):
                run(tmp_path / "run")
    same(run(tmp_path / "run")[0], whole)


class StopInEpoch(Callback):
    """Ends the training for good after a step, or is interrupted while a certain epoch is reported."""

    def __init__(self, step=-1, interrupt=-1):
        self.step, self.interrupt = step, interrupt

    def on_batch_end(self, batch, logs):
        if self.model.steps_trained == self.step:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs):
        self.interrupted = epoch == self.interrupt


@pytest.mark.parametrize("interrupt", [0, 1, 2, 3])
def test_ctrl_c_in_the_epoch_of_an_early_stop(tmp_path, interrupt):
    """Who wanted to end the run for good is not forgotten; and it is not ended by Ctrl-C alone."""
    models = []
    for folder, interrupts in (("whole", [-1]), ("run", [interrupt, -1, -1])):
        for number in interrupts:
            model = network(SGD(0.0))
            callbacks = [EarlyStopping("loss", patience=2, min_delta=9.0), StopInEpoch(interrupt=number)]
            model.fit(X, Y, epochs=9, callbacks=callbacks, checkpoint=tmp_path / folder, verbose=0)
        models.append(model)
    assert [model.epochs_trained for model in models] == [3, 3]
    same(*models)


def test_a_callback_that_ends_the_run_within_an_epoch(tmp_path):
    """Has ended it, for the same call too."""
    for _ in range(3):
        model = network()
        model.fit(
            X, Y, batch_size=10, epochs=4, callbacks=[StopInEpoch(7)], checkpoint=tmp_path / "run", verbose=0
        )
        assert model.steps_trained == 7


@pytest.mark.parametrize("load", [False, True])
def test_the_same_call_in_the_same_process(tmp_path, load):
    """With a rate that a callback has changed meanwhile; and with the model that the checkpoint is."""
    model, twin = network(SGD(0.05)), network(SGD(0.05))
    arguments = {"batch_size": 10, "verbose": 0}
    twin.fit(X, Y, epochs=4, callbacks=[DECAY], **arguments)
    model.fit(X, Y, epochs=2, callbacks=[DECAY], checkpoint=tmp_path / "run", **arguments)
    if load:
        model = load_model(tmp_path / "run" / "checkpoint.npz")
    model.fit(X, Y, epochs=4, callbacks=[DECAY], checkpoint=tmp_path / "run", **arguments)
    same(model, twin)


def test_what_could_not_be_read_again_is_refused_at_once(tmp_path):
    """Before the first step, and not when hours of it are to go on."""

    class Own(Schedule):
        def __call__(self, step):
            return 0.1

    model = network(SGD(Own()))
    with pytest.raises(ValueError, match="learning_rate: schedule: expected one of"):
        model.fit(X, Y, checkpoint=tmp_path / "run", verbose=0)
    assert model.steps_trained == 0


def test_a_function_is_known_by_its_name(tmp_path):
    """As an augmentation: it has another address in another process."""

    def make(negative):
        def turned(images, *rest):
            return -images if negative else images

        return turned

    for _ in range(2):
        network().fit(X, Y, augment=make(False), checkpoint=tmp_path / "run", verbose=0)
