"""Metrics by hand, for both kinds of labels."""

import numpy as np
import pytest

from tinycnn import metrics

pytestmark = pytest.mark.smoke

Y_PRED = np.array([[0.1, 0.9, 0], [0.6, 0.3, 0.1], [0.2, 0.3, 0.5], [0.4, 0.5, 0.1]])


@pytest.mark.parametrize("y_true", [[1, 0, 1, 0], [[1], [0], [1], [0]], np.eye(3)[[1, 0, 1, 0]]])
def test_accuracy(y_true):
    """Two of four, however the labels are written."""
    assert metrics.accuracy(np.array(y_true), Y_PRED) == 0.5


def test_accuracy_of_one_output():
    """As Keras: above one half is class 1."""
    y_pred = np.array([[0.2], [0.7], [0.5], [0.9]])
    assert metrics.accuracy(np.array([0, 1, 1, 0]), y_pred) == 0.5
    assert metrics.accuracy(np.array([[0], [1], [0], [1]]), y_pred) == 1


def test_square_one_hot_labels_are_not_class_numbers():
    """As many images as classes, the case in which the two could be confused."""
    assert metrics.accuracy(np.eye(3), np.eye(3)) == 1
    assert metrics.accuracy(np.eye(3)[[1, 2, 0]], np.eye(3)) == 0


def test_errors():
    """Labels of another length, and unknown names."""
    with pytest.raises(ValueError, match=r"y_true: expected shape \(4, 1\), received \(3, 1\)"):
        metrics.accuracy(np.array([1, 2, 0]), Y_PRED)
    for function in (metrics.accuracy, metrics.confusion_matrix, metrics.top_k_categorical_accuracy):
        with pytest.raises(
            ValueError, match=r"y_pred: expected outputs of shape \(N, classes\), N at least 1"
        ):
            function(np.zeros(0, int), np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"y_pred: expected outputs of shape .*, received \(4,\)"):
        metrics.confusion_matrix(np.array([1, 0, 1, 0]), np.array([1, 0, 1, 0]))
    with pytest.raises(ValueError, match=r"metric: expected one of 'accuracy', 'top_k.*received 'auc'"):
        metrics.get("auc")
    assert metrics.get("acc") is metrics.accuracy


Y_TRUE = np.array([0, 1, 2, 2, 1, 2])
OUTPUTS = np.array(
    [[5, 1, 0, 0], [3, 2, 1, 0], [0, 1, 5, 0], [0, 9, 8, 7], [0, 1, 0, 0], [1, 0, 0, 1]], float
)


@pytest.mark.parametrize(("k", "expected"), [(1, 3 / 6), (2, 5 / 6), (3, 5 / 6), (4, 1)])
def test_top_k(k, expected):
    """By hand; the last row's right class is third or fourth, after a class that is equal to it."""
    assert metrics.top_k_categorical_accuracy(Y_TRUE, OUTPUTS, k) == pytest.approx(expected)


def test_top_1_is_the_accuracy():
    """Also where outputs are all the same."""
    assert metrics.top_k_categorical_accuracy(Y_TRUE, OUTPUTS, 1) == metrics.accuracy(Y_TRUE, OUTPUTS)
    assert (
        metrics.top_k_categorical_accuracy(Y_TRUE, np.zeros((6, 4)), 1)
        == metrics.accuracy(Y_TRUE, np.zeros((6, 4)))
        == 1 / 6
    )


def test_confusion_precision_recall():
    """By hand: rows are the truth; a class that is never taken, and one that does not occur, have none."""
    confusion = metrics.confusion_matrix(Y_TRUE, OUTPUTS)
    np.testing.assert_array_equal(confusion, [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(metrics.precision(confusion), [1 / 3, 1 / 2, 1, np.nan])
    np.testing.assert_array_equal(metrics.recall(confusion), [1, 1 / 2, 1 / 3, np.nan])
    np.testing.assert_array_equal(metrics.confusion_matrix(np.eye(4)[Y_TRUE], OUTPUTS), confusion)
    with pytest.raises(ValueError, match="y_true: expected classes 0 to 3, received 0 to 4"):
        metrics.confusion_matrix(Y_TRUE * 2, OUTPUTS)


def test_wilson_interval():
    """Published values: 25 errors in 10,000 (99.63, 99.83); 0 of 10 (Brown, Cai & DasGupta 2001)."""
    assert metrics.wilson_interval(25, 10_000) == pytest.approx((0.99631, 0.99831), abs=5e-6)
    assert metrics.wilson_interval(10, 10) == pytest.approx((0, 0.27753), abs=5e-6)
    low, high = metrics.wilson_interval(0, 10)
    assert (low, high) == pytest.approx((1 - 0.27753, 1), abs=5e-6)
    for errors, count in ((0, 0), (5, 3), (-1, 3)):
        with pytest.raises(ValueError, match=r"(count|errors): expected"):
            metrics.wilson_interval(errors, count)
