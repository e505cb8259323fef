"""Which images make up a batch, and which are kept for validation.

::

    seed, epoch -> a permutation of the images -> batches
    seed, labels -> a stratified split -> training rows, validation rows
"""

from collections.abc import Iterator

import numpy as np

from tinycnn.randomness import generator


def batches(x: np.ndarray, y: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches of images and labels as they come; the last may be smaller."""
    for start in range(0, len(x), batch_size):
        rows = slice(start, start + batch_size)
        yield x[rows], y[rows]


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the permutation of one epoch: another for each, and always the same for the same."""
    return generator(seed, "shuffle", epoch).permutation(count)


def split(y: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows into training and validation, drawn at random and in proportion to the classes.

    Keras takes the last rows as they are, which is wrong for data sorted by class (keras#597).

    Parameters
    ----------
    y : ndarray of shape (N,) or (N, 1), class numbers; (N, classes), one-hot; or anything else
        Anything else, such as the targets of a regression, is split without regard to y.
    fraction : float
        Of all rows, for validation, in (0, 1).
    seed : int

    Returns
    -------
    training, validation : ndarray of int64
        Row numbers, ascending; both have at least one.

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
    # the rows still missing come from the classes that rounding treated worst
    worst = np.argsort(counts - share, kind="stable")[: wanted - int(counts.sum())]
    counts[worst] += 1
    validation = np.sort(np.concatenate([rows[:k] for rows, k in zip(groups, counts, strict=True)]))
    return np.setdiff1d(np.arange(len(y)), validation, assume_unique=True), validation


def _rows_by_class(y: np.ndarray) -> list[np.ndarray]:
    """Return the row numbers of each class, or all in one group when y does not name classes."""
    one_hot = y.ndim == 2 and y.shape[1] > 1 and bool((np.sort(y, axis=1)[:, -2:] == (0, 1)).all())
    if one_hot:
        labels = y.argmax(axis=1)
    elif y.size == len(y) and y.dtype.kind in "iu":
        labels = y.reshape(-1)
    else:
        labels = np.zeros(len(y), np.int64)
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]
