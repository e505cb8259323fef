"""Weights of rows, for losses and metrics.

::

    sample_weight (N,) -> row_weights -> checked, float64 -> weigh -> values (N, ...) times their weights
"""

from typing import Any

import numpy as np


def row_weights(sample_weight: Any, rows: int) -> np.ndarray:
    """Return weights as a float64 array (rows,).

    Parameters
    ----------
    sample_weight : array_like of shape (rows,) or (rows, 1)
    rows : int
        N, the number of rows that are weighted.

    Raises
    ------
    ValueError
        For another shape, values that are not numbers, and numbers that are not finite.
    """
    weights = np.asarray(sample_weight)
    if weights.shape not in ((rows,), (rows, 1)):
        raise ValueError(f"sample_weight: expected shape ({rows},), received {weights.shape}")
    if weights.dtype.kind not in "buif":
        raise ValueError(f"sample_weight: expected numbers, received {weights.dtype}")
    weights = weights.reshape(rows).astype(np.float64)
    if not np.isfinite(weights).all():
        raise ValueError("sample_weight: expected finite numbers, received NaN or infinity")
    return weights


def weigh(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return values (N, ...), each row times its weight.

    A weight of 0 takes a row out: the result is 0 there, even where the row is not finite.
    """
    factors = weights.astype(values.dtype).reshape(-1, *[1] * (values.ndim - 1))
    return np.multiply(values, factors, out=np.zeros_like(values), where=factors != 0)
