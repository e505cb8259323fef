"""One's own digits, prepared as MNIST's were.

::

    photo -> grey -> background -> ink -> digits cut out -> strokes of MNIST's width -> box of 20 x 20
          -> centre of mass in the middle of 28 x 28

MNIST's digits were scaled to fit 20 x 20 pixels with their shape kept, grey by anti-aliasing, and put into
28 x 28 with their centre of mass in the middle (LeCun, Cortes and Burges, "The MNIST database of handwritten
digits").
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn.datasets import layout
from tinycnn.datasets.ink import Sheet, sheets
from tinycnn.datasets.layout import Layout, Mark
from tinycnn.datasets.likeness import unlike_mnist
from tinycnn.datasets.pictures import read_picture

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Steps = dict[str, np.ndarray]

SIDE, INNER, MIDDLE = 28, 20, 14.0  # pixels of MNIST's images: side, box, and centre of mass
WORKING = 200_000, 50_000, 12_500  # pixels that a photo is reduced to: fewer where noise hides the digit
CLOSER = 60  # pixels: a digit smaller than that in a reduced photo is cut from the photo itself
MARGIN = 0.35  # around a digit that is cut out, as a share of its size
FINE = 160  # pixels of the longer side of a digit while its strokes are measured
STROKE = 1.8 / INNER, 4.1 / INNER  # 5 % and 95 % quantiles of MNIST's stroke widths, as shares of the box
PAPER, FULL = 0.15, 0.9  # ink that becomes 0, and that becomes 1
CUT, LAST = "cut out", "28 x 28"  # names of steps


def prepare_digit(image: Any) -> np.ndarray:
    """Return a photo or drawing of one digit as MNIST has its digits.

    The digit may be dark or light, of any colour, on paper that is unevenly lit, ruled or framed.

    Parameters
    ----------
    image : path, PIL.Image.Image or ndarray
        An array is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), of uint8, bool or floats in [0, 1].

    Returns
    -------
    ndarray of float32, of shape (28, 28, 1)
        In [0, 1], white on black. A picture that is like MNIST's already comes back unchanged.

    Raises
    ------
    FileNotFoundError, ImportError, TypeError
        When the file does not exist, when Pillow is not installed, and when `image` is of another type.
    ValueError
        When the image cannot be read, or shows no digit, or more than one.

    Examples
    --------
    >>> import numpy as np
    >>> paper = np.full((60, 40), 0.9)
    >>> paper[10:50, 18:22] = 0.2  # a one
    >>> prepare_digit(paper).shape
    (28, 28, 1)
    """
    return digit_steps(image)[LAST][..., np.newaxis]  # (28, 28) -> (28, 28, 1)


def prepare_digits(image: Any) -> np.ndarray:
    """Return the digits of a photo or drawing that has them in a row, from left to right.

    Parameters
    ----------
    image : path, PIL.Image.Image or ndarray
        As for `prepare_digit`. There is a gap between one digit and the next.

    Returns
    -------
    ndarray of float32, of shape (K, 28, 28, 1)

    Raises
    ------
    FileNotFoundError, ImportError, TypeError, ValueError
        As `prepare_digit`, and ValueError for digits that touch, or in more than one row.
    """
    digits = [steps[LAST] for steps in _all_steps(read_picture(image))]
    return np.stack(digits)[..., np.newaxis]  # (K, 28, 28) -> (K, 28, 28, 1)


def digit_steps(image: Any) -> Steps:
    """Return the pictures between a photo of one digit and `prepare_digit`'s result, by name, in order.

    Parameters
    ----------
    image : path, PIL.Image.Image or ndarray
        As for `prepare_digit`.

    Returns
    -------
    dict of str to ndarray of float32
        "photo" (H, W, 3), reduced; "grey", "background" and "ink" (H, W); "cut out", with strokes of MNIST's
        width; "20 x 20", where the longer side has 20 pixels; "28 x 28". All in [0, 1]. The last is equal to
        the first for a picture that is like MNIST's already.

    Raises
    ------
    FileNotFoundError, ImportError, TypeError, ValueError
        As `prepare_digit`.
    """
    found = _all_steps(read_picture(image))
    if len(found) > 1:
        raise ValueError(
            f"image: expected one digit, found {len(found)} side by side; use "
            "tinycnn.datasets.prepare_digits, or crop the image to one of them"
        )
    return found[0]


def _all_steps(picture: Picture, closer: bool = True) -> list[Steps]:
    """Return the steps of each digit; with `closer`, small ones are cut from the picture and seen again."""
    rgb, sheet, found = _look(picture)
    if len(found.marks) == 1 and _is_prepared(picture):
        return [{"photo": rgb, LAST: rgb[..., 0]}]
    _check(found)
    scale = picture.width / rgb.shape[1]
    steps = []
    for mark in found.marks:
        size = max(mark.box.height, mark.box.width)
        near = _near(picture, mark, scale) if closer and scale > 1.3 and size < CLOSER else None
        steps.append(near or _steps(rgb, sheet, found, mark))
    return steps


def _look(picture: Picture) -> tuple[np.ndarray, Sheet, Layout]:
    """Return a picture, reduced, its ink, and the digits in it; from farther away where it is noisy."""
    seen = False
    for pixels in WORKING:
        rgb = _reduced(picture, pixels)
        both = sheets(rgb)
        layouts = [layout.find_marks(sheet.ink) for sheet in both]
        order = (0, 1) if layout.light_ink(*both, layouts) else (1, 0)
        for sheet, found in ((both[i], layouts[i]) for i in order):
            if found.marks and not layout.thick(found):
                return rgb, sheet, found
            seen = seen or bool(found.marks)
    what = (
        "only blots, thicker than a digit's strokes"
        if seen
        else "nothing that stands out from the background"
    )
    raise ValueError(
        f"image: expected a digit, found {what}; crop it to the digit, or use more light and contrast"
    )


def _reduced(picture: Picture, pixels: int) -> np.ndarray:
    from PIL import Image

    scale = (pixels / (picture.width * picture.height)) ** 0.5
    if scale < 1:
        size = max(8, round(picture.width * scale)), max(8, round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.BOX)
    return np.asarray(picture, np.float32) / np.float32(255)


def _check(found: Layout) -> None:
    """Raise ValueError unless all marks look like digits in one row."""
    boxes = [mark.box for mark in found.marks]
    if len(boxes) > layout.MOST:
        raise ValueError(f"image: expected at most {layout.MOST} digits, found {len(boxes)} marks; crop it")
    for box in boxes:
        if box.width > layout.WIDEST * box.height:
            raise ValueError(
                "image: expected a gap beside each digit, found a mark that is too wide for one digit, "
                f"{box.width / box.height:.1f} times its height; crop the image, or write digits apart"
            )
    for a, b in pairwise(boxes):
        if min(a.bottom, b.bottom) - max(a.top, b.top) < 0.2 * min(a.height, b.height):
            raise ValueError("image: expected one row of digits, found more than one; crop it to one row")


def _is_prepared(picture: Picture) -> bool:
    pixels = np.asarray(picture, np.float32)[..., :1] / 255
    grey = picture.size == (SIDE, SIDE) and np.ptp(np.asarray(picture), axis=2).max() == 0
    return bool(grey and not unlike_mnist(pixels))


def _near(picture: Picture, mark: Mark, scale: float) -> Steps | None:
    """Return the steps of a digit from a part of the picture that is not reduced, if it is found there."""
    box, margin = mark.box, MARGIN * max(mark.box.height, mark.box.width)
    left, top = (int(max(0, scale * (start - margin))) for start in (box.left, box.top))
    right, bottom = (int(scale * (end + margin)) for end in (box.right, box.bottom))
    part = picture.crop((left, top, min(right, picture.width), min(bottom, picture.height)))
    try:
        found = _all_steps(part, closer=False)
    except ValueError:
        return None
    return found[0] if len(found) == 1 else None


def _steps(rgb: np.ndarray, sheet: Sheet, found: Layout, mark: Mark) -> Steps:
    cut = _cut_out(sheet.ink, found.labels, mark)
    small = _scaled(cut)
    pictures = (rgb, sheet.grey, sheet.background, sheet.ink, cut, small, _centred(small))
    names = ("photo", "grey", "background", "ink", CUT, "20 x 20", LAST)
    return {
        name: np.clip(x, 0, 1).astype(np.float32, copy=False) for name, x in zip(names, pictures, strict=True)
    }


def _cut_out(ink: np.ndarray, labels: np.ndarray, mark: Mark) -> np.ndarray:
    """Return a digit alone, its longer side about `FINE` pixels, its strokes of a width that MNIST has."""
    mine = np.isin(labels, mark.numbers)
    mine |= _spread(mine, 1, np.maximum) & (labels == 0)  # with its grey edge
    x = np.pad(((np.where(mine, ink, 0) - PAPER) / (FULL - PAPER)).clip(0, 1), 2)
    box = mark.box
    x = x[box.top : box.bottom + 4, box.left : box.right + 4]
    scale = FINE / max(box.height, box.width)
    x = np.pad(_resized(x, scale), FINE // 4)
    width = layout.stroke_width(x > 0.5)
    wanted = np.clip(width, STROKE[0] * FINE, STROKE[1] * FINE)
    x = _spread(x, round(abs(wanted - width) / 2), np.maximum if wanted > width else np.minimum)
    rows, columns = (np.flatnonzero((x > 0.25).any(axis)) for axis in (1, 0))
    return x[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _spread(x: np.ndarray, pixels: int, op: np.ufunc) -> np.ndarray:
    """Return the extremum over an octagon: a step to four neighbours, and one to eight, in turn."""
    for step in range(pixels):
        padded = np.pad(x, 1)
        rows = op(padded[:-2], padded[2:])
        sides = op(padded[:, :-2], padded[:, 2:])[1:-1]
        corners = op(rows[:, :-2], rows[:, 2:]) if step % 2 else x
        x = op(op(x, op(rows[:, 1:-1], sides)), corners)
    return x


def _resized(x: np.ndarray, scale: float, box: bool = False) -> np.ndarray:
    from PIL import Image

    size = max(1, round(scale * x.shape[1])), max(1, round(scale * x.shape[0]))
    method = Image.Resampling.BOX if box else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(x.astype(np.float32)).resize(size, method))


def _scaled(cut: np.ndarray) -> np.ndarray:
    """Return a digit with a longer side of 20 pixels, each the mean of what it covers, the strongest 1."""
    small = _resized(cut, INNER / max(cut.shape), box=True)
    return small / small.max()


def _centred(small: np.ndarray) -> np.ndarray:
    """Return a digit in 28 x 28, its centre of mass in the middle, to the nearest whole pixel."""
    canvas = np.pad(small, SIDE)  # an end that would lie outside of 28 x 28 is cut off
    starts = []
    for axis in (0, 1):
        centre = small.sum(1 - axis) @ np.arange(small.shape[axis]) / small.sum()
        starts.append(round(SIDE + centre - MIDDLE))
    return canvas[starts[0] : starts[0] + SIDE, starts[1] : starts[1] + SIDE]
