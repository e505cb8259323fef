"""Association of labels with images, without the network.

::

    images -> the nearest other images -> the mean of their labels -> association with the own label
"""

from __future__ import annotations

import numpy as np

from tinycnn.support.randomness import generator

#: Neighbours whose labels are averaged.
NEIGHBOURS = 5
#: Pixels of an image that are compared; of larger images, evenly spaced ones.
MOST_PIXELS = 4096
PERMUTATIONS = 100


def distances(x: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return squared distances (N, M) between images; those of equal images are infinite.

    An image's own copy would agree with it however the labels were made.
    """
    x, others = (np.asarray(a.reshape(len(a), -1), np.float64) for a in (x, others))
    step = -(-x.shape[1] // MOST_PIXELS)
    x, others = x[:, ::step], others[:, ::step]
    centre = others.mean(axis=0)
    x, others = x - centre, others - centre
    square = (x * x).sum(axis=1)[:, None] + (others * others).sum(axis=1)
    apart = square - 2 * x @ others.T
    apart[apart <= 1e-9 * square] = np.inf
    return apart


def neighbour_means(apart: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Return the mean label rows (N, K) of the `count` nearest of M images; `apart` is (N, M)."""
    nearest = np.argpartition(apart, min(count, apart.shape[1]) - 1, axis=1)[:, :count]
    return rows[nearest].mean(axis=1)


def association(rows: np.ndarray, predictions: np.ndarray, seed: int) -> float:
    """Return by how many standard deviations predictions agree better with labels than with shuffled labels.

    Parameters
    ----------
    rows, predictions : float64 ndarray of shape (N, K)
        Labels, one-hot or numbers, and what is predicted for them.
    seed : int

    Returns
    -------
    float
        The z of a permutation test of sum(rows * predictions), both centred. About 0 for labels that have
        nothing to do with the predictions, 0 for constant predictions.
    """
    rows = rows - rows.mean(axis=0)
    predictions = predictions - predictions.mean(axis=0)
    spread = predictions.std(axis=0) * rows.std(axis=0)
    scale = np.where(spread > 0, 1 / np.where(spread > 0, spread, 1), 0)
    if rows.shape[1] > 1 and (rows**2).sum() <= len(rows):  # classes count by how many images they have
        scale = np.ones_like(spread)
    predictions = predictions * scale
    rng = generator(seed, "permutations")
    shuffled = [float((rows[rng.permutation(len(rows))] * predictions).sum()) for _ in range(PERMUTATIONS)]
    deviation = float(np.std(shuffled))
    if not np.isfinite(deviation) or deviation == 0:
        return 0.0
    return (float((rows * predictions).sum()) - float(np.mean(shuffled))) / deviation


def kappa(one: np.ndarray, other: np.ndarray) -> float:
    """Return Cohen's kappa, the agreement of two lists of classes beyond chance; 1 at most."""
    classes = max(int(one.max()), int(other.max())) + 1
    chance = float((np.bincount(one, minlength=classes) * np.bincount(other, minlength=classes)).sum())
    chance /= len(one) ** 2
    return (float(np.mean(one == other)) - chance) / (1 - chance) if chance < 1 else 0.0
