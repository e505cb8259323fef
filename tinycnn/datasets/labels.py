"""Labels as one-hot rows.

::

    class numbers (N,) -> to_categorical -> rows (N, classes), with a 1 in the column of the class
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.support import checks


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """Return class numbers as one-hot rows.

    Parameters
    ----------
    x : array_like of int, of shape (N,), (N, 1) or (...)
        Class numbers from 0. A last axis of 1 is left out, as in Keras.
    num_classes : int, optional
        By default the largest number and one.

    Returns
    -------
    ndarray of shape (N, num_classes) of float64

    Raises
    ------
    ValueError
        For numbers that are not whole, or out of range.

    Examples
    --------
    >>> to_categorical([2, 0, 1])
    array([[0., 0., 1.],
           [1., 0., 0.],
           [0., 1., 0.]])
    """
    numbers = np.asarray(x)
    if numbers.dtype.kind not in "iub":
        raise checks.ArgumentTypeError(f"x: expected whole numbers, received {numbers.dtype}")
    if numbers.ndim > 1 and numbers.shape[-1] == 1:
        numbers = numbers[..., 0]
    numbers = numbers.astype(np.int64)
    most = int(numbers.max(initial=-1)) + 1
    classes = most if num_classes is None else checks.whole("num_classes", num_classes, 1)
    if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) < classes:
        raise ValueError(f"x: expected 0 to {classes - 1}, received {numbers.min()} to {numbers.max()}")
    rows = np.zeros((numbers.size, classes))
    rows[np.arange(numbers.size), numbers.reshape(-1)] = 1
    return rows.reshape(*numbers.shape, classes)
