"""Every loss, its gradient, and the accuracy, against Keras 3 and PyTorch."""

import numpy as np
import pytest

from tests.peers.peer_helpers import TOLERANCE, assert_close, random_array, random_labels
from tinycnn import activations, metrics
from tinycnn.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)

CROSSENTROPIES = [CategoricalCrossentropy, SparseCategoricalCrossentropy]


def labels_for(cls, rng, count, classes, dtype):
    """Return labels in the form that a cross-entropy takes."""
    labels, rows = random_labels(rng, count, classes)
    return labels if cls is SparseCategoricalCrossentropy else rows.astype(dtype)


def own_value_and_gradient(loss, y_true, logits):
    """Return the loss and its gradient at the logits, through the softmax unless the loss has it."""
    if getattr(loss, "from_logits", True):
        return loss(y_true, logits), loss.gradient(y_true, logits)
    p = activations.softmax(logits)
    return loss(y_true, p), activations.softmax_gradient(p, loss.gradient(y_true, p))


def keras_value_and_gradient(tf, loss, y_true, logits, from_logits=True, sample_weight=None):
    z = tf.convert_to_tensor(logits)
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = loss(y_true, z if from_logits else tf.nn.softmax(z), sample_weight)
    return float(value), tape.gradient(value, z)


def torch_value_and_gradient(torch, function, y_true, logits):
    z = torch.tensor(logits, requires_grad=True)
    value = function(z, torch.tensor(y_true))
    value.backward()
    return value.item(), z.grad


def compare(ours, theirs, dtype):
    """The value, and the gradient."""
    assert ours[0] == pytest.approx(theirs[0], rel=TOLERANCE[dtype])
    assert_close(ours[1], theirs[1])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("cls", CROSSENTROPIES)
def test_crossentropy_keras(tf, keras, cls, from_logits, seed, dtype):
    rng = np.random.default_rng(seed)
    logits, y_true = 3 * random_array(rng, (7, 5), dtype), labels_for(cls, rng, 7, 5, dtype)
    loss = getattr(keras.losses, cls.__name__)(from_logits=from_logits, dtype=dtype)
    ours = own_value_and_gradient(cls(from_logits), y_true, logits)
    compare(ours, keras_value_and_gradient(tf, loss, y_true, logits, from_logits), dtype)


@pytest.mark.parametrize("from_logits", [True, False])
def test_label_smoothing_keras(tf, keras, from_logits, dtype):
    rng = np.random.default_rng(4)
    logits, y_true = 3 * random_array(rng, (7, 5), dtype), random_labels(rng, 7, 5)[1].astype(dtype)
    loss = keras.losses.CategoricalCrossentropy(from_logits, label_smoothing=0.125, dtype=dtype)
    ours = own_value_and_gradient(CategoricalCrossentropy(from_logits, 0.125), y_true, logits)
    compare(ours, keras_value_and_gradient(tf, loss, y_true, logits, from_logits), dtype)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("cls", CROSSENTROPIES)
def test_crossentropy_torch(torch, cls, from_logits, label_smoothing, dtype):
    """PyTorch starts from logits only: its gradient there is that of ours through the softmax."""
    rng = np.random.default_rng(5)
    logits, y_true = 3 * random_array(rng, (11, 6), dtype), labels_for(cls, rng, 11, 6, dtype)
    ours = own_value_and_gradient(cls(from_logits, label_smoothing), y_true, logits)

    def function(z, labels):
        return torch.nn.functional.cross_entropy(z, labels, label_smoothing=label_smoothing)

    compare(ours, torch_value_and_gradient(torch, function, y_true, logits), dtype)


def test_crossentropy_of_probabilities_torch(torch, dtype):
    """The gradient at the probabilities themselves, divided by their sum, for labels that are not one-hot."""
    rng = np.random.default_rng(6)
    p = activations.softmax(random_array(rng, (7, 5), dtype))
    y_true = activations.softmax(random_array(rng, (7, 5), dtype))
    loss = CategoricalCrossentropy()
    ours = loss(y_true, p), loss.gradient(y_true, p)

    def function(p, labels):
        return -(labels * (p / p.sum(dim=1, keepdim=True)).log()).sum(dim=1).mean()

    compare(ours, torch_value_and_gradient(torch, function, y_true, p), dtype)


@pytest.mark.parametrize("shape", [(7, 5), (3, 5, 4, 2)])
def test_mean_squared_error(tf, keras, torch, shape, dtype):
    rng = np.random.default_rng(7)
    y_true, y_pred = random_array(rng, shape, dtype), random_array(rng, shape, dtype)
    ours = own_value_and_gradient(MeanSquaredError(), y_true, y_pred)
    loss = keras.losses.MeanSquaredError(dtype=dtype)
    compare(ours, keras_value_and_gradient(tf, loss, y_true, y_pred), dtype)
    compare(ours, torch_value_and_gradient(torch, torch.nn.functional.mse_loss, y_true, y_pred), dtype)


@pytest.mark.parametrize("cls", CROSSENTROPIES)
def test_huge_logits(tf, keras, torch, cls, dtype):
    """Right and wrong by 10,000: values and gradients are finite, and the peers'."""
    rng = np.random.default_rng(8)
    logits = 1e4 * np.where(rng.random((7, 5)) < 0.5, -1, 1).astype(dtype)
    y_true = labels_for(cls, rng, 7, 5, dtype)
    ours = own_value_and_gradient(cls(from_logits=True), y_true, logits)
    assert np.isfinite(ours[0])
    assert np.isfinite(ours[1]).all()
    loss = getattr(keras.losses, cls.__name__)(from_logits=True, dtype=dtype)
    compare(ours, keras_value_and_gradient(tf, loss, y_true, logits), dtype)
    function = torch.nn.functional.cross_entropy
    compare(ours, torch_value_and_gradient(torch, function, y_true, logits), dtype)


@pytest.mark.parametrize("cls", CROSSENTROPIES)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("size", [30, 1e4])
def test_saturated_softmax(torch, cls, size, label_smoothing, dtype):
    """However small the probabilities, the gradient at the logits is that of PyTorch's cross-entropy.

    The value is cut off where a probability is no longer a normal number. Keras is left out: it cuts
    probabilities at 1e-7 and has no gradient there.
    """
    rng = np.random.default_rng(9)
    logits = size * np.where(rng.random((7, 5)) < 0.5, -1, 1).astype(dtype)
    y_true = labels_for(cls, rng, 7, 5, dtype)
    value, gradient = own_value_and_gradient(cls(False, label_smoothing), y_true, logits)

    def function(z, labels):
        return torch.nn.functional.cross_entropy(z, labels, label_smoothing=label_smoothing)

    theirs = torch_value_and_gradient(torch, function, y_true, logits)
    assert_close(gradient, theirs[1])
    if size == 30:
        assert value == pytest.approx(theirs[0], rel=TOLERANCE[dtype])
    assert np.isfinite(value)


def outputs_for(cls, rng, shape, dtype, from_logits=True):
    """Return labels, and outputs that are not normalised."""
    if cls in CROSSENTROPIES:
        flat = labels_for(cls, rng, int(np.prod(shape[:-1])), shape[-1], dtype)
        y_true = flat.reshape(*shape[:-1], *flat.shape[1:])
    elif cls is BinaryCrossentropy:
        y_true = rng.integers(0, 2, shape).astype(dtype)
    else:
        y_true = random_array(rng, shape, dtype)
    outputs = 3 * random_array(rng, shape, dtype)
    return y_true, outputs if from_logits else (0.9 / (1 + np.exp(-outputs))).astype(dtype)


EVERY = [
    *((cls, {"from_logits": logits}) for cls in (*CROSSENTROPIES, BinaryCrossentropy) for logits in (0, 1)),
    *(
        (cls, {"from_logits": logits, "label_smoothing": 0.125})
        for cls in (CategoricalCrossentropy, BinaryCrossentropy)
        for logits in (0, 1)
    ),
    (MeanSquaredError, {}),
    (MeanAbsoluteError, {}),
]


@pytest.mark.parametrize("weights", [None, [0.5, 2, 0, 1, 3, 1, 1]])
@pytest.mark.parametrize("shape", [(7, 5), (7, 2), (7, 3, 4, 5)])
@pytest.mark.parametrize(("cls", "arguments"), EVERY)
def test_weights_keras(tf, keras, cls, arguments, shape, weights, dtype):
    """Every loss, of probabilities that do not sum to 1 too, weighted by rows: value and gradient.

    Keras weights the pixels of maps: there each row's weight stands at every pixel.
    """
    arguments = {key: bool(value) if key == "from_logits" else value for key, value in arguments.items()}
    y_true, y_pred = outputs_for(
        cls, np.random.default_rng(10), shape, dtype, arguments.get("from_logits", True)
    )
    loss = getattr(keras.losses, cls.__name__)(**arguments, dtype=dtype)
    pixels = None if weights is None else np.array(weights, dtype).reshape(7, *[1] * (len(shape) - 2))
    pixels = None if weights is None else np.broadcast_to(pixels, shape[:-1])
    theirs = keras_value_and_gradient(tf, loss, y_true, y_pred, sample_weight=pixels)
    own = cls(**arguments)
    compare((own(y_true, y_pred, weights), own.gradient(y_true, y_pred, weights)), theirs, dtype)


@pytest.mark.parametrize("cls", [BinaryCrossentropy, MeanSquaredError, MeanAbsoluteError])
def test_labels_of_one_axis(tf, keras, cls, dtype):
    """(N,) for outputs (N, 1)."""
    y_true, y_pred = outputs_for(cls, np.random.default_rng(12), (7, 1), dtype)
    arguments = {"from_logits": True} if cls is BinaryCrossentropy else {}
    loss = getattr(keras.losses, cls.__name__)(**arguments, dtype=dtype)
    own = cls(**arguments)
    theirs = keras_value_and_gradient(tf, loss, y_true[:, 0], y_pred)
    compare((own(y_true[:, 0], y_pred), own.gradient(y_true[:, 0], y_pred)), theirs, dtype)


@pytest.mark.parametrize("size", [30, 1e4])
def test_binary_crossentropy_torch(torch, size, dtype):
    """Far out: of logits, and of the sigmoid, through its gradient, where Keras' clipping has none."""
    rng = np.random.default_rng(13)
    logits = size * np.where(rng.random((7, 5)) < 0.5, -1, 1).astype(dtype)
    y_true = rng.integers(0, 2, (7, 5)).astype(dtype)
    theirs = torch_value_and_gradient(
        torch, torch.nn.functional.binary_cross_entropy_with_logits, y_true, logits
    )
    loss = BinaryCrossentropy(from_logits=True)
    compare((loss(y_true, logits), loss.gradient(y_true, logits)), theirs, dtype)
    p = activations.sigmoid(logits)
    gradient = activations.sigmoid_gradient(p, BinaryCrossentropy().gradient(y_true, p))
    assert_close(gradient, theirs[1])


@pytest.mark.parametrize("weights", [None, [0.5, 2, 0, 1, 3, 1, 1]])
@pytest.mark.parametrize(
    ("name", "theirs", "classes", "sparse"),
    [
        ("accuracy", "SparseCategoricalAccuracy", 5, True),
        ("accuracy", "CategoricalAccuracy", 5, False),
        ("accuracy", "BinaryAccuracy", 1, False),
        ("binary_accuracy", "BinaryAccuracy", 3, False),
        ("top_k_categorical_accuracy", "SparseTopKCategoricalAccuracy", 8, True),
        ("top_k_categorical_accuracy", "TopKCategoricalAccuracy", 8, False),
        ("mse", "MeanSquaredError", 3, False),
        ("mae", "MeanAbsoluteError", 1, False),
        ("binary_crossentropy", "BinaryCrossentropy", 3, False),
        ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy", 4, True),
    ],
)
def test_weighted_metrics(keras, name, theirs, classes, sparse, weights):
    rng = np.random.default_rng(14)
    y_pred = activations.sigmoid(random_array(rng, (7, classes)))
    labels = rng.integers(0, classes, 7)
    rows = np.eye(classes)[labels] if classes > 3 else rng.integers(0, 2, (7, classes))
    y_true = labels if sparse else rows
    expected = float(getattr(keras.metrics, theirs)()(y_true, y_pred, weights))
    assert metrics.get(name)(y_true, y_pred, sample_weight=weights) == pytest.approx(expected, rel=1e-5)


def test_accuracy(keras):
    rng = np.random.default_rng(11)
    labels, rows = random_labels(rng, 50, 5)
    y_pred = activations.softmax(2 * rows + random_array(rng, (50, 5)))
    theirs = float(keras.metrics.SparseCategoricalAccuracy()(labels, y_pred))
    assert 0.2 < theirs < 1
    assert metrics.accuracy(labels, y_pred) == pytest.approx(theirs, abs=1e-6)
    assert metrics.accuracy(rows, y_pred) == pytest.approx(theirs, abs=1e-6)
