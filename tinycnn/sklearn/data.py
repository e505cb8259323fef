"""Data of scikit-learn's form as inputs of a network.

::

    X (N, H, W, C) -> flattened -> (N, features), which scikit-learn checks -> numbers -> (N, *input_shape)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinycnn.support import checks

Shape = tuple[int, ...]

LEAST_IMAGE = 64  # values in a row that are taken for a square image: 8 x 8


def flattened(X: Any, image_shape: Shape = ()) -> tuple[Any, Shape]:
    """Return images (N, ...) as rows (N, features), and the shape of one image.

    Whatever has fewer axes, or none that can be seen, is returned as it is, and with ().

    Parameters
    ----------
    X
    image_shape : tuple of int
        Of one image, where a network is fitted.

    Raises
    ------
    ValueError
        For one image in the place of several: its rows would be taken for images.
    """
    if isinstance(X, list | tuple):
        X = np.asarray(X)
    shape = tuple(getattr(X, "shape", ()))
    is_one = len(image_shape) == 3 and image_shape in (shape, (*shape, 1))
    if is_one and math.prod(shape[1:]) != math.prod(image_shape):
        raise ValueError(
            f"X: expected images {('N', *image_shape)}, received one image, of shape {shape}; "
            "X[np.newaxis] is a batch of one"
        )
    if len(shape) <= 2:
        return X, ()
    return np.asarray(X).reshape(len(X), math.prod(shape[1:])), shape[1:]


def check_classes(classes: np.ndarray, which: str) -> None:
    """Raise ValueError for fewer than two classes; `which` says of what, for the message."""
    if len(classes) < 2:
        raise ValueError(f"y: expected at least two classes{which}, received one class, {classes}")


def input_shape(axes: Shape, image_shape: Any) -> Shape:
    """Return the input shape of a network: (H, W, C) for images, (features,) for rows that are none.

    Parameters
    ----------
    axes : tuple of int
        The shape of one image, or (features,) of a row.
    image_shape
        The parameter of `CNNClassifier`.

    Raises
    ------
    ValueError
        When the two do not fit, or the channels of images seem to be in front.
    """
    if image_shape is not None:
        return _given_shape(axes, image_shape)
    if len(axes) == 1:
        side = math.isqrt(axes[0])
        is_image = axes[0] >= LEAST_IMAGE and side * side == axes[0]
        return (side, side, 1) if is_image else axes
    if len(axes) == 2:
        return (*axes, 1)
    if len(axes) != 3:
        raise ValueError(
            f"X: expected shape (N, features), (N, H, W) or (N, H, W, C), received {len(axes) + 1} axes"
        )
    if axes[0] in (1, 3) and min(axes[1:]) > 4:
        raise ValueError(
            f"X: expected images (N, H, W, C), received {('N', *axes)}; move the channels to the end by "
            "np.moveaxis(X, 1, -1), or give image_shape if this is meant"
        )
    return axes


def _given_shape(axes: Shape, image_shape: Any) -> Shape:
    if not isinstance(image_shape, Iterable) or not 1 <= len(tuple(image_shape)) <= 3:
        raise ValueError(f"image_shape: expected (H, W), (H, W, C) or (features,), received {image_shape!r}")
    shape: Shape = tuple(checks.whole("image_shape", size, 1) for size in image_shape)
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(axes) == 1 and math.prod(shape) != axes[0]:
        raise ValueError(
            f"image_shape: expected sizes with the product {axes[0]}, as X has {axes[0]} values in a row, "
            f"received {image_shape}"
        )
    if len(axes) > 1 and shape not in (axes, (*axes, 1)):
        raise ValueError(f"image_shape: expected {axes}, the shape of an image of X, received {image_shape}")
    return shape


def numbers(rows: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Return rows in the dtype of a network, those of uint8 divided by 255.

    Raises
    ------
    ValueError
        For numbers that the dtype has no room for.
    """
    with np.errstate(over="ignore"):
        values = rows.astype(dtype, copy=False)
    if rows.dtype == np.uint8:
        return values / dtype.type(255)
    if values.dtype != rows.dtype and not np.isfinite(values).all():
        raise ValueError(f"X: expected numbers in the range of {dtype}, received larger ones; scale them")
    return values
