"""Plots of images: of data, of what layers have learned, and of what they make of an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinycnn.inspection.plots.canvas import (
    Style,
    Target,
    axes_of,
    draw_grid,
    finish,
    grid_size,
    new_figure,
    save,
    signed,
)
from tinycnn.layers import Conv2D
from tinycnn.metrics import class_numbers
from tinycnn.support import checks

MOST_ERRORS = 64  # drawn by default


def plot_images(
    images: np.ndarray,
    path: Target = None,
    captions: Sequence[str] = (),
    columns: int = 10,
    title: str = "",
    *,
    ax: Any = None,
) -> Any:
    """Draw images in a grid, each with a caption above it, dark on light as on paper.

    Parameters
    ----------
    images : ndarray of shape (N, H, W, C)
        Floats in [0, 1]; N is at least 1. C is 1 (grey) or 3 (colours, drawn unchanged).
    path : path, optional
        A file to write; its suffix is the format: .png, .svg, .pdf.
    captions : sequence of str
        One for each image, or none.
    columns : int
        Images in a row.
    title : str
    ax : Axes, optional
        Axes to draw on; by default those of a new figure.

    Returns
    -------
    Axes

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
    columns = checks.whole("columns", columns, 1)
    axes = axes_of(ax, *grid_size(len(images), columns, bool(captions), title), path)
    draw_grid(axes, list(images), captions, columns, Style())
    return finish(axes, path, title)


def plot_errors(
    images: np.ndarray,
    y_true: np.ndarray,
    y_pred: np.ndarray,
    path: Target = None,
    *,
    most: int = MOST_ERRORS,
    columns: int = 8,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw the images that are misclassified, the most confident error first.

    Parameters
    ----------
    images : ndarray of shape (N, H, W, C)
        See `plot_images`.
    y_true : ndarray of shape (N,) or (N, classes)
        Class numbers, or one-hot rows.
    y_pred : ndarray of shape (N, classes)
        Outputs of the network.
    most : int
        Images to draw at most.
    path, columns, title, ax
        See `plot_images`.

    Returns
    -------
    Axes
        Their captions are number in `images`, true class and prediction.

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    ValueError
        When nothing is misclassified, or shapes do not fit.
    """
    labels, taken = class_numbers(y_true, y_pred), y_pred.argmax(axis=1)
    checks.shape("images", np.shape(images), (len(labels), None, None, None))
    wrong = confident_errors(labels, y_pred)[: checks.whole("most", most, 1)]
    if not len(wrong):
        raise ValueError(f"y_pred: expected an error to draw, received {len(labels)} correct predictions")
    captions = [f"#{i}: {labels[i]}, not {taken[i]}" for i in wrong]
    return plot_images(images[wrong], path, captions, columns, title, ax=ax)


def confident_errors(labels: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return the numbers of the rows (N, classes) that are classified wrongly, the most confident first."""
    taken = y_pred.argmax(axis=1)
    wrong = np.flatnonzero(taken != labels)
    order: np.ndarray = wrong[np.argsort(-y_pred[wrong, taken[wrong]], kind="stable")]
    return order


def plot_augmentation(
    augmentation: Callable[..., np.ndarray],
    images: np.ndarray,
    path: Target = None,
    *,
    epochs: int = 12,
    seed: int = 0,
    samples: np.ndarray | None = None,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw images, a row each: as they are, and as each epoch of training sees them.

    Parameters
    ----------
    augmentation : Augmentation
    images : float ndarray of shape (N, H, W, C)
        See `plot_images`.
    epochs : int
        Variants of each image.
    seed : int
        Of the run.
    samples : int ndarray of shape (N,), optional
        The images' numbers in the training set, which choose the variants; by default 0 to N - 1.
    path, title, ax
        See `plot_images`.

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    ValueError
        Without images.
    """
    epochs = checks.whole("epochs", epochs, 1)
    samples = np.arange(len(images)) if samples is None else samples
    variants = [augmentation(images, seed=seed, epoch=epoch, samples=samples) for epoch in range(epochs)]
    rows = np.stack([images, *variants], axis=1).reshape(-1, *images.shape[1:])  # one image after the other
    captions = ["as it is", *(f"epoch {epoch + 1}" for epoch in range(epochs))]
    captions += [""] * (len(rows) - len(captions))
    return plot_images(rows, path, captions, epochs + 1, title, ax=ax)


def plot_filters(
    layer: Conv2D,
    path: Target = None,
    *,
    channel: int = 0,
    columns: int = 16,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw what a convolution's filters weigh one channel of their input by: red above 0, blue below.

    Parameters
    ----------
    layer : Conv2D
        Built.
    channel : int
        Of the input, from 0.
    path, columns, title, ax
        See `plot_images`.

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    ValueError
        For another kind of layer, one that is not built, or a channel that it does not have.
    """
    if not isinstance(layer, Conv2D):
        raise checks.ArgumentTypeError(f"layer: expected a Conv2D, received {layer!r}")
    channels = layer.built_shape[2]
    channel = checks.whole("channel", channel, 0)
    if channel >= channels:
        raise ValueError(f"channel: expected a number below {channels}, received {channel}")
    kernels = np.moveaxis(layer.params["kernel"][:, :, channel], -1, 0)  # (KH, KW, F) -> (F, KH, KW)
    return _plot_maps(kernels, path, columns, title, ax, signed(kernels))


def plot_feature_maps(
    maps: np.ndarray, path: Target = None, *, columns: int = 16, title: str = "", ax: Any = None
) -> Any:
    """Draw the channels of a layer's output for one image, all with the same scale.

    After a ReLU, dark is large and white is 0. Where there are negative values, they are blue, and positive
    ones red.

    Parameters
    ----------
    maps : ndarray of shape (H, W, C)
        As in `model.activations(x)["conv2d_1"][0]`.
    path, columns, title, ax
        See `plot_images`.

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    ValueError
        For another shape.
    """
    checks.float_array("maps", maps, 3)
    pictures = np.moveaxis(maps, -1, 0)  # (H, W, C) -> (C, H, W)
    style = signed(maps) if (maps < 0).any() else signed(maps)._replace(colours=Style().colours, low=0.0)
    return _plot_maps(pictures, path, columns, title, ax, style)


def _plot_maps(pictures: np.ndarray, path: Target, columns: int, title: str, ax: Any, style: Style) -> Any:
    """Draw pictures (N, H, W), numbered."""
    columns = checks.whole("columns", columns, 1)
    axes = axes_of(ax, *grid_size(len(pictures), columns, True, title), path)
    draw_grid(axes, list(pictures), [str(i) for i in range(len(pictures))], columns, style)
    return finish(axes, path, title)


def plot_digit_steps(
    steps: Mapping[str, np.ndarray], path: Target = None, title: str = "", *, ax: Any = None
) -> Any:
    """Draw the steps from a photo to an image like MNIST's, in a row with their names above.

    Parameters
    ----------
    steps : mapping of str to ndarray of shape (H, W) or (H, W, 3)
        From `tinycnn.datasets.digit_steps`: floats in [0, 1], each drawn with 0 as black.
    path, title
        See `plot_images`.
    ax : sequence of Axes, optional
        One for each step; by default those of a new figure.

    Returns
    -------
    list of Axes

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    ValueError
        Without steps, or with another number of axes.
    """
    if not steps:
        raise ValueError("steps: expected at least one, received none; call tinycnn.datasets.digit_steps")
    if ax is None:
        figure = new_figure(1.6 * len(steps), 1.9 + (0.3 if title else 0), path)
        ax = figure.subplots(1, len(steps), squeeze=False)
    panels = list(np.ravel(ax))
    if len(panels) != len(steps):
        raise ValueError(f"ax: expected {len(steps)}, one for each step, received {len(panels)}")
    for axes, (name, picture) in zip(panels, steps.items(), strict=True):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axes.set_title(name, fontsize=9)
        axes.set(xticks=(), yticks=())
    panels[0].figure.suptitle(title)
    save(panels[0].figure, path)
    return panels
