"""Metrics by hand, for both kinds of labels."""

import pickle

import numpy as np
import pytest

from tinycnn import losses, metrics

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
    with pytest.raises(ValueError, match=r"metric: expected one of 'accuracy', .*'top_k.*received 'auc'"):
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


WEIGHTS = np.array([1.0, 0.0, 2.0, 3.0])


def test_weights():
    """The weighted sum over the sum of the weights, as in Keras; a weight of 2 is the row twice."""
    labels = np.array([1, 0, 1, 0])  # right, right, wrong, wrong
    assert metrics.accuracy(labels, Y_PRED, WEIGHTS) == pytest.approx(1 / 6)
    assert metrics.accuracy(labels, Y_PRED, [2, 1, 1, 1]) == metrics.accuracy(
        labels[[0, 0, 1, 2, 3]], Y_PRED[[0, 0, 1, 2, 3]]
    )
    assert metrics.top_k_categorical_accuracy(labels, Y_PRED, 2, WEIGHTS) == 1
    assert metrics.top_k_categorical_accuracy(labels, Y_PRED, 1, sample_weight=WEIGHTS) == pytest.approx(
        1 / 6
    )
    assert metrics.accuracy(labels, Y_PRED, np.zeros(4)) == 0
    with pytest.raises(ValueError, match=r"sample_weight: expected shape \(4,\), received \(3,\)"):
        metrics.accuracy(labels, Y_PRED, [1, 1, 1])


def test_binary_accuracy():
    """By hand, for one label and for two, weighted and with another threshold."""
    y_true, y_pred = np.array([[1, 0], [0, 1], [1, 1]]), np.array([[0.9, 0.6], [0.1, 0.5], [0.7, 0.8]])
    assert metrics.binary_accuracy(y_true, y_pred) == pytest.approx(4 / 6)
    assert metrics.binary_accuracy(y_true, y_pred, [1, 0, 3]) == pytest.approx((0.5 + 3) / 4)
    assert metrics.binary_accuracy(y_true, y_pred, threshold=0.65) == pytest.approx(5 / 6)
    assert metrics.binary_accuracy(y_true[:, 0], y_pred[:, :1]) == 1
    assert metrics.accuracy(y_true[:, 1], y_pred[:, 1:], [1, 1, 2]) == 0.5
    for wrong in (y_true, y_true[:2, 0]):
        with pytest.raises(ValueError, match=r"y_true: expected shape \(3, 1\), received"):
            metrics.binary_accuracy(wrong, y_pred[:, :1])


def test_nan_is_never_right():
    """Though NaN is where argmax looks first, and though NaN is not above a threshold."""
    y_pred = Y_PRED.copy()
    y_pred[0] = np.nan
    y_pred[1, 0] = np.nan
    labels = np.array([0, 0, 2, 1])
    assert metrics.accuracy(labels, y_pred) == 0.5
    assert metrics.accuracy(np.eye(3)[labels], y_pred) == 0.5
    for k in (1, 2, 3):
        assert metrics.top_k_categorical_accuracy(labels, y_pred, k) == 0.5
    assert metrics.binary_accuracy(np.zeros((2, 1)), np.array([[np.nan], [0.1]])) == 0.5
    assert metrics.accuracy(np.zeros(2), np.array([[np.nan], [0.1]])) == 0.5
    assert metrics.binary_accuracy(np.array([[np.nan], [0]]), np.array([[0.2], [0.1]])) == 0.5
    assert metrics.accuracy(np.full((4, 3), np.nan), Y_PRED) == 0
    with pytest.raises(
        ValueError, match="y_pred: expected outputs that are numbers, received NaN in 2 of 4 rows"
    ):
        metrics.confusion_matrix(labels, y_pred)


def test_more_rows_than_float32_counts():
    """2**24 + 1 ones are not 2**24."""
    y_pred = np.ones((2**24 + 1, 1), np.float32)
    assert metrics.accuracy(np.ones(len(y_pred), np.int8), y_pred) == 1
    y_pred[0] = 0
    assert 1 - metrics.accuracy(np.ones(len(y_pred), np.int8), y_pred) == pytest.approx(2**-24, rel=1e-6)


@pytest.mark.parametrize("name", ["acc", "accuracy", "categorical_accuracy", "sparse_categorical_accuracy"])
def test_names_of_accuracy(name):
    """By the shapes, each is that of Keras."""
    assert metrics.get(name) is metrics.accuracy


@pytest.mark.parametrize("metric", ["mse", "mean_squared_error", losses.MeanSquaredError()])
def test_losses_as_metrics(metric):
    """By name or as an object; weights are averaged as in other metrics, not as in losses."""
    function = metrics.get(metric)
    y_true, y_pred = np.zeros((2, 1)), np.array([[1.0], [3.0]])
    assert function(y_true, y_pred) == 5
    assert function(y_true, y_pred, [1, 3]) == 7
    assert pickle.loads(pickle.dumps(function))(y_true, y_pred) == 5


def largest(y_true, y_pred):
    return np.abs(y_pred - y_true).max()


def distances(y_true, y_pred):
    return np.abs(y_pred - y_true)


def weighted(y_true, y_pred, sample_weight=None):
    return 7.0 if sample_weight is not None else 1.0


def test_functions_as_metrics():
    """A number, an array of one for each row, or a function that takes weights itself."""
    y_true, y_pred = np.zeros((2, 2)), np.array([[1.0, 3.0], [5.0, 7.0]])
    assert metrics.get(largest)(y_true, y_pred) == 7
    assert metrics.get(distances)(y_true, y_pred) == 4
    assert metrics.get(distances)(y_true, y_pred, [3, 1]) == 3
    assert metrics.get(weighted)(y_true, y_pred, [3, 1]) == 7
    assert metrics.get(metrics.accuracy) is metrics.accuracy
    with pytest.raises(ValueError, match="metric largest: expected an array with a value for each row"):
        metrics.get(largest)(y_true, y_pred, [3, 1])
    names = ["acc", largest, metrics.accuracy, losses.MeanSquaredError()]
    assert list(map(metrics.name_of, names)) == ["acc", "largest", "accuracy", "mean_squared_error"]
