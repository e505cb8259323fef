"""The checker itself: it passes what is right, finds what is wrong, and stays away from kinks."""

import numpy as np
import pytest

from tinycnn import Sequential, losses
from tinycnn.inspection.gradcheck import GradientError, check_gradients, check_layer
from tinycnn.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MaxPooling2D,
)


@pytest.mark.slow
@pytest.mark.smoke
def test_a_whole_small_network():
    """From the loss to the pixels and to every parameter, in one vector."""
    model = Sequential(
        [
            Conv2D(3, (3, 2), activation="relu"),
            BatchNormalization(),
            MaxPooling2D(2),
            Dropout(0.3),
            Conv2D(4, (2, 1), padding="same", activation="tanh"),
            Flatten(),
            Dense(6, activation="leaky_relu"),
            Dense(5, activation="softmax"),
        ],
        seed=0,
        input_shape=(7, 6, 2),
        dtype="float64",
    )
    rng = np.random.default_rng(0)
    model.parameters += 0.1 * rng.standard_normal(model.parameters.shape)
    x, labels = rng.standard_normal((3, 7, 6, 2)), np.array([0, 3, 4])
    loss = losses.SparseCategoricalCrossentropy()

    def forward():
        model["dropout_1"].mask_index = 0  # the same mask each time
        return model.forward(x, training=True)

    dx = model.backward(loss.gradient(labels, forward()))
    report = check_gradients(
        lambda: loss(labels, forward()),
        {"x": x, "parameters": model.parameters},
        {"x": dx, "parameters": model.gradients.copy()},
        max_elements=1000,
    )
    assert len(report.entries) + sum(report.kinks.values()) == x.size + model.parameters.size


class Wrong(Layer):
    """A layer y = x**2 + bias whose backward has the error that it is given."""

    def __init__(self, error):
        super().__init__()
        self.error = error
        self._initializers = {"bias": lambda shape, rng: rng.standard_normal(shape)}

    def param_shapes(self, input_shape):
        return {"bias": input_shape}

    def forward(self, x, training=False):
        self._saved = x
        return x**2 + self.params["bias"]

    def backward(self, dy):
        dx = 2 * self._saved * dy
        if self.error == "one element":
            dx[1, 2, 0] *= 1.001
        if self.error == "transposed":
            dx = dx.reshape(dx.shape[0], dx.shape[2], dx.shape[1]).transpose(0, 2, 1).copy()
        self.grads["bias"][...] = dy[0] if self.error == "batch sum" else dy.sum(axis=0)
        return np.full_like(dx, np.nan) if self.error == "nan" else dx


@pytest.mark.parametrize("max_elements", [200, 1])
@pytest.mark.parametrize(
    ("error", "array"), [("one element", "x"), ("transposed", "x"), ("batch sum", "bias"), ("nan", "x")]
)
def test_wrong_gradients_are_found(error, array, max_elements):
    """Element by element, and along random directions."""
    with pytest.raises(GradientError, match="FAILED") as caught:
        check_layer(Wrong(error), (5, 4), max_elements=max_elements)
    assert f"\n{array}" in str(caught.value)


def test_the_report_names_the_element():
    """Array, index, analytic, numeric and relative error."""
    report = check_layer(Wrong("one element"), (5, 4), raise_error=False)
    (entry,) = report.failures
    assert (entry.array, entry.index) == ("x", (1, 2, 0))
    assert entry.analytic == pytest.approx(1.001 * entry.numeric, rel=1e-6)
    assert entry.error == pytest.approx(0.001, rel=1e-2)
    last = str(report).splitlines()[-1].split()
    assert last[:4] == ["x", "(1,", "2,", "0)"]
    assert not report.passed
    assert check_layer(Wrong(None), (5, 4)).passed


def test_an_upstream_of_ones_would_miss_a_softmax_that_returns_zeros():
    """The reason for the random one."""

    class Zeros(Activation):
        def backward(self, dy):
            return np.zeros_like(dy)

    with pytest.raises(GradientError):
        check_layer(Zeros("softmax"), (5,))


def test_kinks_are_left_out_and_counted():
    """A ReLU exactly at 0 has no derivative; too many of these and the check says so."""
    x = np.random.default_rng(0).standard_normal((3, 20))
    x[1, 4] = 0
    report = check_layer(Activation("relu"), (20,), x=x)
    assert report.kinks == {"x": 1}
    assert len(report.entries) == x.size - 1
    with pytest.raises(GradientError, match=r"x: too many kinks \(60\)"):
        check_layer(Activation("relu"), (20,), x=np.zeros((3, 20)))


def test_near_kinks_a_smaller_step_is_tried():
    """2e-6 from the kink: within the first step, outside the smaller ones."""
    x = np.random.default_rng(0).standard_normal((2, 8))
    x[0, 3] = 2e-6
    report = check_layer(Activation("relu"), (8,), x=x)
    assert report.kinks == {"x": 0}


def test_the_layer_and_the_arrays_are_left_as_they_were():
    """The layer is copied; arrays get their values back, to the bit."""
    layer = Dense(3)
    check_layer(layer, (4,))
    assert not layer.built
    array = np.random.default_rng(0).random(6)
    before = array.copy()
    check_gradients(lambda: float((array**3).sum()), {"a": array}, {"a": 3 * array**2})
    np.testing.assert_array_equal(array, before)


class Changing(Layer):
    """y = 2 x, and a backward pass that is right or four times too large, in dy's own memory or in x's."""

    def __init__(self, change, factor=2):
        super().__init__()
        self.change, self.factor = change, factor

    def param_shapes(self, input_shape):
        return {}

    def forward(self, x, training=False):
        self._x = x
        if self.change == "x in forward":
            x *= 2
            return x
        return 2 * x

    def backward(self, dy):
        if self.change == "x in backward":
            self._x *= 2
        if self.change != "dy":
            return self.factor * dy
        dy *= self.factor
        return dy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("dy", "backward changed its argument dy"),
        ("x in forward", "forward changed its argument x"),
        ("x in backward", "backward changed its argument x"),
    ],
)
def test_a_layer_that_changes_its_arguments_is_refused(change, message):
    """Whether its gradient is right or not: it is compared with arrays that the layer must not touch."""
    for factor in (2, 4):
        with pytest.raises(ValueError, match=message):
            check_layer(Changing(change, factor), (3,))
    with pytest.raises(GradientError):
        check_layer(Changing(None, 4), (3,))
    assert check_layer(Changing(None), (3,)).passed


def test_a_gradient_may_be_the_array_itself():
    """That of sum(a**2) / 2 is a, and must not follow a while a is varied."""
    a = np.random.default_rng(0).standard_normal(5)
    assert check_gradients(lambda: float((a**2).sum() / 2), {"a": a}, {"a": a}).passed


def test_what_was_not_tested_has_not_passed():
    """No elements, no directions, a function of chance: nothing was compared."""
    empty, a, rng = np.zeros((0, 3)), np.ones(300), np.random.default_rng(0)
    assert not check_gradients(lambda: 0.0, {"a": empty}, {"a": empty}, raise_error=False).passed
    with pytest.raises(ValueError, match="directions: expected a whole number >= 1"):
        check_gradients(lambda: 0.0, {"a": a}, {"a": 0 * a}, directions=0)
    with pytest.raises(ValueError, match="function: expected the same finite number each time"):
        check_gradients(lambda: float(rng.random()), {"a": a}, {"a": 0 * a})


def test_a_gradient_of_exactly_zero_passes():
    """Where the function does not depend on an array, noise must not count as an error."""
    a, b = np.ones(3), np.ones(4)
    check_gradients(lambda: float(np.sin(a).sum()), {"a": a, "b": b}, {"a": np.cos(a), "b": np.zeros(4)})


@pytest.mark.parametrize(
    ("arrays", "gradients", "message"),
    [
        ({"a": np.zeros(2, np.float32)}, {"a": np.zeros(2)}, "a: expected float64, received float32"),
        ({"a": np.zeros(2)}, {"b": np.zeros(2)}, r"expected the names \['a'\], received \['b'\]"),
        ({"a": np.zeros(2)}, {"a": np.zeros(3)}, r"gradient of a: expected shape \(2,\), received \(3,\)"),
    ],
)
def test_errors(arrays, gradients, message):
    """Name, expected, received."""
    with pytest.raises(ValueError, match=message):
        check_gradients(lambda: 0.0, arrays, gradients)
