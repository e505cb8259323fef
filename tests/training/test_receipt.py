"""Receipts: equal runs have equal ones, a changed bit shows, and what is read is checked."""

import copy
import json
import socket

import numba
import numpy as np
import pytest

from tests.networks import dense_only, dense_only_data
from tinycnn.datasets import Augmentation
from tinycnn.training import Callback, CSVLogger, EarlyStopping, RunReceipt, StopOnInterrupt, WeightAverage
from tinycnn.training import receipt as receipts
from tinycnn.training.receipt_comparison import (
    LARGEST,
    FirstDifference,
    differences,
    environment_of,
    first_difference,
    read,
)

X, Y = dense_only_data()


def run(*callbacks, receipt=None, seed=3, epochs=3, **arguments):
    """Train, and return the receipt without its times."""
    receipt = receipt or RunReceipt()
    settings = {"batch_size": 11, "validation_split": 0.2, "augment": Augmentation(shift=1), **arguments}
    model = dense_only(seed=seed)
    model.fit(X, Y, epochs=epochs, callbacks=[*callbacks, receipt], verbose=0, **settings)
    content = copy.deepcopy(receipt.content)
    assert content.pop("times")
    return content, model


@pytest.fixture(scope="module")
def whole():
    """The receipt of a run with averages, whose weights are evaluated."""
    return run(WeightAverage(0.8))[0]


def test_the_same_run_has_the_same_receipt(whole):
    """On any number of threads."""
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        again, _ = run(WeightAverage(0.8))
    finally:
        numba.set_num_threads(threads)
    assert first_difference(whole, again) is None
    one, other = whole.pop("environments"), again.pop("environments")
    assert again == whole
    whole["environments"] = one
    assert other[0].pop("threads") == 1
    assert {**one[0], "threads": None} == {**other[0], "threads": None}


def test_what_is_in_it(whole):
    receipt, model = run(CSVLoggerOfNothing(), EarlyStopping(patience=2), StopOnInterrupt(), epochs=2)
    assert (receipt["seed"], receipt["command"], receipt["model"]["name"]) == (3, None, model.name)
    assert [one["epoch"] for one in receipt["epochs"]] == [1, 2]
    assert [one["steps"] for one in receipt["epochs"]] == [4, 8]
    assert [one["logs"]["val_loss"] for one in receipt["epochs"]] == model.history.history["val_loss"]
    settings = receipt["settings"]
    assert (settings["batch_size"], settings["steps_per_epoch"], settings["epochs"]) == (11, 4, 2)
    assert settings["augment"]["config"]["shift"] == 1
    assert [one["name"] for one in settings["callbacks"]] == ["EarlyStopping"]
    assert settings["optimizer"]["config"]["learning_rate"] == 0.01
    assert list(receipt["data"]) == ["x", "y", "validation_x", "validation_y"]
    environment = receipt["environments"][0]
    assert {"numpy": np.__version__, "numba": numba.__version__}.items() <= environment.items()
    assert environment["vector_bytes"] in (16, 32, 64)


class CSVLoggerOfNothing(CSVLogger):
    """One that writes files, and changes no weight."""

    def __init__(self):
        super().__init__("unused.csv")

    def on_train_begin(self, logs=None):
        pass

    def on_epoch_end(self, epoch, logs):
        pass


def test_the_digests_are_those_of_the_model(whole):
    """Trained weights and evaluated ones; averages are left in the model at the end."""
    _, model = run(WeightAverage(0.8))
    assert receipts.weight_digests(model)["weights"] == whole["epochs"][-1]["evaluated"]
    assert whole["epochs"][-1]["evaluated"] != whole["epochs"][-1]["weights"]
    receipt, model = run()
    assert receipts.weight_digests(model)["weights"] == receipt["epochs"][-1]["evaluated"]
    assert receipt["epochs"][-1]["evaluated"] == receipt["epochs"][-1]["weights"]


@pytest.mark.parametrize("number", range(8))
def test_one_bit_of_any_weight_shows(number):
    """Of state as well: the moving means and variances."""
    model = dense_only()
    before = receipts.weight_digests(model)
    name, array = model.named_weights()[number]
    array.reshape(-1).view(np.uint32)[-1] ^= 1
    after = receipts.weight_digests(model)
    assert after["weights"] != before["weights"]
    assert {key for key in before["arrays"] if before["arrays"][key] != after["arrays"][key]} == {name}
    assert len(before["arrays"]) == 8


@pytest.mark.smoke
def test_a_name_and_a_shape_count():
    """Values alone do not tell two networks apart."""

    class Weights:
        def __init__(self, name, shape):
            self.array = name, np.zeros(shape, np.float32)

        def named_weights(self):
            return [self.array]

    shapes = [("a", (2, 3)), ("b", (2, 3)), ("a", (3, 2)), ("a", (6,))]
    assert len({receipts.weight_digests(Weights(*one))["weights"] for one in shapes}) == 4
    big = Weights("a", (2, 3))
    big.array = "a", np.arange(6, dtype=">f4").reshape(2, 3)
    small = Weights("a", (2, 3))
    small.array = "a", np.arange(6, dtype="<f4").reshape(2, 3)
    assert receipts.weight_digests(big) == receipts.weight_digests(small)


@pytest.mark.parametrize("stop", [5, 8])
def test_a_resumed_run_has_each_epoch_once(whole, tmp_path, stop):
    """Stopped in the middle of an epoch, and after the last step of one."""

    class Stop(Callback):
        main_only = True

        def on_batch_end(self, batch, logs):
            self.interrupted = self.model.steps_trained == stop

    folder, path = tmp_path / "run", tmp_path / "run.json"
    first = run(WeightAverage(0.8), Stop(), receipt=RunReceipt(path), checkpoint=folder)[0]
    assert [one["epoch"] for one in first["epochs"]] == ([1] if stop == 5 else [1, 2])
    stop = None
    resumed = run(WeightAverage(0.8), Stop(), receipt=RunReceipt(path), checkpoint=folder)[0]
    assert resumed == whole
    assert {**read(path), "times": None} == {**whole, "times": None}


def test_another_environment_of_a_resumed_run(whole, tmp_path, monkeypatch):
    """It is recorded from the epoch on that it trained."""

    class Stop(Callback):
        main_only = True

        def on_batch_end(self, batch, logs):
            self.interrupted = self.model.steps_trained == 5

    run(WeightAverage(0.8), Stop(), checkpoint=tmp_path / "run")
    Stop.on_batch_end = Callback.on_batch_end
    now = receipts.environment()
    monkeypatch.setattr(receipts, "environment", lambda: {**now, "processor": "another"})
    resumed = run(WeightAverage(0.8), Stop(), checkpoint=tmp_path / "run")[0]
    assert [one["first_epoch"] for one in resumed["environments"]] == [1, 2]
    assert environment_of(resumed, 1)["processor"] == now["processor"]
    assert environment_of(resumed, 3)["processor"] == "another"
    assert first_difference(whole, resumed) is None


def test_other_data_and_other_seeds(whole):
    """One value of an image; a sample weight; batches have no digest."""
    other = X.copy()
    other[7, 2, 1, 0] += 1e-7
    model = dense_only()
    receipt = RunReceipt()
    model.fit(other, Y, batch_size=11, validation_split=0.2, callbacks=receipt, verbose=0)
    names = [name for name in receipt.content["data"] if receipt.content["data"][name] != whole["data"][name]]
    assert names in (["x"], ["validation_x"])
    model.fit(X, Y, sample_weight=np.ones(len(X)), callbacks=receipt, verbose=0)
    assert list(receipt.content["data"]) == ["x", "y", "sample_weight"]
    assert [one["epoch"] for one in receipt.content["epochs"]] == [2]  # of this run
    model.fit([(X, Y)], callbacks=receipt, verbose=0)
    assert receipt.content["data"] == {"batches": None}
    found = first_difference(whole, run(WeightAverage(0.8), seed=4)[0])
    assert found == FirstDifference(1, "dense_1/kernel", "before")


def test_nothing_about_its_user(tmp_path, monkeypatch):
    """No name, no host, no folder but that which was typed; JSON of the strict kind."""

    class Figure(Callback):
        def on_epoch_end(self, epoch, logs):
            logs["figure"] = np.float32(np.nan)

    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "USER", "LOGNAME", "USERNAME", "NUMBA_CACHE_LOCATOR_CLASSES"):
        monkeypatch.setenv(name, "/private/name")
    run(Figure(), receipt=RunReceipt("run.json", ["tinycnn", "train"]), augment=lambda x, *rest: x)
    text = (tmp_path / "run.json").read_text(encoding="utf-8")
    whole = json.loads(text, parse_constant=pytest.fail)
    assert whole["epochs"][0]["logs"]["figure"] is None
    for private in (str(tmp_path), f'"{socket.gethostname()}"', "private", "0x"):
        assert private not in text


def test_a_file_that_cannot_be_written_is_refused_before_training(tmp_path):
    with pytest.raises(FileNotFoundError, match="the folder to write into does not exist"):
        run(receipt=RunReceipt(tmp_path / "gone" / "run.json"))


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("epochs", 1, "weights"), "0", FirstDifference(2, None, "trained")),
        (("epochs", 1, "steps"), 9, FirstDifference(2, None, "trained")),
        (("epochs", 1, "evaluated"), "0", FirstDifference(2, None, "evaluated")),
        (("epochs", 2, "arrays", "dense_2/bias"), "0", FirstDifference(3, "dense_2/bias", "trained")),
        (("epochs", 2, "arrays"), {}, FirstDifference(3, "dense_1/kernel", "trained")),
        (("epochs", 2, "arrays", "new"), "0", FirstDifference(3, "new", "trained")),
        (("initial", "weights"), "0", FirstDifference(1, None, "before")),
        (("epochs", 1, "logs"), {}, None),
        (("seed",), 7, None),
    ],
)
def test_the_first_difference(whole, path, value, expected):
    other = copy.deepcopy(whole)
    *parents, name = path
    part = other
    for one in parents:
        part = part[one]
    part[name] = value
    assert first_difference(whole, other) == expected
    assert first_difference(other, whole) == expected
    assert first_difference({**whole, "epochs": whole["epochs"][:1]}, other) == (
        expected if expected and expected.epoch == 1 else None
    )


@pytest.mark.smoke
def test_differences_are_named():
    one = {"a": 1, "b": {"c": [1, 2], "d": "x"}, "e": True, "g": [1]}
    other = {"a": 1, "b": {"c": [1, 3], "d": "x" * 100}, "e": 1, "f": None, "g": [1, 2]}
    assert differences(one, other, "s") == [
        "s.b.c[1]: 2, now 3",
        f"s.b.d: x, now {'x' * 60}...",
        "s.e: true, now 1",
        "s.g: 1 values, now 2 values",
        "s.f: nothing, now null",
    ]
    assert differences(one, copy.deepcopy(one)) == []


GOOD = {
    "format": "tinycnn run receipt",
    "version": 1,
    "command": ["tinycnn", "train"],
    "seed": 0,
    "data": {"x": "0", "batches": None},
    "settings": {},
    "model": {},
    "environments": [{"first_epoch": 1}],
    "initial": {"weights": "0", "arrays": {"a": "0"}},
    "epochs": [{"epoch": 1, "steps": 2, "weights": "0", "evaluated": "0", "arrays": {"a": "0"}}],
    "times": {},
}


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        *(((name,), "x", rf"{name}: expected .*, received x") for name in GOOD if name != "format"),
        *(((name,), None, rf"{name}: expected .*, received null") for name in GOOD if name != "command"),
        (("format",), "other", 'format: expected "tinycnn run receipt", received other'),
        (("version",), True, "version: expected 1, received true"),
        (("seed",), -1, "seed: expected a whole number >= 0, received -1"),
        (("command",), ["a", 3], "command.1: expected text, received 3"),
        (("data", "x"), [], "data.x: expected text, received 0 values"),
        (("environments",), [], "environments: expected at least one"),
        (("environments", 0, "first_epoch"), 1.0, r"environments\[0\].first_epoch: expected a whole"),
        (("initial", "arrays"), 1, "initial.arrays: expected a JSON object, received 1"),
        (("initial", "arrays", "a"), 1, "initial.arrays.a: expected text, received 1"),
        (("epochs", 0), 1, r"epochs\[0\]: expected a JSON object, received 1"),
        (
            ("epochs", 0, "epoch"),
            "9" * 999,
            r"epochs\[0\].epoch: expected a whole number >= 1, received 9{60}",
        ),
        (("epochs", 0, "epoch"), 0, r"epochs\[0\].epoch: expected a whole number >= 1, received 0"),
        (("epochs", 0, "steps"), None, r"epochs\[0\].steps: expected a whole number >= 0, received null"),
        (("epochs", 0, "evaluated"), None, r"epochs\[0\].evaluated: expected text, received null"),
        (("epochs",), [*GOOD["epochs"], *GOOD["epochs"]], r"epochs\[1\].epoch: expected 2, received 1"),
    ],
)
def test_a_damaged_receipt_is_refused(tmp_path, path, value, message):
    receipt = copy.deepcopy(GOOD)
    *parents, name = path
    part = receipt
    for one in parents:
        part = part[one]
    part[name] = value
    file = tmp_path / "run.json"
    file.write_text(json.dumps(receipt))
    with pytest.raises(ValueError, match=rf"run.json: not a receipt that can be used: {message}") as error:
        read(file)
    assert len(str(error.value)) < 300 + len(str(tmp_path))
    file.write_text(json.dumps(GOOD))
    assert read(file) == GOOD


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected JSON, received none"),
        (b"\x89HDF\r\n", "expected JSON, received none"),
        (b"[" * 10**6, "nested too deeply"),
        (b"9" * 10**5, "expected"),
        (b"[]", "the file: expected a JSON object, received 0 values"),
        (b" " * (LARGEST + 1), f"expected at most {LARGEST} bytes, received more"),
    ],
)
def test_another_file_is_refused(tmp_path, content, message):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path / "run.json")
    assert "\n" not in str(error.value)


@pytest.mark.smoke
def test_a_command_is_text():
    with pytest.raises(ValueError, match="command: expected a non-empty string, received 3"):
        RunReceipt("run.json", command=["tinycnn", 3])
