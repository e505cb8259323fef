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
from tinycnn.support import checks, processes
from tinycnn.support.ranges import flush
from tinycnn.support.sums import sum_rows


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
        if from_batch and not x.size and processes.current().alone:
            raise ValueError(f"{self.label}: expected at least one image, received shape {x.shape}")
        if from_batch:
            centred, batch_mean, deviation = _statistics(x)
            self._update_averages(batch_mean, deviation)
            inverse = (1 / np.hypot(deviation, np.sqrt(self.epsilon))).astype(x.dtype)
        else:
            centred, inverse = x - mean, 1 / np.sqrt(variance + x.dtype.type(self.epsilon))
        x_hat = centred * inverse
        if training:
            self._saved = x_hat, inverse, from_batch
        y = x_hat * self.params["gamma"] if self.scale else x_hat
        return y + self.params["beta"] if self.center else y

    def _update_averages(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """Add the mean and the variance of a batch to the moving averages.

        A variance that the dtype does not hold counts as its largest number: infinity would stay for ever.
        """
        variance = np.square(np.minimum(deviation, np.sqrt(np.finfo(self.dtype).max)))
        for name, value in {"moving_mean": mean, "moving_variance": variance}.items():
            average = self.state[name]
            average[...] = self.momentum * average + (1 - self.momentum) * value
            flush(average)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Assign the gradients and return dx.

        The mean and the variance of the batch depend on x. With inverse =
        1 / sqrt(variance + epsilon), dx = gamma * inverse * (dy - mean(dy) - x_hat * mean(dy * x_hat)). The
        moving averages do not depend on x; with them, dx = gamma * inverse * dy.
        """
        x_hat, inverse, from_batch = self.saved()
        self.check_gradient(dy, x_hat.shape)
        C = dy.shape[-1]
        sum_dy, sum_dy_x_hat = sum_rows(dy.reshape(-1, C)), sum_rows((dy * x_hat).reshape(-1, C))
        if self.scale:
            self.grads["gamma"][...] = sum_dy_x_hat
            inverse = inverse * self.params["gamma"]
        if self.center:
            self.grads["beta"][...] = sum_dy
        if not from_batch:
            return inverse * dy
        totals = processes.current().total(np.concatenate([sum_dy, sum_dy_x_hat, [dy.size // C]]))
        mean_dy, mean_dy_x_hat = totals[:-1].reshape(2, C) / totals[-1]
        return inverse * (dy - mean_dy.astype(dy.dtype) - x_hat * mean_dy_x_hat.astype(dy.dtype))


def _statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x - mean, and the mean and the standard deviation (C,) in float64, of x (N, ..., C).

    Sums or squares that the dtype does not hold are computed again in units of the largest number.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        centred, mean, deviation = _moments(x)
    if np.isfinite(deviation).all():
        return centred, mean, deviation
    unit = np.abs(x).max(axis=tuple(range(x.ndim - 1)), initial=0).astype(np.float64)
    unit = processes.current().total(unit)  # of all processes, at least that of each
    unit[unit == 0] = 1
    centred, mean, deviation = _moments(x / unit)
    return (centred * unit).astype(x.dtype), mean * unit, deviation * unit


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Do the work of `_statistics`.

    The mean is rounded to the dtype of x before it is subtracted. The mean of what is left, which would be 0
    otherwise, is subtracted too. So a constant channel becomes 0, however large the constant.
    """
    C = x.shape[-1]
    mean = _mean(x.reshape(-1, C)).astype(x.dtype)
    centred = x - mean
    rest = _mean(centred.reshape(-1, C))
    centred -= rest.astype(x.dtype)
    return centred, mean + rest, np.sqrt(_mean(np.square(centred).reshape(-1, C)))


def _mean(a: np.ndarray) -> np.ndarray:
    """Return the mean of a (rows, C) over the rows of all processes that share the batch, in float64."""
    totals = processes.current().total(np.append(sum_rows(a), len(a)))
    mean: np.ndarray = totals[:-1] / totals[-1]
    return mean
