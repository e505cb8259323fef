"""An activation function as a layer of its own.

::

    x -> function -> y          dy, y -> gradient -> dx
"""

import numpy as np

from tinycnn import activations
from tinycnn.layers.base import Layer


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
