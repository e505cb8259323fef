"""`evaluate`: the figures of the program in examples/, as text and as JSON."""

import numpy as np
import pytest

from tests.examples.conftest import small_set  # noqa: F401
from tinycnn import datasets
from tinycnn.cli import evaluate, models
from tinycnn.datasets import load_mnist, scale_images
from tinycnn.metrics import wilson_interval


def test_the_figures(call, model, small_set, tmp_path):  # noqa: F811
    done = call("evaluate", "model.h5", "--data", small_set, "--json")
    assert (done.status, done.err) == (0, "")
    found = done.json
    x, y = load_mnist(small_set)[1]
    wrong = model.predict(scale_images(x)).argmax(axis=1) != y
    assert (found["images"], found["errors"], found["on"]) == (70, wrong.sum(), "test")
    assert found["accuracy"] == pytest.approx(1 - wrong.mean())
    assert found["interval"] == pytest.approx(wilson_interval(int(wrong.sum()), 70))
    assert [half["errors"] for half in found["halves"]] == [wrong[:35].sum(), wrong[35:].sum()]
    confusion = np.array(found["confusion"])
    assert confusion.sum() == 70
    assert np.trace(confusion) == 70 - wrong.sum()
    np.testing.assert_array_equal(confusion.sum(axis=1), np.bincount(y, minlength=10))
    never = confusion.sum(axis=0) == 0  # classes that the model never predicts have no precision
    assert [value is None for value in found["precision"]] == never.tolist()
    assert found["models"][0]["path"] == "model.h5"
    assert not list(tmp_path.glob("errors.*"))


def test_the_text_has_the_same_figures(call, model, small_set):  # noqa: F811
    """The table fits 80 columns, with counts as large as those of MNIST."""
    done = call("evaluate", "model.h5", "--data", small_set)
    found = call("evaluate", "model.h5", "--data", small_set, "--json").json
    low, high = found["interval"]
    assert f"({found['errors']} errors in 70 images)" in done.out
    assert f"95 % interval (Wilson) {low:.2%} to {high:.2%}" in done.out
    found["confusion"] = np.full((10, 10), 1135)
    found["precision"] = found["recall"] = np.ones(10)
    table = evaluate.figures_text(found).partition("prediction.\n")[2]
    assert max(map(len, table.splitlines())) <= 80
    assert table.count(" 1135") == 100


@pytest.mark.slow
def test_pictures_of_errors_on_request(call, model, small_set, tmp_path):  # noqa: F811
    done = call("evaluate", "model.h5", "--data", small_set, "--out", ".")
    assert done.out.endswith("Wrote errors.csv.\nWrote errors.png.\n")
    assert sorted(path.name for path in tmp_path.glob("errors.*")) == ["errors.csv", "errors.png"]


def test_without_a_model_it_is_that_of_the_package(call, small_set, monkeypatch):  # noqa: F811
    """In whole batches, so that a bar can move: the same outputs. It warns of other data."""
    monkeypatch.setattr(evaluate, "CHUNK", 64)
    monkeypatch.setattr(datasets, "unlike_mnist", lambda x: [f"{len(x)} are clothes"], raising=False)
    done = call("evaluate", "--data", small_set, "--json")
    assert done.err == ("tinycnn: warning: unlike MNIST, which mnist_cnn was trained on: 70 are clothes\n")
    found = done.json
    assert (found["models"][0]["path"], found["models"][0]["epochs"]) == ("mnist_cnn", 30)
    assert found["errors"] == 0


def test_a_model_for_other_images(call, small_set, tmp_path):  # noqa: F811
    from tinycnn import Sequential
    from tinycnn.layers import Dense, Flatten

    Sequential([Flatten(), Dense(10)], input_shape=(8, 8, 1)).save(tmp_path / "other.h5")
    done = call("evaluate", "other.h5", "--data", small_set, "--json")
    assert (done.status, done.out) == (1, "")
    assert "expected a model for images (28, 28, 1), received (8, 8, 1)" in done.err


@pytest.mark.slow
def test_a_suspected_leak_is_an_error_also_of_json(call, model, monkeypatch):
    labels = load_mnist()[1][1]
    monkeypatch.setattr(evaluate, "predict", lambda model, images, views: np.eye(10)[labels])
    done = call("evaluate", "model.h5", "--json")
    assert (done.status, done.out) == (1, "")
    assert "suspected leak" in done.err


def test_a_folder_above_may_be_another_repository(tmp_path, monkeypatch):
    """The package in site-packages of an environment inside somebody's project."""
    (tmp_path / ".git").mkdir()
    folder = tmp_path / "site-packages" / "tinycnn"
    folder.mkdir(parents=True)
    monkeypatch.setattr(evaluate.tinycnn, "__file__", str(folder / "__init__.py"))
    assert evaluate.commit() == "unknown"


def test_names_of_models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert models.load("mnist_cnn").count_params() == 1_003_658
    with pytest.raises(FileNotFoundError, match=r"checkpoint\.npz"):
        models.load(".")
