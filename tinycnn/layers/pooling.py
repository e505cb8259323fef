"""Pooling: the maximum or the mean of each window of each channel.

::

    x (N, H, W, C) -> maximum or mean of (KH, KW) windows -> y (N, OH, OW, C)
    dy -> to the argmax of each window (maximum), or in equal shares (mean) -> dx
"""

import numpy as np

from tinycnn import kernels
from tinycnn.kernels import geometry
from tinycnn.kernels.selection import POOL_ALGORITHMS
from tinycnn.layers.base import Layer, Shape
from tinycnn.support import checks
from tinycnn.support.checks import Pads, Pair
from tinycnn.support.sums import mean_rows


class _Pooling2D(Layer):
    """Base class of the pools with windows: their arguments and sizes."""

    operation = ""  # of `kernels.OPERATIONS`: the forward pass

    def __init__(
        self,
        pool_size: int | Pair = 2,
        strides: int | Pair | None = None,
        padding: str = "valid",
        algorithm: str = "auto",
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.pool_size = checks.pair("pool_size", pool_size, 1)
        self.strides = self.pool_size if strides is None else checks.pair("strides", strides, 1)
        self.padding = checks.choice("padding", padding, ("valid", "same"))
        self.algorithm = checks.choice("algorithm", algorithm, ("auto", *POOL_ALGORITHMS))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (OH, OW, C) for (H, W, C)."""
        checks.shape(f"{self.label}: input_shape (H, W, C)", input_shape, (None, None, None))
        try:
            size = geometry.window_output(
                input_shape[:2], self.pool_size, self.strides, self._pads(input_shape)
            )
        except ValueError as error:
            raise ValueError(f"{self.label}: {error}") from None
        return *size, input_shape[2]

    def _pads(self, input_shape: Shape) -> Pads:
        return geometry.resolve_padding(self.padding, input_shape[:2], self.pool_size, self.strides, (1, 1))

    def geometry(self) -> tuple[Pair, Pair, Pads]:
        """Return pool size, strides and explicit padding, as the kernels take them."""
        return self.pool_size, self.strides, self._pads(self.built_shape)


class MaxPooling2D(_Pooling2D):
    """Max-pooling: the maximum of each window.

    Among equal pixels the first in row-major order is the argmax, which receives the gradient.

    Parameters
    ----------
    pool_size : int or (int, int)
        KH and KW of the window.
    strides : int or (int, int), optional
        None means `pool_size`.
    padding : "valid" or "same"
        "same" gives ceil(H / stride) rows; padding is never the maximum.
    algorithm : str
        "auto", "naive", "im2col" or "direct".
    name : str, optional
    """

    operation = "maxpool2d"

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y (N, OH, OW, C) for x (N, H, W, C)."""
        self.check_input(x)
        y, argmax = kernels.maxpool2d(x, *self.geometry(), self.algorithm)
        if training:
            self._saved = argmax, x.shape
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx (N, H, W, C): each element of dy goes to the argmax of its window."""
        argmax, x_shape = self.saved()
        self.check_gradient(dy, argmax.shape)
        return kernels.maxpool2d_grad_input(dy, argmax, x_shape, *self.geometry(), self.algorithm)


class AveragePooling2D(_Pooling2D):
    """Average pooling: the mean of each window.

    Parameters
    ----------
    pool_size : int or (int, int)
        KH and KW of the window.
    strides : int or (int, int), optional
        None means `pool_size`.
    padding : "valid" or "same"
        "same" gives ceil(H / stride) rows; the padding is not counted.
    algorithm : str
        "auto", "naive", "im2col" or "direct".
    name : str, optional
    """

    operation = "averagepool2d"

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y (N, OH, OW, C) for x (N, H, W, C)."""
        self.check_input(x)
        y = kernels.averagepool2d(x, *self.geometry(), self.algorithm)
        if training:
            self._saved = y.shape
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx (N, H, W, C): each element of dy is shared equally among the pixels of its window."""
        y_shape = self.saved()
        self.check_gradient(dy, y_shape)
        x_shape = (dy.shape[0], *self.built_shape)
        return kernels.averagepool2d_grad_input(dy, x_shape, *self.geometry(), self.algorithm)


class GlobalAveragePooling2D(Layer):
    """Global average pooling: the mean of each channel over the image, (N, H, W, C) -> (N, C)."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (C,) for (H, W, C)."""
        checks.shape(f"{self.label}: input_shape (H, W, C)", input_shape, (None, None, None))
        return input_shape[2:]

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y (N, C) for x (N, H, W, C)."""
        self.check_input(x)
        if training:
            self._saved = x.shape
        N, H, W, C = x.shape
        return mean_rows(x.reshape(N, H * W, C)).astype(x.dtype)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx (N, H, W, C): each element of dy is shared equally among the pixels of its image."""
        N, H, W, C = self.saved()
        self.check_gradient(dy, (N, C))
        return np.broadcast_to((dy / (H * W))[:, None, None, :], (N, H, W, C)).copy()


class GlobalMaxPooling2D(Layer):
    """Global max-pooling: the maximum of each channel over the image, (N, H, W, C) -> (N, C).

    Among equal pixels the first in row-major order is the argmax, which receives the gradient.
    """

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (C,) for (H, W, C)."""
        checks.shape(f"{self.label}: input_shape (H, W, C)", input_shape, (None, None, None))
        return input_shape[2:]

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y (N, C) for x (N, H, W, C)."""
        self.check_input(x)
        N, H, W, C = x.shape
        pixels = x.reshape(N, H * W, C)
        argmax = pixels.argmax(axis=1)[:, np.newaxis]  # (N, 1, C); a NaN counts as the largest
        if training:
            self._saved = argmax, x.shape
        return np.take_along_axis(pixels, argmax, axis=1)[:, 0]

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx (N, H, W, C): each element of dy goes to the argmax of its image."""
        argmax, (N, H, W, C) = self.saved()
        self.check_gradient(dy, (N, C))
        dx = np.zeros((N, H * W, C), dy.dtype)
        np.put_along_axis(dx, argmax, dy[:, np.newaxis], axis=1)
        return dx.reshape(N, H, W, C)
