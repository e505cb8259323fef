"""The order of the images in an epoch, and the split into training and validation images.

::

    seed, epoch -> a permutation of the images
    seed, labels -> a stratified split -> training rows, validation rows
"""

import numpy as np

from tinycnn.support.randomness import generator

#: Names the random numbers that decide among classes which could all give one more row for validation. Any
#: number would do; with this one the runs in docs/runs keep the split that they were made with.
TIE_BREAK = 10


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the permutation of `count` images for one epoch; it depends on the arguments alone."""
    return generator(seed, "shuffle", epoch).permutation(count)


def split(y: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into training and validation rows, at random and in proportion to the classes.

    Keras takes the last rows unshuffled, which is wrong for data sorted by class (keras#597).

    Parameters
    ----------
    y : ndarray of shape (N,), (N, 1) or (N, classes)
        Class numbers or one-hot rows. Other labels, such as the targets of a regression, are split at random
        alone.
    fraction : float
        The share of the rows for validation, in (0, 1).
    seed : int

    Returns
    -------
    training, validation : ndarray of int64
        Row numbers, ascending; at least one in each.

    Raises
    ------
    ValueError
        When one side would be empty.
    """
    wanted = round(len(y) * fraction)
    if not 0 < wanted < len(y):
        raise ValueError(
            f"validation_split: expected at least one image on each side, received {fraction} of {len(y)}"
        )
    rng = generator(seed, "validation")
    groups = [rng.permutation(rows) for rows in _rows_by_class(y)]
    share = np.array([len(rows) * wanted / len(y) for rows in groups])
    counts = np.floor(share).astype(np.int64)
    # The missing rows come from the classes that lost most by rounding down; the seed decides among equals.
    tie_break = generator(seed, "validation", TIE_BREAK).permutation(len(groups))
    worst = np.lexsort((tie_break, counts - share))[: wanted - int(counts.sum())]
    counts[worst] += 1
    validation = np.sort(np.concatenate([rows[:k] for rows, k in zip(groups, counts, strict=True)]))
    return np.setdiff1d(np.arange(len(y)), validation, assume_unique=True), validation


def _rows_by_class(y: np.ndarray) -> list[np.ndarray]:
    """Return the row numbers of each class, or all rows in one group when y does not hold classes."""
    one_hot = y.ndim == 2 and y.shape[1] > 1 and bool((np.sort(y, axis=1)[:, -2:] == (0, 1)).all())
    if one_hot:
        labels = y.argmax(axis=1)
    elif y.size == len(y) and y.dtype.kind in "iu":
        labels = y.reshape(-1)
    else:
        labels = np.zeros(len(y), np.int64)
    order = np.argsort(labels, kind="stable")  # once for all classes: there may be as many as rows
    ends = np.flatnonzero(np.diff(labels[order])) + 1
    return np.split(order, ends)
