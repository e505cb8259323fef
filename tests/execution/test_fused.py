"""Fused layers compute what their layers compute one by one."""

import copy

import numpy as np
import pytest

from tests.networks import two_fused as network
from tests.networks import two_fused_data as data
from tinycnn import Sequential, kernels, mnist_cnn
from tinycnn.execution.fused import FusedConvMaxPool, fuse
from tinycnn.inspection import gradcheck
from tinycnn.kernels.selection import CONVOLUTIONS, LARGE_BATCH
from tinycnn.layers import AveragePooling2D, Conv2D, Dense, Dropout, Flatten, MaxPooling2D


def test_mnist_cnn():
    """Compiled, all of its layers run fused; before, and when asked for, none."""
    model = mnist_cnn(seed=0)
    assert model.plan().runnables == model.layers
    model.compile()
    assert [repr(each) for each in model.plan().runnables] == [
        "FusedConvReLU(conv2d_1)",
        "FusedConvMaxPool(conv2d_2, max_pooling2d_1, dropout_1)",
        "FusedConvReLU(conv2d_3)",
        "FusedConvMaxPool(conv2d_4, max_pooling2d_2, dropout_2)",
        "FusedDense(flatten_1, dense_1, dropout_3)",
        "FusedDense(dense_2)",
    ]
    assert model.plan().layers == model.layers
    model.compile(fuse=False)
    assert model.plan().runnables == model.layers


@pytest.mark.parametrize(
    "layers",
    [
        [Conv2D(3, 2), MaxPooling2D()],
        [Conv2D(3, 2, activation="tanh"), MaxPooling2D()],
        [Conv2D(3, 2, activation="relu", strides=2), MaxPooling2D()],
        [Conv2D(3, 2, activation="relu", dilation_rate=(1, 2)), MaxPooling2D()],
        [Conv2D(3, 2, activation="relu"), MaxPooling2D(padding="same")],
        [Conv2D(3, 2, activation="relu"), MaxPooling2D(algorithm="direct")],
        [Conv2D(3, 2, activation="relu", algorithm="direct"), MaxPooling2D()],
        [Conv2D(3, 2, activation="relu"), AveragePooling2D()],
        [Conv2D(3, 2, activation="relu"), Dropout(0.1), MaxPooling2D()],
    ],
    ids=repr,
)
def test_what_is_not_fused_with_a_pool(layers):
    """Layers are fused only where the kernels compute exactly that; the others run alone."""
    layers = copy.deepcopy(layers)
    Sequential(layers, input_shape=(11, 13, 2))
    runnables = fuse(layers, LARGE_BATCH)
    assert not any(isinstance(each, FusedConvMaxPool) for each in runnables)
    assert [layer for each in runnables for layer in getattr(each, "layers", [each])] == layers


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-5), pytest.param("float64", 1e-12, marks=pytest.mark.slow)]
)
def test_training_is_the_same_fused_or_not(dtype, tolerance):
    """Outputs, gradients, weights after some steps, and the same dropout."""
    x, y = data(dtype)
    one, other = network(True, dtype), network(False, dtype)
    np.testing.assert_allclose(one.predict(x), other.predict(x), rtol=tolerance, atol=tolerance)
    for _ in range(5):
        figures = one.train_on_batch(x, y), other.train_on_batch(x, y)
        np.testing.assert_allclose(*figures, rtol=10 * tolerance)
        np.testing.assert_allclose(one.gradients, other.gradients, atol=10 * tolerance)
    np.testing.assert_allclose(one.parameters, other.parameters, atol=100 * tolerance)
    assert one["dropout_1"].mask_index == other["dropout_1"].mask_index == 5


@pytest.mark.slow  # float64 has kernels of its own
def test_the_gradients_of_a_network_of_fused_layers():
    """Against finite differences, down to the pixels."""
    model = network(True, "float64")
    x, y = data("float64")

    def forward():
        model["dropout_1"].mask_index = 0
        return model.forward(x, training=True)

    dx = model.backward(model.loss.gradient(y, forward()))
    gradcheck.check_gradients(
        lambda: model.loss(y, forward()),
        {"x": x, "parameters": model.parameters},
        {"x": dx, "parameters": model.gradients.copy()},
    )


@pytest.mark.parametrize("algorithm", ["naive", "im2col", "direct"])
def test_a_request_is_obeyed(monkeypatch, algorithm):
    """By name in the layer, around it, or for the process: then the layers run one by one."""
    called = []
    for name in ("naive", "im2col", "direct"):
        module = kernels.conv.implementation(kernels.choose("conv2d", name))
        for function in CONVOLUTIONS:
            monkeypatch.setattr(module, function, recorded(called, name, getattr(module, function)))
    x, _ = data()
    first = network(True, algorithm=algorithm).plan().runnables[0]
    assert isinstance(first, Conv2D)
    first.backward(first.forward(x, training=True))
    assert called == [algorithm] * 3
    called.clear()
    with kernels.use_algorithm(algorithm):
        model = network(True)
        model.backward(model.forward(x, training=True))
    assert called == [algorithm] * 6


def recorded(called, name, function):
    return lambda *arguments, **named: called.append(name) or function(*arguments, **named)


@pytest.mark.parametrize("fuse", [True, False])
def test_backward_needs_a_training_forward(fuse):
    model = network(fuse)
    x, _ = data()
    y = model.forward(x)
    with pytest.raises(ValueError, match="before backward"):
        model.backward(y)


class Doubled(Dense):
    def forward(self, x, training=False):
        return 2 * super().forward(x, training)


def test_a_subclass_runs_alone():
    """It may compute something else."""
    model = Sequential([Flatten(), Doubled(3), Dropout(0.1)], seed=0, input_shape=(4, 5, 1))
    model.compile(loss="mse")
    assert model.plan().runnables == model.layers


def test_layers_that_are_added_after_compile_are_fused_too():
    model = Sequential([Conv2D(3, 2, activation="relu")], seed=0)
    model.compile(loss="mse")
    for layer in (MaxPooling2D(2), Flatten(), Dense(4, activation="softmax")):
        model.add(layer)
    assert model.predict(np.ones((12, 5, 6, 1), np.float32)).shape == (12, 4)
    assert [type(each).__name__ for each in model.plan().runnables] == ["FusedConvMaxPool", "FusedDense"]


def test_a_copy_has_fused_layers_of_its_own():
    """They train the copy's layers."""
    model = network(True)
    model.plan()
    other = copy.deepcopy(model)
    assert other.plan().runnables[0].conv is other[0]
    x, y = data()
    model.train_on_batch(x, y)
    other.train_on_batch(x, y)
    np.testing.assert_array_equal(model.parameters, other.parameters)
