"""Layout of a sheet: which marks of ink are digits, and which are specks, lines or a frame.

::

    ink (H, W) -> marks: connected components -> without frames and lines -> joined into digits, left to right

A digit may have broken strokes. So marks that lie above each other, and small marks beside large ones, are
parts of one digit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tinycnn.datasets import components
from tinycnn.datasets.components import Box
from tinycnn.datasets.ink import Sheet, otsu

WEAK, STRONG = 0.4, 0.7  # of the ink: what a mark consists of, and what it has somewhere
ACROSS = 0.85  # of a side of the picture: what is as long may be a line or a frame
FLAT = 0.15  # of the other side: the thickest line
SPECK, SMALLEST = 0.12, 0.3  # of the largest mark: specks join nothing; digits are at least as large
THICKEST = 0.5  # stroke of a digit, as a share of its longer side
FULLEST, SLIM = 0.8, 0.5  # share of ink in the box of a digit; one less wide than this may have more
ALIKE = 0.7  # lesser to greater likeness of two components to strokes
PALE = 0.4  # lesser to greater contrast of two sheets; paper seems as light as that beside dark lines
WIDEST = 1.5  # width to height of a digit in a photo; 0.3 % of MNIST's test digits are wider
MOST = 20  # digits in a row; more marks than that are a texture


class Mark(NamedTuple):
    """A digit: the components that it consists of, and the box around them."""

    numbers: tuple[int, ...]
    box: Box


class Layout(NamedTuple):
    """The digits of a sheet, from left to right, and the components that they were chosen from."""

    labels: np.ndarray  # the number of each pixel's component, from 1; 0 is the background
    components: dict[int, Box]  # by number, without frames and lines
    marks: list[Mark]


def find_marks(ink: np.ndarray) -> Layout:
    """Return the digits in a sheet of ink (H, W), perhaps none."""
    labels = components.label(ink > WEAK)
    found = components.boxes(labels)
    peak = np.zeros(len(found) + 1)
    np.maximum.at(peak, labels, ink)
    marks = [Mark((i,), box) for i, box in enumerate(found, 1) if peak[i] > STRONG]
    marks = _without_lines(marks, ink.shape)
    boxes = {mark.numbers[0]: mark.box for mark in marks}
    marks = _joined(marks)
    longest = max((_size(mark.box) for mark in marks), default=0)
    marks = [mark for mark in marks if _size(mark.box) >= SMALLEST * longest]
    return Layout(labels, boxes, sorted(marks, key=lambda mark: mark.box.left))


def thick(layout: Layout) -> bool:
    """Return whether a mark is thicker than the strokes of a digit are: a blot, or a sheet of paper."""
    for numbers, box in layout.marks:
        full = box.area > FULLEST * box.height * box.width and box.width > SLIM * box.height
        if full or stroke_width(np.isin(layout.labels, numbers)) > THICKEST * _size(box):
            return True
    return False


def stroke_width(mask: np.ndarray) -> float:
    """Return the mean width of the strokes in a mask (H, W): twice the area over the length of the outline.

    An outline of pixels is longer than the line it follows, by 4 / pi over all directions.
    """
    outline = sum(int(np.count_nonzero(np.diff(mask, axis=axis))) for axis in (0, 1))
    return 2 * int(np.count_nonzero(mask)) / max(1, outline) * 4 / math.pi


def light_ink(light: Sheet, dark: Sheet, layouts: Sequence[Layout]) -> bool:
    """Return whether the ink of a photo is its light side; `layouts` are those of both sheets.

    Taken as ink, the paper is what the strokes enclose, or a wide patch of light. So the ink is the side with
    the larger component, or the more slender one. In a picture that is cut close to the digit, both may be
    about the same, and the paper has more of the border. A side of little contrast is what lies between the
    lines of ruled paper.
    """
    if min(light.contrast, dark.contrast) < PALE * max(light.contrast, dark.contrast):
        return light.contrast > dark.contrast
    likeness = [_likeness(found) for found in layouts]
    if min(likeness) < ALIKE * max(likeness):
        return likeness[0] > likeness[1]
    above = light.grey > otsu(light.grey)
    border = np.ones(above.shape, bool)
    border[1:-1, 1:-1] = False
    return bool(above[border].mean() < 0.5)


def _likeness(found: Layout) -> float:
    """Return the area of the box around the largest component, times its slenderness cubed."""
    if not found.marks:
        return 0.0
    number, box = max(found.components.items(), key=lambda item: item[1].height * item[1].width)
    slenderness = _size(box) / stroke_width(found.labels == number)
    return box.height * box.width * slenderness**3


def _size(box: Box) -> int:
    return max(box.height, box.width)


def _without_lines(marks: list[Mark], shape: tuple[int, ...]) -> list[Mark]:
    """Return the marks that are not a frame around others, nor a line from side to side beside others."""
    H, W = shape
    large = [mark for mark in marks if mark.box.height >= 0.1 * H]

    def is_line(mark: Mark) -> bool:
        box = mark.box
        wide, high = box.width >= ACROSS * W, box.height >= ACROSS * H
        others = [other.box for other in large if other is not mark]
        if wide and high:
            return any(box.joined(other)[:4] == box[:4] for other in others)
        return bool(others) and ((wide and box.height < FLAT * H) or (high and box.width < FLAT / 4 * W))

    return [mark for mark in marks if not is_line(mark)]


def _joined(marks: list[Mark]) -> list[Mark]:
    marks = sorted(marks, key=lambda mark: -mark.box.area)
    done: list[Mark] = []
    while marks:
        first, rest = marks[0], marks[1:]
        near = next((mark for mark in rest if _belong(first.box, mark.box)), None)
        if near is None:
            done.append(first)
            marks = rest
        else:
            rest.remove(near)
            marks = [Mark(first.numbers + near.numbers, first.box.joined(near.box)), *rest]
    return done


def _belong(a: Box, b: Box) -> bool:
    """Return whether two marks, `a` the larger, are parts of one digit; by gaps as shares of its size."""
    size = _size(a)
    across = (max(a.left, b.left) - min(a.right, b.right)) / size
    down = (max(a.top, b.top) - min(a.bottom, b.bottom)) / size
    if _size(b) < SPECK * size:
        return max(across, down) <= 0.02
    small = b.area < 0.35 * a.area
    if across > 0:
        return small and across < 0.12 and down < 0.1
    overlap = -across * size / min(a.width, b.width)
    flat = min(a.height, b.height) < 0.35 * max(a.height, b.height)
    return (overlap > 0.4 and down < (0.25 if flat else 0.12)) or (small and down < 0.1)
