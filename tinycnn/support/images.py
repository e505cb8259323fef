"""Images as a user gives them: what they must be, and what a user of another form can do about it.

::

    x, of any type -> floats -> shape (N, H, W, C), as the model was built for -> scaled?
"""

from __future__ import annotations

import warnings
from typing import Any, NoReturn

import numpy as np

from tinycnn.support import checks

SAMPLE = 100  # images that are looked at for unscaled pixels
BRIGHT = 128  # a brightest pixel above half of 255 is common to nearly all pictures


def as_floats(x: Any) -> np.ndarray:
    """Return an array of floats; raise ValueError, which says how to make one, for anything else."""
    try:
        array = np.asarray(x)
    except ValueError as error:  # lists of unequal lengths
        raise ValueError(f"x: expected images of one shape: {error}") from error
    if array.dtype.kind == "f":
        return array
    received = f"an array of {array.dtype}" if isinstance(x, np.ndarray | list | tuple) else type(x).__name__
    pixels = array.ndim and array.dtype.kind in "iu"
    cure = "; for pixels from 0 to 255 use tinycnn.datasets.scale_images" if pixels else ""
    raise checks.ArgumentTypeError(f"x: expected an array of floats in [0, 1], received {received}{cure}")


def refuse_shape(x: np.ndarray, one: tuple[int, ...]) -> NoReturn:
    """Raise ValueError for an array that does not hold inputs of the shape `one`, without the batch axis."""
    cure = ""
    if x.shape == one:
        cure = "; for one image use x[np.newaxis]"
    elif (*x.shape[1:], 1) == one:
        cure = "; add the axis of the channels by x[..., np.newaxis]"
    elif x.ndim == 4 and x.shape[2:] + x.shape[1:2] == one:
        cure = "; move the axis of the channels to the end by np.moveaxis(x, 1, -1)"
    raise ValueError(f"x: expected shape {(None, *one)}, received {x.shape}{cure}")


def warn_if_unscaled(x: np.ndarray, name: str) -> None:
    """Warn of images (N, H, W, C) whose first ones have whole numbers from 0 to 255."""
    few = x[:SAMPLE]
    if few.ndim != 4 or not few.size:
        return
    low, high = float(few.min()), float(few.max())
    if low >= 0 and BRIGHT <= high <= 255 and (few == np.rint(few)).all():
        warnings.warn(
            f"{name}: whole numbers from {low:g} to {high:g}, like pixels that were not scaled; divide "
            "them by 255, since networks learn better from [0, 1]",
            UserWarning,
            stacklevel=4,
        )
