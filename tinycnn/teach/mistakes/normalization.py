"""Mistakes in the gradients of batch normalisation."""

from functools import partial
from typing import Any

import numpy as np

from tinycnn.teach.exercises import Function
from tinycnn.teach.mistakes.catalogue import mistake, replaced
from tinycnn.teach.references import batchnorm_backward as right

Three = tuple[np.ndarray, np.ndarray, np.ndarray]


def axes_of(x: np.ndarray) -> tuple[int, ...]:
    """Return all axes but the last."""
    return tuple(range(x.ndim - 1))


def rooted(variance: np.ndarray, epsilon: Any, count: int) -> np.ndarray:
    """Return the standard deviation with epsilon below the root."""
    return np.sqrt(variance + epsilon)


def normalizing(
    deviation: Function = rooted, statistics: Function = axes_of, sums: Function = axes_of, bessel: int = 0
) -> Function:
    """Return the gradients with other parts.

    Parameters
    ----------
    deviation : callable
        From (variance, epsilon, count) to what x is divided by.
    statistics, sums : callable
        From x to the axes of the mean and the variance, and to those of dgamma and dbeta.
    bessel : int
        Subtracted from the count that the variance is divided by.
    """

    def function(dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, epsilon: float) -> Three:
        axes, count = statistics(x), x.size // x.shape[-1]
        variance = x.var(axis=axes, ddof=bessel)
        inverse = 1 / deviation(variance, x.dtype.type(epsilon), count)
        x_hat = (x - x.mean(axis=axes)) * inverse
        means = dy.mean(axis=axes), (dy * x_hat).mean(axis=axes)
        dx = gamma * inverse * (dy - means[0] - x_hat * means[1])
        return dx, (dy * x_hat).sum(axis=sums(x)), dy.sum(axis=sums(x))

    return function


def parts(x: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Return x_hat and 1 / sqrt(variance + epsilon)."""
    inverse = 1 / rooted(x.var(axis=axes_of(x)), x.dtype.type(epsilon), 0)
    return (x - x.mean(axis=axes_of(x))) * inverse, inverse


def without_terms(mean: bool, variance: bool, summed: bool = False) -> Function:
    """Return dx without the terms of the mean or of the variance, or with sums in the place of means."""

    def function(dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, epsilon: float) -> np.ndarray:
        x_hat, inverse = parts(x, epsilon)
        total = np.sum if summed else np.mean
        inner = dy - mean * total(dy, axis=axes_of(x))
        return gamma * inverse * (inner - variance * x_hat * total(dy * x_hat, axis=axes_of(x)))

    return function


def divided_by_the_batch(dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, epsilon: float) -> np.ndarray:
    """Return dx with sums over all axes that are divided by the number of images."""
    x_hat, inverse = parts(x, epsilon)
    means = (np.sum(z, axis=axes_of(x)) / np.array(len(x), x.dtype) for z in (dy, dy * x_hat))
    return gamma * inverse * (dy - next(means) - x_hat * next(means))


dx, dgamma, dbeta = (partial(replaced, right, number) for number in range(3))

BATCHNORM = (
    mistake(
        "mean and variance as constants",
        "dx treats the mean and the variance as constants, as at inference. In training both depend on x.",
        dx(without_terms(mean=False, variance=False)),
    ),
    mistake(
        "term of the variance missing",
        "dx lacks the term that comes from the variance: - x_hat * mean(dy * x_hat).",
        dx(without_terms(mean=True, variance=False)),
    ),
    mistake(
        "term of the mean missing",
        "dx lacks the term that comes from the mean: - mean(dy).",
        dx(without_terms(mean=False, variance=True)),
    ),
    mistake(
        "sum against mean in dx",
        "the terms of dx that come from the mean and the variance are sums, and should be means.",
        dx(without_terms(mean=True, variance=True, summed=True)),
    ),
    mistake(
        "sums divided by the batch only",
        "the sums in dx are divided by the number of images. Divide by the count of what is added: N * H * W "
        "for images.",
        dx(divided_by_the_batch),
    ),
    mistake(
        "variance divided by the count minus 1",
        "the variance is divided by the count minus 1 (ddof=1). Batch normalisation divides by the count.",
        normalizing(bessel=1),
    ),
    mistake(
        "epsilon outside of the root",
        "epsilon is added to the standard deviation, and belongs to the variance: sqrt(variance + epsilon).",
        normalizing(lambda variance, epsilon, count: np.sqrt(variance) + epsilon),
    ),
    mistake(
        "epsilon forgotten",
        "epsilon is not added to the variance.",
        normalizing(lambda variance, epsilon, count: np.sqrt(variance)),
    ),
    mistake(
        "root forgotten",
        "x is divided by variance + epsilon, without the square root.",
        normalizing(lambda variance, epsilon, count: variance + epsilon),
    ),
    mistake(
        "statistics over the batch only",
        "for images, the mean and the variance are taken over axis 0 only; broadcasting hides it. They are "
        "those of a channel: over the axes 0, 1 and 2.",
        normalizing(statistics=lambda x: 0, sums=lambda x: 0),
        normalizing(statistics=lambda x: 0),
    ),
    mistake(
        "gradients added over the batch only",
        "for images, dgamma and dbeta are added over axis 0 only: add over the axes 0, 1 and 2.",
        normalizing(sums=lambda x: 0),
    ),
    mistake(
        "gamma forgotten",
        "dx is not multiplied by gamma.",
        dx(lambda dy, x, gamma, epsilon: right(dy, x, np.ones_like(gamma), epsilon)[0]),
    ),
    mistake(
        "division by the deviation forgotten",
        "dx is not divided by sqrt(variance + epsilon) at the end.",
        dx(lambda dy, x, gamma, epsilon: right(dy, x, gamma, epsilon)[0] / parts(x, epsilon)[1]),
    ),
    mistake(
        "dgamma from x",
        "dgamma is the sum of dy * x, and should be the sum of dy * x_hat.",
        dgamma(lambda dy, x, gamma, epsilon: (dy * x).sum(axis=axes_of(x))),
    ),
    mistake(
        "dgamma from x without its mean",
        "dgamma is the sum of dy * (x - mean): divide by sqrt(variance + epsilon) too.",
        dgamma(lambda dy, x, gamma, epsilon: (dy * (x - x.mean(axis=axes_of(x)))).sum(axis=axes_of(x))),
    ),
    mistake(
        "mean against sum in dgamma",
        "dgamma is a mean over the batch, and should be a sum.",
        dgamma(lambda dy, x, gamma, epsilon: right(dy, x, gamma, epsilon)[1] * x.shape[-1] / x.size),
        dgamma(lambda dy, x, gamma, epsilon: right(dy, x, gamma, epsilon)[1] / len(x)),
    ),
    mistake(
        "mean against sum in dbeta",
        "dbeta is a mean over the batch, and should be a sum.",
        dbeta(lambda dy, x, gamma, epsilon: dy.mean(axis=axes_of(x))),
        dbeta(lambda dy, x, gamma, epsilon: right(dy, x, gamma, epsilon)[2] / len(x)),
    ),
    mistake(
        "batch sum missing",
        "dgamma or dbeta is not added over the batch.",
        dgamma(lambda dy, x, gamma, epsilon: dy * parts(x, epsilon)[0]),
        dbeta(lambda dy, x, gamma, epsilon: dy.copy()),
    ),
    mistake(
        "dgamma and dbeta exchanged",
        "dgamma and dbeta are exchanged: return (dx, dgamma, dbeta).",
        lambda *arguments: tuple(right(*arguments)[number] for number in (0, 2, 1)),
    ),
)
