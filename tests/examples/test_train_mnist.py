"""train_mnist.py trains and goes on after a stop, and answers wrong input with a sentence."""

import csv
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import train_mnist

import tinycnn
from tinycnn import recipes
from tinycnn.datasets import load_mnist, scale_images
from tinycnn.serve.film import Film
from tinycnn.support.folder_lock import FolderLock
from tinycnn.training.checkpoint_files import LOCK

EXAMPLES = Path(train_mnist.__file__).parent


@pytest.fixture
def trained(run, small, small_set):
    """What was printed by a short run, in the folder that it has written to."""
    arguments = ("--epochs", 2, "--limit", 200, "--batch-size", 32, "--seed", 4)
    done = run(train_mnist.main, "--data", small_set, *arguments)
    assert (done.status, done.err) == (0, "")
    return done.out


def test_it_prints_and_writes(trained, tmp_path):
    """The table, a line for each epoch, the accuracy; model, history, picture and receipt."""
    assert "Total params: 410" in trained
    assert trained.count("Epoch ") == 2
    assert "errors in 70 images)" in trained
    names = ["mnist_cnn.csv", "mnist_cnn.h5", "mnist_cnn.png", "mnist_cnn.run.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    with open("mnist_cnn.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["val_loss"]) > 0


def test_it_writes_the_model_it_tested(trained, small_set):
    """The accuracy that was printed is that of the file."""
    model = tinycnn.load_model("mnist_cnn.h5")
    x, y = load_mnist(small_set)[1]
    errors = int(np.sum(model.predict(scale_images(x)).argmax(axis=1) != y))
    assert f"({errors} errors in 70 images)" in trained
    assert (model.seed, model.epochs_trained) == (4, 2)


def test_its_network_is_mnist_cnn_with_the_dropout_of_the_recipe():
    model = recipes.network(recipes.RECIPES["fast"], seed=3)
    assert (model.count_params(), model.seed) == (1_003_658, 3)
    rates = [layer.rate for layer in model if isinstance(layer, tinycnn.layers.Dropout)]
    assert tuple(rates) == recipes.RECIPES["fast"].dropout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--out", "nowhere/m.h5"], "--out: the folder does not exist"),
        (["--out", "model.txt"], "--out: expected a file name ending in .h5"),
        (["--epochs", "-1"], "--epochs: expected a whole number >= 0, received -1"),
        (["--batch-size", "0"], "--batch-size: expected a whole number >= 1, received 0"),
        (["--limit", "5"], "--limit: expected a whole number >= 10, received 5"),
        (["--seed", "x"], "argument --seed: invalid int value: 'x'"),
        (["--learning-rate", "-1"], "learning_rate: expected a number in [0, inf), received -1.0"),
        (["--algorithm", "fft"], "invalid choice: 'fft'"),
        (["--recipe", "slow"], "invalid choice: 'slow'"),
        (["--recipe", "fashion"], "--recipe fashion: expected --data with the folder of Fashion-MNIST"),
        (["--resume", "nowhere"], "--resume: expected a folder that --checkpoint made, received nowhere"),
        (["--resume", "nowhere", "--recipe", "classic"], "--resume: expected no other options"),
        (["--keep-every", "5"], "--keep-every: expected --checkpoint with a folder"),
        (
            ["--keep-every", "0", "--checkpoint", "run"],
            "--keep-every: expected a whole number >= 1, received 0",
        ),
        (["--resume", "nowhere", "--epochs", "3"], "--resume: expected no other options"),
        (["--checkpoint", "nowhere/run"], "--checkpoint: the folder does not exist"),
    ],
)
def test_it_answers_wrong_input_with_a_sentence(run, small, tmp_path, arguments, message):
    """No traceback; nothing written; a status that scripts see."""
    done = run(train_mnist.main, *arguments)
    assert done.status not in (0, None)
    assert message in f"{done.status}{done.err}"
    assert not list(tmp_path.iterdir())


def test_the_program_itself(tmp_path):
    """Its last lines: an error is a sentence and a status that scripts see."""
    command = [sys.executable, str(EXAMPLES / "train_mnist.py"), "--data", "nowhere"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "nowhere" in done.stderr
    assert done.stderr.count("\n") == 1


def at_step(monkeypatch, step, function):
    """Call a function with the model after some steps of a run."""
    apply = tinycnn.Sequential.apply_gradients

    def stepped(model, *arguments):
        result = apply(model, *arguments)
        if model.steps_trained == step:
            function(model)
        return result

    monkeypatch.setattr(tinycnn.Sequential, "apply_gradients", stepped)


def interrupt_at(monkeypatch, step, number=signal.SIGINT):
    """Send Ctrl-C, or another signal, to this process after some steps of a run."""
    at_step(monkeypatch, step, lambda model: signal.raise_signal(number))


def test_it_keeps_the_model_at_ctrl_c(run, small, small_set, monkeypatch):
    """After the first batches: a whole model, a history without lines, the status of Ctrl-C."""
    interrupt_at(monkeypatch, 2)
    done = run(train_mnist.main, "--data", small_set, "--epochs", 500, "--batch-size", 32)
    assert (done.status, done.err) == (130, "")  # what a shell says of Ctrl-C
    assert "Stopped after 2 steps; the model so far is" in done.out
    model = tinycnn.load_model("mnist_cnn.h5")
    assert model.steps_trained == model.optimizer.iterations == 2
    assert "Test accuracy" not in done.out  # it is looked at once, at the end


@pytest.fixture(params=[("h5", "csv", "png"), pytest.param(("png",), marks=pytest.mark.slow)])
def earlier(request, tmp_path):
    """Write the files of an earlier run, or what is left of them; return a function that checks them."""
    paths = [tmp_path / f"mnist_cnn.{suffix}" for suffix in request.param]
    for path in paths:
        path.write_bytes(b"weeks of work" + path.suffix.encode())

    def check(*others):
        for path in paths:
            assert path.read_bytes() == b"weeks of work" + path.suffix.encode()
        names = {path.name for path in paths} | {f"mnist_cnn_stopped.{suffix}" for suffix in others}
        assert {path.name for path in tmp_path.glob("mnist_cnn*")} == names

    return check


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_does_not_replace_a_model(run, small, small_set, monkeypatch, earlier, number):
    """It is written beside it, with its history; the status is that of the signal."""
    interrupt_at(monkeypatch, 2, number)
    done = run(train_mnist.main, "--data", small_set, "--epochs", 500, "--batch-size", 32)
    assert done.status == 128 + number
    assert "Wrote mnist_cnn_stopped.h5 and mnist_cnn_stopped.csv." in done.out
    earlier("h5", "csv", "run.json")
    assert tinycnn.load_model("mnist_cnn_stopped.h5").steps_trained == 2


def test_a_run_that_ends_by_an_error_replaces_nothing(run, small, small_set, monkeypatch, earlier):
    """A second Ctrl-C, and any other: nothing at all is written."""

    def raise_error(error):
        raise error

    for error in (MemoryError(), KeyboardInterrupt()):
        with monkeypatch.context() as patch:
            at_step(patch, 3, lambda model, error=error: raise_error(error))
            with pytest.raises(type(error)):
                run(train_mnist.main, "--data", small_set, "--epochs", 2, "--batch-size", 32)
        earlier()


def test_a_run_that_diverged_replaces_nothing(run, small, small_set, monkeypatch, earlier):
    """It is an error that says where; nothing is written."""
    at_step(monkeypatch, 3, lambda model: model.parameters.fill(np.nan))
    done = run(train_mnist.main, "--data", small_set, "--epochs", 1, "--batch-size", 32)
    assert done.status.startswith(
        "error: the loss is nan at batch 4 of epoch 1 (step 4): conv2d_1/kernel is not finite"
    )
    assert "Wrote" not in done.out
    earlier()


def test_a_model_whose_last_checkpoint_failed_is_written(run, small, small_set, monkeypatch, tmp_path):
    """It is whole; the error is reported after it."""

    def delete(model):
        shutil.rmtree(tmp_path / "run")

    at_step(monkeypatch, 3, delete)
    with pytest.warns(UserWarning, match="could not be (saved|written)"):
        done = run(
            train_mnist.main, "--data", small_set, "--epochs", 1, "--batch-size", 32, "--checkpoint", "run"
        )
    assert "error: run: the last checkpoint is of step 0" in done.status
    assert "Test accuracy" in done.out
    assert tinycnn.load_model("mnist_cnn.h5").epochs_trained == 1


def test_a_folder_in_use_is_left_as_it_is(run, small, small_set, monkeypatch, tmp_path):
    """Its settings too, when a second program begins before the first has saved."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "settings.json").write_text("of the first")
    lock = FolderLock(tmp_path / "run", LOCK)
    lock.acquire()
    done = run(train_mnist.main, "--data", small_set, "--checkpoint", "run", "--keep-every", 5)
    lock.release()
    assert "run: in use by process" in str(done.status)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["settings.json"]
    assert (tmp_path / "run" / "settings.json").read_text(encoding="utf-8") == "of the first"


@pytest.mark.slow
def test_models_are_kept_along_a_run(run, small, small_set, tmp_path):
    """Before the first step and after every fifth, in the folder of the checkpoint: a film for the page."""
    arguments = ["--data", small_set, "--epochs", 2, "--batch-size", 32]
    assert run(train_mnist.main, *arguments, "--checkpoint", "run", "--keep-every", 5).status == 0
    last = tinycnn.load_model("mnist_cnn.h5").steps_trained
    film = Film(None, tmp_path / "run")
    steps = [frame.steps for frame in film.frames]
    previous = tinycnn.load_model("run/checkpoint.previous.npz").steps_trained
    assert steps == sorted({*range(0, last + 1, 5), previous, last})


@pytest.mark.slow
def test_it_goes_on_after_a_stop(run, small, small_set, tmp_path, monkeypatch):
    """Ctrl-C in the middle, then --resume from another folder: the bits of a run that was never stopped."""
    arguments = ["--recipe", "best", "--data", small_set, "--epochs", 3, "--batch-size", 32]
    assert run(train_mnist.main, *arguments, "--out", "whole.npz").status == 0
    with monkeypatch.context() as patch:
        interrupt_at(patch, 12)
        done = run(train_mnist.main, *arguments, "--checkpoint", "run")
    assert done.status == 130
    assert "--resume run" in done.out
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = run(train_mnist.main, "--resume", "../run")
    assert done.status == 0
    assert done.err.startswith("tinycnn: ../run: resuming from its checkpoint (")
    assert "Epoch 3/3" in done.out
    monkeypatch.chdir(tmp_path)
    model, whole = (tinycnn.load_model(name) for name in ("mnist_cnn.h5", "whole.npz"))
    np.testing.assert_array_equal(model.parameters, whole.parameters)
    done = run(train_mnist.main, "--checkpoint", "run")
    assert done.status != 0
    assert "--resume" in done.err


@pytest.mark.slow
def test_a_refused_checkpoint_leaves_the_folder_free(run, small, small_set, tmp_path):
    """The corrected command works, where the first one found nothing to train on."""
    arguments = ["--data", small_set, "--epochs", 1, "--checkpoint", "run", "--verbose", 0]
    assert run(train_mnist.main, *arguments, "--learning-rate", -1).status != 0
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run" / "settings.json").write_text("{}")  # of one that ended before its first checkpoint
    assert run(train_mnist.main, *arguments).status == 0
    assert run(train_mnist.main, "--resume", "run").status == 0


def test_plain_adam_without_decay():
    """And AdamW where a recipe has a decay, also with a constant rate."""
    assert repr(recipes.optimizer(recipes.RECIPES["classic"], 100)) == "Adam()"
    decayed = recipes.optimizer(recipes.Recipe(epochs=1, learning_rate=0.002, weight_decay=0.05), 100)
    assert (type(decayed).__name__, decayed.rate) == ("AdamW", 0.002)
    assert decayed.weight_decay == {"*/kernel": 0.05}
