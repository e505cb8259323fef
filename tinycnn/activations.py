"""Activation functions and their gradients, which need only the output.

::

    z -> function -> y          dy, y -> gradient -> dz

Every derivative here can be written with y alone: that of a ReLU is 1 where y > 0, that of a sigmoid is
y (1 - y). So a layer saves its output and not its input. z, y, dy and dz have the same shape.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinycnn.support import checks

NEGATIVE_SLOPE = 0.2  # of leaky_relu, as in Keras


def linear(z: np.ndarray) -> np.ndarray:
    """Return z."""
    return z


def linear_gradient(y: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Return dz = dy."""
    return dy


def relu(z: np.ndarray) -> np.ndarray:
    """Return max(z, 0); NaN stays NaN."""
    return np.maximum(z, z.dtype.type(0))


def relu_gradient(y: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Return dz = dy where y > 0, else 0 (also at 0, as in Keras and PyTorch)."""
    return dy * (y > 0)


def leaky_relu(z: np.ndarray) -> np.ndarray:
    """Return z where z > 0, else 0.2 z."""
    return np.where(z > 0, z, z * z.dtype.type(NEGATIVE_SLOPE))


def leaky_relu_gradient(y: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Return dz = dy where y > 0, else 0.2 dy."""
    return np.where(y > 0, dy, dy * dy.dtype.type(NEGATIVE_SLOPE))


def sigmoid(z: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-z)), computed from exp(-abs(z)), which cannot overflow.

    Small results are as accurate as large ones: below 0 it is exp(z) / (1 + exp(z)).
    """
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, z.dtype.type(1), e) / (1 + e)


def sigmoid_gradient(y: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Return dz = dy * y * (1 - y).

    Neither y nor 1 - y counts as 0 where it was rounded to 0: with y = 1, the gradient of a binary
    cross-entropy is 1 / (1 - y), and could not be propagated.
    """
    number = np.finfo(y.dtype)
    return dy * np.maximum(y, number.tiny) * np.maximum(1 - y, number.epsneg)


def tanh(z: np.ndarray) -> np.ndarray:
    """Return the hyperbolic tangent of z."""
    return np.tanh(z)


def tanh_gradient(y: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Return dz = dy * (1 - y**2), as (1 - y) * (1 + y): near y = 1 the square would be rounded to 1."""
    return dy * ((1 - y) * (1 + y))


def softplus(z: np.ndarray) -> np.ndarray:
    """Return log(1 + exp(z)), computed from exp(-abs(z)), which cannot overflow; -log(1 - sigmoid(z))."""
    return np.maximum(z, z.dtype.type(0)) + np.log1p(np.exp(-np.abs(z)))


def softmax(z: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return exp(z) / sum(exp(z)) along an axis, by default the last one.

    The maximum is subtracted first, against overflow. No result is below the smallest normal number: with a
    probability of exactly 0, the gradient -1/p of a cross-entropy could not be propagated.
    """
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return np.maximum(e / e.sum(axis=axis, keepdims=True), np.finfo(z.dtype).tiny)


def log_softmax(z: np.ndarray) -> np.ndarray:
    """Return the logarithm of the softmax along the last axis, in float64, without the floor of `softmax`.

    It is z - max(z) - log(1 + the sum of exp over the other classes), accurate also where the softmax is
    almost 1.
    """
    z = z.astype(np.float64)
    top = z.argmax(axis=-1)[..., np.newaxis]
    z = z - np.take_along_axis(z, top, axis=-1)
    others = np.exp(z)
    np.put_along_axis(others, top, 0, axis=-1)
    return z - np.log1p(others.sum(axis=-1, keepdims=True))


def softmax_gradient(y: np.ndarray, dy: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return dz = y * (dy - sum(dy * y)), the product of dy with the Jacobian diag(y) - y y^T."""
    return y * (dy - (dy * y).sum(axis=axis, keepdims=True))


class ActivationPair(NamedTuple):
    """An activation function and its gradient: y = function(z), dz = gradient(y, dy)."""

    function: Callable[[np.ndarray], np.ndarray]
    gradient: Callable[[np.ndarray, np.ndarray], np.ndarray]


#: The activations by name, each with its gradient.
ACTIVATIONS = {
    "linear": ActivationPair(linear, linear_gradient),
    "relu": ActivationPair(relu, relu_gradient),
    "leaky_relu": ActivationPair(leaky_relu, leaky_relu_gradient),
    "sigmoid": ActivationPair(sigmoid, sigmoid_gradient),
    "tanh": ActivationPair(tanh, tanh_gradient),
    "softmax": ActivationPair(softmax, softmax_gradient),
}


def check(name: Any) -> Any:
    """Return the name of an activation unchanged; raise ValueError for a name that is none."""
    get(name)
    return name


def get(name: str | None) -> ActivationPair:
    """Return the function and gradient of an activation by its name; None means "linear"."""
    return ACTIVATIONS[checks.choice("activation", "linear" if name is None else name, ACTIVATIONS)]
