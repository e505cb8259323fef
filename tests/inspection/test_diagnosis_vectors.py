"""Diagnosis of dense networks for vectors: faults that look like other faults, and their neighbours."""

import numpy as np
import pytest

from tinycnn import Sequential
from tinycnn.inspection import diagnose
from tinycnn.layers import Dense, GlobalAveragePooling2D
from tinycnn.optimizers import SGD, Adam

pytestmark = pytest.mark.smoke

FEATURES, CLASSES = 8, 3
SPARSE = "sparse_categorical_crossentropy"


def clusters(count=500, seed=0):
    """Return vectors around the centre of their class, and the classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, count)
    centres = rng.normal(0, 1.5, (CLASSES, FEATURES))
    return (centres[y] + rng.normal(size=(count, FEATURES))).astype(np.float32), y


def curve(mean=0.0, deviation=1.0, count=400, seed=0):
    """Return vectors, and targets of this mean and deviation that are a smooth function of them."""
    x = np.random.default_rng(seed).normal(size=(count, FEATURES)).astype(np.float32)
    y = np.sin(x[:, 0]) + 0.5 * x[:, 1] - 0.3 * x[:, 2] * x[:, 3]
    return x, (mean + deviation * (y - y.mean()) / y.std())[:, None].astype(np.float32)


def dense(*hidden, activation="relu", end="softmax", units=CLASSES, loss=SPARSE, optimizer=None):
    layers = [*(Dense(n, activation) for n in hidden), Dense(units, end)]
    model = Sequential(layers, seed=3, input_shape=(FEATURES,))
    model.compile(optimizer or Adam(0.001), loss)
    return model


def regression(loss="mse", optimizer=None):
    return dense(24, activation="tanh", end=None, units=1, loss=loss, optimizer=optimizer or Adam(0.01))


def amplified(model, layer, factor):
    """Return a network with a kernel that is multiplied."""
    model.layers[layer].params["kernel"] = factor * model.layers[layer].params["kernel"]
    return model


def found(model, x, y):
    return [(finding.severity, finding.check) for finding in diagnose(model, x, y).findings]


@pytest.mark.parametrize(
    ("mean", "deviation", "loss"), [(60, 2, "mse"), (-30, 0.5, "mae"), (60, 10, "mse"), (11, 1, "mse")]
)
def test_targets_far_from_zero_are_not_blamed_on_the_network(mean, deviation, loss):
    assert found(regression(loss), *curve(mean, deviation)) == [("fault", "unscaled_targets")]


def test_one_target_of_several_is_far_from_zero():
    x, y = curve()
    y = np.hstack([y, y + 40])
    model = dense(24, activation="tanh", end=None, units=2, loss="mse")
    (finding,) = diagnose(model, x, y).findings
    assert finding.check == "unscaled_targets"
    assert finding.figures["mean"] == pytest.approx(40, abs=1e-3)
    assert finding.figures["deviation"] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("mean", "deviation"), [(5, 1), (8, 1), (20, 10), (15, 8), (-5, 0.5)])
def test_targets_within_reach_are_healthy(mean, deviation):
    assert found(regression(), *curve(mean, deviation)) == []


@pytest.mark.parametrize(
    ("hidden", "activation", "optimizer"),
    [
        ((24, 24, 24), "tanh", Adam(0.5)),
        ((24,), "sigmoid", SGD(50.0)),
        ((), None, SGD(100.0)),
        ((16,), "relu", Adam(1.0)),
    ],
)
def test_a_rate_that_overthrows_the_first_weights_is_high(hidden, activation, optimizer):
    """Even if the loss falls afterwards; the last steps of the third are tiny, since it has learned."""
    model = dense(*hidden, activation=activation, optimizer=optimizer)
    (finding,) = diagnose(model, *clusters()).findings
    assert finding.check == "learning_rate_high"
    assert finding.figures["largest_update"] > 1


@pytest.mark.parametrize(
    ("hidden", "activation", "optimizer"),
    [
        ((), None, SGD(1.0)),
        ((), None, Adam(0.1)),
        ((24, 24, 24), "tanh", Adam(0.1)),
        ((24, 24), "sigmoid", SGD(0.5)),
        ((16,), "relu", SGD(0.001, 0.9)),
    ],
)
def test_a_rate_by_which_the_loss_falls_from_the_first_step_is_healthy(hidden, activation, optimizer):
    """The first takes a step larger than its weights, and its loss does not rise."""
    assert found(dense(*hidden, activation=activation, optimizer=optimizer), *clusters()) == []


def test_units_of_unlike_size_are_not_equal():
    """All units but one are small beside that one, and differ from each other."""
    model = dense(16)
    kernel = model.layers[0].params["kernel"].copy()
    kernel[:, 0] *= 1e6
    model.layers[0].params["kernel"] = kernel
    assert found(model, *clusters()) == [("fault", "large_weights")]


def test_the_same_weights_in_another_size_are_no_equal_units():
    model = dense(6, activation="tanh")
    model.layers[0].params["kernel"] = np.full((FEATURES, 6), 0.1) * np.arange(1, 7)
    assert "equal_weights" not in [check for _, check in found(model, *clusters())]
    model.layers[0].params["kernel"] = np.full((FEATURES, 6), 0.1)
    assert found(model, *clusters()) == [("fault", "equal_weights")]


def test_first_weights_do_not_name_the_classes():
    """Few classes fall on different outputs by chance; such a network cannot have been trained."""
    model = amplified(dense(), 0, 6)
    assert found(model, *clusters()) == [("fault", "initial_loss")]
    x, y = clusters()
    trained = dense(optimizer=Adam(0.03))
    trained.fit(x, y, epochs=40, verbose=0)
    assert found(trained, x, (y + 1) % CLASSES) == [("fault", "renamed_labels")]


def test_first_weights_that_are_lucky_do_not_excuse_dead_units():
    """Of easy clusters: the loss is below that of a constant prediction from the start."""
    model = dense(20, 20)
    model.layers[0].params["bias"] = np.where(np.arange(20) < 12, -30.0, 0.0)
    x, y = clusters()
    report = diagnose(model, x, y)
    assert report.figures["loss"] < 0.8 * np.log(CLASSES)
    assert [(f.severity, f.check) for f in report.findings] == [("fault", "dead_relus")]


def test_few_images_of_small_classes_do_not_judge_labels():
    x, y = clusters()
    y = np.where(np.arange(len(y)) % 97 == 0, y, 0)
    checks = found(dense(16), x, y)
    assert checks == [("warning", "imbalanced_labels"), ("note", "labels_not_judged")]


def test_layers_that_leave_nothing_of_the_images():
    """The means of images that are centred one by one are all 0."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 7, 5, 2)), rng.integers(0, CLASSES, 300)
    x -= x.mean(axis=(1, 2), keepdims=True)
    model = Sequential([GlobalAveragePooling2D(), Dense(CLASSES, "softmax")], seed=1, input_shape=(7, 5, 2))
    model.compile(Adam(0.01), SPARSE)
    finding = diagnose(model, x.astype(np.float32), y).findings[0]
    assert finding.check == "unscaled_inputs"
    assert finding.message.startswith("the layers before 'dense_1' leave next to nothing of the images")
    assert "scaled twice" not in finding.cure
