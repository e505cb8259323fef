"""Axes to draw on, files to write, and grids of small pictures.

::

    ax or None -> axes -> drawing -> path or None
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinycnn.support.files import atomic_path

TRAINING, VALIDATION = "#1f77b4", "#d95f02"  # distinguishable with every kind of colour vision
GREY = "gray_r"  # dark on light, as on paper
SIGNED = "RdBu_r"  # red above 0, blue below, white at 0
DPI = 120

Target = str | os.PathLike[str] | None  # a file to write; its suffix is the format: .png, .svg, .pdf


def axes_of(ax: Any, width: float, height: float, path: Target = None) -> Any:
    """Return `ax`, or the axes of a new figure; width and height are in inches.

    A figure without a path is pyplot's, which notebooks show. One that is only written to a file is not: it
    needs no window system, and nothing keeps it.
    """
    return ax if ax is not None else new_figure(width, height, path).subplots()


def new_figure(width: float, height: float, path: Target = None) -> Any:
    """Return a new figure; see `axes_of`."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "tinycnn[plot]"') from error
    if path is not None:
        return Figure(figsize=(width, height), layout="constrained")
    from matplotlib import pyplot

    return pyplot.figure(figsize=(width, height), layout="constrained")


def finish(ax: Any, path: Target, title: str = "") -> Any:
    """Give axes a title, write their figure to a file if there is a path, and return the axes."""
    if title:
        ax.set_title(title)
    save(ax.figure, path)
    return ax


def save(figure: Any, path: Target) -> None:
    """Write a figure to a file, if there is a path."""
    if path is None:
        return
    if not Path(path).suffix:
        raise ValueError(f"path: expected a suffix such as .png, received {os.fspath(path)!r}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format=Path(path).suffix[1:])


class Style(NamedTuple):
    """How the pictures of a grid are drawn: a colour map, and the values of its two ends."""

    colours: str = GREY
    low: float = 0.0
    high: float = 1.0


def signed(x: np.ndarray) -> Style:
    """Return the style of numbers of both signs: white is 0, and both colours reach equally far."""
    reach = float(np.abs(x[np.isfinite(x)]).max(initial=0)) or 1.0
    return Style(SIGNED, -reach, reach)


def grid_size(count: int, columns: int, captions: bool, title: str = "") -> tuple[float, float]:
    """Return width and height in inches of a grid of `count` pictures."""
    columns = min(columns, count)
    return 0.9 * columns, 0.9 * (1.25 if captions else 1.05) * -(-count // columns) + (0.4 if title else 0)


def draw_grid(
    ax: Any, pictures: Sequence[np.ndarray], captions: Sequence[str], columns: int, style: Style
) -> None:
    """Draw pictures in rows, each in a square, with its caption above, on one pair of axes.

    Axes of its own for each picture would take ten times as long.

    Parameters
    ----------
    pictures : sequence of ndarray of shape (H, W), (H, W, 1) or (H, W, 3)
        Three channels are colours in [0, 1], drawn unchanged.
    captions : sequence of str
        As many, or none.
    """
    columns = min(columns, len(pictures))
    rows, height = -(-len(pictures) // columns), 1.25 if captions else 1.05
    ax.axis("off")
    for index, picture in enumerate(pictures):
        row, left = divmod(index, columns)
        bottom = height * (row + 1) - 0.025
        pixels = picture[..., 0] if picture.shape[2:] == (1,) else picture
        high, wide = (0.95 * n / max(pixels.shape[:2]) for n in pixels.shape[:2])
        box = left + 0.5 - wide / 2, left + 0.5 + wide / 2, bottom, bottom - high
        ax.imshow(pixels, cmap=style.colours, vmin=style.low, vmax=style.high, extent=box)
        if captions:
            ax.text(left + 0.5, bottom - high - 0.05, captions[index], fontsize=7, ha="center")
    ax.set(xlim=(0, columns), ylim=(height * rows, 0))
