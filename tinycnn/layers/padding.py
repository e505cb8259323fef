"""Padding: rows and columns of zeros around images.

::

    x (N, H, W, C) -> zeros around it -> y (N, top + H + bottom, left + W + right, C)
    dy -> the part inside of the zeros -> dx
"""

from typing import Any

import numpy as np

from tinycnn.kernels import geometry
from tinycnn.layers.base import Layer, Shape
from tinycnn.support import checks
from tinycnn.support.checks import Pads, Pair


class ZeroPadding2D(Layer):
    """Zero padding: rows and columns of zeros around each image.

    Parameters
    ----------
    padding : int, (int, int) or ((int, int), (int, int))
        One number for all sides, (rows above and below, columns left and right), or
        ((top, bottom), (left, right)).
    name : str, optional
    """

    def __init__(self, padding: int | Pair | Pads = 1, name: str | None = None) -> None:
        super().__init__(name)
        self.padding = _check_padding(padding)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (top + H + bottom, left + W + right, C) for (H, W, C)."""
        checks.shape(f"{self.label}: input_shape (H, W, C)", input_shape, (None, None, None))
        (H, W, C), (rows, columns) = input_shape, self.padding
        return H + sum(rows), W + sum(columns), C

    def geometry(self) -> tuple[Pair, Pair, Pads]:
        """Return size, strides and padding of the windows of one pixel that outputs are copied from."""
        return (1, 1), (1, 1), self.padding

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y (N, top + H + bottom, left + W + right, C) for x (N, H, W, C)."""
        self.check_input(x)
        y = geometry.pad(x, self.padding)
        if training:
            self._saved = y.shape
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx (N, H, W, C): the gradients of the zeros are left out."""
        self.check_gradient(dy, self.saved())
        return np.ascontiguousarray(geometry.crop(dy, self.padding))


def _check_padding(padding: Any) -> Pads:
    rows, columns = padding if isinstance(padding, tuple | list) and len(padding) == 2 else (padding, padding)
    try:
        return checks.pair("padding", rows, 0), checks.pair("padding", columns, 0)
    except ValueError as error:
        raise type(error)(
            "padding: expected a whole number >= 0, (height, width) or ((top, bottom), (left, right)), "
            f"received {padding!r}"
        ) from None
