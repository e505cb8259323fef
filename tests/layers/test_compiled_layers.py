"""Layers on compiled kernels compute what they compute on NumPy."""

import numpy as np
import pytest

from tinycnn.layers import AveragePooling2D, Conv2D, Dense, DepthwiseConv2D, MaxPooling2D, SeparableConv2D

CASES = [
    (Conv2D, {"filters": 4, "kernel_size": (2, 3)}, (6, 7, 5)),
    (Conv2D, {"filters": 4, "kernel_size": (3, 2), "strides": (2, 3), "padding": "same"}, (7, 8, 3)),
    (Conv2D, {"filters": 5, "kernel_size": 2, "dilation_rate": (2, 1), "activation": "relu"}, (6, 4, 3)),
    (DepthwiseConv2D, {"kernel_size": (3, 2), "padding": "same", "strides": (2, 3)}, (7, 8, 33)),
    (DepthwiseConv2D, {"kernel_size": (2, 3), "depth_multiplier": 3, "activation": "relu"}, (5, 6, 4)),
    (
        SeparableConv2D,
        {"filters": 5, "kernel_size": (3, 2), "activation": "relu", "padding": "same"},
        (7, 8, 4),
    ),
    (MaxPooling2D, {"pool_size": (3, 2), "strides": (1, 2), "padding": "same"}, (5, 6, 4)),
    (AveragePooling2D, {"pool_size": (3, 2), "strides": (2, 1), "padding": "same"}, (5, 7, 4)),
]


def passes(layer, shape):
    """Return y, dx and the gradients of a layer's parameters."""
    rng = np.random.default_rng(0)
    layer.build(shape, rng)
    x = rng.standard_normal((3, *shape)).astype(np.float32)
    y = layer.forward(x, training=True)
    return [y, layer.backward(np.cos(y)), *layer.grads.values()]


@pytest.mark.parametrize(("layer", "arguments", "shape"), CASES, ids=str)
def test_every_pass(layer, arguments, shape):
    ours = passes(layer(**arguments, algorithm="direct"), shape)
    theirs = passes(layer(**arguments, algorithm="im2col"), shape)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


def test_a_dense_layer(monkeypatch):
    """Large enough for the kernel."""
    monkeypatch.delenv("TINYCNN_ALGORITHM", raising=False)
    ours = passes(Dense(31), (130,))
    monkeypatch.setenv("TINYCNN_ALGORITHM", "im2col")
    for a, b in zip(ours, passes(Dense(31), (130,)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())
