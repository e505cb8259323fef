"""Loss functions and their gradients.

::

    y_true, y_pred -> loss(y_true, y_pred) -> a number, the mean over the batch
                   -> loss.gradient(y_true, y_pred) -> dL/dy_pred, in the shape of y_pred

Cross-entropies take probabilities (the output of a softmax layer) or, with `from_logits`, the values before
the softmax. Probabilities are clipped from below at the smallest normal number of their dtype, as in
`activations.softmax`. Keras clips at 1e-7, where the gradient would vanish. Here -1/p times the softmax's
own p still gives p - y, the gradient at the logits, however wrong the network is. So a softmax layer and a
loss need not know of each other.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from tinycnn.activations import softmax
from tinycnn.support import checks, constructor
from tinycnn.support.assignment import Constructed


class Loss(Constructed, ABC):
    """Base class of losses: a mean over the batch, and its gradient.

    Attributes
    ----------
    integer_labels : bool
        Whether y_true holds class numbers rather than one row for each image.
    """

    name: str
    integer_labels = False

    @abstractmethod
    def __call__(self, y_true: np.ndarray, y_pred: np.ndarray) -> float:
        """Return the mean loss of a batch.

        Parameters
        ----------
        y_true : ndarray
            Labels: see the class for their shape.
        y_pred : float ndarray of shape (N, ...)
            Outputs of the network.

        Raises
        ------
        ValueError
            When the labels do not fit the outputs.
        """

    @abstractmethod
    def gradient(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return dL/dy_pred, in the shape and dtype of `y_pred`; the parameters are those of a call."""

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, as JSON-serialisable values."""
        return constructor.arguments(self)

    def __repr__(self) -> str:
        return constructor.describe(self)


class MeanSquaredError(Loss):
    """Mean squared error: the mean of (y_pred - y_true)**2 over all axes.

    y_true has the shape of y_pred.
    """

    name = "mean_squared_error"

    def __call__(self, y_true: np.ndarray, y_pred: np.ndarray) -> float:
        """Return the mean squared difference."""
        checks.shape("y_true", np.shape(y_true), y_pred.shape)
        return float(np.mean(np.square(y_pred - y_true), dtype=np.float64))

    def gradient(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return 2 (y_pred - y_true) / count."""
        checks.shape("y_true", np.shape(y_true), y_pred.shape)
        return ((y_pred - y_true) * (2 / y_pred.size)).astype(y_pred.dtype, copy=False)


class CategoricalCrossentropy(Loss):
    """Cross-entropy for one-hot or soft labels (N, classes): the batch mean of -sum(y_true * log(p)).

    Parameters
    ----------
    from_logits : bool
        Whether y_pred are logits rather than probabilities.
    label_smoothing : float
        In [0, 1]: y_true becomes y_true * (1 - s) + s / classes (Szegedy et al., arXiv 1512.00567).
    """

    name = "categorical_crossentropy"

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0) -> None:
        self.from_logits = checks.flag("from_logits", from_logits)
        self.label_smoothing = checks.real("label_smoothing", label_smoothing, 0, 1)

    def __call__(self, y_true: np.ndarray, y_pred: np.ndarray) -> float:
        """Return the mean cross-entropy, in nats."""
        targets = self._targets(y_true, y_pred)
        if self.from_logits:
            shifted = y_pred - y_pred.max(axis=-1, keepdims=True)
            log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        else:
            log_p = np.log(np.maximum(y_pred, np.finfo(y_pred.dtype).tiny))
        # a class of logit -inf, whose log_p is -inf too, counts only where it is a label: 0 log 0 is 0
        terms = np.multiply(targets, log_p, out=np.zeros_like(log_p), where=targets != 0)
        return float(-terms.sum(dtype=np.float64) / len(y_pred))

    def gradient(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return (softmax * sum(y_true) - y_true) / N for logits, -y_true / (p N) for probabilities."""
        targets = self._targets(y_true, y_pred)
        if self.from_logits:
            return (softmax(y_pred) * targets.sum(axis=-1, keepdims=True) - targets) / len(y_pred)
        return -targets / len(y_pred) / np.maximum(y_pred, np.finfo(y_pred.dtype).tiny)

    def _targets(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return smoothed labels in the shape and dtype of y_pred."""
        targets = self._rows(np.asarray(y_true), y_pred)
        smooth = self.label_smoothing
        return targets * y_pred.dtype.type(1 - smooth) + y_pred.dtype.type(smooth / y_pred.shape[-1])

    def _rows(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        if y_true.shape != y_pred.shape:
            checks.shape("y_true (one row of classes for each image)", y_true.shape, y_pred.shape)
        return y_true.astype(y_pred.dtype, copy=False)


class SparseCategoricalCrossentropy(CategoricalCrossentropy):
    """Cross-entropy for class numbers (N,), whole numbers from 0 to classes - 1.

    The parameters are those of `CategoricalCrossentropy`.
    """

    name = "sparse_categorical_crossentropy"
    integer_labels = True

    def _rows(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return one-hot rows."""
        labels = y_true[:, 0] if y_true.ndim == 2 and y_true.shape[1] == 1 else y_true
        if labels.shape != y_pred.shape[:1]:
            checks.shape("y_true (one class number for each image)", labels.shape, y_pred.shape[:1])
        if labels.dtype.kind not in "iu":
            raise ValueError(f"y_true: expected whole numbers, received {labels.dtype}")
        classes = y_pred.shape[-1]
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise ValueError(
                f"y_true: expected classes 0 to {classes - 1}, received {labels.min()} to {labels.max()}"
            )
        rows = np.zeros(y_pred.shape, y_pred.dtype)  # not rows of np.eye, which has classes**2 numbers
        rows[np.arange(len(labels)), labels] = 1
        return rows


LOSSES: dict[str, type[Loss]] = {
    cls.name: cls for cls in (CategoricalCrossentropy, MeanSquaredError, SparseCategoricalCrossentropy)
}


def get(loss: str | Loss, **arguments: Any) -> Loss:
    """Return a new loss by its name, or a `Loss` unchanged.

    Parameters
    ----------
    loss : str or Loss
        A name of `LOSSES`, or "mse".
    **arguments
        Arguments of the constructor.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if isinstance(loss, Loss):
        return loss
    name = "mean_squared_error" if loss == "mse" else loss
    return LOSSES[checks.choice("loss", name, LOSSES)](**arguments)
