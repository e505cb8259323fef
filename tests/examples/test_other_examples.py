"""The shorter examples run, and print what they promise."""

import re
import runpy
from pathlib import Path

import augmented_digits
import conv_three_ways
import layer_by_layer
import numpy as np
import pytest

import tinycnn
from tinycnn import datasets


def test_layer_by_layer(capsys):
    """Every layer is named twice: on the way up and on the way down."""
    layer_by_layer.main()
    printed = capsys.readouterr().out
    for layer in tinycnn.mnist_cnn(seed=0):
        assert printed.count(f"\n{layer.name} ") == 2


@pytest.mark.parametrize(
    ("out", "message"),
    [("no/a.png", "the folder to write into does not exist"), ("a", "expected a suffix such as .png")],
)
def test_augmented_digits_refuses_what_it_cannot_write(run, small_set, out, message):
    done = run(augmented_digits.main, "--data", small_set, "--out", out)
    assert message in str(done.status)


@pytest.mark.parametrize("recipe", ["fast", pytest.param("best", marks=pytest.mark.slow)])
def test_augmented_digits(run, small_set, tmp_path, recipe):
    """A picture for each recipe with augmentation."""
    done = run(augmented_digits.main, "--data", small_set, "--recipe", recipe, "--out", "a.png")
    assert (done.status, done.err) == (0, "")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_conv_three_ways(capsys, monkeypatch):
    """The three agree, and the times of the two practical ones are printed."""
    monkeypatch.setattr(conv_three_ways, "REPEATS", 1)
    conv_three_ways.agree()
    conv_three_ways.compare_times(2)
    printed = capsys.readouterr().out
    for name in ("naive", "im2col", "direct"):
        assert f"\n{name} " in printed
    assert printed.count("conv2d_4 ") == 2


@pytest.mark.slow
def test_sklearn_grid(run):
    """Four candidates in two processes; the best of them is the one with the highest score."""
    pytest.importorskip("sklearn", reason='pip install "tinycnn[sklearn]"')
    import sklearn_grid

    done = run(sklearn_grid.main, "--images", 300, "--epochs", 4)
    assert (done.status, done.err) == (0, "")
    *candidates, last = done.out.splitlines()
    scores = {line[8:]: float(line[:6]) for line in candidates}
    assert len(scores) == 4
    best, accuracy = re.findall(r"best: (.*), on test images ([\d.]+)", last)[0]
    assert scores[best] == max(scores.values())
    assert float(accuracy) > 0.6


@pytest.mark.parametrize("option", ["images", "epochs", "jobs"])
def test_sklearn_grid_refuses_no_work(option):
    pytest.importorskip("sklearn", reason='pip install "tinycnn[sklearn]"')
    import sklearn_grid

    with pytest.raises(ValueError, match=f"--{option}: expected a whole number >= 1, received -5"):
        sklearn_grid.main([f"--{option}", "-5"])


@pytest.mark.slow
def test_mnist_cnn_runs_as_it_is(capsys, monkeypatch, small_set, tmp_path):
    """Its 12 epochs on 300 images, from another folder; the accuracy that it prints is that of its model."""
    load_mnist = datasets.load_mnist
    monkeypatch.setattr(datasets, "load_mnist", lambda: load_mnist(small_set))
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(Path(layer_by_layer.__file__).with_name("mnist_cnn.py")), run_name="__main__")
    printed = capsys.readouterr().out
    assert printed.count("Epoch ") == 12
    loss, accuracy = map(float, re.findall(r"Test loss ([\d.]+), test accuracy ([\d.]+)%", printed)[0])
    outputs = names["model"].predict(names["x_test"])
    assert accuracy == pytest.approx(100 * np.mean(outputs.argmax(axis=1) == names["y_test"]), abs=0.01)
    assert accuracy > 50
    assert 0 < loss < 2
    assert not list(tmp_path.iterdir())
