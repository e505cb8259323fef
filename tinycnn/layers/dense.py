"""Fully connected layer: every output depends on every input.

::

    x (N, C) @ kernel (C, F) + bias (F) -> activation -> y (N, F)
    dz = gradient of the activation;  dW = x.T @ dz;  db = sum of dz over the batch;  dx = dz @ kernel.T
"""

from typing import Any

import numpy as np

from tinycnn import activations, initializers, kernels, regularizers
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.keras_names import WeightNamed
from tinycnn.support import checks
from tinycnn.support.sums import sum_rows


class Dense(Layer):
    """Fully connected layer: y = activation(x @ kernel + bias).

    Parameters
    ----------
    units : int
        Number of outputs, F.
    activation : str, optional
        A name of `tinycnn.activations`; None means linear.
    use_bias : bool
    kernel_initializer, bias_initializer : str
        Names of `tinycnn.initializers`.
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        Penalties that are added to the loss: names such as "l2", or objects of `tinycnn.regularizers`.
    name : str, optional

    Attributes
    ----------
    params, grads : dict
        "kernel" of shape (C, F) and, with `use_bias`, "bias" of shape (F,).
    """

    kernel, bias = WeightNamed(), WeightNamed()
    _used_by_build = ("kernel_initializer", "bias_initializer")

    def __init__(
        self,
        units: int,
        activation: str | None = None,
        use_bias: bool = True,
        kernel_initializer: str = "glorot_uniform",
        bias_initializer: str = "zeros",
        name: str | None = None,
        *,
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
    ) -> None:
        super().__init__(name)
        self.units = checks.whole("units", units, 1)
        self.activation = activations.check(activation)
        self.use_bias = checks.flag("use_bias", use_bias)
        self.kernel_initializer = initializers.check(kernel_initializer)
        self.bias_initializer = initializers.check(bias_initializer)
        self.kernel_regularizer = regularizers.get("kernel_regularizer", kernel_regularizer)
        self.bias_regularizer = regularizers.get("bias_regularizer", bias_regularizer)

    @property
    def _activation(self) -> activations.ActivationPair:
        return activations.get(self.activation)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (F,) for (C,)."""
        if len(input_shape) != 1:
            raise ValueError(
                f"{self.label}: expected input shape (C,), received {tuple(input_shape)}; put a Flatten "
                "before it"
            )
        return (self.units,)

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shapes of "kernel" and "bias"."""
        kernel = *input_shape, self.units
        return {"kernel": kernel, "bias": (self.units,)} if self.use_bias else {"kernel": kernel}

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y (N, F) for x (N, C)."""
        self.check_input(x)
        z = kernels.matmul(x, self.params["kernel"])
        if self.use_bias:
            z += self.params["bias"]
        y = self._activation.function(z)
        if training:
            self._saved = x, y
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Assign grads["kernel"] and grads["bias"]; return dx (N, C) for dy (N, F)."""
        return kernels.matmul(self._assign(dy), self.params["kernel"].T)

    def backward_params(self, dy: np.ndarray) -> None:
        """See `Layer.backward_params`."""
        self._assign(dy)

    def _assign(self, dy: np.ndarray) -> np.ndarray:
        """Assign the gradients and return dz (N, F), the gradient before the activation."""
        x, y = self.saved()
        self.check_gradient(dy, y.shape)
        dz = self._activation.gradient(y, dy)
        kernels.matmul(x.T, dz, out=self.grads["kernel"])
        if self.use_bias:
            self.grads["bias"][...] = sum_rows(dz)
        return dz
