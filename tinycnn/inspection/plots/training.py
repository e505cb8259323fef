"""Plots of training and of its result: history, rate finder, confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinycnn.inspection.plots.canvas import TRAINING, VALIDATION, Target, axes_of, finish, new_figure, save
from tinycnn.support import checks
from tinycnn.training import History, RangeTest

MOST_COUNTS = 20  # classes up to which a confusion matrix has numbers in its cells


def plot_history(history: History, path: Target = None, title: str = "", *, ax: Any = None) -> Any:
    """Plot the loss and each metric by epoch.

    Parameters
    ----------
    history : History
        From `Sequential.fit`, with at least one epoch.
    path : path, optional
        A file to write; its suffix is the format: .png, .svg, .pdf.
    title : str
    ax : Axes, or sequence of Axes, optional
        One for each figure of the history; or one for all, whose names then stand in the legend. By default a
        new figure has a panel for each.

    Returns
    -------
    Axes, or list of Axes
        What was drawn on: `ax`, or the new panels.

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    ValueError
        For a history without epochs, or another number of axes.
    """
    names = [name for name in history.history if not name.startswith("val_")]
    if not names:
        raise ValueError("history: expected at least one epoch, received none")
    if ax is None:
        panels = list(new_figure(4.2 * len(names), 3.2, path).subplots(1, len(names), squeeze=False)[0])
    else:
        panels = [ax] if not isinstance(ax, Sequence | np.ndarray) else list(np.ravel(ax))
    if len(panels) not in (1, len(names)):
        raise ValueError(
            f"ax: expected one Axes or {len(names)}, for {', '.join(names)}, received {len(panels)}"
        )
    alone = len(panels) == 1 < len(names)
    for number, name in enumerate(names):
        axes = panels[0 if alone else number]
        _plot_by_epoch(axes, history, name, f"{name}, " if alone else "", None if alone else TRAINING)
        if not alone:
            axes.set_title(name)
    if title:
        (panels[0].set_title if alone else panels[0].figure.suptitle)(title)
    save(panels[0].figure, path)
    return panels if ax is None else ax


def _plot_by_epoch(axes: Any, history: History, name: str, prefix: str, colour: str | None) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = [epoch + 1 for epoch in history.epoch]
    (line,) = axes.plot(epochs, history.history[name], "o-", color=colour, label=f"{prefix}training")
    if f"val_{name}" in history.history:
        other = VALIDATION if colour else line.get_color()
        values = history.history[f"val_{name}"]
        axes.plot(epochs, values, "s-" if colour else "s--", color=other, label=f"{prefix}validation")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()


def plot_range_test(found: RangeTest, path: Target = None, title: str = "", *, ax: Any = None) -> Any:
    """Plot the loss over the learning rate, and the suggested rate.

    Parameters
    ----------
    found : RangeTest
        From `training.find_learning_rate`.
    path, title, ax
        See `plot_history`.

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    """
    axes = axes_of(ax, 5.6, 3.4, path)
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
    return finish(axes, path, title)


def plot_confusion_matrix(
    confusion: np.ndarray,
    path: Target = None,
    title: str = "",
    *,
    names: Sequence[str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw a confusion matrix: rows are true classes, columns predictions.

    A cell is as dark as its share of its row, so that a rare class counts as much as a frequent one. The
    square root of the share is drawn: errors are few, and would be invisible beside what is right.

    Parameters
    ----------
    confusion : ndarray of int, of shape (classes, classes)
        From `tinycnn.metrics.confusion_matrix`.
    names : sequence of str, optional
        Of the classes; by default their numbers.
    path, title, ax
        See `plot_history`.

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    ValueError
        For an array that is not square, or another number of names.
    """
    confusion = np.asarray(confusion)
    checks.shape("confusion", confusion.shape, (None, None))
    classes = len(confusion)
    if confusion.shape[1] != classes or not classes:
        raise ValueError(f"confusion: expected as many rows as columns, received shape {confusion.shape}")
    names = [str(i) for i in range(classes)] if names is None else list(names)
    if len(names) != classes:
        raise ValueError(f"names: expected {classes}, one for each class, received {len(names)}")
    side = 1.2 + 0.42 * min(classes, MOST_COUNTS)
    axes = axes_of(ax, side, side, path)
    shares = np.sqrt(confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if classes <= MOST_COUNTS:
        for i, j in zip(*np.nonzero(confusion), strict=True):
            colour = "white" if shares[i, j] > 0.6 else "black"
            axes.text(j, i, f"{confusion[i, j]:g}", ha="center", va="center", color=colour, fontsize=8)
        turned = max(map(len, names)) > 3
        axes.set_xticks(range(classes), names, rotation=90 if turned else 0)
        axes.set_yticks(range(classes), names)
    axes.set(xlabel="prediction", ylabel="true class")
    return finish(axes, path, title)
