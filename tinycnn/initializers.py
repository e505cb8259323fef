"""Initial values of parameters.

::

    shape -> fan-in, fan-out -> variance -> random numbers, in float64

Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010;
He et al., "Delving deep into rectifiers", arXiv 1502.01852. Names and formulas are Keras'.
"""

import math
from collections.abc import Callable

import numpy as np

from tinycnn.support import checks

Initializer = Callable[[tuple[int, ...], np.random.Generator], np.ndarray]

# The standard deviation of a standard normal distribution truncated at two. Dividing by it gives the
# truncated normal the deviation of the formula.
CUT_DEVIATION = 0.87962566103423978


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (fan-in, fan-out): the inputs of one output, and the outputs of one input.

    Parameters
    ----------
    shape : (C, F), (KH, KW, C, F) or (F,)
        Of the kernel of a dense layer or of a convolution, or of a bias: its fans are F, as in Keras.
    """
    if len(shape) == 1:
        return shape[0], shape[0]
    taps = math.prod(shape[:-2])
    return taps * shape[-2], taps * shape[-1]


def _uniform(shape: tuple[int, ...], rng: np.random.Generator, variance: float) -> np.ndarray:
    limit = math.sqrt(3 * variance)
    return rng.uniform(-limit, limit, shape)


def _cut_normal(shape: tuple[int, ...], rng: np.random.Generator, variance: float) -> np.ndarray:
    values = rng.standard_normal(shape)
    while (far := np.abs(values) > 2).any():
        values[far] = rng.standard_normal(int(far.sum()))
    return values * (math.sqrt(variance) / CUT_DEVIATION)


def glorot_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return uniform values of variance 2 / (fan-in + fan-out)."""
    return _uniform(shape, rng, 2 / sum(fans(shape)))


def glorot_normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return normal values, truncated at two deviations, of variance 2 / (fan-in + fan-out)."""
    return _cut_normal(shape, rng, 2 / sum(fans(shape)))


def he_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return uniform values of variance 2 / fan-in."""
    return _uniform(shape, rng, 2 / fans(shape)[0])


def he_normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return normal values, truncated at two deviations, of variance 2 / fan-in."""
    return _cut_normal(shape, rng, 2 / fans(shape)[0])


def zeros(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return zeros."""
    return np.zeros(shape)


def ones(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return ones."""
    return np.ones(shape)


#: The initializers by name.
INITIALIZERS: dict[str, Initializer] = {
    f.__name__: f for f in (glorot_uniform, glorot_normal, he_uniform, he_normal, zeros, ones)
}


def check(name: str) -> str:
    """Return the name of an initializer unchanged; raise ValueError for a name that is none."""
    get(name)
    return name


def get(name: str) -> Initializer:
    """Return an initializer by its name."""
    return INITIALIZERS[checks.choice("initializer", name, INITIALIZERS)]
