"""Metrics: figures that are reported beside the loss and not trained on.

::

    y_true, y_pred -> metric -> a number, the mean over the batch                 (`METRICS`, for compile)
    y_true, y_pred of a whole set -> confusion_matrix -> precision, recall of each class
"""

from collections.abc import Callable

import numpy as np

from tinycnn.support import checks

Metric = Callable[[np.ndarray, np.ndarray], float]


def class_numbers(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return labels as class numbers (N,), checked against the outputs.

    Parameters
    ----------
    y_true : ndarray of shape (N,), (N, 1) or (N, classes)
        Class numbers, or one-hot rows.
    y_pred : ndarray of shape (N, classes)
        An output for each class; N is at least 1.

    Raises
    ------
    ValueError
        When the shapes do not match.
    """
    y_true = np.asarray(y_true)
    if not isinstance(y_pred, np.ndarray) or y_pred.ndim != 2 or not len(y_pred):
        received = getattr(y_pred, "shape", type(y_pred).__name__)
        raise ValueError(f"y_pred: expected outputs of shape (N, classes), N at least 1, received {received}")
    if y_true.shape == y_pred.shape:
        y_true = y_true.argmax(axis=-1)
    if y_true.shape != (len(y_pred),):
        checks.shape("y_true", y_true.reshape(len(y_true), -1).shape, (len(y_pred), 1))
    return y_true.reshape(-1)


def accuracy(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Return the accuracy: the share of images whose largest output is the right class.

    A single output (N, 1) stands for two classes, as in Keras: above 0.5 it predicts class 1. The parameters
    are otherwise those of `class_numbers`.
    """
    if y_pred.shape[1:] == (1,) and len(y_pred):
        return float(np.mean((y_pred[:, 0] > 0.5) == np.asarray(y_true).reshape(len(y_pred))))
    labels = class_numbers(y_true, y_pred)
    return float(np.mean(y_pred.argmax(axis=-1) == labels))


def top_k_categorical_accuracy(y_true: np.ndarray, y_pred: np.ndarray, k: int = 5) -> float:
    """Return the top-k accuracy: the share of images whose right class has one of the k largest outputs.

    Equal outputs are ranked by class number, so a constant output does not count as right for every class.

    Parameters
    ----------
    y_true, y_pred
        See `class_numbers`.
    k : int
        At least 1.
    """
    k = checks.whole("k", k, 1)
    labels = class_numbers(y_true, y_pred)
    best = np.argsort(-y_pred, axis=-1, kind="stable")[:, :k]
    return float(np.mean((best == labels[:, np.newaxis]).any(axis=1)))


def confusion_matrix(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return the confusion matrix: entry (i, j) counts the images of class i predicted as j.

    Parameters
    ----------
    y_true, y_pred
        See `class_numbers`.

    Returns
    -------
    ndarray of shape (classes, classes) of int64

    Raises
    ------
    ValueError
        When a label is not one of the classes.
    """
    labels, classes = class_numbers(y_true, y_pred), y_pred.shape[-1]
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"y_true: expected classes 0 to {classes - 1}, received {labels.min()} to {labels.max()}"
        )
    pairs = labels.astype(np.int64) * classes + y_pred.argmax(axis=-1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def precision(confusion: np.ndarray) -> np.ndarray:
    """Return the precision of each class, TP / (TP + FP); NaN for a class that was never predicted.

    Parameters
    ----------
    confusion : ndarray of shape (classes, classes)
        From `confusion_matrix`.
    """
    with np.errstate(invalid="ignore"):
        return np.diagonal(confusion) / confusion.sum(axis=0)


def recall(confusion: np.ndarray) -> np.ndarray:
    """Return the recall of each class, TP / (TP + FN); NaN for a class without images.

    Parameters
    ----------
    confusion : ndarray of shape (classes, classes)
        From `confusion_matrix`.
    """
    with np.errstate(invalid="ignore"):
        return np.diagonal(confusion) / confusion.sum(axis=1)


def wilson_interval(errors: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Return Wilson's score interval of an accuracy (Wilson, JASA 22, 1927).

    The interval says how much the accuracy on another test set of the same kind might differ. It says nothing
    about other seeds.

    Parameters
    ----------
    errors, count : int
        Misclassified images, and all images.
    z : float
        Standard deviations; the default gives 95 %.

    Returns
    -------
    low, high : float

    Raises
    ------
    ValueError
        When `count` is below 1, or there are more errors than images.
    """
    count = checks.whole("count", count, 1)
    if checks.whole("errors", errors, 0) > count:
        raise ValueError(f"errors: expected at most {count}, received {errors}")
    share, spread = 1 - errors / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = np.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    return float(max(middle - half, 0.0)), float(min(middle + half, 1.0))


METRICS: dict[str, Metric] = {"accuracy": accuracy, "top_k_categorical_accuracy": top_k_categorical_accuracy}


def get(name: str) -> Metric:
    """Return a metric by its name; "acc" is short for "accuracy"."""
    return METRICS[checks.choice("metric", "accuracy" if name == "acc" else name, METRICS)]
