"""Batch normalisation: each channel is scaled to mean 0 and variance 1, then scaled and shifted again.

::

    x (N, ..., C) -> (x - mean) / sqrt(variance + epsilon) = x_hat -> gamma * x_hat + beta = y

Ioffe & Szegedy, "Batch normalization", arXiv 1502.03167. Mean and variance come from the batch in training,
and from moving averages at inference. Formulas and defaults are Keras 3's: the variance is divided by the
count, not by the count minus one, in the moving average too.
"""

from types import MappingProxyType

import numpy as np

from tinycnn import initializers
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.keras_names import WeightNamed
from tinycnn.support import checks


class BatchNormalization(Layer):
    """Batch normalisation of the channels, the last axis.

    Parameters
    ----------
    momentum : float
        In [0, 1]: moving average = momentum * moving average + (1 - momentum) * value of the batch.
    epsilon : float
        Added to the variance.
    center, scale : bool
        Whether there is a shift "beta", and whether there is a scale "gamma".
    name : str, optional

    Attributes
    ----------
    params, grads : dict
        "gamma" with `scale` and "beta" with `center`, each of shape (C,).
    state : dict
        "moving_mean" and "moving_variance", each of shape (C,).
    """

    gamma, beta = WeightNamed(), WeightNamed()
    moving_mean, moving_variance = WeightNamed("state"), WeightNamed("state")
    _initializers = MappingProxyType(
        {
            "gamma": initializers.ones,
            "beta": initializers.zeros,
            "moving_mean": initializers.zeros,
            "moving_variance": initializers.ones,
        }
    )

    def __init__(
        self,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.momentum = checks.real("momentum", momentum, 0, 1)
        self.epsilon = checks.real("epsilon", epsilon, 0)
        self.center = checks.flag("center", center)
        self.scale = checks.flag("scale", scale)

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shapes of "gamma" and "beta", as far as the layer has them."""
        wanted = {"gamma": self.scale, "beta": self.center}
        return {name: input_shape[-1:] for name, present in wanted.items() if present}

    def state_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shapes of the moving averages."""
        return {"moving_mean": input_shape[-1:], "moving_variance": input_shape[-1:]}

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y in the shape of x; in training, update the moving averages.

        A frozen layer (`trainable` is False) keeps its averages and normalises with them, even in training,
        as in Keras.
        """
        self.check_input(x)
        mean, variance = self.state["moving_mean"], self.state["moving_variance"]
        from_batch = training and self.trainable
        if from_batch and not x.size:
            raise ValueError(f"{self.label}: expected at least one image, received shape {x.shape}")
        if from_batch:
            batch_axes = tuple(range(x.ndim - 1))
            batch_mean, batch_variance = x.mean(axis=batch_axes), x.var(axis=batch_axes)
            mean[...] = self.momentum * mean + (1 - self.momentum) * batch_mean
            variance[...] = self.momentum * variance + (1 - self.momentum) * batch_variance
            mean, variance = batch_mean, batch_variance
        inverse = 1 / np.sqrt(variance + x.dtype.type(self.epsilon))
        x_hat = (x - mean) * inverse
        if training:
            self._saved = x_hat, inverse, from_batch
        y = x_hat * self.params["gamma"] if self.scale else x_hat
        return y + self.params["beta"] if self.center else y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Assign the gradients and return dx.

        The mean and the variance of the batch depend on x. With g = gamma * dy and
        inverse = 1 / sqrt(variance + epsilon), dx = inverse * (g - mean(g) - x_hat * mean(g * x_hat)). The
        moving averages do not depend on x; with them, dx = inverse * g.
        """
        x_hat, inverse, from_batch = self.saved()
        self.check_gradient(dy, x_hat.shape)
        batch_axes = tuple(range(dy.ndim - 1))
        if self.scale:
            self.grads["gamma"][...] = (dy * x_hat).sum(axis=batch_axes)
        if self.center:
            self.grads["beta"][...] = dy.sum(axis=batch_axes)
        g = dy * self.params["gamma"] if self.scale else dy
        if not from_batch:
            return inverse * g
        return inverse * (g - g.mean(axis=batch_axes) - x_hat * (g * x_hat).mean(axis=batch_axes))
