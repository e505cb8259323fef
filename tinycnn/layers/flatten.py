"""Flattening of images to vectors.

::

    x (N, H, W, C) -> y (N, H * W * C), in row-major order, as in Keras
"""

import math

import numpy as np

from tinycnn.layers.base import Layer, Shape


class Flatten(Layer):
    """Flattening: all axes except the batch axis become one."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (H * W * C,) for (H, W, C)."""
        return (math.prod(input_shape),)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y (N, H * W * C) for x (N, H, W, C)."""
        self.check_input(x)
        if training:
            self._saved = x.shape
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx in the shape of x."""
        x_shape = self.saved()
        self.check_gradient(dy, (x_shape[0], math.prod(x_shape[1:])))
        return dy.reshape(x_shape)
