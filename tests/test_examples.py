"""The examples run as a newcomer runs them, and answer wrong input with a sentence."""

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tinycnn
from tinycnn.datasets import load_mnist, scale_images, write_idx

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, *arguments, folder):
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    """A data set in MNIST's format: 300 and 70 of its images, in the other spelling, without gzip."""
    folder = tmp_path_factory.mktemp("data")
    for name, (images, labels), count in zip(("train", "t10k"), load_mnist(), (300, 70), strict=True):
        write_idx(folder / f"{name}-images.idx3-ubyte", images[:count])
        write_idx(folder / f"{name}-labels.idx1-ubyte", labels[:count])
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, small_set):
    """The folder after a short training, and what was printed."""
    folder = tmp_path_factory.mktemp("run")
    arguments = (
        "--data",
        str(small_set),
        "--epochs",
        "2",
        "--limit",
        "200",
        "--batch-size",
        "32",
        "--seed",
        "4",
    )
    done = run("train_mnist.py", *arguments, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


def test_train_mnist_prints_and_writes(trained):
    """The table, a line for each epoch, the accuracy; model, history and picture."""
    folder, printed = trained
    assert "Total params: 1,003,658" in printed
    assert printed.count("Epoch ") == 2
    assert "images)" in printed or "errors in 70 images" in printed
    assert sorted(path.name for path in folder.iterdir()) == [
        "mnist_cnn.csv",
        "mnist_cnn.h5",
        "mnist_cnn.png",
    ]
    with open(folder / "mnist_cnn.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["val_loss"]) > 0


def test_train_mnist_writes_the_model_it_tested(trained, small_set):
    """The accuracy that was printed is that of the file."""
    folder, printed = trained
    model = tinycnn.load_model(folder / "mnist_cnn.h5")
    x, y = load_mnist(small_set)[1]
    errors = int(np.sum(model.predict(scale_images(x)).argmax(axis=1) != y))
    assert f"({errors} errors in 70 images)" in printed
    assert (model.seed, model.epochs_trained) == (4, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--out", "nowhere/m.h5"], "--out: the folder does not exist"),
        (["--out", "model.txt"], "--out: expected a name ending in .h5"),
        (["--epochs", "-1"], "--epochs: expected a whole number >= 0, received -1"),
        (["--batch-size", "0"], "--batch-size: expected a whole number >= 1, received 0"),
        (["--limit", "5"], "--limit: expected a whole number >= 10, received 5"),
        (["--seed", "x"], "argument --seed: invalid int value: 'x'"),
        (["--learning-rate", "-1"], "learning_rate: expected a number in [0, inf), received -1.0"),
        (["--algorithm", "fft"], "invalid choice: 'fft'"),
    ],
)
def test_train_mnist_answers_wrong_input_with_a_sentence(tmp_path, arguments, message):
    """No traceback; nothing written; a status that scripts see."""
    done = run("train_mnist.py", *arguments, folder=tmp_path)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_train_mnist_keeps_the_model_at_ctrl_c(tmp_path, small_set):
    """After the first batches: a whole model, a history without lines, a status of 0."""
    command = [
        sys.executable,
        "-u",
        str(EXAMPLES / "train_mnist.py"),
        "--data",
        str(small_set),
        "--epochs",
        "500",
    ]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line.startswith("Epoch 1/500"):
                break
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "the model so far is kept" in printed
    model = tinycnn.load_model(tmp_path / "mnist_cnn.h5")
    assert model.steps_trained == model.optimizer.iterations > 0
    assert "Test accuracy" in printed


def test_layer_by_layer(tmp_path):
    """Every layer is named twice: on the way up and on the way down."""
    done = run("layer_by_layer.py", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for layer in tinycnn.mnist_cnn(seed=0):
        assert done.stdout.count(f"\n{layer.name} ") == 2


def test_conv_three_ways(tmp_path):
    """The three agree, and the times of the two practical ones are printed."""
    done = run("conv_three_ways.py", "--images", "2", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("naive", "im2col", "direct"):
        assert f"\n{name} " in done.stdout
    assert done.stdout.count("conv2d_4 ") == 2
