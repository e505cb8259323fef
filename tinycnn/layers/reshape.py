"""Reshaping: the values of an image in another shape.

::

    x (N, ...) -> y (N, *target_shape), in row-major order, as in Keras
"""

import math
from collections.abc import Sequence

import numpy as np

from tinycnn.layers.base import Layer, Shape
from tinycnn.support import checks


class Reshape(Layer):
    """Reshaping: the same values, in row-major order, in another shape.

    Parameters
    ----------
    target_shape : sequence of int
        The shape of one output, without the batch axis. One size may be -1: it follows from the others.
    name : str, optional
    """

    def __init__(self, target_shape: Sequence[int], name: str | None = None) -> None:
        super().__init__(name)
        self.target_shape = _check_shape(target_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the target shape, with the size that -1 stands for; it has as many values as the input."""
        values, known = math.prod(input_shape), math.prod(size for size in self.target_shape if size > 0)
        shape = tuple(values // known if size == -1 else size for size in self.target_shape)
        if math.prod(shape) != values:
            raise ValueError(
                f"{self.label}: target_shape: expected the {values} values of {tuple(input_shape)}, received "
                f"{self.target_shape}"
            )
        return shape

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y for x (N, ...): the same values, each image in the target shape."""
        self.check_input(x)
        if training:
            self._saved = x.shape
        return x.reshape(len(x), *self.compute_output_shape(x.shape[1:]))

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx in the shape of x."""
        x_shape = self.saved()
        self.check_gradient(dy, (x_shape[0], *self.compute_output_shape(x_shape[1:])))
        return dy.reshape(x_shape)


def _check_shape(shape: Sequence[int]) -> Shape:
    sizes = checks.sizes("target_shape", shape, -1)
    if 0 in sizes or sizes.count(-1) > 1:
        raise ValueError(f"target_shape: expected sizes of at least 1, or -1 once, received {sizes}")
    return sizes
