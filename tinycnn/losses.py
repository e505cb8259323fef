"""Loss functions and their gradients.

::

    y_true, y_pred -> row_losses (N,) -> weighted -> loss(y_true, y_pred): their mean, a number
                   -> mean_gradient   -> weighted -> loss.gradient(y_true, y_pred): dL/dy_pred

Formulas are Keras 3's, in float64 where the result is a number. A row of probabilities is divided by its sum
first, as in Keras, so that it need not sum to 1.

One difference: Keras clips probabilities to [1e-7, 1 - 1e-7], and has no gradient outside. Here they are
clipped from below only, at the smallest normal number of their dtype, as in `activations.softmax`. Then -1/p
times the softmax's own p still gives p - y, the gradient at the logits, however wrong the network is. So a
softmax or sigmoid layer and a loss need not know of each other.
"""

from typing import Any

import numpy as np

from tinycnn.activations import log_softmax, sigmoid, softmax, softplus
from tinycnn.support import checks, constructor, targets
from tinycnn.support.assignment import Constructed
from tinycnn.support.sample_weights import row_weights, weigh


class Loss(Constructed):
    """Base class of losses: a mean over the rows of a batch, and its gradient.

    A subclass has a `name` and two methods, `row_losses` and `mean_gradient`; the base class weights rows.

    >>> class MeanFourthPower(Loss):
    ...     name = "mean_fourth_power"
    ...     def row_losses(self, y_true, y_pred):
    ...         return ((y_pred - y_true) ** 4).mean(axis=1)
    ...     def mean_gradient(self, y_true, y_pred):
    ...         return 4 * (y_pred - y_true) ** 3 / y_pred.size
    >>> MeanFourthPower()(np.zeros((2, 1)), np.array([[1.0], [3.0]]), sample_weight=[2, 1])
    41.5

    Attributes
    ----------
    integer_labels : bool
        Whether y_true holds class numbers rather than one row for each image.
    """

    name: str
    integer_labels = False

    def __call__(self, y_true: np.ndarray, y_pred: np.ndarray, sample_weight: Any = None) -> float:
        """Return the mean loss of a batch.

        Parameters
        ----------
        y_true : ndarray
            Labels: see the class for their shape.
        y_pred : float ndarray of shape (N, ...)
            Outputs of the network.
        sample_weight : array_like of shape (N,), optional
            A factor for the loss of each row. The weighted losses are added and divided by N, not by the sum
            of the weights, as in Keras. So N times the loss is the same for a weight of 2 as for the row
            twice. A weight of 0 takes a row out, even one that is not finite.

        Raises
        ------
        ValueError
            When labels or weights do not fit the outputs, or there are no rows.
        """
        if not len(y_pred):
            raise ValueError(f"y_pred: expected at least one row, received shape {y_pred.shape}")
        values = self.row_losses(y_true, y_pred)
        if sample_weight is not None:
            values = weigh(values, row_weights(sample_weight, len(values)))
        return float(np.mean(values, dtype=np.float64))

    def gradient(self, y_true: np.ndarray, y_pred: np.ndarray, sample_weight: Any = None) -> np.ndarray:
        """Return dL/dy_pred, in the shape and dtype of `y_pred`; the parameters are those of a call."""
        if not len(y_pred):
            raise ValueError(f"y_pred: expected at least one row, received shape {y_pred.shape}")
        gradient = self.mean_gradient(y_true, y_pred)
        if sample_weight is None:
            return gradient
        return weigh(gradient, row_weights(sample_weight, len(gradient)))

    def row_losses(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the loss of each row, (N,). The parameters are those of a call, without weights."""
        raise NotImplementedError(f"{type(self).__name__}: write row_losses")

    def mean_gradient(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the gradient of the mean of `row_losses`, in the shape and dtype of `y_pred`."""
        raise NotImplementedError(f"{type(self).__name__}: write mean_gradient")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, as JSON-serialisable values."""
        return constructor.arguments(self)

    def __repr__(self) -> str:
        return constructor.describe(self)


def _row_means(values: np.ndarray) -> np.ndarray:
    """Return the mean of each row (N,), of values (N, ...)."""
    return values.reshape(len(values), -1).mean(axis=1)


class MeanSquaredError(Loss):
    """Mean squared error: the mean of (y_pred - y_true)**2 over all axes.

    y_true has the shape of y_pred; a last axis of 1 may be left out.
    """

    name = "mean_squared_error"

    def row_losses(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the mean squared difference of each row."""
        return _row_means(
            np.square(np.subtract(y_pred, targets.like_outputs(y_true, y_pred), dtype=np.float64))
        )

    def mean_gradient(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return 2 (y_pred - y_true) / count."""
        difference = y_pred - targets.like_outputs(y_true, y_pred)
        return (difference * (2 / y_pred.size)).astype(y_pred.dtype, copy=False)


class MeanAbsoluteError(Loss):
    """Mean absolute error: the mean of abs(y_pred - y_true) over all axes.

    The labels are those of `MeanSquaredError`.
    """

    name = "mean_absolute_error"

    def row_losses(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the mean absolute difference of each row."""
        return _row_means(np.abs(np.subtract(y_pred, targets.like_outputs(y_true, y_pred), dtype=np.float64)))

    def mean_gradient(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the sign of y_pred - y_true, divided by the count; 0 where they are equal."""
        sign = np.sign(y_pred - targets.like_outputs(y_true, y_pred))
        return (sign / y_pred.size).astype(y_pred.dtype, copy=False)


class _Crossentropy(Loss):
    """Base class of cross-entropies: their arguments."""

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0) -> None:
        self.from_logits = checks.flag("from_logits", from_logits)
        self.label_smoothing = checks.real("label_smoothing", label_smoothing, 0, 1)


class BinaryCrossentropy(_Crossentropy):
    """Cross-entropy for labels of yes or no: the mean of -y log(p) - (1 - y) log(1 - p) over all axes.

    y_true has the shape of y_pred, (N, 1) for one label or (N, k) for k independent ones, with values from 0
    to 1. A last axis of 1 may be left out.

    Parameters
    ----------
    from_logits : bool
        Whether y_pred are logits rather than probabilities, the output of a sigmoid.
    label_smoothing : float
        In [0, 1]: y_true becomes y_true * (1 - s) + s / 2.
    """

    name = "binary_crossentropy"

    def row_losses(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the mean cross-entropy of each row, in nats."""
        yes = self._targets(y_true, y_pred).astype(np.float64)
        if self.from_logits:
            z = y_pred.astype(np.float64)
            of_yes, of_no = softplus(-z), softplus(z)
        else:
            p, most = _probabilities(y_pred)[0], 1 - np.finfo(y_pred.dtype).epsneg
            of_yes, of_no = -np.log(p, dtype=np.float64), -np.log1p(-np.minimum(p, most), dtype=np.float64)
        return _row_means(_times(yes, of_yes) + _times(1 - yes, of_no))

    def mean_gradient(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return (sigmoid - y) / count for logits, ((1 - y) / (1 - p) - y / p) / count otherwise."""
        yes = self._targets(y_true, y_pred)
        if self.from_logits:
            return ((1 - yes) * sigmoid(y_pred) - yes * sigmoid(-y_pred)) / y_pred.size
        p, rest = _probabilities(y_pred)
        return (1 - yes) / y_pred.size / rest - yes / y_pred.size / p

    def _targets(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return smoothed labels in the shape and dtype of y_pred."""
        yes = targets.like_outputs(y_true, y_pred)
        low, high = yes.min(), yes.max()
        if not (low >= 0 and high <= 1):
            raise ValueError(f"y_true: expected values from 0 to 1, received {low} to {high}")
        yes, smooth = yes.astype(y_pred.dtype, copy=False), self.label_smoothing
        return yes * y_pred.dtype.type(1 - smooth) + y_pred.dtype.type(smooth / 2)


def _probabilities(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return p and 1 - p, neither below the smallest such number, as in `activations.sigmoid_gradient`."""
    number = np.finfo(p.dtype)
    return np.maximum(p, number.tiny), np.maximum(1 - p, number.epsneg)


def _times(share: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return share * value, where 0 times infinity is 0: 0 log 0 is 0."""
    return np.multiply(share, value, out=np.zeros_like(value), where=share != 0)


class CategoricalCrossentropy(_Crossentropy):
    """Cross-entropy for one-hot or soft labels (N, classes): the batch mean of -sum(y_true * log(p)).

    Outputs may have more axes, (N, ..., classes): then it is the mean over all of them but the last. A row of
    probabilities is divided by its sum.

    Parameters
    ----------
    from_logits : bool
        Whether y_pred are logits rather than probabilities.
    label_smoothing : float
        In [0, 1]: y_true becomes y_true * (1 - s) + s / classes (Szegedy et al., arXiv 1512.00567).
    """

    name = "categorical_crossentropy"

    def row_losses(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the cross-entropy of each row, in nats."""
        labels = self._targets(y_true, y_pred)
        if self.from_logits:
            log_p = log_softmax(y_pred)
        else:
            p = np.maximum(y_pred, np.finfo(y_pred.dtype).tiny).astype(np.float64)
            log_p = np.log(p) - np.log(p.sum(axis=-1, keepdims=True))
        # a class of logit -inf, whose log_p is -inf too, counts only where it is a label
        terms = np.multiply(labels, log_p, out=np.zeros_like(log_p), where=labels != 0)
        losses = -terms.sum(axis=-1)
        return losses if losses.ndim == 1 else _row_means(losses)

    def mean_gradient(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return (softmax * sum(y) - y) / N for logits, (sum(y) / sum(p) - y / p) / N for probabilities."""
        labels, count = self._targets(y_true, y_pred), y_pred.size // y_pred.shape[-1]
        if self.from_logits:
            return (softmax(y_pred) * labels.sum(axis=-1, keepdims=True) - labels) / count
        shares, p = labels / count, np.maximum(y_pred, np.finfo(y_pred.dtype).tiny)
        return shares.sum(axis=-1, keepdims=True) / p.sum(axis=-1, keepdims=True) - shares / p

    def _targets(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return smoothed labels in the shape and dtype of y_pred."""
        labels, smooth = self._rows(y_true, y_pred), self.label_smoothing
        return labels * y_pred.dtype.type(1 - smooth) + y_pred.dtype.type(smooth / y_pred.shape[-1])

    def _rows(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return targets.rows(y_true, y_pred)


class SparseCategoricalCrossentropy(CategoricalCrossentropy):
    """Cross-entropy for class numbers (N,), whole numbers from 0 to classes - 1.

    The parameters are those of `CategoricalCrossentropy`. Labels have the shape of the outputs without their
    last axis, or with a last axis of 1. Keras' loss of this name has no `label_smoothing`.
    """

    name = "sparse_categorical_crossentropy"
    integer_labels = True

    def _rows(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return one-hot rows."""
        y_true = np.asarray(y_true)
        labels = y_true[..., 0] if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1 else y_true
        if labels.shape != y_pred.shape[:-1] or labels.dtype.kind not in "iu":
            targets.refuse_class_numbers(y_true, y_pred)
        classes = y_pred.shape[-1]
        if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise ValueError(
                f"y_true: expected classes 0 to {classes - 1}, received {labels.min()} to {labels.max()}"
            )
        rows = np.zeros(y_pred.shape, y_pred.dtype)  # not rows of np.eye, which has classes**2 numbers
        np.put_along_axis(rows, labels[..., np.newaxis].astype(np.intp), 1, axis=-1)
        return rows


class CustomLoss(Loss):
    """Loss of an object that has `loss(y_true, y_pred)` and `loss.gradient(y_true, y_pred)`.

    Weights of rows are handed on as `sample_weight`.
    """

    def __init__(self, loss: Any) -> None:
        self.loss = loss
        self.name = getattr(loss, "name", type(loss).__name__)
        self.integer_labels = getattr(loss, "integer_labels", False)

    def __call__(self, y_true: np.ndarray, y_pred: np.ndarray, sample_weight: Any = None) -> float:
        """See `Loss`."""
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        return float(self.loss(y_true, y_pred, **weights))

    def gradient(self, y_true: np.ndarray, y_pred: np.ndarray, sample_weight: Any = None) -> np.ndarray:
        """See `Loss`."""
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        return np.asarray(self.loss.gradient(y_true, y_pred, **weights), dtype=y_pred.dtype)


_CROSSENTROPIES = BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy
#: The losses by name.
LOSSES: dict[str, type[Loss]] = {
    cls.name: cls for cls in (*_CROSSENTROPIES, MeanAbsoluteError, MeanSquaredError)
}
#: Other names that Keras has for them.
SHORT_NAMES = {"bce": "binary_crossentropy", "mae": "mean_absolute_error", "mse": "mean_squared_error"}
SHORT_NAMES |= {cls.__name__: name for name, cls in LOSSES.items()}


def get(loss: Any, **arguments: Any) -> Loss:
    """Return a new loss by its name or class, or a `Loss` unchanged.

    Parameters
    ----------
    loss : str, Loss, type or object
        A name of `LOSSES` or `SHORT_NAMES`; or an object that is called as a `Loss` and has its `gradient`.
    **arguments
        Arguments of the constructor.

    Raises
    ------
    ValueError
        For an unknown name, and for a function, which has no gradient.
    """
    if isinstance(loss, type) and issubclass(loss, Loss):
        return loss(**arguments)
    if isinstance(loss, Loss):
        return loss
    if callable(getattr(loss, "gradient", None)) and callable(loss):
        return CustomLoss(loss)
    if callable(loss):
        raise ValueError(
            f"loss: expected an object with a gradient, received {loss!r}; "
            "subclass tinycnn.losses.Loss and write its row_losses and mean_gradient"
        )
    name = SHORT_NAMES.get(loss, loss) if isinstance(loss, str) else loss
    return LOSSES[checks.choice("loss", name, LOSSES)](**arguments)
