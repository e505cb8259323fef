"""Ink on paper: how much each pixel of a photo differs from the background around it.

::

    RGB (H, W, 3) -> grey: the mixture of the colours with most contrast -> background: what remains when all
    that is narrow is removed -> ink = difference, in the light of the brightest paper, as a share of the
    strongest

The paper may be lighter or darker than the ink, and unevenly lit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NARROW = 0.5  # of the picture's shorter side: what is narrower is ink
SPECK = 0.03  # of the shorter side: what is narrower does not bound the background
LEAST_BLURRED = 60  # pixels of a side; in smaller pictures strokes are as thin as the filter
MOST, CLOSE = 0.75, 0.05  # share of pixels that a fit must reach, and distance in shares of the contrast
FAINTEST = 0.05  # least contrast of ink, as a share of that of black and white
DARKEST = 0.3  # of the light on the brightest paper; more shadow than that is not made up for
ABOVE_NOISE = 8  # least contrast of ink, in standard deviations of the noise


class Sheet(NamedTuple):
    """A photo taken apart. Its ink is lighter or darker than the background; all arrays are (H, W)."""

    grey: np.ndarray
    background: np.ndarray
    ink: np.ndarray  # 1 where it is strong, 0 where there is none; all 0 if nothing stands out
    contrast: float  # of strong ink and background, as a share of that of white and black; 0 for none


def sheets(rgb: np.ndarray) -> tuple[Sheet, Sheet]:
    """Return a photo as light ink on dark paper, and as dark ink on light paper.

    Parameters
    ----------
    rgb : ndarray of float, of shape (H, W, 3)
        In [0, 1].
    """
    x = grey(rgb)
    if min(x.shape) >= LEAST_BLURRED:
        x = blurred(x)
    sigma = noise(x)
    light_of_paper = illumination(x)
    flat = x - light_of_paper
    # only dark ink has a gain: under light ink, a dark background may be a stroke around what looks like ink
    light, dark = background(flat) + light_of_paper, light_of_paper - background(-flat)
    return (
        Sheet(x, light, *_ink(x - light, sigma)),
        Sheet(x, dark, *_ink((dark - x) * _gain(dark), sigma)),
    )


def _gain(background: np.ndarray) -> np.ndarray | float:
    """Return what a difference from the background is multiplied by: light multiplies, and so does shadow.

    Ink in half the light differs half as much from its paper.
    """
    bright = float(np.quantile(background, 0.9))
    if background.min() <= 0:  # a mixture of colours that is no brightness
        return 1.0
    return bright / background.clip(DARKEST * bright, bright)


def _ink(difference: np.ndarray, sigma: float) -> tuple[np.ndarray, float]:
    """Return a difference from the background as a share of the strongest, 0 where it could be noise.

    Returns
    -------
    ndarray
    float
        The strongest difference, or 0 where nothing stands out.
    """
    # a minimum over noise is below the paper by a few standard deviations
    above = difference - min(float(np.quantile(difference, 0.25)), 4 * sigma)
    above = above.clip(0, None)
    strong = above[above > max(otsu(above), 4 * sigma)]
    level = float(np.quantile(strong, 0.9)) if len(strong) else 0.0
    if level < max(FAINTEST, ABOVE_NOISE * sigma):
        return np.zeros_like(above), 0.0
    return above / level, level


def otsu(x: np.ndarray) -> float:
    """Return the threshold that divides values into two classes of least variance (Otsu, 1979)."""
    counts, edges = np.histogram(x, 256)
    centres = (edges[1:] + edges[:-1]) / 2
    below, sums = np.cumsum(counts)[:-1], np.cumsum(counts * centres)
    between = (sums[-1] / x.size * below - sums[:-1]) ** 2 / np.maximum(below * (x.size - below), 1)
    return float(edges[1 + int(between.argmax())])


def blurred(x: np.ndarray) -> np.ndarray:
    """Return an image (H, W) or (H, W, C), smoothed by a binomial filter of 3 x 3."""
    for axis in (0, 1):
        padded = np.pad(x, [(1, 1) if a == axis else (0, 0) for a in range(x.ndim)], mode="edge")
        n = x.shape[axis]
        before, here, after = (np.take(padded, range(i, i + n), axis) for i in range(3))
        x = (before + after) / 4 + here / 2
    return x


def grey(rgb: np.ndarray) -> np.ndarray:
    """Return the mixture of the three colours in which neighbouring pixels differ most.

    It is the first principal component of the local contrast. Red ink on green paper can be as bright as the
    paper, and differs from it in this mixture.

    Parameters
    ----------
    rgb : ndarray of shape (H, W, 3)

    Returns
    -------
    ndarray of shape (H, W)
        The root mean square of the colours, for a grey picture.
    """
    step = max(1, round(min(rgb.shape[:2]) / 64))
    small = rgb[::step, ::step]
    steps = [np.diff(small, axis=axis).reshape(-1, 3) for axis in (0, 1)]
    differences = np.concatenate(steps)
    _, vectors = np.linalg.eigh(differences.T @ differences)  # by size, the largest last
    direction = vectors[:, -1] * (1 if vectors[:, -1].sum() >= 0 else -1)
    mixed: np.ndarray = rgb @ (direction / np.sqrt(3))
    return mixed


def illumination(x: np.ndarray) -> np.ndarray:
    """Return the parabola in both directions that fits most of an image (H, W), or 0 if none does.

    It is the light of a lens or a lamp. Pixels far from the fit, such as ink, are left out, and the rest is
    fitted again. It does not fit a shadow with an edge, or a page on a table; `background` follows these.
    """
    y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in x.shape), indexing="ij")
    terms = np.stack([np.ones_like(y), y, z, y * y, y * z, z * z], axis=-1)
    step = max(1, min(x.shape) // 48)
    few, values = terms[::step, ::step].reshape(-1, 6), x[::step, ::step].ravel()
    close = np.ones(len(values), bool)
    for _ in range(5):
        weights = np.linalg.lstsq(few[close], values[close], rcond=None)[0]
        distance = np.abs(few @ weights - values)
        close = distance <= 2 * np.median(distance) + 1e-6
    fits = np.quantile(np.abs(few @ weights - values), MOST) <= CLOSE * np.ptp(values)
    return terms @ weights if fits else np.zeros_like(x)


def noise(x: np.ndarray) -> float:
    """Return the standard deviation of the noise in an image (H, W).

    It is estimated from the lower quartile of the steps along rows, which strokes hardly change. For normal
    noise, that quartile is 0.3186 standard deviations of a step.
    """
    return float(np.quantile(np.abs(np.diff(x, axis=1)), 0.25) / (0.3186 * np.sqrt(2)))


def background(x: np.ndarray) -> np.ndarray:
    """Return what is left of an image (H, W) when all that is light and narrow is removed: its opening.

    A minimum over squares, then a maximum. A surface with an even slope and the edge of a shadow come out
    unchanged. Dark specks and thin dark lines are removed before, by a closing: no square would fit between.
    """
    side = min(x.shape)
    filled = x if side < LEAST_BLURRED else -_opened(-x, max(3, round(SPECK * side)))
    return _opened(filled, max(3, round(NARROW * side)))


def _opened(x: np.ndarray, size: int) -> np.ndarray:
    padded = np.pad(x, size - 1, mode="edge")
    return _extremum(_extremum(padded, size, np.minimum), size, np.maximum)


def _extremum(x: np.ndarray, size: int, op: np.ufunc) -> np.ndarray:
    """Return the extremum over squares of `size` pixels, with sides that double: (H, W) -> smaller."""
    for axis in (0, 1):
        x = np.moveaxis(x, axis, 0)
        reach = 1
        while reach < size:
            shift = min(reach, size - reach)
            x = op(x[: len(x) - shift], x[shift:])
            reach += shift
        x = np.moveaxis(x, 0, axis)
    return x
