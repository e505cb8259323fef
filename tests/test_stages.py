"""Stages compute what their layers compute one by one."""

import copy

import numpy as np
import pytest

from tinycnn import Sequential, gradcheck, kernels, mnist_cnn
from tinycnn.layers import AveragePooling2D, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tinycnn.stages import ConvPoolStage, ConvStage, group


def network(fuse, dtype="float64", algorithm="auto", **conv):
    """Two stages, with and without dropout and bias, on sizes that all differ."""
    model = Sequential(
        [
            Conv2D(7, (3, 2), activation="relu", padding=((1, 0), (0, 2)), algorithm=algorithm, **conv),
            MaxPooling2D((2, 3)),
            Dropout(0.3),
            Conv2D(17, 2, activation="relu", use_bias=False),
            MaxPooling2D(2, strides=1),
            Flatten(),
            Dense(5, activation="softmax"),
        ],
        seed=3,
        input_shape=(11, 13, 3),
        dtype=dtype,
    )
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"], fuse=fuse)
    return model


def data(dtype="float64"):
    rng = np.random.default_rng(0)
    return rng.standard_normal((6, 11, 13, 3)).astype(dtype), rng.integers(0, 5, 6)


def test_the_documented_network_has_four_stages():
    model = mnist_cnn(seed=0)
    assert model.stages is model.layers
    model.compile()
    assert [repr(stage) for stage in model.stages if isinstance(stage, ConvStage)] == [
        "ConvStage(conv2d_1)",
        "ConvPoolStage(conv2d_2, max_pooling2d_1, dropout_1)",
        "ConvStage(conv2d_3)",
        "ConvPoolStage(conv2d_4, max_pooling2d_2, dropout_2)",
    ]
    assert len(model.stages) == 8
    model.compile(fuse=False)
    assert list(model.stages) == model.layers


@pytest.mark.parametrize(
    "layers",
    [
        [Conv2D(3, 2), MaxPooling2D()],
        [Conv2D(3, 2, activation="tanh"), MaxPooling2D()],
        [Conv2D(3, 2, activation="relu", strides=2), MaxPooling2D()],
        [Conv2D(3, 2, activation="relu", dilation_rate=(1, 2)), MaxPooling2D()],
        [Conv2D(3, 2, activation="relu"), MaxPooling2D(padding="same")],
        [Conv2D(3, 2, activation="relu"), AveragePooling2D()],
        [Conv2D(3, 2, activation="relu"), Dropout(0.1), MaxPooling2D()],
    ],
    ids=repr,
)
def test_what_is_not_joined(layers):
    """A stage is only what it computes exactly; the other layers run alone."""
    stages = group(layers)
    assert not any(isinstance(stage, ConvPoolStage) for stage in stages)
    assert [layer for stage in stages for layer in getattr(stage, "layers", [stage])] == layers


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
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
    assert one["dropout_1"].step == other["dropout_1"].step == 5


def test_the_gradients_of_a_network_of_stages():
    """Against finite differences, down to the pixels."""
    model = network(True)
    x, y = data()

    def forward():
        model["dropout_1"].step = 0
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
    x, _ = data()
    stage = network(True, algorithm=algorithm).stages[0]  # its pool is not asked for by name
    used = []
    module = kernels.module
    monkeypatch.setattr(kernels, "module", lambda name: used.append(name) or module(name))
    stage.backward(stage.forward(x, training=True))
    assert used == [algorithm, "direct", "direct", algorithm, algorithm]
    used.clear()
    with kernels.use_algorithm(algorithm):
        other = network(True).stages[0]
        other.backward(other.forward(x, training=True))
    assert set(used) == {algorithm}


def test_a_stage_needs_a_training_forward():
    model = network(True)
    x, _ = data()
    stage = model.stages[0]
    y = stage.forward(x)
    with pytest.raises(ValueError, match="before backward"):
        stage.backward(y)


def test_a_layer_that_is_added_after_compile_runs_too():
    """Also when it joins the layer before it."""
    model = Sequential([Conv2D(3, 2, activation="relu")], seed=0)
    model.compile()
    assert [type(stage).__name__ for stage in model.stages] == ["ConvStage"]
    for layer in (MaxPooling2D(2), Flatten(), Dense(4, activation="softmax")):
        model.add(layer)
    assert [type(stage).__name__ for stage in model.stages] == ["ConvPoolStage", "Flatten", "Dense"]
    assert model.predict(np.ones((2, 5, 6, 1), np.float32)).shape == (2, 4)


def test_a_copy_has_stages_of_its_own():
    """Its stages train the copy's layers."""
    model = network(True)
    other = copy.deepcopy(model)
    assert other.stages[0].conv is other[0]
    x, y = data()
    model.train_on_batch(x, y)
    other.train_on_batch(x, y)
    np.testing.assert_array_equal(model.parameters, other.parameters)
