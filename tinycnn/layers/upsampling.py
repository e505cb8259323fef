"""Upsampling: images that are enlarged by whole factors.

::

    x (N, H, W, C) -> rows, then columns, repeated or interpolated -> y (N, SH * H, SW * W, C)
    dy -> the transpose of each: what was given to several outputs is added up -> dx

An axis of length n becomes one of length s * n. Output s * i + k lies in pixel i, and its centre is
d = (k + 1/2) / s - 1/2 pixels beside the centre of that pixel. "nearest" takes the pixel; "bilinear" takes
1 - abs(d) of it and abs(d) of the neighbour on that side. At the edge, where there is none, the pixel stands
for it. That is Keras' rule: half-pixel centres, and weights that add up to 1 at the edges too.
"""

import numpy as np

from tinycnn.layers.base import Layer, Shape
from tinycnn.support import checks
from tinycnn.support.checks import Pair


class UpSampling2D(Layer):
    """Upsampling of images by whole factors.

    Parameters
    ----------
    size : int or (int, int)
        SH and SW, the factors of height and width.
    interpolation : "nearest" or "bilinear"
    name : str, optional
    """

    def __init__(
        self, size: int | Pair = (2, 2), interpolation: str = "nearest", name: str | None = None
    ) -> None:
        super().__init__(name)
        self.size = checks.pair("size", size, 1)
        self.interpolation = checks.choice("interpolation", interpolation, ("nearest", "bilinear"))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (SH * H, SW * W, C) for (H, W, C)."""
        checks.shape(f"{self.label}: input_shape (H, W, C)", input_shape, (None, None, None))
        (H, W, C), (SH, SW) = input_shape, self.size
        return SH * H, SW * W, C

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y (N, SH * H, SW * W, C) for x (N, H, W, C)."""
        self.check_input(x)
        y = x
        for axis in (1, 2):
            y = self._enlarged(y, axis)
        if training:
            self._saved = y.shape
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx (N, H, W, C): each pixel receives what it gave, times the gradient there."""
        self.check_gradient(dy, self.saved())
        dx = dy
        for axis in (2, 1):
            dx = self._enlarged_transpose(dx, axis)
        return dx

    def taps(self, axis: int, output: int) -> dict[int, float]:
        """Return the weights of the rows (axis 0) or columns (axis 1) that one of the output is made of."""
        scale, last = self.size[axis], self.built_shape[axis] - 1
        own, phase = divmod(output, scale)
        d = self._distance(scale, phase)
        neighbour = min(max(own + (1 if d > 0 else -1), 0), last)
        return {own: 1.0} if d == 0 or neighbour == own else {own: 1 - abs(d), neighbour: abs(d)}

    def _distance(self, scale: int, phase: int) -> float:
        """Return how far output `phase` of a pixel is from the middle of the pixel, in pixels."""
        return 0.0 if self.interpolation == "nearest" else (phase + 0.5) / scale - 0.5

    def _enlarged(self, x: np.ndarray, axis: int) -> np.ndarray:
        """Return x with one axis enlarged."""
        scale, phases = self.size[axis - 1], []
        for phase in range(scale):
            d = self._distance(scale, phase)
            phases.append(x if d == 0 else (1 - abs(d)) * x + abs(d) * _neighbour(x, axis, after=d > 0))
        y = np.stack(phases, axis + 1)  # (..., n, s, ...) -> (..., n * s, ...)
        return y.reshape(*x.shape[:axis], x.shape[axis] * scale, *x.shape[axis + 1 :])

    def _enlarged_transpose(self, dy: np.ndarray, axis: int) -> np.ndarray:
        """Return the gradient by x, given that by `_enlarged(x, axis)`."""
        scale = self.size[axis - 1]
        shape = *dy.shape[:axis], dy.shape[axis] // scale, *dy.shape[axis + 1 :]
        phases = dy.reshape(*shape[: axis + 1], scale, *shape[axis + 1 :])
        dx = np.zeros(shape, dy.dtype)
        for phase in range(scale):
            d, given = self._distance(scale, phase), phases.take(phase, axis + 1)
            dx += (1 - abs(d)) * given
            if d:
                dx += _neighbour_transpose(abs(d) * given, axis, after=d > 0)
        return dx


def _neighbour(x: np.ndarray, axis: int, after: bool) -> np.ndarray:
    """Return the next pixel along an axis, or the one before; at the edge, the pixel itself."""
    x = np.moveaxis(x, axis, 0)
    shifted = np.concatenate([x[1:], x[-1:]] if after else [x[:1], x[:-1]])
    return np.moveaxis(shifted, 0, axis)


def _neighbour_transpose(g: np.ndarray, axis: int, after: bool) -> np.ndarray:
    """Return what the pixels receive that `_neighbour` took."""
    g = np.moveaxis(g, axis, 0)
    received = np.concatenate([np.zeros_like(g[:1]), g[:-1]] if after else [g[1:], np.zeros_like(g[:1])])
    edge = -1 if after else 0
    received[edge] += g[edge]
    return np.moveaxis(received, 0, axis)
