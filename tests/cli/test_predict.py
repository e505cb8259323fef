"""`predict`: pictures in, digits out, one error for each picture that is none."""

from pathlib import Path

import numpy as np
import pytest

from tinycnn import datasets
from tinycnn.datasets import load_mnist, scale_images
from tinycnn.inspection import plots

PICTURES = {"two.png": [1], "seven.png": [0], "row.png": [0, 2, 1], "faint.png": [3]}
LABELS = [7, 2, 1, 0]  # of the first test images


@pytest.fixture(autouse=True)
def prepared(monkeypatch, tmp_path):
    """Files in the test's folder whose digits are images of the test set."""
    images = scale_images(load_mnist()[1][0][:4])
    for name in PICTURES:
        (tmp_path / name).write_bytes(b"")

    def prepare_digits(path):
        with open(path, "rb"):
            pass  # raises for a file that is not there
        if path.name not in PICTURES:
            raise ValueError(f"image: expected a picture, received {path.name}")
        return images[PICTURES[path.name]]

    def prepare_digit(path):
        digits = prepare_digits(path)
        if len(digits) > 1:
            raise ValueError(
                f"image: expected one digit, received {len(digits)}; use tinycnn.datasets.prepare_digits"
            )
        return digits[0]

    def unlike_mnist(image):
        return ["the strokes are faint"] if (image == images[3]).all() else []

    monkeypatch.setattr(datasets, "prepare_digit", prepare_digit, raising=False)
    monkeypatch.setattr(datasets, "prepare_digits", prepare_digits, raising=False)
    monkeypatch.setattr(datasets, "unlike_mnist", unlike_mnist, raising=False)


def test_a_line_for_each_picture(call):
    done = call("predict", "two.png", "seven.png")
    assert (done.status, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["image", "digit", "probability", "then"]
    assert [line[:2] for line in lines[1:]] == [["two.png", "2"], ["seven.png", "7"]]
    assert all(float(line[2].rstrip("%")) > 99 for line in lines[1:])


def test_json_has_the_choices_and_the_warnings(call):
    done = call("predict", "two.png", "faint.png", "--top", 3, "--json")
    assert (done.status, done.err) == (0, "")
    two, faint = done.json["images"]
    assert (two["file"], two["digits"][0]["digit"], two["digits"][0]["warnings"]) == ("two.png", 2, [])
    assert faint["digits"][0]["warnings"] == ["the strokes are faint"]
    choices = two["digits"][0]["choices"]
    assert len(choices) == 3
    assert choices[0]["probability"] == two["digits"][0]["probability"] > 0.99
    probabilities = [choice["probability"] for choice in choices]
    assert probabilities == sorted(probabilities, reverse=True)


def test_a_warning_names_the_picture(call):
    done = call("predict", "faint.png", "seven.png")
    assert (done.status, done.err) == (0, "tinycnn: warning: faint.png: the strokes are faint\n")


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_a_picture_that_is_none_does_not_stop_the_others(call, tmp_path, extra):
    (tmp_path / "notes.txt").write_text("no picture")
    done = call("predict", "no.png", "seven.png", "notes.txt", "row.png", "two.png", *extra)
    assert done.status == 1
    errors = {
        "no.png": "no.png: No such file or directory",
        "notes.txt": "image: expected a picture, received notes.txt",
        "row.png": "image: expected one digit, received 3; use --several",
    }
    if extra:
        found = {entry["file"]: entry.get("error") for entry in done.json["images"]}
        assert {name: error for name, error in found.items() if error} == errors
        return
    assert done.err.splitlines() == [
        "tinycnn: error: no.png: No such file or directory",
        "tinycnn: error: notes.txt: image: expected a picture, received notes.txt",
        "tinycnn: error: row.png: image: expected one digit, received 3; use --several",
    ]
    assert [line.split()[:2] for line in done.out.splitlines()[1:]] == [["seven.png", "7"], ["two.png", "2"]]


def test_several_digits_in_a_row(call):
    done = call("predict", "row.png", "two.png", "--several", "--json")
    assert [[d["digit"] for d in entry["digits"]] for entry in done.json["images"]] == [[7, 1, 2], [2]]
    assert [line.split()[1] for line in call("predict", "row.png", "--several").out.splitlines()[1:]] == [
        *"712"
    ]


def test_a_folder_stands_for_its_pictures(call, tmp_path):
    folder = tmp_path / "digits"
    folder.mkdir()
    (tmp_path / "two.png").rename(folder / "two.png")
    (tmp_path / "seven.png").rename(folder / "seven.png")
    (folder / "notes.txt").write_text("")
    (folder / "inner.png").mkdir()
    done = call("predict", "digits", "--json")
    assert [entry["file"] for entry in done.json["images"]] == ["digits/seven.png", "digits/two.png"]
    (tmp_path / "empty").mkdir()
    done = call("predict", "empty")
    assert (done.status, done.out) == (1, "")
    assert "empty: expected pictures in this folder (.png" in done.err


def test_the_model_must_take_digits(call, tmp_path):
    from tinycnn import Sequential
    from tinycnn.layers import Dense, Flatten

    Sequential([Flatten(), Dense(10)], input_shape=(8, 8, 1)).save(tmp_path / "other.h5")
    done = call("predict", "two.png", "--model", "other.h5")
    assert (done.status, done.out) == (1, "")
    assert "other.h5: expected a model for images (28, 28, 1), received (8, 8, 1)" in done.err


def test_the_steps_are_drawn(call, monkeypatch):
    drawn = []
    monkeypatch.setattr(datasets, "digit_steps", lambda path: f"steps of {path}", raising=False)
    monkeypatch.setattr(plots, "plot_digit_steps", lambda *arguments: drawn.append(arguments), raising=False)
    done = call("predict", "two.png", "--steps", "steps.png")
    assert (done.status, done.err) == (0, "tinycnn: wrote steps.png\n")
    assert drawn == [("steps of two.png", Path("steps.png"))]
    assert call("predict", "no.png", "--steps", "steps.png").status == 1
    assert len(drawn) == 1


def test_numpy_computes_unless_something_else_is_asked_for(call, monkeypatch):
    """Compiling kernels for one picture would take half a minute on a new machine."""
    from tinycnn import Sequential
    from tinycnn.kernels.selection import requested

    seen = []

    def recorded(model, x):
        seen.append(requested().algorithm)
        return np.eye(10)[[3] * len(x)]

    monkeypatch.setattr(Sequential, "predict", recorded)
    monkeypatch.delenv("TINYCNN_ALGORITHM", raising=False)
    call("predict", "two.png")
    monkeypatch.setenv("TINYCNN_ALGORITHM", "winograd")
    call("predict", "two.png")
    assert seen == ["im2col", "winograd"]


def test_long_and_strange_names(call, tmp_path, monkeypatch):
    name = "7" * 60 + "\x1b[31m.png"
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setitem(PICTURES, name, [0])
    done = call("predict", name, "two.png")
    assert done.status == 0
    assert "7" * 60 + r"\x1b[31m.png  7" in done.out
