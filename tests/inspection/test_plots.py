"""Pictures: that they are written, and that what is in them is what was given."""

import sys
import unicodedata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib import get_data_path
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.image import imread

from tinycnn import Sequential
from tinycnn.inspection.blocks import blocks
from tinycnn.inspection.plots import (
    plot_augmentation,
    plot_blocks,
    plot_confusion_matrix,
    plot_digit_steps,
    plot_errors,
    plot_feature_maps,
    plot_filters,
    plot_history,
    plot_images,
    plot_range_test,
    plot_roofline,
)
from tinycnn.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tinycnn.support import svg
from tinycnn.training import History, RangeTest


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


@pytest.fixture
def axes():
    """Axes of a figure of one's own."""
    return Figure().subplots()


def pictures_in(ax):
    """Return the arrays that axes show, in the order of drawing."""
    return [np.asarray(image.get_array()) for image in ax.get_images()]


def texts_in(ax):
    return [text.get_text() for text in ax.texts]


HISTORY = History()
HISTORY.epoch = [0, 1, 2]
HISTORY.history = {"loss": [3, 2, 1], "accuracy": [0.1, 0.2, 0.4], "val_loss": [4, 3, 3]}


def test_a_history_on_axes_of_ones_own(axes, tmp_path):
    """One for all figures, or one for each; what was given comes back."""
    assert plot_history(HISTORY, tmp_path / "h.png", "title", ax=axes) is axes
    assert [line.get_label() for line in axes.lines] == [
        "loss, training",
        "loss, validation",
        "accuracy, training",
    ]
    assert axes.lines[1].get_ydata().tolist() == [4, 3, 3]
    assert axes.lines[2].get_xdata().tolist() == [1, 2, 3]
    assert (axes.get_title(), axes.get_xlabel()) == ("title", "epoch")
    assert (tmp_path / "h.png").exists()
    two = Figure().subplots(2, 1)
    assert plot_history(HISTORY, ax=two) is two
    assert [ax.get_title() for ax in two] == ["loss", "accuracy"]
    with pytest.raises(ValueError, match=r"ax: expected one Axes or 2, for loss, accuracy, received 3"):
        plot_history(HISTORY, ax=Figure().subplots(1, 3))


def test_without_axes_and_path_a_notebook_shows_the_figure():
    """It is pyplot's current one; with a path it is not, so that nothing piles up."""
    from matplotlib import pyplot

    pyplot.close("all")
    panels = plot_history(HISTORY)
    assert [ax.get_title() for ax in panels] == ["loss", "accuracy"]
    assert pyplot.gcf() is panels[0].figure
    pyplot.close("all")


@pytest.mark.parametrize("backend", ["path", "ax"])
def test_only_a_figure_to_look_at_is_pyplots(backend, tmp_path):
    from matplotlib import pyplot

    pyplot.close("all")
    kinds = {"path": {"path": tmp_path / "n.svg"}, "ax": {"ax": Figure().subplots()}}
    plot_blocks(small_network(), **kinds[backend])
    assert pyplot.get_fignums() == []


def test_confusion_matrix(axes):
    """Counts as text; shades by the share of a row, whose square root is drawn."""
    confusion = np.array([[9, 0, 1], [0, 4, 0], [25, 0, 75]])
    assert plot_confusion_matrix(confusion, ax=axes, names=["cat", "dog", "horse"]) is axes
    assert texts_in(axes) == ["9", "1", "4", "25", "75"]
    np.testing.assert_allclose(pictures_in(axes)[0], np.sqrt([[0.9, 0, 0.1], [0, 1, 0], [0.25, 0, 0.75]]))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog", "horse"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("prediction", "true class")
    empty = plot_confusion_matrix(np.zeros((2, 2), int), ax=Figure().subplots())
    assert texts_in(empty) == []  # a class without images is no division by 0
    many = plot_confusion_matrix(np.eye(30, dtype=int), ax=Figure().subplots())
    assert texts_in(many) == []


@pytest.mark.parametrize(
    ("confusion", "names", "message"),
    [
        (np.ones((2, 3)), None, "expected as many rows as columns"),
        (np.ones(4), None, r"confusion: expected shape \(None, None\)"),
        (np.ones((2, 2)), ["a"], "names: expected 2, one for each class, received 1"),
    ],
)
def test_confusion_matrices_that_are_none(confusion, names, message):
    with pytest.raises(ValueError, match=message):
        plot_confusion_matrix(confusion, names=names)


def small_network():
    return Sequential(
        [Conv2D(5, (3, 2), activation="relu"), MaxPooling2D(2), Dropout(0.2), Flatten(), Dense(4)],
        seed=0,
        input_shape=(9, 8, 2),
    )


def test_filters(axes):
    """One picture for each filter, of one channel; blue and red reach equally far."""
    layer = small_network().layers[0]
    plot_filters(layer, channel=1, ax=axes, columns=3)
    shown = pictures_in(axes)
    assert len(shown) == 5
    np.testing.assert_array_equal(shown[2], layer.params["kernel"][:, :, 1, 2])
    low, high = axes.get_images()[0].get_clim()
    assert low == -high == -np.abs(layer.params["kernel"][:, :, 1]).max()
    for wrong, channel, message in (
        (layer, 2, "channel: expected a number below 2, received 2"),
        (small_network().layers[1], 0, "layer: expected a Conv2D"),
        (Conv2D(3, 3), 0, "call build"),
    ):
        with pytest.raises(ValueError, match=message):
            plot_filters(wrong, channel=channel)


def test_feature_maps():
    """White is 0 after a ReLU; with negative numbers it is the middle."""
    maps = np.random.default_rng(0).random((4, 6, 3), np.float32)
    positive, both = (plot_feature_maps(x, ax=Figure().subplots()) for x in (maps, maps - 0.25))
    np.testing.assert_array_equal(pictures_in(positive)[2], maps[..., 2])
    assert positive.get_images()[0].get_clim() == (0, maps.max())
    assert both.get_images()[0].get_clim() == (-(maps - 0.25).max(), (maps - 0.25).max())
    nothing = plot_feature_maps(np.zeros((2, 2, 1)), ax=Figure().subplots())
    assert nothing.get_images()[0].get_clim() == (0, 1)


def test_errors_begin_with_the_surest(axes):
    """Number, true class and prediction of what is wrong; what is right is left out."""
    images = np.arange(4.0).reshape(4, 1, 1, 1) / 4
    outputs = np.array([[0.6, 0.4], [0.1, 0.9], [0.2, 0.8], [0.5, 0.5]])
    plot_errors(images, np.array([1, 0, 1, 0]), outputs, ax=axes)
    assert texts_in(axes) == ["#1: 0, not 1", "#0: 1, not 0"]
    assert [picture.item() for picture in pictures_in(axes)] == [0.25, 0]
    one = plot_errors(images, np.eye(2)[[1, 0, 1, 0]], outputs, most=1, ax=Figure().subplots())
    assert texts_in(one) == ["#1: 0, not 1"]
    with pytest.raises(ValueError, match="expected an error to draw, received 1 correct"):
        plot_errors(images[2:3], np.array([1]), outputs[2:3])
    with pytest.raises(ValueError, match="images: expected shape"):
        plot_errors(images[:3], np.array([1, 0, 1, 0]), outputs)


def test_augmentation_shows_what_training_sees(axes):
    """The seed, the epochs and the numbers of the samples are those of a run."""
    asked = []

    def variants(x, seed, epoch, samples):
        asked.append((seed, epoch, samples.tolist()))
        return x / (epoch + 2)

    images = np.ones((2, 3, 3, 1))
    plot_augmentation(variants, images, epochs=2, seed=5, samples=np.array([8, 3]), ax=axes)
    assert asked == [(5, 0, [8, 3]), (5, 1, [8, 3])]
    assert [picture[0, 0] for picture in pictures_in(axes)] == [1, 1 / 2, 1 / 3] * 2
    assert texts_in(axes) == ["as it is", "epoch 1", "epoch 2", "", "", ""]


def test_network(axes):
    """A block for the image and each array that is computed; what changes no shape is named below one."""
    row = blocks(small_network())
    assert [block.text for block in row] == [
        ("input", "9x8x2"),
        ("conv2d_1", "7x7x5", "window 3x2", "relu"),
        ("max_pooling2d_1", "3x3x5", "window 2x2", "+ dropout_1", "+ flatten_1"),
        ("dense_1", "4"),
    ]
    heights = [block.height for block in row[:3]]
    np.testing.assert_allclose(np.square(heights) / heights[0] ** 2, [1, 7 / 9, 3 / 9])
    np.testing.assert_allclose((row[0].width / row[1].width) ** 2, 2 / 5)
    assert all(a.left + a.width < b.left for a, b in pairwise(row))
    plot_blocks(small_network(), title="small", ax=axes)
    assert "conv2d_1" in texts_in(axes)
    assert len(axes.patches) == 3 * len(row)
    with pytest.raises(ValueError, match=r"call model.build"):
        plot_blocks(Sequential([Dense(3)]))


def test_roofline(axes):
    """The roof bends where both limits are equal; a point above it has another colour."""
    plot_roofline([("a", 2, 15), ("b", 30, 70), ("b", 40, 130)], 100, 10, ax=axes)
    roof, *points = axes.lines
    np.testing.assert_allclose(roof.get_xdata(), [1, 10, 160])
    np.testing.assert_allclose(roof.get_ydata(), [10, 100, 100])
    assert [point.get_color() == points[0].get_color() for point in points] == [True, True, False]
    assert texts_in(axes) == ["100 GFLOP/s", "10 GB/s", "a", "b", "b"]
    for wrong in ({}, {"a": (0, 1)}, {"a": (1, np.nan)}):
        with pytest.raises(ValueError, match="points: expected at least one, and positive figures"):
            plot_roofline(wrong, 100, 10)


def test_images_and_steps_on_axes_of_ones_own(axes):
    assert plot_images(np.zeros((3, 5, 5, 1)), ax=axes) is axes
    steps = {"photo": np.ones((5, 6, 3)), "grey": np.zeros((4, 7))}
    two = Figure().subplots(1, 2)
    assert plot_digit_steps(steps, ax=two) == list(two)
    with pytest.raises(ValueError, match="ax: expected 2, one for each step, received 1"):
        plot_digit_steps(steps, ax=axes)


@pytest.mark.parametrize(("bold", "name"), [(False, "DejaVuSans.ttf"), (True, "DejaVuSans-Bold.ttf")])
def test_text_in_svg_is_no_wider_than_assumed(bold, name):
    """In the widest of the usual fonts, which matplotlib has: Latin, Greek, Cyrillic and Arabic letters."""
    font = FT2Font(str(Path(get_data_path(), "fonts", "ttf", name)))
    font.set_size(1000, 72)
    codes = {*range(32, 127), *range(0xA1, 0x180), *range(0x370, 0x460), *range(0x600, 0x700), 0xD7, 0x2026}
    for code in sorted(codes & font.get_charmap().keys()):
        text = chr(code)
        if svg.clean(text) in (text, "") and unicodedata.category(text) not in svg.WEIGHTLESS:
            advance = font.load_char(code).linearHoriAdvance / 65536 / 1000
            assert advance <= svg.width(text, bold) + 0.001, text
