"""Arithmetic of data parallelism: the cost of an Allreduce and of a step, and how large a batch can help.

::

    measured Allreduces -> fit -> Link: alpha, beta         Link, ranks, bytes -> allreduce -> seconds
    measured steps of one rank -> Curve                     Curve, Link, ranks, batch -> step -> seconds
    |gradient|^2 of small and large batches -> noise_scale  (batch, steps to a target) -> fit_steps

A message of n bytes takes alpha + n beta seconds, and the addition of n bytes to n others takes n gamma. The
costs of the algorithms follow from it (Thakur, Rabenseifner & Gropp, "Optimization of collective
communication operations in MPICH", IJHPCA 19, 2005, sections 4.4 and 4.5; for the ring Patarasuk & Yuan,
"Bandwidth optimal all-reduce algorithms for clusters of workstations", JPDC 69, 2009). None of them knows
that messages meet on the way, or that ranks share a memory.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

SHORT = 2048  # bytes up to which MPICH doubles recursively (MPIR_CVAR_ALLREDUCE_SHORT_MSG_SIZE)


class Link(NamedTuple):
    """What connects the ranks.

    Attributes
    ----------
    name : str
    alpha : float
        Seconds from the start of a message to its first byte.
    beta, gamma : float
        Seconds for each byte: to send it, and to add it. A measured beta has the addition in it.
    """

    name: str
    alpha: float
    beta: float
    gamma: float = 0.0


#: Assumed, not measured: the rate that the name says, and a latency that is usual for TCP over it.
NETWORKS = (Link("10 Gbit/s", 30e-6, 8 / 10e9), Link("100 Gbit/s", 10e-6, 8 / 100e9))


def _floor_log2(ranks: int) -> int:
    return ranks.bit_length() - 1


def _with_fold(counts: tuple[float, float, float], ranks: int) -> tuple[float, float, float]:
    """Add the cost of ranks beyond a power of two: they send their vectors to others, and get the sum."""
    if ranks == 1 << _floor_log2(ranks):
        return counts
    messages, sent, added = counts
    return messages + 2, sent + 2, added + 1


def tree(ranks: int) -> tuple[float, float, float]:
    """Return (messages, vectors sent, vectors added) in sequence: reduce to rank 0, then broadcast."""
    rounds = (ranks - 1).bit_length()
    return 2 * rounds, 2 * rounds, rounds


def recursive_doubling(ranks: int) -> tuple[float, float, float]:
    """Return the same: in each round all exchange whole vectors with partners twice as far away."""
    rounds = _floor_log2(ranks)
    return _with_fold((rounds, rounds, rounds), ranks)


def halving_doubling(ranks: int) -> tuple[float, float, float]:
    """Return the same for Rabenseifner's algorithm: each rank adds up one slice, which all then gather."""
    rounds = _floor_log2(ranks)
    share = 1 - 0.5**rounds
    return _with_fold((2 * rounds, 2 * share, share), ranks)


def ring(ranks: int) -> tuple[float, float, float]:
    """Return the same: slices go around, first to be added up, then to be known to all."""
    share = (ranks - 1) / ranks
    return 2 * (ranks - 1), 2 * share, share


ALGORITHMS: dict[str, Callable[[int], tuple[float, float, float]]] = {
    "tree": tree,
    "recursive doubling": recursive_doubling,
    "halving and doubling": halving_doubling,
    "ring": ring,
}


def mpich_algorithm(size: int) -> str:
    """Return the algorithm that MPICH takes for `size` bytes."""
    return "recursive doubling" if size <= SHORT else "halving and doubling"


def allreduce(link: Link, ranks: int, size: int, algorithm: str | None = None) -> float:
    """Return the seconds of an Allreduce of `size` bytes; by default by MPICH's algorithm."""
    messages, sent, added = ALGORITHMS[algorithm or mpich_algorithm(size)](ranks)
    return messages * link.alpha + size * (sent * link.beta + added * link.gamma)


def fit(name: str, points: Iterable[tuple[int, int, float]]) -> tuple[Link, float]:
    """Return the link that explains measured Allreduces best, and the rms of the relative residuals.

    Least squares of relative errors, since seconds would leave the short messages without a say. The cost is
    linear in alpha and beta.

    Parameters
    ----------
    name : str
    points : iterable of (ranks, bytes, seconds)
        Of at least two ranks, by MPICH.
    """
    rows = []
    for ranks, size, seconds in points:
        messages, sent, _ = ALGORITHMS[mpich_algorithm(size)](ranks)
        rows.append((messages / seconds, size * sent / seconds))
    matrix = np.array(rows)
    alpha, beta = _least_squares(matrix)
    residual = matrix @ (alpha, beta) - 1
    return Link(name, alpha, beta), float(np.sqrt(np.mean(residual**2)))


class Curve:
    """Seconds of a step of one rank, by its images: lines between the measured points.

    Parameters
    ----------
    points : iterable of (images, seconds)
        Beyond the last one, seconds are in proportion to images.
    """

    def __init__(self, points: Iterable[tuple[int, float]]) -> None:
        self.images, self.seconds = map(np.array, zip(*sorted(points), strict=True))

    def at(self, images: float) -> float:
        """Return the seconds of a step of at least one image."""
        if images <= self.images[-1]:
            return float(np.interp(images, self.images, self.seconds))
        return float(self.seconds[-1] * images / self.images[-1])


def step(curve: Curve, link: Link, ranks: int, batch: int, size: int, algorithm: str | None = None) -> float:
    """Return the seconds of a step of a global batch: the rank with most images, and the Allreduce.

    Raises
    ------
    ValueError
        For more ranks than images.
    """
    if ranks > batch:
        raise ValueError(f"ranks: expected at most {batch}, one an image, received {ranks}")
    return curve.at(-(-batch // ranks)) + allreduce(link, ranks, size, algorithm)


def noise_scale(small: float, large: float, b_small: int, b_large: int) -> float:
    """Return the simple noise scale of the gradient, tr(covariance of images) / |gradient|^2, in images.

    The expected square of the gradient of B images is |G|^2 + tr(S) / B, which gives both from two batch
    sizes (McCandlish, Kaplan & Amodei, "An empirical model of large-batch training", arXiv 1812.06162,
    appendix A.1).

    Parameters
    ----------
    small, large : float
        Mean squared norms of the gradients of batches of `b_small` and of `b_large` images.
    """
    gradient = (b_large * large - b_small * small) / (b_large - b_small)
    covariance = (small - large) / (1 / b_small - 1 / b_large)
    return covariance / gradient


def fit_steps(runs: Iterable[tuple[int, float]]) -> tuple[float, float]:
    """Return (least steps, least images) of runs (batch, steps to a target).

    steps = least steps + least images / batch (the same paper, section 2.3), by least squares of relative
    errors. The critical batch is the ratio of the two: there a run takes twice the least of either.
    """
    least, images = _least_squares(np.array([(1 / steps, 1 / (batch * steps)) for batch, steps in runs]))
    return least, images


def _least_squares(matrix: np.ndarray) -> tuple[float, float]:
    """Return the two numbers, not negative, whose combination of the columns is closest to 1 everywhere."""
    scale = matrix.max(axis=0)
    columns = matrix / scale
    both = np.linalg.lstsq(columns, np.ones(len(columns)), rcond=None)[0]
    if both.min() < 0:
        both = np.where(both < 0, 0, columns.sum(axis=0) / (columns**2).sum(axis=0))
    first, second = both / scale
    return float(first), float(second)
