"""evaluate_mnist.py prints what a model gets wrong, on images that it was not trained on."""

import csv

import evaluate_mnist
import numpy as np
import pytest
import train_mnist

import tinycnn
from tests.examples.small_mnist import small_network
from tinycnn.cli import evaluate
from tinycnn.datasets import load_mnist, scale_images


@pytest.fixture
def model(tmp_path):
    """A network with random weights, in a file."""
    network = small_network(None, seed=4)
    network.save(tmp_path / "mnist_cnn.h5")
    return network


def test_the_picture_of_errors_has_an_end(monkeypatch, tmp_path):
    """A bad model has thousands; a good one after it leaves no picture of the bad one's."""
    drawn = []
    monkeypatch.setattr(evaluate, "plot_errors", lambda *_, most: drawn.append(most))
    outputs = np.eye(10)[np.zeros(1000, int)]
    (tmp_path / "errors.png").write_bytes(b"")
    evaluate.write_errors(np.zeros((1000, 2, 2, 1)), np.ones(1000, int), outputs, tmp_path)
    assert drawn == [evaluate.MOST_DRAWN]
    assert len((tmp_path / "errors.csv").read_text(encoding="utf-8").splitlines()) == 1001
    evaluate.write_errors(np.zeros((1000, 2, 2, 1)), np.zeros(1000, int), outputs, tmp_path)
    assert not (tmp_path / "errors.png").exists()


def test_it_prints_the_accuracy_and_every_image_that_is_wrong(run, model, small_set, tmp_path):
    done = run(evaluate_mnist.main, "mnist_cnn.h5", "--data", small_set)
    assert (done.status, done.err) == (0, "")
    x, y = load_mnist(small_set)[1]
    outputs = model.predict(scale_images(x))
    wrong = np.flatnonzero(outputs.argmax(axis=1) != y)
    assert len(wrong)
    assert f"({len(wrong)} errors in 70 images)" in done.out
    for words in ("first half", "second half", "Wilson", "precision  recall", "seed 4, 0 epochs", "commit "):
        assert words in done.out
    with open("errors.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(int(row["index"]) for row in rows) == list(wrong)
    assert (tmp_path / "errors.png").exists()
    for row in rows:
        assert int(row["label"]) == y[int(row["index"])] != int(row["prediction"])


@pytest.mark.slow
def test_an_ensemble(run, model, small_set):
    """Two files of one model are that model; with views, the outputs change."""
    path, tables = "mnist_cnn.h5", []
    for arguments in ((path,), (path, path), (path, "--views", 2), (path, "--on", "validation")):
        done = run(evaluate_mnist.main, *arguments, "--data", small_set)
        assert (done.status, done.err) == (0, "")
        tables.append(done.out[done.out.index("Accuracy") :])
    assert tables[0] == tables[1]
    assert tables[2] != tables[0]
    assert "in 30 images" in tables[3]


@pytest.mark.slow
def test_validation_images_are_never_trained_on(monkeypatch, small, tmp_path, model):
    """The same ones for every seed and limit, and those that evaluate_mnist takes."""
    seen = {}

    def fit(network, x, y, validation_data, **arguments):
        seen["trained"], seen["kept"] = x, validation_data[0]
        raise InterruptedError

    def predict(network, images, views):
        seen["evaluated"] = images
        raise InterruptedError

    monkeypatch.setattr(tinycnn.Sequential, "fit", fit)
    monkeypatch.setattr(evaluate, "predict", predict)
    with pytest.raises(InterruptedError):
        evaluate_mnist.main([str(tmp_path / "mnist_cnn.h5"), "--on", "validation"])
    for arguments, count in ((["--seed", "0"], 55_000), (["--seed", "3", "--limit", "9000"], 9_000)):
        with pytest.raises(InterruptedError):
            train_mnist.main([*arguments, "--out", str(tmp_path / "x.h5")])
        np.testing.assert_array_equal(seen["kept"], seen["evaluated"])
        assert len(seen["trained"]) == count
        assert not {image.tobytes() for image in seen["kept"]} & {
            image.tobytes() for image in seen["trained"]
        }


def test_it_finds_test_images_in_the_training_set():
    """Pixel for pixel, wherever they are."""
    images = np.random.default_rng(0).integers(0, 256, (9, 5, 4), np.uint8)
    assert evaluate.shared_images(images[:6], images[6:]) == 0
    assert evaluate.shared_images(images[:6], images[[7, 2, 8, 5]]) == 2


def test_it_suspects_a_leak(run, model, monkeypatch):
    """A model that knows the test images by heart is an error."""
    labels = load_mnist()[1][1]
    monkeypatch.setattr(evaluate, "predict", lambda model, images, views: np.eye(10)[labels])
    done = run(evaluate_mnist.main, "mnist_cnn.h5")
    assert str(done.status).startswith("error: suspected leak")
