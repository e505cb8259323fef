"""Networks that hypothesis draws: every layer, with any of its arguments, in small sizes.

::

    @given(networks())
    def test(model): ...                 model is a built Sequential of 2 to 12 layers, with random weights

An example shrinks to few layers and small sizes. All are networks that Keras has too: it refuses strides and
dilation both above 1, and in depthwise convolutions strides that differ.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinycnn import Sequential, regularizers
from tinycnn.activations import ACTIVATIONS
from tinycnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GaussianNoise,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
    ReLU,
    Reshape,
    SeparableConv2D,
    Softmax,
    UpSampling2D,
    ZeroPadding2D,
)

LARGEST = 12  # rows, columns and channels
INITIALIZERS = ["glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "zeros", "ones"]
Draw = Callable[[Any], Any]
Shape = tuple[int, ...]

# "linear" comes back from Keras as None, which is the same
_activation = st.sampled_from([None, *sorted(ACTIVATIONS.keys() - {"linear"})])
_rate = st.sampled_from([0.0, 0.25, 0.5])
_seed = st.none() | st.integers(0, 2**32 - 1)
_initializer = st.sampled_from(INITIALIZERS)
_regularizer = st.sampled_from(
    [None, regularizers.L1(0.25), regularizers.L2(0.5), regularizers.L1L2(0.1, 0.2)]
)
_pads = st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2)


def _window(draw: Draw, shape: Shape, equal_strides: bool = False) -> dict[str, Any]:
    """Return kernel size, strides, padding and dilation of a convolution that fits."""
    size = tuple(draw(st.integers(1, min(3, n))) for n in shape[:2])
    own: dict[str, Any] = {"kernel_size": size}
    own["padding"] = draw(st.sampled_from(["valid", "same"]) | _pads)
    kind = draw(st.sampled_from(["plain", "strides", "dilation"]))
    if kind == "strides":
        one = draw(st.integers(1, 2))
        own["strides"] = (one, one) if equal_strides else (one, draw(st.integers(1, 2)))
    if kind == "dilation":
        rate = min(2, *((n - 1) // max(1, k - 1) for n, k in zip(shape, size, strict=False)))
        own["dilation_rate"] = max(1, rate)
    return own


def _common(draw: Draw, *weights: str) -> dict[str, Any]:
    """Return the other arguments of a layer with these weights."""
    own = {f"{weight}_initializer": draw(_initializer) for weight in weights}
    own["bias_initializer"] = draw(st.sampled_from(["zeros", "ones"]))
    own |= {f"{weight}_regularizer": draw(_regularizer) for weight in (*weights, "bias")}
    return own | {"activation": draw(_activation), "use_bias": draw(st.booleans())}


def _conv(draw: Draw, shape: Shape) -> Any:
    return Conv2D(draw(st.integers(1, 4)), **_window(draw, shape), **_common(draw, "kernel"))


def _depthwise(draw: Draw, shape: Shape) -> Any:
    multiplier = draw(st.integers(1, 2))
    own = _window(draw, shape, equal_strides=True)
    return DepthwiseConv2D(depth_multiplier=multiplier, **own, **_common(draw, "depthwise"))


def _separable(draw: Draw, shape: Shape) -> Any:
    filters, multiplier = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    own = _window(draw, shape, equal_strides=True)
    common = _common(draw, "depthwise", "pointwise")
    return SeparableConv2D(filters, depth_multiplier=multiplier, **own, **common)


def _pool(draw: Draw, shape: Shape) -> Any:
    kind = draw(st.sampled_from([AveragePooling2D, MaxPooling2D]))
    size = tuple(draw(st.integers(1, min(3, n))) for n in shape[:2])
    strides = draw(st.none() | st.tuples(st.integers(1, 2), st.integers(1, 2)))
    return kind(size, strides, draw(st.sampled_from(["valid", "same"])))


def _upsampling(draw: Draw, shape: Shape) -> Any:
    size = tuple(draw(st.integers(1, max(1, min(3, LARGEST // n)))) for n in shape[:2])
    return UpSampling2D(size, draw(st.sampled_from(["nearest", "bilinear"])))


def _reshape(draw: Draw, shape: Shape) -> Any:
    H, W, C = shape
    return Reshape(draw(st.sampled_from([(W, H, C), (H, -1, W), (-1, C, H), (H, W, C)])))


def _padding(draw: Draw, shape: Shape) -> Any:
    return ZeroPadding2D(draw(st.integers(0, 2) | st.tuples(st.integers(0, 2), st.integers(0, 2)) | _pads))


def _normalization(draw: Draw, shape: Shape) -> Any:
    scale, center = draw(st.booleans()), draw(st.booleans())
    momentum, epsilon = draw(st.sampled_from([0.5, 0.99])), draw(st.sampled_from([1e-3, 1e-2]))
    return BatchNormalization(momentum, epsilon, center=center, scale=scale)


def _softmax(draw: Draw, shape: Shape) -> Any:
    return Softmax(draw(st.integers(-len(shape), -1)))


def _relu(draw: Draw, shape: Shape) -> Any:
    largest = draw(st.none() | st.sampled_from([0.5, 6.0]))
    return ReLU(largest, draw(st.sampled_from([0.0, 0.125])), draw(st.sampled_from([0.0, 0.25])))


def _dense(draw: Draw, shape: Shape) -> Any:
    return Dense(draw(st.integers(1, 5)), **_common(draw, "kernel"))


def _activated(draw: Draw, shape: Shape) -> Any:
    return Activation(draw(st.sampled_from(sorted(ACTIVATIONS))))


def _random(draw: Draw, shape: Shape) -> Any:
    return draw(st.sampled_from([Dropout, GaussianNoise]))(draw(_rate), seed=draw(_seed))


ANYWHERE = [_normalization, _softmax, _relu, _activated, _random]
ON_IMAGES = [_conv, _depthwise, _separable, _pool, _upsampling, _reshape, _padding, *ANYWHERE]
ON_VECTORS = [_dense, *ANYWHERE]
FLATTENING = [Flatten(), GlobalAveragePooling2D(), GlobalMaxPooling2D(), Reshape((-1,))]


@st.composite
def networks(draw: Draw, most_layers: int = 5) -> Sequential:
    """Draw a built network: up to `most_layers` on images, one that flattens, as many on vectors, a Dense."""
    shape = input_shape = draw(st.tuples(st.integers(4, 9), st.integers(4, 9), st.integers(1, 3)))
    layers: list[Any] = []
    for make in draw(st.lists(st.sampled_from(ON_IMAGES), max_size=most_layers)):
        layers.append(make(draw, shape))
        shape = layers[-1].compute_output_shape(shape)
        if max(shape) > 3 * LARGEST:
            layers.append(MaxPooling2D(2, padding="same"))
            shape = layers[-1].compute_output_shape(shape)
    flat = draw(st.sampled_from(FLATTENING))
    layers.append(type(flat)(**{k: v for k, v in flat.get_config().items() if k != "name"}))
    for make in draw(st.lists(st.sampled_from(ON_VECTORS), max_size=2)):
        layers.append(make(draw, (1,)))
    layers.append(Dense(draw(st.integers(1, 4))))
    for layer in layers:
        layer.trainable = draw(st.booleans())
    return randomized(Sequential(layers, seed=draw(st.integers(0, 9)), input_shape=input_shape))


def randomized(model: Sequential) -> Sequential:
    """Return a model with another value in each weight: ones and zeros hide mistakes."""
    rng = np.random.default_rng(5)
    for name, array in model.named_weights():
        low, high = (0.5, 1.5) if name.endswith("moving_variance") else (-0.6, 0.6)
        array[...] = rng.uniform(low, high, array.shape)
    return model


def images(model: Sequential, count: int = 3) -> np.ndarray:
    """Return random images for a model."""
    return np.random.default_rng(2).standard_normal((count, *model.input_shape)).astype(model.dtype)
