"""Activation functions as layers of their own.

::

    x -> function -> y          dy, y -> gradient -> dx

`Activation` has every function, without arguments. `ReLU` and `Softmax` have Keras' arguments for theirs.
"""

import numpy as np

from tinycnn import activations
from tinycnn.layers.base import Layer, Shape
from tinycnn.support import checks

MOST_AXES = 32  # of an array of NumPy


class Activation(Layer):
    """Activation layer: y = function(x), element by element; softmax along the last axis.

    Parameters
    ----------
    activation : str
        "linear", "relu", "leaky_relu", "sigmoid", "tanh" or "softmax".
    name : str, optional
    """

    def __init__(self, activation: str, name: str | None = None) -> None:
        super().__init__(name)
        self.activation = activations.check(activation)

    @property
    def _activation(self) -> activations.ActivationPair:
        return activations.get(self.activation)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y in the shape of x."""
        self.check_input(x)
        y = self._activation.function(x)
        if training:
            self._saved = y
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx in the shape of dy."""
        y = self.saved()
        self.check_gradient(dy, y.shape)
        return self._activation.gradient(y, dy)


class ReLU(Layer):
    """Rectified linear unit, with a maximum, a slope below and a threshold.

    y = min(x, max_value) where x > threshold, else negative_slope * (x - threshold). NaN stays NaN.

    Parameters
    ----------
    max_value : float, optional
        The largest output, at least 0; None is no limit. 6 makes it the ReLU6 of MobileNet.
    negative_slope : float
        At least 0; above 0 it is a leaky ReLU (Maas, Hannun & Ng, ICML 2013).
    threshold : float
        At least 0.
    name : str, optional
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.max_value = None if max_value is None else checks.real("max_value", max_value, 0)
        self.negative_slope = checks.real("negative_slope", negative_slope, 0)
        self.threshold = checks.real("threshold", threshold, 0)

    @property
    def activation(self) -> str:
        """The name of the activation that the outputs look like: "relu" or "leaky_relu"."""
        return "leaky_relu" if self.negative_slope else "relu"

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y in the shape of x."""
        self.check_input(x)
        if training:
            self._saved = x
        above = x if self.max_value is None else np.minimum(x, x.dtype.type(self.max_value))
        # without a slope it is 0 and no product, which would make NaN of an infinite x
        below = self.negative_slope * (x - x.dtype.type(self.threshold)) if self.negative_slope else 0.0
        return np.where(x <= self.threshold, below, above).astype(x.dtype, copy=False)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx in the shape of dy."""
        x = self.saved()
        self.check_gradient(dy, x.shape)
        return dy * self.derivative(x)

    def derivative(self, x: np.ndarray) -> np.ndarray:
        """Return dy/dx in the shape of x: the slope up to the threshold, then 1, from the maximum on 0."""
        below_max = True if self.max_value is None else x < self.max_value
        return np.where(x > self.threshold, below_max, self.negative_slope).astype(x.dtype)


class Softmax(Layer):
    """Softmax: exp(x) / sum(exp(x)) along one axis.

    Parameters
    ----------
    axis : int
        Any but the batch axis, which is axis 0.
    name : str, optional
    """

    def __init__(self, axis: int = -1, name: str | None = None) -> None:
        super().__init__(name)
        self.axis = checks.whole("axis", axis, -MOST_AXES)

    @property
    def activation(self) -> str:
        """The name of the activation that the outputs look like."""
        return "softmax"

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the input; raise ValueError for an axis that it does not have."""
        axes = len(input_shape)
        if self.axis not in (*range(-axes, 0), *range(1, axes + 1)):
            raise ValueError(
                f"{self.label}: axis: expected one of {-axes} to -1 or 1 to {axes} (0 is the batch axis), "
                f"received {self.axis}"
            )
        return input_shape

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y in the shape of x."""
        self.check_input(x)
        y = activations.softmax(x, self.axis)
        if training:
            self._saved = y
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx in the shape of dy."""
        y = self.saved()
        self.check_gradient(dy, y.shape)
        return activations.softmax_gradient(y, dy, self.axis)
