"""Losses: values worked by hand, gradients by finite differences, extreme logits, errors."""

import tracemalloc

import numpy as np
import pytest

from tinycnn import losses
from tinycnn.activations import sigmoid, sigmoid_gradient, softmax, softmax_gradient
from tinycnn.inspection import gradcheck
from tinycnn.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)

pytestmark = pytest.mark.smoke

CROSSENTROPIES = [
    cls(from_logits=logits, label_smoothing=smoothing)
    for cls in (CategoricalCrossentropy, SparseCategoricalCrossentropy)
    for logits in (False, True)
    for smoothing in (0.0, 0.1)
]
BINARY = [BinaryCrossentropy(from_logits=z, label_smoothing=s) for z in (False, True) for s in (0.0, 0.1)]
EVERY = [*CROSSENTROPIES, *BINARY, MeanSquaredError(), MeanAbsoluteError()]


def example(loss, rows=5, classes=4, dtype=np.float64):
    """Return labels and predictions that suit a loss."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((rows, classes)).astype(dtype)
    labels = rng.integers(0, classes, rows)
    if isinstance(loss, MeanSquaredError | MeanAbsoluteError):
        return rng.standard_normal((rows, classes)).astype(dtype), logits
    if isinstance(loss, BinaryCrossentropy):
        return rng.integers(0, 2, logits.shape), logits if loss.from_logits else sigmoid(logits)
    y_true = labels if loss.integer_labels else np.eye(classes)[labels]
    return y_true, logits if loss.from_logits else softmax(logits)


@pytest.mark.parametrize("loss", EVERY, ids=repr)
def test_gradients_agree_with_finite_differences(loss):
    """In every element of y_pred."""
    y_true, y_pred = example(loss)
    report = gradcheck.check_gradients(
        lambda: loss(y_true, y_pred), {"y_pred": y_pred}, {"y_pred": loss.gradient(y_true, y_pred)}
    )
    assert len(report.entries) == y_pred.size


@pytest.mark.parametrize("loss", EVERY, ids=repr)
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
    assert [list(row) for row in np.argwhere(gradient < 0)] == [[0, 5], [1, 29_999]]


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
            r"y_true: expected whole numbers .*, received float64; use y.astype\(int\)",
        ),
        (
            SparseCategoricalCrossentropy(),
            [0, 1],
            r"y_true: expected one class number for each .* shape \(2,\) for 3 images",
        ),
        (
            SparseCategoricalCrossentropy(),
            1,
            r"expected one class number .*, received shape \(\) for 3 images",
        ),
        (CategoricalCrossentropy(), 1, r"expected a row of 3 .*, received shape \(\) for 3 images"),
        (MeanSquaredError(), 1.0, r"expected labels .*, received shape \(\) for 3 images"),
        (SparseCategoricalCrossentropy(), np.eye(3), r"shape \(3,\) for each; use them with categorical_c"),
        (
            CategoricalCrossentropy(),
            [0, 1, 2],
            "expected a row of 3 .* class numbers; use them with sparse_c",
        ),
        (
            CategoricalCrossentropy(),
            np.ones((3, 2)),
            r"expected a row of 3 .*, received shape \(2,\) for each",
        ),
        (
            MeanSquaredError(),
            [0, 1, 2],
            r"shape of the output, \(3,\), .* class numbers; use them with sparse_c",
        ),
        (MeanSquaredError(), np.ones((3, 2)), r"y_true: .*received shape \(2,\) for each"),
        (MeanAbsoluteError(), np.ones(3), r"y_true: .*received shape \(\) for each"),
        (BinaryCrossentropy(), np.ones((3, 2)), r"y_true: .*received shape \(2,\) for each"),
        (BinaryCrossentropy(), -np.eye(3), r"y_true: expected values from 0 to 1, received -1.0 to -?0.0"),
        (BinaryCrossentropy(), 2 * np.eye(3, dtype=int), r"y_true: expected values .*, received 0 to 2"),
        (BinaryCrossentropy(), np.full((3, 3), np.nan), r"y_true: expected values .*, received nan to nan"),
    ],
)
def test_labels_that_do_not_fit(loss, y_true, message):
    """Name, expected, received; from the value and from the gradient alike."""
    y_pred = np.full((3, 3), 1 / 3)
    for call in (loss, loss.gradient):
        with pytest.raises(ValueError, match=message):
            call(np.array(y_true), y_pred)


WEIGHTS = np.array([2.0, 0.0, 1.0, 0.5, 3.0])


@pytest.mark.parametrize("loss", EVERY, ids=repr)
@pytest.mark.parametrize("form", [lambda w: w, lambda w: list(w), lambda w: w[:, np.newaxis]])
def test_weights_scale_rows(loss, form):
    """Each row's share of loss and gradient times its weight: the divisor stays the number of rows."""
    y_true, y_pred = example(loss)
    rows = [loss(y_true[i : i + 1], y_pred[i : i + 1]) for i in range(5)]
    assert loss(y_true, y_pred) == pytest.approx(np.mean(rows), rel=1e-12)
    assert loss(y_true, y_pred, form(WEIGHTS)) == pytest.approx(np.dot(rows, WEIGHTS) / 5, rel=1e-12)
    gradient = loss.gradient(y_true, y_pred, sample_weight=form(WEIGHTS))
    np.testing.assert_allclose(gradient, loss.gradient(y_true, y_pred) * WEIGHTS[:, np.newaxis], rtol=1e-12)
    report = gradcheck.check_gradients(
        lambda: loss(y_true, y_pred, WEIGHTS), {"y_pred": y_pred}, {"y_pred": gradient}
    )
    assert len(report.entries) == y_pred.size


@pytest.mark.parametrize("loss", EVERY, ids=repr)
def test_a_weight_of_two_is_the_row_twice(loss):
    """In the sums over the rows, of the loss and of the gradient; weights of one change no bit."""
    y_true, y_pred = example(loss)
    weights, twice = np.array([1, 1, 2, 1, 1]), [0, 1, 2, 2, 3, 4]
    assert 5 * loss(y_true, y_pred, weights) == pytest.approx(6 * loss(y_true[twice], y_pred[twice]))
    summed = 6 * loss.gradient(y_true[twice], y_pred[twice])
    summed[2] += summed[3]
    expected = np.delete(summed, 3, axis=0)
    np.testing.assert_allclose(5 * loss.gradient(y_true, y_pred, weights), expected, rtol=1e-12)
    assert loss(y_true, y_pred, np.ones(5)) == loss(y_true, y_pred)
    np.testing.assert_array_equal(loss.gradient(y_true, y_pred, [1] * 5), loss.gradient(y_true, y_pred))


@pytest.mark.parametrize("loss", EVERY, ids=repr)
def test_a_weight_of_zero_takes_a_row_out(loss):
    """Also one that is not finite, which counts otherwise."""
    y_true, y_pred = example(loss)
    expected = loss(y_true, y_pred, WEIGHTS), loss.gradient(y_true, y_pred, WEIGHTS)
    y_pred[1] = np.nan
    assert loss(y_true, y_pred, WEIGHTS) == expected[0]
    np.testing.assert_array_equal(loss.gradient(y_true, y_pred, WEIGHTS), expected[1])
    assert np.isnan(loss(y_true, y_pred))
    assert np.isnan(loss.gradient(y_true, y_pred)[1]).all()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(4), r"sample_weight: expected shape \(5,\), received \(4,\)"),
        (2.0, r"sample_weight: expected shape \(5,\), received \(\)"),
        (np.ones((5, 4)), r"sample_weight: expected shape \(5,\), received \(5, 4\)"),
        (["a"] * 5, "sample_weight: expected numbers, received <U1"),
        ([1, 1, np.nan, 1, 1], "sample_weight: expected finite numbers"),
        ([1, 1, np.inf, 1, 1], "sample_weight: expected finite numbers"),
    ],
)
def test_weights_that_do_not_fit(weights, message):
    y_true, y_pred = example(MeanSquaredError())
    for call in (MeanSquaredError(), MeanSquaredError().gradient):
        with pytest.raises(ValueError, match=message):
            call(y_true, y_pred, weights)


@pytest.mark.parametrize("loss", EVERY, ids=repr)
def test_no_rows(loss):
    """They have no mean."""
    y_true, y_pred = example(loss)
    for call in (loss, loss.gradient):
        with pytest.raises(ValueError, match=r"y_pred: expected at least one row, received shape \(0, 4\)"):
            call(y_true[:0], y_pred[:0])


def test_binary_crossentropy_by_hand():
    """Of probabilities, of logits, with smoothing; the mean over the labels of a row, then over rows."""
    y_true, p = np.array([[1, 0], [0, 0]]), np.array([[0.6, 0.4], [0.4, 0.6]])
    expected = -(3 * np.log(0.6) + np.log(0.4)) / 4
    logits = np.log(p / (1 - p))
    assert BinaryCrossentropy()(y_true, p) == pytest.approx(expected, rel=1e-12)
    assert BinaryCrossentropy(from_logits=True)(y_true, logits) == pytest.approx(expected, rel=1e-12)
    smooth = -(0.9 * np.log(0.8) + 0.1 * np.log(0.2))  # smoothing of 0.2: 0.9 instead of 1
    loss = BinaryCrossentropy(label_smoothing=0.2)
    assert loss(np.array([1, 0]), np.array([[0.8], [0.2]])) == pytest.approx(smooth, rel=1e-12)


@pytest.mark.parametrize("loss", [BinaryCrossentropy(), MeanSquaredError(), MeanAbsoluteError()], ids=repr)
def test_labels_of_one_axis(loss):
    """For outputs (N, 1) they are taken as (N, 1), as in Keras; and the other way round."""
    y_true, y_pred = np.array([1, 0, 1.0]), np.array([[0.25], [0.5], [0.75]])
    assert loss(y_true, y_pred) == loss(y_true[:, np.newaxis], y_pred) == loss(y_true, y_pred[:, 0])
    assert loss(y_true[:, np.newaxis], y_pred[:, 0]) == loss(y_true, y_pred)
    np.testing.assert_array_equal(loss.gradient(y_true, y_pred), loss.gradient(y_true[:, np.newaxis], y_pred))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_logits_far_out(dtype):
    """Values and gradients as their series: exp(-z) where right, z where wrong; also at infinity."""
    loss = BinaryCrossentropy(from_logits=True)
    for z in (40.0, 80.0):
        right, wrong = np.array([[z], [-z]], dtype), np.array([[-z], [z]], dtype)
        labels = np.array([1, 0])
        assert loss(labels, right) == pytest.approx(np.exp(-z), rel=1e-6)
        assert loss(labels, wrong) == pytest.approx(z, rel=1e-12)
        sides = np.array([[-1], [1]])
        np.testing.assert_allclose(loss.gradient(labels, right), sides * np.exp(-z) / 2, rtol=1e-5)
        np.testing.assert_allclose(loss.gradient(labels, wrong), sides / 2, rtol=1e-6)
    infinite = np.array([[np.inf], [-np.inf]], dtype)
    assert loss(np.array([1, 0]), infinite) == 0
    assert loss(np.array([0, 1]), infinite) == np.inf


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_of_a_sigmoid_train_like_logits(dtype):
    """However wrong: where the sigmoid is rounded to 1, and where it is smaller than any normal number."""
    logits = np.array([[1e4, -1e4, 100, -100], [20, -20, 3, -3]], dtype)
    labels = np.array([[0, 1, 0, 1], [0, 1, 0, 1]])
    p = sigmoid(logits)
    through = sigmoid_gradient(p, BinaryCrossentropy().gradient(labels, p))
    fused = BinaryCrossentropy(from_logits=True).gradient(labels, logits)
    np.testing.assert_allclose(through, fused, rtol=1e-6)
    assert np.isfinite(BinaryCrossentropy()(labels, p))


@pytest.mark.parametrize("cls", [CategoricalCrossentropy, SparseCategoricalCrossentropy])
def test_probabilities_that_do_not_sum_to_one(cls):
    """A row is divided by its sum, in the value and in the gradient."""
    p = np.array([[0.5, 0.5, 0.5], [0.2, 0.1, 0.1]])
    labels = np.array([0, 1])
    y_true = labels if cls is SparseCategoricalCrossentropy else np.eye(3)[labels]
    loss = cls()
    assert loss(y_true[:1], p[:1]) == pytest.approx(np.log(3), rel=1e-12)
    assert loss(y_true, p) == pytest.approx((np.log(3) + np.log(4)) / 2, rel=1e-12)
    gradient = loss.gradient(y_true, p)
    np.testing.assert_allclose(gradient[0], [(1 / 1.5 - 2) / 2, 1 / 3, 1 / 3], rtol=1e-12)
    gradcheck.check_gradients(lambda: loss(y_true, p), {"p": p}, {"p": gradient})


@pytest.mark.parametrize("loss", CROSSENTROPIES, ids=repr)
def test_more_axes(loss):
    """Outputs (N, H, W, classes): the mean over images and pixels, as in Keras."""
    y_true, y_pred = example(loss, rows=12)
    y_true, maps = y_true.reshape(2, 3, 2, *y_true.shape[1:]), y_pred.reshape(2, 3, 2, 4)
    assert loss(y_true, maps) == pytest.approx(loss(y_true.reshape(12, *y_true.shape[3:]), y_pred), rel=1e-12)
    gradient = loss.gradient(y_true, maps, [1, 2])
    gradcheck.check_gradients(lambda: loss(y_true, maps, [1, 2]), {"maps": maps}, {"maps": gradient})


@pytest.mark.parametrize("cls", [CategoricalCrossentropy, SparseCategoricalCrossentropy])
@pytest.mark.parametrize("z", [20.0, 40.0, 80.0])
def test_losses_that_are_almost_nothing(cls, z):
    """The right class by far: exp(-z) is left, which 1 - p would have rounded away."""
    logits = np.array([[z, 0], [0, z]], np.float32)
    y_true = np.array([0, 1]) if cls is SparseCategoricalCrossentropy else np.eye(2)
    assert cls(from_logits=True)(y_true, logits) == pytest.approx(np.exp(-z), rel=1e-6)


def test_means_over_many_rows():
    """Of a constant: as exact as one row."""
    y_pred = np.full((2_000_000, 1), 0.1, np.float32)
    expected = np.float64(np.float32(0.1)) ** 2
    assert MeanSquaredError()(np.zeros(2_000_000), y_pred) == pytest.approx(expected, rel=1e-12)
    assert MeanAbsoluteError()(np.zeros(2_000_000), y_pred) == pytest.approx(expected**0.5, rel=1e-12)
    p = np.full((2_000_000, 2), 0.1, np.float32)
    zeros = np.zeros(len(p), int)
    assert SparseCategoricalCrossentropy()(zeros, p) == pytest.approx(np.log(2), rel=1e-12)
    assert BinaryCrossentropy()(zeros, y_pred) == pytest.approx(-np.log1p(-(expected**0.5)), rel=1e-12)


def test_squares_that_no_float32_holds():
    """The loss is a float64."""
    y_pred = np.array([[1e30], [-1e30]], np.float32)
    assert MeanSquaredError()(np.zeros((2, 1)), y_pred) == pytest.approx(1e60, rel=1e-6)


class FourthPower:
    """A loss of somebody else, without a base class."""

    def __call__(self, y_true, y_pred):
        return ((y_pred - y_true) ** 4).mean()

    def gradient(self, y_true, y_pred):
        return 4 * (y_pred - y_true) ** 3 / y_pred.size


class Weighted(FourthPower):
    """One that takes weights too."""

    name = "weighted"

    def __call__(self, y_true, y_pred, sample_weight=None):
        return 7.0 if sample_weight is not None else super().__call__(y_true, y_pred)


class OldStyle(Loss):
    """A subclass that writes the two public methods."""

    name = "old_style"

    def __call__(self, y_true, y_pred):
        return FourthPower()(y_true, y_pred)

    def gradient(self, y_true, y_pred):
        return FourthPower().gradient(y_true, y_pred)


def test_losses_of_other_classes():
    """Objects that are called and have a gradient are taken; functions have none."""
    y_true, y_pred = np.zeros((2, 1)), np.array([[1.0], [3.0]], np.float32)
    for made in (FourthPower(), OldStyle()):
        loss = losses.get(made)
        assert isinstance(loss, Loss)
        assert loss(y_true, y_pred) == 41
        np.testing.assert_array_equal(loss.gradient(y_true, y_pred), [[2], [54]])
    assert losses.get(FourthPower()).name == "FourthPower"
    assert losses.get(FourthPower()).gradient(y_true, y_pred).dtype == np.float32
    assert losses.get(Weighted())(y_true, y_pred, [1, 2]) == 7
    assert losses.get(Weighted()).name == "weighted"
    with pytest.raises(
        ValueError, match=r"loss: expected an object with a gradient.*subclass tinycnn\.losses\.Loss"
    ):
        losses.get(lambda y_true, y_pred: 0.0)
    with pytest.raises(NotImplementedError, match="Loss: write row_losses"):
        Loss()(y_true, y_pred)
    with pytest.raises(NotImplementedError, match="Loss: write mean_gradient"):
        Loss().gradient(y_true, y_pred)


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("mse", MeanSquaredError),
        ("mae", MeanAbsoluteError),
        ("bce", BinaryCrossentropy),
        ("binary_crossentropy", BinaryCrossentropy),
        ("BinaryCrossentropy", BinaryCrossentropy),
        (SparseCategoricalCrossentropy, SparseCategoricalCrossentropy),
    ],
)
def test_names(name, cls):
    """Keras' names, long and short, and classes."""
    assert type(losses.get(name)) is cls


def test_get():
    """Names, the short one, objects, and unknown names."""
    assert isinstance(losses.get("mse"), MeanSquaredError)
    loss = CategoricalCrossentropy(label_smoothing=0.2)
    assert losses.get(loss) is loss
    with pytest.raises(ValueError, match=r"loss: expected one of .*received 'hinge'"):
        losses.get("hinge")
    with pytest.raises(ValueError, match=r"label_smoothing: expected a number in \[0, 1\], received 2"):
        CategoricalCrossentropy(label_smoothing=2)
