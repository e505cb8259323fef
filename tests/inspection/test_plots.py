"""Pictures: that they are written, and that what is in them is what was given."""

import sys

import numpy as np
import pytest
from matplotlib.image import imread

from tinycnn.inspection.plots import plot_digit_steps, plot_images, plot_range_test
from tinycnn.training import RangeTest


def test_images_are_drawn_in_rows(tmp_path):
    """Dark where the image is 1; a shorter last row; captions above."""
    images = np.zeros((5, 6, 4, 1), np.float32)
    images[0] = 1
    plot_images(images, tmp_path / "i.png", [f"#{i}" for i in range(5)], columns=3, title="five")
    dark = imread(tmp_path / "i.png")[..., :3].mean(axis=-1) < 0.01
    rows, columns = np.flatnonzero(dark.sum(axis=1) > 20), np.flatnonzero(dark.sum(axis=0) > 20)
    assert rows.max() < 0.6 * dark.shape[0]  # the first image is in the upper left, below its caption
    assert columns.max() < 0.4 * dark.shape[1]
    plot_images(np.zeros((2, 5, 5, 3)), tmp_path / "i.svg")
    assert "<svg" in (tmp_path / "i.svg").read_text(encoding="utf-8")


def test_range_test(tmp_path):
    """A curve and its suggestion."""
    rates = np.geomspace(1e-4, 1, 30)
    losses = np.linspace(2, 1, 30)
    plot_range_test(RangeTest(rates, losses, losses, 0.01), tmp_path / "r.svg", "title")
    text = (tmp_path / "r.svg").read_text(encoding="utf-8")
    assert "<svg" in text
    assert text.count("<!-- suggestion 0.01 -->") == 1


def test_digit_steps(tmp_path):
    """A picture for each step, with its name; none without steps."""
    steps = {"photo": np.ones((5, 6, 3)), "grey": np.zeros((4, 7))}
    plot_digit_steps(steps, tmp_path / "s.svg", "title")
    text = (tmp_path / "s.svg").read_text()
    assert [text.count(f"<!-- {name} -->") for name in ("photo", "grey", "title")] == [1, 1, 1]
    with pytest.raises(ValueError, match="steps: expected at least one"):
        plot_digit_steps({}, tmp_path / "none.png")


def test_errors(tmp_path, monkeypatch):
    """Captions that do not fit, no images, no matplotlib."""
    images = np.zeros((2, 5, 5, 1), np.float32)
    for wrong, captions in ((images, ["a"]), (images[:0], [])):
        with pytest.raises(ValueError, match="captions: expected one for each"):
            plot_images(wrong, tmp_path / "i.png", captions)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "tinycnn\[plot\]"'):
        plot_images(images, tmp_path / "i.png")
    assert not list(tmp_path.iterdir())
