"""Labels in the form that a loss computes with; a label of another form is refused, with the loss for it.

::

    y_true (N,) or (N, 1) or (N, classes), y_pred (N, classes) -> rows like y_pred
"""

from typing import NoReturn

import numpy as np


def like_outputs(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return y_true in the shape of y_pred: a last axis of 1 may be left out, as in Keras."""
    y_true = np.asarray(y_true)
    if (*y_true.shape, 1) == y_pred.shape or y_true.shape == (*y_pred.shape, 1):
        return y_true.reshape(y_pred.shape)
    if y_true.shape != y_pred.shape:
        _refuse(y_true, y_pred, f"labels of the shape of the output, {y_pred.shape[1:]}, for each image")
    return y_true


def rows(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return rows of probabilities in the dtype of y_pred, for labels of its shape."""
    y_true = np.asarray(y_true)
    if y_true.shape != y_pred.shape:
        _refuse(y_true, y_pred, f"a row of {y_pred.shape[-1]} for each image")
    return y_true.astype(y_pred.dtype, copy=False)


def refuse_class_numbers(y_true: np.ndarray, y_pred: np.ndarray) -> NoReturn:
    """Raise ValueError for labels that are not one integer for each row of y_pred (N, ..., classes)."""
    if y_true.shape == y_pred.shape or _without_last_axis(y_true, y_pred).shape != y_pred.shape[:-1]:
        cure = "; use them with categorical_crossentropy, or y.argmax(axis=-1) with this loss"
        received = _shape(y_true, y_pred) + (cure if y_true.shape == y_pred.shape else "")
        raise ValueError(f"y_true: expected one class number for each image, received {received}")
    raise ValueError(
        f"y_true: expected whole numbers of an integer dtype, received {y_true.dtype}; use y.astype(int)"
    )


def _refuse(y_true: np.ndarray, y_pred: np.ndarray, expected: str) -> None:
    """Raise ValueError for labels of another shape; class numbers have a loss of their own."""
    received = _shape(y_true, y_pred)
    if y_true.dtype.kind in "iu" and _without_last_axis(y_true, y_pred).shape == y_pred.shape[:-1]:
        received = (
            "class numbers; use them with sparse_categorical_crossentropy, or tinycnn.to_categorical(y) with "
            "this loss"
        )
    raise ValueError(f"y_true: expected {expected}, received {received}")


def _shape(y_true: np.ndarray, y_pred: np.ndarray) -> str:
    """Return the shape of the label of one image as text, or of all where there are more or fewer."""
    if y_true.shape[:1] == y_pred.shape[:1]:
        return f"shape {y_true.shape[1:]} for each"
    return f"shape {y_true.shape} for {len(y_pred)} images"


def _without_last_axis(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return labels without a last axis of 1, where the outputs have as many axes."""
    return y_true[..., 0] if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1 else y_true
