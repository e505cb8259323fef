"""The network in the box: what its card says of it is true."""

import csv
import doctest
import hashlib
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

import tinycnn
from tinycnn import models
from tinycnn.datasets import load_mnist, scale_images

FOLDER = Path(tinycnn.__file__).parent / "pretrained"
CARD = (FOLDER / "mnist_cnn.md").read_text(encoding="utf-8")


def on_card(pattern):
    """Return the one thing that a pattern finds on the card."""
    found = re.findall(pattern, CARD)
    assert len(found) == 1, f"{pattern}: expected once, found {found}"
    return found[0]


@pytest.mark.slow
def test_it_makes_the_errors_of_its_card():
    """One image may fall on the other side on a machine that rounds otherwise."""
    _, (x, y) = load_mnist()
    taken = tinycnn.load_pretrained("mnist_cnn").predict(scale_images(x)).argmax(axis=1)
    with open(FOLDER / "mnist_cnn_errors.csv", newline="", encoding="utf-8") as file:
        told = {
            int(row["index"]): (int(row["label"]), int(row["prediction"])) for row in csv.DictReader(file)
        }
    assert int(on_card(r"\((\d+) errors in 10,000 images\)")) == len(told)
    found = {int(i): (int(y[i]), int(taken[i])) for i in np.flatnonzero(taken != y)}
    assert len(set(found) ^ set(told)) <= 1
    assert all(found[i] == told[i] for i in found if i in told)


def test_its_weights_and_data_are_those_of_the_card():
    model = tinycnn.load_pretrained("mnist_cnn")
    weights = hashlib.sha256(b"".join(array.tobytes() for array in model.get_weights())).hexdigest()
    assert on_card(r"weights\s+\| `([0-9a-f]{64})`") == weights
    (x_train, y_train), (x_test, y_test) = load_mnist()
    for name, array in (
        ("training images", x_train),
        ("training labels", y_train),
        ("test images", x_test),
        ("test labels", y_test),
    ):
        assert on_card(rf"{name}\s+\| `([0-9a-f]{{64}})`") == hashlib.sha256(array.tobytes()).hexdigest()


def test_its_file_is_small_and_has_no_optimizer():
    path = FOLDER / "mnist_cnn.h5"
    assert path.stat().st_size < 4_200_000  # 1,003,658 float32 are 4,014,632 bytes
    with h5py.File(path, "r") as file:
        assert "optimizer_weights" not in file
    assert tinycnn.load_pretrained("mnist_cnn").optimizer is None


def test_it_can_be_trained_further():
    model = tinycnn.load_pretrained("mnist_cnn")
    model.compile(tinycnn.optimizers.Adam(1e-5), "sparse_categorical_crossentropy", ["accuracy"])
    (x, y), _ = load_mnist()
    history = model.fit(scale_images(x[:256]), y[:256], verbose=0)
    assert history.history["accuracy"][0] > 0.9


@pytest.mark.parametrize("name", ["mnist", "", "../pretrained/mnist_cnn", None])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(ValueError, match="name: expected 'mnist_cnn', received"):
        tinycnn.load_pretrained(name)


def test_the_example_of_its_docstring():
    example = doctest.DocTestFinder().find(models.load_pretrained, globs={})[0]
    runner = doctest.DocTestRunner()
    runner.run(example)
    assert runner.summarize().attempted == 4
    assert runner.summarize().failed == 0
