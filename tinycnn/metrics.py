"""Metrics: figures that are reported beside the loss and not trained on.

::

    y_true, y_pred -> right or wrong, for each row -> weighted -> metric: a number, their mean    (`METRICS`)
    y_true, y_pred of a whole set -> confusion_matrix -> precision, recall of each class

A row with a NaN among its outputs, or in its label, predicts nothing: it is never right.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tinycnn import losses
from tinycnn.losses import Loss
from tinycnn.support import checks
from tinycnn.support.sample_weights import row_weights, weigh

#: metric(y_true, y_pred, sample_weight=None) -> float
Metric = Callable[..., float]


def weighted_mean(values: np.ndarray, sample_weight: Any = None) -> float:
    """Return the mean of the rows, of values (N,) or (N, ...).

    With weights (N,) it is the weighted sum divided by the sum of the weights, as in Keras; 0 if that is 0.
    """
    rows = np.asarray(values, np.float64).reshape(len(values), -1).mean(axis=1)
    if sample_weight is None:
        return float(rows.mean())
    weights = row_weights(sample_weight, len(rows))
    total = float(weights.sum())
    return float(weigh(rows, weights).sum() / total) if total else 0.0


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
        raise _no_outputs(y_pred)
    if y_true.shape == y_pred.shape:
        y_true = np.where(np.isnan(y_true).any(axis=-1), -1, y_true.argmax(axis=-1))
    if y_true.shape != (len(y_pred),):
        checks.shape("y_true", y_true.reshape(len(y_true), -1).shape, (len(y_pred), 1))
    return y_true.reshape(-1)


def _no_outputs(y_pred: object) -> ValueError:
    received = getattr(y_pred, "shape", type(y_pred).__name__)
    return ValueError(f"y_pred: expected outputs of shape (N, classes), N at least 1, received {received}")


def accuracy(y_true: np.ndarray, y_pred: np.ndarray, sample_weight: Any = None) -> float:
    """Return the accuracy: the share of images whose largest output is the right class.

    A single output (N, 1) stands for two classes, as in Keras, and the result is `binary_accuracy`.

    Parameters
    ----------
    y_true, y_pred
        See `class_numbers`.
    sample_weight : array_like of shape (N,), optional
        See `weighted_mean`.
    """
    if y_pred.shape[1:] == (1,):
        return binary_accuracy(y_true, y_pred, sample_weight)
    right = y_pred.argmax(axis=-1) == class_numbers(y_true, y_pred)
    right &= ~np.isnan(y_pred).any(axis=-1)
    return float(right.mean()) if sample_weight is None else weighted_mean(right, sample_weight)


def binary_accuracy(
    y_true: np.ndarray, y_pred: np.ndarray, sample_weight: Any = None, threshold: float = 0.5
) -> float:
    """Return the accuracy of outputs for yes or no: an output above the threshold predicts 1, another 0.

    Parameters
    ----------
    y_true : ndarray of shape (N, k), or (N,) if k is 1
        0 or 1.
    y_pred : ndarray of shape (N, k)
        Outputs for k independent questions; the result is the mean over all.
    sample_weight : array_like of shape (N,), optional
        See `weighted_mean`.
    threshold : float
    """
    if not isinstance(y_pred, np.ndarray) or y_pred.ndim != 2 or not len(y_pred):
        raise _no_outputs(y_pred)
    y_true = np.asarray(y_true)
    if y_true.shape != y_pred.shape:
        checks.shape("y_true", (*y_true.shape, 1) if y_true.ndim == 1 else y_true.shape, y_pred.shape)
    right = (y_pred > threshold) == y_true.reshape(y_pred.shape)
    return weighted_mean(right & ~np.isnan(y_pred), sample_weight)


def top_k_categorical_accuracy(
    y_true: np.ndarray, y_pred: np.ndarray, k: int = 5, sample_weight: Any = None
) -> float:
    """Return the top-k accuracy: the share of images whose right class has one of the k largest outputs.

    Equal outputs are ranked by class number, so a constant output does not count as right for every class.
    (Keras counts every class whose output equals the k-th largest.)

    Parameters
    ----------
    y_true, y_pred
        See `class_numbers`.
    k : int
        At least 1.
    sample_weight : array_like of shape (N,), optional
        See `weighted_mean`.
    """
    k = checks.whole("k", k, 1)
    labels = class_numbers(y_true, y_pred)
    best = np.argsort(-y_pred, axis=-1, kind="stable")[:, :k]
    right = (best == labels[:, np.newaxis]).any(axis=1)
    return weighted_mean(right & ~np.isnan(y_pred).any(axis=-1), sample_weight)


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
        When a label is not one of the classes, or an output is NaN, which predicts none.
    """
    if np.isnan(y_pred).any():
        rows = int(np.isnan(y_pred).any(axis=-1).sum())
        raise ValueError(
            f"y_pred: expected outputs that are numbers, received NaN in {rows} of {len(y_pred)} rows"
        )
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


#: The metrics that have a name.
METRICS: dict[str, Metric] = {f.__name__: f for f in (accuracy, binary_accuracy, top_k_categorical_accuracy)}
#: Other names that Keras has for them; by the shapes, each takes class numbers and one-hot rows.
SHORT_NAMES = {
    "acc": "accuracy",
    "categorical_accuracy": "accuracy",
    "sparse_categorical_accuracy": "accuracy",
}
SHORT_NAMES |= {"sparse_top_k_categorical_accuracy": "top_k_categorical_accuracy"}


def get(metric: Any) -> Metric:
    """Return a metric by its name, or the metric that a loss or a function stands for.

    Parameters
    ----------
    metric : str, Loss or function
        A name of `METRICS`, of `SHORT_NAMES`, or of a loss of `tinycnn.losses`, such as "mse". Or a function
        f(y_true, y_pred) that returns a number or, so that rows can be weighted, an array (N,). Or one with
        a parameter `sample_weight`, which returns a number.

    Returns
    -------
    function
        metric(y_true, y_pred, sample_weight=None) -> float

    Raises
    ------
    ValueError
        For an unknown name.

    Examples
    --------
    >>> largest_error = get(lambda y_true, y_pred: np.abs(y_pred - y_true).max())
    >>> largest_error(np.zeros((2, 1)), np.array([[0.5], [-2.0]]))
    2.0
    """
    if isinstance(metric, Loss):
        return partial(_mean_of, metric.row_losses)
    if callable(metric):
        weighted = "sample_weight" in inspect.signature(metric).parameters
        return metric if weighted else partial(_mean_of, metric)
    if isinstance(metric, str) and SHORT_NAMES.get(metric, metric) in METRICS:
        return METRICS[SHORT_NAMES.get(metric, metric)]
    if isinstance(metric, str) and losses.SHORT_NAMES.get(metric, metric) in losses.LOSSES:
        return partial(_mean_of, losses.get(metric).row_losses)
    return METRICS[checks.choice("metric", metric, METRICS)]


def is_loss(metric: Any) -> bool:
    """Return whether a metric is a loss, of which less is better: by its name, or as `get` returned it."""
    if isinstance(metric, str):
        return losses.SHORT_NAMES.get(metric, metric) in losses.LOSSES
    function = metric.args[0] if isinstance(metric, partial) and metric.args else None
    return isinstance(getattr(function, "__self__", None), Loss)


def name_of(metric: Any) -> str:
    """Return the name that a metric is reported by: a name itself, or that of a loss, function or class."""
    if isinstance(metric, str):
        return metric
    return str(getattr(metric, "name", None) or getattr(metric, "__name__", type(metric).__name__))


def _mean_of(function: Callable[..., Any], y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """Return the mean of what a function returns, a number or an array (N, ...)."""
    values = np.asarray(function(y_true, y_pred), np.float64)
    if values.ndim:
        return weighted_mean(values, sample_weight)
    if sample_weight is not None:
        raise ValueError(
            f"metric {name_of(function)}: expected an array with a value for each row, so that the rows can "
            "be weighted, received a number; give the function a parameter sample_weight"
        )
    return float(values)
