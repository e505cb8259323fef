"""How parameters begin.

::

    shape, fan-in and fan-out -> spread -> random numbers

Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010; He et
al., "Delving deep into rectifiers", arXiv 1502.01852. Names and formulas are Keras'.
"""

import math
from collections.abc import Callable

import numpy as np

from tinycnn import checks

Initializer = Callable[[tuple[int, ...], np.random.Generator], np.ndarray]

# The standard deviation of a standard normal cut off at two: what a cut-off normal is divided by so that
# it has the deviation that the formula asks for.
CUT_DEVIATION = 0.87962566103423978


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (fan-in, fan-out): how many inputs an output sums, and how many outputs an input reaches.

    Parameters
    ----------
    shape : (C, F) of a dense kernel, or (KH, KW, C, F) of a convolution
    """
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
    """Uniform with variance 2 / (fan-in + fan-out)."""
    return _uniform(shape, rng, 2 / sum(fans(shape)))


def glorot_normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Normal, cut off at two deviations, with variance 2 / (fan-in + fan-out)."""
    return _cut_normal(shape, rng, 2 / sum(fans(shape)))


def he_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Uniform with variance 2 / fan-in."""
    return _uniform(shape, rng, 2 / fans(shape)[0])


def he_normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Normal, cut off at two deviations, with variance 2 / fan-in."""
    return _cut_normal(shape, rng, 2 / fans(shape)[0])


def zeros(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """All 0."""
    return np.zeros(shape)


def ones(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """All 1."""
    return np.ones(shape)


INITIALIZERS: dict[str, Initializer] = {
    f.__name__: f for f in (glorot_uniform, glorot_normal, he_uniform, he_normal, zeros, ones)
}


def get(name: str) -> Initializer:
    """Return the initializer of a name."""
    return INITIALIZERS[checks.choice("initializer", name, INITIALIZERS)]
