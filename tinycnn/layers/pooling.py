"""Pooling: one number for each window of each channel.

::

    x (N, H, W, C) -> maximum or mean of (KH, KW) windows -> y (N, OH, OW, C)
    dy -> to the pixel that won (maximum) or in equal shares (mean) -> dx
"""

import numpy as np

from tinycnn import checks, kernels
from tinycnn.checks import Pads, Pair
from tinycnn.kernels import explanation, geometry
from tinycnn.kernels.explanation import Pass
from tinycnn.layers.base import Layer, Shape


class _Pooling2D(Layer):
    """What the two window pools share: arguments and sizes, and how the choice of an algorithm is told."""

    operation = ""  # the one of `kernels.OPERATIONS` that is its forward pass

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
        self.algorithm = kernels.check_algorithm(algorithm)

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

    def pads(self) -> Pads:
        """Return the padding in numbers, of a layer that is built."""
        return self._pads(self.input_shape or ())

    def _geometry(self) -> tuple[Pair, Pair, Pads]:
        """Return window, strides and padding, as the kernels take them."""
        return self.pool_size, self.strides, self.pads()

    def passes(self) -> list[Pass]:
        """See `Layer.passes`."""
        steps = (explanation.FORWARD, ""), (explanation.INPUT_GRADIENT, "_grad_input")
        choices = [(step, kernels.choose(self.operation + which, self.algorithm)) for step, which in steps]
        return [Pass(self.label, step, choice.name, choice.reason) for step, choice in choices]


class MaxPooling2D(_Pooling2D):
    """The maximum of each window; of equal pixels the first, in row-major order, is the winner.

    Parameters
    ----------
    pool_size : int or (int, int)
        KH and KW of the window.
    strides : int or (int, int), optional
        None means `pool_size`.
    padding : "valid" or "same"
        "same" gives ceil(H / stride) rows; the padding never wins.
    algorithm : str
        "auto" or a name of `tinycnn.kernels.ALGORITHMS`.
    name : str, optional
    """

    operation = "maxpool2d"

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y (N, OH, OW, C) for x (N, H, W, C)."""
        self.check_input(x)
        y, argmax = kernels.find("maxpool2d", self.algorithm)(x, *self._geometry())
        if training:
            self._kept = argmax, x.shape
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx (N, H, W, C): each dy goes to the winner of its window."""
        argmax, x_shape = self._recall()
        self.check_gradient(dy, argmax.shape)
        return kernels.find("maxpool2d_grad_input", self.algorithm)(dy, argmax, x_shape, *self._geometry())


class AveragePooling2D(_Pooling2D):
    """The mean of each window.

    Parameters
    ----------
    pool_size : int or (int, int)
        KH and KW of the window.
    strides : int or (int, int), optional
        None means `pool_size`.
    padding : "valid" or "same"
        "same" gives ceil(H / stride) rows; the padding is not counted.
    algorithm : str
        "auto" or a name of `tinycnn.kernels.ALGORITHMS`.
    name : str, optional
    """

    operation = "averagepool2d"

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y (N, OH, OW, C) for x (N, H, W, C)."""
        self.check_input(x)
        y = kernels.find("averagepool2d", self.algorithm)(x, *self._geometry())
        if training:
            self._kept = y.shape
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx (N, H, W, C): each dy is shared equally by its window."""
        y_shape = self._recall()
        self.check_gradient(dy, y_shape)
        x_shape = (dy.shape[0], *(self.input_shape or ()))
        return kernels.find("averagepool2d_grad_input", self.algorithm)(dy, x_shape, *self._geometry())


class GlobalAveragePooling2D(Layer):
    """The mean of each channel over the whole image: (N, H, W, C) -> (N, C)."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (C,) for (H, W, C)."""
        checks.shape(f"{self.label}: input_shape (H, W, C)", input_shape, (None, None, None))
        return input_shape[2:]

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y (N, C) for x (N, H, W, C)."""
        self.check_input(x)
        if training:
            self._kept = x.shape
        return x.mean(axis=(1, 2))

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx (N, H, W, C): each dy is shared equally by its image."""
        N, H, W, C = self._recall()
        self.check_gradient(dy, (N, C))
        return np.broadcast_to((dy / (H * W))[:, None, None, :], (N, H, W, C)).copy()
