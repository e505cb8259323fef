"""Plots of training, of images, of range tests and of the preparation of a digit.

::

    History -> loss and accuracy by epoch -> PNG
    images, captions -> a grid of pictures -> PNG
    rates, losses -> the curve of a range test -> PNG
    the steps from a photo to an image like MNIST's -> a row of pictures -> PNG
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.support import checks
from tinycnn.support.files import atomic_path
from tinycnn.training import History, RangeTest

TRAINING, VALIDATION = "#1f77b4", "#d95f02"  # distinguishable with every kind of colour vision


def plot_history(history: History, path: str | os.PathLike[str], title: str = "") -> None:
    """Plot the loss and each metric by epoch, in a panel each, to a file.

    Parameters
    ----------
    history : History
        With at least one epoch.
    path : path
        The file to write; its suffix is the format: .png, .svg, .pdf.
    title : str

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    ValueError
        For a history without epochs.
    """
    names = [name for name in history.history if not name.startswith("val_")]
    if not names:
        raise ValueError("history: expected at least one epoch, received none")
    figure = _figure(4.2 * len(names), 3.2)
    from matplotlib.ticker import MaxNLocator

    epochs = [epoch + 1 for epoch in history.epoch]
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axes.plot(epochs, history.history[name], "o-", color=TRAINING, label="training")
        if f"val_{name}" in history.history:
            axes.plot(epochs, history.history[f"val_{name}"], "s-", color=VALIDATION, label="validation")
        axes.set_xlabel("epoch")
        axes.set_title(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    _save(figure, path)


def plot_images(
    images: np.ndarray,
    path: str | os.PathLike[str],
    captions: Sequence[str] = (),
    columns: int = 10,
    title: str = "",
) -> None:
    """Draw images in a grid, each with a caption above it, dark on light as on paper, to a file.

    Parameters
    ----------
    images : ndarray of shape (N, H, W, C)
        Floats in [0, 1]; N is at least 1. C is 1 (grey) or 3 (colours, drawn unchanged).
    path : path
        The file to write; its suffix is the format: .png, .svg, .pdf.
    captions : sequence of str
        One for each image, or none.
    columns : int
        Images in a row.
    title : str

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    ValueError
        Without images, or with another number of captions.
    """
    checks.float_array("images", images, 4)
    if not len(images) or (captions and len(captions) != len(images)):
        raise ValueError(
            f"captions: expected one for each of at least 1 image, received {len(captions)} for {len(images)}"
        )
    columns = min(checks.whole("columns", columns, 1), len(images))
    rows = -(-len(images) // columns)
    height = 1.25 if captions else 1.05  # of a row, in images
    figure = _figure(0.9 * columns, 0.9 * height * rows + (0.4 if title else 0))
    axes = figure.subplots()  # one for all: axes of its own for each image take ten times as long
    axes.axis("off")
    for index, image in enumerate(images):
        row, left = divmod(index, columns)
        bottom = height * (row + 1) - 0.025
        pixels = image[..., 0] if image.shape[-1] == 1 else image
        box = left + 0.025, left + 0.975, bottom, bottom - 0.95
        axes.imshow(pixels, cmap="gray_r", vmin=0, vmax=1, extent=box)
        if captions:
            axes.text(left + 0.5, bottom - 1, captions[index], fontsize=7, ha="center")
    axes.set(xlim=(0, columns), ylim=(height * rows, 0))
    figure.suptitle(title)
    _save(figure, path)


def plot_range_test(found: RangeTest, path: str | os.PathLike[str], title: str = "") -> None:
    """Plot the loss over the learning rate, and the suggested rate, to a file.

    Parameters
    ----------
    found : RangeTest
        From `training.find_learning_rate`.
    path : path
        The file to write; its suffix is the format: .png, .svg, .pdf.
    title : str

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    """
    figure = _figure(5.6, 3.4)
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, color="#bbbbbb", linewidth=0.8, label="loss of a batch")
    axes.plot(found.rates, found.smooth, color=TRAINING, label="smoothed")
    if np.isfinite(found.suggestion):
        label = f"suggestion {found.suggestion:.2g}"
        axes.axvline(found.suggestion, color=VALIDATION, linestyle="--", label=label)
    axes.set_xscale("log")
    axes.set_ylim(0, 1.5 * found.smooth[0])
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.suptitle(title)
    _save(figure, path)


def plot_digit_steps(steps: Mapping[str, np.ndarray], path: str | os.PathLike[str], title: str = "") -> None:
    """Draw the steps from a photo to an image like MNIST's, in a row with their names above, to a file.

    Parameters
    ----------
    steps : mapping of str to ndarray of shape (H, W) or (H, W, 3)
        From `tinycnn.datasets.digit_steps`: floats in [0, 1], each drawn with 0 as black.
    path : path
        The file to write; its suffix is the format: .png, .svg, .pdf.
    title : str

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    ValueError
        Without steps.
    """
    if not steps:
        raise ValueError("steps: expected at least one, received none; call tinycnn.datasets.digit_steps")
    figure = _figure(1.6 * len(steps), 1.9 + (0.3 if title else 0))
    for axes, (name, picture) in zip(
        figure.subplots(1, len(steps), squeeze=False)[0], steps.items(), strict=True
    ):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axes.set_title(name, fontsize=9)
        axes.set(xticks=(), yticks=())
    figure.suptitle(title)
    _save(figure, path)


def _figure(width: float, height: float) -> Any:
    """Return a Matplotlib figure; width and height are in inches."""
    try:
        # Figure, not pyplot: it needs no window system and keeps no global state
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "tinycnn[plot]"') from error
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: str | os.PathLike[str]) -> None:
    if not Path(path).suffix:
        raise ValueError(f"path: expected a suffix such as .png, received {os.fspath(path)!r}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format=Path(path).suffix[1:])
