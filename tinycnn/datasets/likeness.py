"""Likeness to MNIST: whether images are prepared as those were that a network for MNIST has seen.

::

    images (N, 28, 28, 1) -> properties of each -> sentences on those that none of MNIST's images has

Smallest and largest values over MNIST's 70,000 images (pixels / 255):

========================================================  ==============
brightest pixel                                           0.996 to 1
share of black pixels                                     0.552 to 0.957
centre of mass in pixels from 0, in both directions       13.48 to 14.50
longer side of the box around the digit, in pixels        19 to 20
========================================================  ==============

All bounds below lie outside of them, so none of MNIST's images raises a false alarm.
"""

from __future__ import annotations

import warnings

import numpy as np

SIDE = 28
BEYOND = 0.01  # by which a pixel may leave [0, 1]
BRIGHTEST = 0.8
BLACK, MOST_LIT = 0.02, 0.5  # up to how much is black: noise of five grey levels of 255 is no fault
LIGHT = 0.5  # mean of an image that is inverted; MNIST's largest is 0.40
CENTRE, OFF_CENTRE = 14.0, 1.0  # pixels
SMALLEST, LARGEST = 17, 22  # pixels: longer side of the box around the digit
# One product with an image, (784,) @ (784, 3), gives its sum and its moments along rows and columns.
_ROWS, _COLUMNS = np.divmod(np.arange(SIDE * SIDE, dtype=np.float32), np.float32(SIDE))
_MOMENTS = np.stack([np.ones_like(_ROWS), _ROWS, _COLUMNS], axis=1)


def unlike_mnist(images: np.ndarray) -> list[str]:
    """Return sentences on how images differ from MNIST's; empty where they do not.

    Parameters
    ----------
    images : ndarray of float, of shape (N, 28, 28, 1), (28, 28, 1) or (28, 28)

    Returns
    -------
    list of str
        One for each kind of difference, with the number of images that have it. An image that holds no
        numbers in [0, 1], or that is inverted, is counted for this alone.

    Raises
    ------
    ValueError
        For another shape, or an array that is not of floats.

    Examples
    --------
    >>> import numpy as np
    >>> unlike_mnist(np.ones((3, 28, 28, 1)))
    ['3 of 3 images have one value everywhere, and no digit']
    """
    x = np.asarray(images)
    if x.dtype.kind != "f" or (x.shape != (SIDE, SIDE) and x.shape[-3:] != (SIDE, SIDE, 1)) or x.ndim > 4:
        raise ValueError(
            "images: expected floats of shape (N, 28, 28, 1), (28, 28, 1) or (28, 28), "
            f"received {x.dtype} of shape {x.shape}"
        )
    x = x.reshape(-1, SIDE * SIDE)  # (N, 28, 28, 1) -> (N, 784)
    of = f"of {len(x)} image{'s have' if len(x) > 1 else ' has'}"
    return [f"{bad.sum()} {of} {text}" for text, bad in _differences(x).items() if bad.any()]


def _differences(x: np.ndarray) -> dict[str, np.ndarray]:
    """Return which images (N, 784) differ from MNIST's, by how they do: flags of shape (N,)."""
    low, high = x.min(axis=1), x.max(axis=1)
    with np.errstate(all="ignore"):
        mass, rows, columns = (x @ _MOMENTS).T
        off = np.maximum(abs(rows / mass - CENTRE), abs(columns / mass - CENTRE))
    lit = (x > BLACK).reshape(-1, SIDE, SIDE)
    lines = np.stack([lit.any(axis=2), lit.any(axis=1)])  # lit rows and columns, (2, N, 28)
    side = (SIDE - lines.argmax(axis=-1) - lines[..., ::-1].argmax(axis=-1)).max(axis=0)
    in_range = (low >= -BEYOND) & (high <= 1 + BEYOND)  # not so for NaN
    dark, centred = lit.mean(axis=(1, 2)) <= MOST_LIT, off <= OFF_CENTRE
    bright, sized = high >= BRIGHTEST, (side >= SMALLEST) & (side <= LARGEST)
    if (in_range & dark & centred & bright & sized).all():  # the usual case
        return {}
    flat, light = low == high, mass > LIGHT * SIDE * SIDE
    digit = in_range & ~flat & ~light
    return {
        "values that are NaN or not in [0, 1]": ~in_range,
        "one value everywhere, and no digit": in_range & flat,
        "a light background: MNIST's digits are white on black": in_range & ~flat & light,
        "a grey background: more than half of the pixels of MNIST's images are 0": digit & ~dark,
        f"no pixel above {BRIGHTEST}: MNIST's brightest is 1": digit & ~bright,
        "a centre of mass more than 1 pixel from the middle": digit & ~centred,
        "a digit of another size than MNIST's, whose longer side has 20 pixels": digit & dark & ~sized,
    }


def warn_unlike_mnist(images: np.ndarray) -> None:
    """Warn when images differ from MNIST's: `Sequential.input_check` of a network that was trained on MNIST.

    Warns
    -----
    UserWarning
        Once for a call of `predict` or `evaluate`, at the line that calls it.
    """
    differences = unlike_mnist(images)
    if differences:
        warnings.warn(
            f"input unlike MNIST: {'; '.join(differences)}. Predictions will often be wrong; prepare photos "
            "and drawings with tinycnn.datasets.prepare_digit",
            stacklevel=3,
        )
