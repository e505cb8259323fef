"""Accuracy, for both kinds of labels."""

import numpy as np
import pytest

from tinycnn import metrics

Y_PRED = np.array([[0.1, 0.9, 0], [0.6, 0.3, 0.1], [0.2, 0.3, 0.5], [0.4, 0.5, 0.1]])


@pytest.mark.parametrize("y_true", [[1, 0, 1, 0], [[1], [0], [1], [0]], np.eye(3)[[1, 0, 1, 0]]])
def test_accuracy(y_true):
    """Two of four, however the labels are written."""
    assert metrics.accuracy(np.array(y_true), Y_PRED) == 0.5


def test_square_one_hot_labels_are_not_class_numbers():
    """As many images as classes, the case in which the two could be confused."""
    assert metrics.accuracy(np.eye(3), np.eye(3)) == 1
    assert metrics.accuracy(np.eye(3)[[1, 2, 0]], np.eye(3)) == 0


def test_errors():
    """Labels of another length, and unknown names."""
    with pytest.raises(ValueError, match=r"y_true: expected shape \(4, 1\), received \(3, 1\)"):
        metrics.accuracy(np.array([1, 2, 0]), Y_PRED)
    with pytest.raises(ValueError, match=r"metric: expected one of 'accuracy', received 'auc'"):
        metrics.get("auc")
    assert metrics.get("acc") is metrics.accuracy
