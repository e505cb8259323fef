"""Connected components of a mask: which pixels touch each other, also at corners.

::

    mask (H, W) -> label -> labels (H, W), 0 for the background, 1 to K
    labels -> boxes -> for each component: top, bottom, left, right, and its number of pixels
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Box(NamedTuple):
    """A rectangle of pixels, with the number of pixels in it that count; ends are exclusive."""

    top: int
    bottom: int
    left: int
    right: int
    area: int

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return self.right - self.left

    def joined(self, other: Box) -> Box:
        """Return the box around both."""
        return Box(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
            self.area + other.area,
        )


def label(mask: np.ndarray) -> np.ndarray:
    """Return the number of each pixel's component, 1 to K, and 0 outside of the mask.

    Every pixel begins with a number of its own. Neighbours agree on the smaller one, and a pixel takes the
    number that its number's pixel has, until nothing changes. So a number travels along a component in a few
    large steps.

    Parameters
    ----------
    mask : ndarray of bool, of shape (H, W)

    Returns
    -------
    ndarray of int, of shape (H, W)
        Components are numbered in the order of their first pixels, row by row.
    """
    index = np.full(np.add(mask.shape, 2), -1)  # a frame around it, so that every pixel has 8 neighbours
    index[1:-1, 1:-1][mask] = np.arange(np.count_nonzero(mask))
    inside = index[1:-1, 1:-1]
    first, second = [], []
    for other in (index[1:-1, 2:], index[2:, :-2], index[2:, 1:-1], index[2:, 2:]):
        touching = (inside >= 0) & (other >= 0)
        first.append(inside[touching])
        second.append(other[touching])
    a, b = np.concatenate(first), np.concatenate(second)
    number = np.arange(np.count_nonzero(mask))
    while (number[a] != number[b]).any():
        smaller = np.minimum(number[a], number[b])
        np.minimum.at(number, number[a], smaller)
        np.minimum.at(number, number[b], smaller)
        while (number[number] != number).any():
            number = number[number]
    labels = np.zeros(mask.shape, np.int64)
    labels[mask] = np.unique(number, return_inverse=True)[1] + 1
    return labels


def boxes(labels: np.ndarray) -> list[Box]:
    """Return the box of each component, 1 to K.

    Parameters
    ----------
    labels : ndarray of int, of shape (H, W)
        As from `label`.
    """
    y, x = np.nonzero(labels)
    component = labels[y, x] - 1
    count = int(labels.max(initial=0))
    top, left = (np.full(count, max(labels.shape)) for _ in range(2))
    bottom, right = (np.zeros(count, int) for _ in range(2))
    np.minimum.at(top, component, y)
    np.minimum.at(left, component, x)
    np.maximum.at(bottom, component, y + 1)
    np.maximum.at(right, component, x + 1)
    area = np.bincount(component, minlength=count)
    return [Box(*map(int, row)) for row in zip(top, bottom, left, right, area, strict=True)]
