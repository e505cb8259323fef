"""What is reported beside the loss, and not trained on.

::

    y_true, y_pred -> metric -> a number, the mean over the batch
"""

from collections.abc import Callable

import numpy as np

from tinycnn import checks

Metric = Callable[[np.ndarray, np.ndarray], float]


def accuracy(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Return the share of images whose largest output is the right class.

    Parameters
    ----------
    y_true : ndarray of shape (N,) or (N, 1), class numbers, or (N, classes), one-hot
    y_pred : ndarray of shape (N, classes)
    """
    y_true = np.asarray(y_true)
    if y_true.shape == y_pred.shape:
        y_true = y_true.argmax(axis=-1)
    checks.shape("y_true", y_true.reshape(len(y_true), -1).shape, (len(y_pred), 1))
    return float(np.mean(y_pred.argmax(axis=-1) == y_true.reshape(-1)))


METRICS: dict[str, Metric] = {"accuracy": accuracy}


def get(name: str) -> Metric:
    """Return the metric of a name; "acc" is short for "accuracy"."""
    return METRICS[checks.choice("metric", "accuracy" if name == "acc" else name, METRICS)]
