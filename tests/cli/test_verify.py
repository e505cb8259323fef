"""`verify`: a run is the same again, or the first epoch that differs is named, and what may be the cause."""

import copy
import json
import os
import signal

import numpy as np
import pytest

import tinycnn
from tests.examples.conftest import small_set  # noqa: F401
from tests.examples.small_mnist import small_network
from tinycnn import recipes
from tinycnn.cli import main, program, train
from tinycnn.datasets import load_mnist, write_idx
from tinycnn.training import StopOnInterrupt

ARGUMENTS = ["--recipe=fast", "--epochs=2", "--batch-size=64", "--seed=4", "--algorithm=im2col"]


@pytest.fixture(scope="module")
def receipt(small_set, tmp_path_factory):  # noqa: F811
    """The receipt of a run with augmentation and averages on 270 images."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(recipes, "network", small_network)
        patch.setattr(train, "draw", lambda *arguments: None)
        assert main(["train", *ARGUMENTS, f"--data={small_set}", "--verbose=0"]) == 0
    assert not list(folder.glob("*.unfinished*"))
    return json.loads((folder / "mnist_cnn.run.json").read_text())


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Another network, and no pictures."""
    monkeypatch.setattr(recipes, "network", small_network)
    monkeypatch.setattr(train, "draw", lambda *arguments: None)


@pytest.fixture
def verify(call, receipt, tmp_path):
    """Return a function that verifies the receipt, with a part replaced, in an empty folder."""

    def verify(*arguments, change=lambda whole: None):
        whole = copy.deepcopy(receipt)
        change(whole)
        (tmp_path / "run.json").write_text(json.dumps(whole))
        done = call("verify", "run.json", *arguments)
        assert [path.name for path in tmp_path.iterdir()] == ["run.json"]  # it writes nothing
        return done

    return verify


def put(*path):
    """Return a change: the last item replaces the value at the others, as in put("epochs", 1, "steps", 3)."""

    def change(whole):
        *parents, name, value = path
        for one in parents:
            whole = whole[one]
        whole[name] = value

    return change


def option(old, new):
    """Return a change of the command."""
    return lambda whole: whole.update(command=[word.replace(old, new) for word in whole["command"]])


def test_the_same_run_again(verify, receipt):
    done = verify()
    assert (done.status, done.err) == (0, "")
    short = [one["weights"][:16] for one in receipt["epochs"]]
    assert done.out.splitlines() == [
        f"Epoch 1 of 2: the same weights, {short[0]}",
        "Verified: the weights are the same after each of 2 epochs.",
    ]
    assert len(set(short)) == 2
    assert all(one["evaluated"] != one["weights"] for one in receipt["epochs"])  # the averages


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (put("epochs", 1, "weights", "0" * 64), {"epoch": 2, "weight": None, "when": "trained"}),
        (
            lambda whole: whole["initial"]["arrays"].update({"dense_1/kernel": "0"}),
            {"epoch": 1, "weight": "dense_1/kernel", "when": "before"},
        ),
        (
            option("--learning-rate=0.0025", "--learning-rate=0.0024"),
            {"epoch": 1, "weight": "conv2d_1/kernel", "when": "trained"},
        ),
    ],
)
def test_the_first_epoch_that_differs(verify, change, difference):
    """And no epoch after it is trained."""
    done = verify("--json", change=change)
    assert (done.status, done.err) == (1, "")
    found = done.json
    assert (found["same"], found["first_difference"], found["data"]) == (False, difference, [])
    assert found["epochs"] == (0 if difference["when"] == "before" else difference["epoch"])


def test_the_words_for_a_difference(verify):
    done = verify(change=put("epochs", 1, "arrays", "conv2d_1/bias", "0"))
    assert done.status == 1
    words = "Not the same: epoch 2 differs: conv2d_1/bias is the first weight that does.\n"
    assert done.out.endswith(words)
    done = verify(change=lambda whole: (put("seed", 5)(whole), option("--seed=4", "--seed=5")(whole)))
    assert "epoch 1 differs, as the weights before it do: conv2d_1/kernel is the first" in done.out
    assert "- model.seed: 4, now 5" in done.out


def test_a_first_part(verify):
    """The schedule is that of the whole run."""
    done = verify("--epochs", 1, change=put("epochs", 1, "weights", "0" * 64))
    assert (done.status, done.out) == (0, "Verified: the weights are the same after 1 epoch.\n")
    done = verify("--epochs", 3)
    assert done.status == 2
    assert "--epochs: expected 1 to 2, as the receipt has, received 3" in done.err


def test_other_data_are_named_before_training(verify, small_set, tmp_path_factory, monkeypatch):  # noqa: F811
    """One pixel of a training image."""
    other = tmp_path_factory.mktemp("other")
    for name, (images, labels) in zip(("train", "t10k"), load_mnist(small_set), strict=True):
        write_idx(other / f"{name}-images-idx3-ubyte", images)
        write_idx(other / f"{name}-labels-idx1-ubyte", labels)
    done = verify("--data", other, "--epochs", 1, change=option(str(small_set), "gone"))
    assert done.status == 0  # the data have moved
    done = verify(change=option(str(small_set), "gone"))
    assert done.status == 1
    assert "gone: expected a file" in done.err
    assert "--data names the folder" in done.err
    (images, _), _ = load_mnist(small_set)
    images = images.copy()
    images[0, 3, 4] ^= 1
    write_idx(other / "train-images-idx3-ubyte", images)
    monkeypatch.setattr(tinycnn.Sequential, "compute_gradients", None)
    done = verify("--data", other, "--json")
    assert done.status == 1
    assert done.json["data"] in (["x"], ["validation_x"])
    assert (done.json["same"], done.json["epochs"]) == (False, 0)
    assert verify("--data", other).out.startswith("Not the same data: ")


def test_another_environment_is_noted(verify):
    """It does not matter as long as the weights are the same."""

    def change(whole):
        whole["environments"][0].update(numpy="1.0", vector_bytes=16)
        del whole["environments"][0]["python"]

    done = verify("--epochs", 1, change=change)
    assert (done.status, done.err) == (0, "")
    verdict, *lines = done.out.splitlines()
    assert verdict.startswith("Verified")
    assert [line.partition(",")[0] for line in lines] == [
        "Different environment:",
        "- numpy: 1.0",
        "- vector_bytes: 16",
        "- python: nothing",
    ]
    assert f"- numpy: 1.0, now {np.__version__}" in lines


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        (put("command", None), 2, "received one of Python code, which has no command"),
        (put("command", ["rm", "-r"]), 1, "run.json: command: expected tinycnn train and its options"),
        (option("--seed=4", "--help"), 1, "unrecognized arguments: --help"),
        (option("--seed=4", "--out=photo.h5"), 1, "--out: expected only options that the weights depend"),
        (option("--seed=4", "--resume=run"), 1, "--resume: expected only options"),
        (option("--seed=4", "--seed=x"), 1, "argument --seed: invalid int value"),
        (option("--seed=4", "--limit=3"), 1, "--limit: expected a whole number >= 10, received 3"),
        (put("seed", 5), 1, "seed: expected 4, as in its command, received 5"),
        (put("epochs", []), 1, "expected a receipt with at least one epoch"),
        (put("version", 2), 1, "version: expected 1, received 2"),
        (put("epochs", 1, "epoch", 7), 1, "epochs[1].epoch: expected 2, received 7"),
    ],
)
def test_a_receipt_that_cannot_be_verified(verify, change, status, message):
    done = verify(change=change)
    assert (done.status, done.out, done.err.count("\n")) == (status, "", 1)
    assert message in done.err


def test_two_receipts(verify, call, receipt, tmp_path):
    """Of Python code too, which has no command."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.json").write_text(json.dumps({**receipt, "command": None}))
    one = tmp_path / "one.json"
    one.write_text(json.dumps(receipt))
    assert call("verify", one, "--against", "other").out == (
        "Verified: the weights are the same after each of 2 epochs.\n"
    )
    put("epochs", 1, "weights", "0")(receipt := copy.deepcopy(receipt))
    one.write_text(json.dumps(receipt))
    done = call("verify", one, "--against", "other")
    assert (done.status, done.out) == (1, "Not the same: epoch 2 differs.\n")
    assert call("verify", one, "--against", "other", "--data", "x").status == 2


def test_ctrl_c(verify, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(tinycnn.Sequential, "compute_gradients", interrupt)
    done = verify()
    assert (done.status, done.err) == (program.INTERRUPTED, "tinycnn: interrupted\n")


def test_a_stopped_run_and_its_receipt(call, small_set, monkeypatch, tmp_path):  # noqa: F811
    """A receipt of each epoch that ended, not over that of a finished run; `verify` repeats that part."""
    (tmp_path / "mnist_cnn.h5").write_bytes(b"weeks of work")
    (tmp_path / "mnist_cnn.run.json").write_bytes(b"their receipt")

    class Stop(StopOnInterrupt):
        def on_epoch_begin(self, epoch, logs=None):
            self.interrupted, self.signal = epoch == 1, signal.SIGINT
            if self.interrupted:
                written = json.loads((tmp_path / "mnist_cnn.unfinished.run.json").read_text())
                assert len(written["epochs"]) == 1

    monkeypatch.setattr(train, "StopOnInterrupt", Stop)
    assert call("train", *ARGUMENTS, "--data", small_set, "--verbose", 0).status == 130
    names = sorted(path.name for path in tmp_path.glob("*.run.json"))
    assert names == ["mnist_cnn.run.json", "mnist_cnn_stopped.run.json"]
    assert (tmp_path / "mnist_cnn.run.json").read_bytes() == b"their receipt"
    done = call("verify", "mnist_cnn_stopped.run.json")
    assert done.out == "Verified: the weights are the same after 1 epoch.\n"


@pytest.mark.slow
def test_a_resumed_run_has_the_receipt_of_a_whole_one(call, receipt, small_set, monkeypatch, tmp_path):  # noqa: F811
    """Also from another folder, where the path of its data would be another one."""
    take_step = tinycnn.Sequential.compute_gradients

    def fail(model, *arguments):
        if model.steps_trained == 7:
            raise KeyboardInterrupt  # in the second epoch, after which nothing is saved
        return take_step(model, *arguments)

    data = os.path.relpath(small_set)
    with monkeypatch.context() as patch:
        patch.setattr(tinycnn.Sequential, "compute_gradients", fail)
        arguments = (*ARGUMENTS, "--data", data, "--verbose", 0)
        assert call("train", *arguments, "--checkpoint", "run").status == 130
    assert len(json.loads((tmp_path / "run" / "run.json").read_text())["epochs"]) == 1
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert call("train", "--resume", "../run").status == 0
    whole = copy.deepcopy(receipt)
    option(str(small_set), data)(whole)  # as it was typed
    for path in (tmp_path / "run" / "run.json", tmp_path / "mnist_cnn.run.json"):
        resumed = json.loads(path.read_text())
        assert resumed.pop("times").keys() == {"started", "written"}
        assert resumed == {name: part for name, part in whole.items() if name != "times"}
