"""Losses: values worked by hand, gradients by finite differences, extreme logits, errors."""

import tracemalloc

import numpy as np
import pytest

from tinycnn import losses
from tinycnn.activations import softmax, softmax_gradient
from tinycnn.inspection import gradcheck
from tinycnn.losses import CategoricalCrossentropy, MeanSquaredError, SparseCategoricalCrossentropy

pytestmark = pytest.mark.smoke

CROSSENTROPIES = [
    cls(from_logits=logits, label_smoothing=smoothing)
    for cls in (CategoricalCrossentropy, SparseCategoricalCrossentropy)
    for logits in (False, True)
    for smoothing in (0.0, 0.1)
]


def example(loss, rows=5, classes=4, dtype=np.float64):
    """Return labels and predictions that suit a loss."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((rows, classes)).astype(dtype)
    labels = rng.integers(0, classes, rows)
    if isinstance(loss, MeanSquaredError):
        return rng.standard_normal((rows, classes)).astype(dtype), logits
    y_true = labels if loss.integer_labels else np.eye(classes)[labels]
    return y_true, logits if loss.from_logits else softmax(logits)


@pytest.mark.parametrize("loss", [*CROSSENTROPIES, MeanSquaredError()], ids=repr)
def test_gradients_agree_with_finite_differences(loss):
    """In every element of y_pred."""
    y_true, y_pred = example(loss)
    report = gradcheck.check_gradients(
        lambda: loss(y_true, y_pred), {"y_pred": y_pred}, {"y_pred": loss.gradient(y_true, y_pred)}
    )
    assert len(report.entries) == y_pred.size


@pytest.mark.parametrize("loss", [*CROSSENTROPIES, MeanSquaredError()], ids=repr)
def test_the_gradient_keeps_the_dtype(loss):
    """float32 in, float32 out."""
    y_true, y_pred = example(loss, dtype=np.float32)
    assert loss.gradient(y_true, y_pred).dtype == np.float32
    assert isinstance(loss(y_true, y_pred), float)


def test_many_classes_take_memory_by_the_rows():
    """Not by the square of the classes: 30,000 of them would be 3.4 GB."""
    loss, y_pred = losses.SparseCategoricalCrossentropy(), np.full((2, 30_000), 1 / 30_000, np.float32)
    tracemalloc.start()
    try:
        loss(np.array([5, 29_999]), y_pred)
        gradient = loss.gradient(np.array([5, 29_999]), y_pred)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * y_pred.nbytes
    assert [list(row) for row in np.argwhere(gradient)] == [[0, 5], [1, 29_999]]


@pytest.mark.parametrize(
    ("label", "logits", "expected"),
    [(1, [-np.inf, 0], 0), (2, [-np.inf, 1, 2], 0.3132616875182228), (0, [-np.inf, 0], np.inf)],
)
def test_a_masked_class(label, logits, expected):
    """A logit of -inf takes a class out: 0 log 0 is 0; as a label it costs infinitely much."""
    y_pred = np.array([logits], np.float32)
    sparse, soft = (cls(from_logits=True) for cls in (SparseCategoricalCrossentropy, CategoricalCrossentropy))
    assert sparse(np.array([label]), y_pred) == pytest.approx(expected, rel=1e-6)
    assert soft(np.eye(len(logits))[[label]], y_pred) == pytest.approx(expected, rel=1e-6)


def test_values_by_hand():
    """-log of the probability of the right class, averaged; and with smoothing."""
    p = np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])
    expected = -(np.log(0.5) + np.log(0.1)) / 2
    assert SparseCategoricalCrossentropy()(np.array([0, 2]), p) == pytest.approx(expected, rel=1e-12)
    assert CategoricalCrossentropy()(np.eye(3)[[0, 2]], p) == pytest.approx(expected, rel=1e-12)
    # smoothing of 0.3 over three classes: 0.8 for the right one, 0.1 for each other
    smooth = -(0.8 * np.log(0.5) + 0.2 * np.log(0.25) + 0.8 * np.log(0.1) + 0.1 * np.log(0.8 * 0.1)) / 2
    loss = SparseCategoricalCrossentropy(label_smoothing=0.3)
    assert loss(np.array([0, 2]), p) == pytest.approx(smooth, rel=1e-12)
    assert MeanSquaredError()(np.array([[1.0, 2, 3]]), np.array([[1.0, 4, 9]])) == pytest.approx(40 / 3)


@pytest.mark.parametrize("loss", CROSSENTROPIES, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_logits_stay_finite(loss, dtype):
    """Logits of +-1e4: the loss, and the gradient down to the logits, are finite and point the right way."""
    logits = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 1e4]], dtype)
    labels = np.array([1, 1])
    y_true = labels if loss.integer_labels else np.eye(3)[labels]
    y_pred = logits if loss.from_logits else softmax(logits)
    dy = loss.gradient(y_true, y_pred)
    dz = dy if loss.from_logits else softmax_gradient(y_pred, dy)
    assert np.isfinite(loss(y_true, y_pred))
    assert np.isfinite(dz).all()
    assert dz[0, 0] > 0.4  # the wrong class that got all the probability is pushed down


def test_probabilities_train_like_logits():
    """Through the softmax's own backward, the gradient at the logits is p - y, as if they were fused."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 80, (6, 5)).astype(np.float32)  # probabilities down to 0
    labels = rng.integers(0, 5, 6)
    p = softmax(logits)
    through = softmax_gradient(p, SparseCategoricalCrossentropy().gradient(labels, p))
    fused = SparseCategoricalCrossentropy(from_logits=True).gradient(labels, logits)
    np.testing.assert_allclose(through, fused, atol=1e-7)


@pytest.mark.parametrize(
    ("loss", "y_true", "message"),
    [
        (SparseCategoricalCrossentropy(), [0, 1, 3], r"y_true: expected classes 0 to 2, received 0 to 3"),
        (SparseCategoricalCrossentropy(), [-1, 0, 1], r"y_true: expected classes 0 to 2, received -1 to 1"),
        (
            SparseCategoricalCrossentropy(),
            [0.0, 1.0, 2.0],
            "y_true: expected whole numbers, received float64",
        ),
        (SparseCategoricalCrossentropy(), [0, 1], r"y_true .*: expected shape \(3,\), received \(2,\)"),
        (SparseCategoricalCrossentropy(), np.eye(3), r"y_true .*: expected shape \(3,\), received \(3, 3\)"),
        (CategoricalCrossentropy(), [0, 1, 2], r"y_true .*: expected shape \(3, 3\), received \(3,\)"),
        (MeanSquaredError(), np.ones((3, 2)), r"y_true: expected shape \(3, 3\), received \(3, 2\)"),
    ],
)
def test_labels_that_do_not_fit(loss, y_true, message):
    """Name, expected, received; from the value and from the gradient alike."""
    y_pred = np.full((3, 3), 1 / 3)
    for call in (loss, loss.gradient):
        with pytest.raises(ValueError, match=message):
            call(np.array(y_true), y_pred)


def test_get():
    """Names, the short one, objects, and unknown names."""
    assert isinstance(losses.get("mse"), MeanSquaredError)
    loss = CategoricalCrossentropy(label_smoothing=0.2)
    assert losses.get(loss) is loss
    with pytest.raises(ValueError, match=r"loss: expected one of .*received 'hinge'"):
        losses.get("hinge")
    with pytest.raises(ValueError, match=r"label_smoothing: expected a number in \[0, 1\], received 2"):
        CategoricalCrossentropy(label_smoothing=2)
