"""Small networks and data that tests share. All sizes differ, so that a swapped axis cannot go unseen.

=================  ======================================  =================================================
network            input                                   for
=================  ======================================  =================================================
dense_only         (4, 5, 1)                               runs of training: dropout, moving means
small              (7, 6, 2)                               `Sequential`: a little of everything
every_layer        (13, 11, 2)                             files: every layer, no argument at its default
plain_layers       (6, 5, 2)                               layers without weights that `every_layer` lacks
by_channel         (9, 8, 3)                               files: depthwise and separable convolutions
conv_and_dense     (4, 6, 2)                               files: the smallest with a convolution
two_fused          (11, 13, 3)                             fused layers, with and without dropout and bias
winograd           (13, 12, 2)                             training steps that use every kernel
tiny               (9, 7, 1)                               training steps under "naive"
every_instruction  (19, 14, 3)                             single images: every kind of instruction
=================  ======================================  =================================================
"""

import numpy as np

from tinycnn import Sequential
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
    InputLayer,
    MaxPooling2D,
    ReLU,
    Reshape,
    SeparableConv2D,
    Softmax,
    UpSampling2D,
    ZeroPadding2D,
)
from tinycnn.optimizers import Adam

CROSSENTROPY = "sparse_categorical_crossentropy"


def dense_only(optimizer=None, seed=3, metrics=("accuracy",)):
    """Return a compiled network with dropout and moving means: all that a run may forget to keep."""
    layers = [Flatten(), Dense(7, activation="relu"), BatchNormalization(), Dropout(0.3)]
    model = Sequential([*layers, Dense(3, activation="softmax")], seed=seed, input_shape=(4, 5, 1))
    model.compile(optimizer or Adam(0.01), CROSSENTROPY, list(metrics))
    return model


def dense_only_data(count=50, seed=0):
    """Return images of three classes that can be told apart, with noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    x = rng.random((count, 4, 5, 1), np.float32)
    x[np.arange(count), y] += 0.5
    return x, y


def small(seed=0, **arguments):
    """Return a network with every kind of state, on 7x6x2 images."""
    layers = [
        Conv2D(3, 2, activation="relu"),
        BatchNormalization(momentum=0.9),
        MaxPooling2D(2),
        Dropout(0.25),
        Flatten(),
        Dense(5, activation="softmax"),
    ]
    return Sequential(layers, seed=seed, input_shape=(7, 6, 2), **arguments)


def small_data(count=23, dtype=np.float32, seed=5):
    """Return images for `small` whose class shows in their brightness."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 5, count)
    return (rng.random((count, 7, 6, 2)) + y[:, None, None, None]).astype(dtype) / 6, y


def every_layer(dtype="float32"):
    """Return a network with every kind of layer, and every argument away from its default somewhere."""
    layers = [
        Conv2D(
            5,
            (3, 2),
            padding=((1, 2), (0, 3)),
            activation="relu",
            kernel_initializer="he_normal",
            algorithm="im2col",
            name="first",
        ),
        BatchNormalization(momentum=0.8, epsilon=2e-3, center=False),
        Activation("tanh"),
        AveragePooling2D((2, 3), strides=(1, 2), algorithm="im2col"),
        Conv2D(
            7,
            2,
            strides=(2, 1),
            padding="same",
            activation="leaky_relu",
            use_bias=False,
            kernel_initializer="glorot_normal",
        ),
        Dropout(0.25, seed=5),
        MaxPooling2D(2, padding="same", algorithm="im2col"),
        Conv2D(6, 2, dilation_rate=(3, 1), kernel_initializer="he_uniform", bias_initializer="ones"),
        BatchNormalization(scale=False),
        GlobalAveragePooling2D(name="means"),
        Flatten(),
        Dense(9, activation="sigmoid", kernel_initializer="ones", name="hidden"),
        BatchNormalization(name="normal"),
        Dropout(0.5),
        Dense(4, use_bias=False),
        Dense(3, activation="softmax"),
    ]
    return Sequential(layers, seed=11, input_shape=(13, 11, 2), dtype=dtype, name="all_of_them")


def plain_layers(dtype="float32"):
    """Return a network with the layers without weights that `every_layer` does not have."""
    layers = [
        InputLayer((6, 5, 2)),
        GaussianNoise(0.1, seed=3),
        ZeroPadding2D(((1, 0), (2, 3))),
        Conv2D(7, (3, 2)),
        ReLU(max_value=1.5, negative_slope=0.125, threshold=0.25, name="bent"),
        UpSampling2D((2, 3), interpolation="bilinear"),
        Conv2D(4, (2, 3), activation="relu"),
        UpSampling2D((3, 1)),
        MaxPooling2D(3),
        Softmax(axis=1),
        GaussianNoise(0.2),
        Conv2D(12, 2),
        ReLU(),
        GlobalMaxPooling2D(),
        Reshape((3, -1, 2)),
        Softmax(-2, name="columns"),
        Flatten(),
        Dense(5),
        Softmax(),
    ]
    return Sequential(layers, seed=11, dtype=dtype, name="plain")


def by_channel(dtype="float32"):
    """Return a network of convolutions that take each channel for itself, no argument at its default."""
    layers = [
        DepthwiseConv2D(
            (3, 2),
            strides=(1, 2),
            padding=((1, 0), (2, 1)),
            depth_multiplier=2,
            activation="tanh",
            depthwise_initializer="he_normal",
            bias_initializer="ones",
            algorithm="im2col",
            name="first",
            depthwise_regularizer="l2",
        ),
        SeparableConv2D(
            5,
            (2, 3),
            padding="same",
            dilation_rate=(2, 1),
            depth_multiplier=3,
            activation="relu",
            use_bias=False,
            depthwise_initializer="glorot_normal",
            pointwise_initializer="he_uniform",
            algorithm="im2col",
            pointwise_regularizer="l1",
        ),
        DepthwiseConv2D(2, use_bias=False, algorithm="im2col"),
        GlobalAveragePooling2D(),
        Dense(3, activation="softmax"),
    ]
    return Sequential(layers, seed=11, input_shape=(9, 8, 3), dtype=dtype, name="by_channel")


def conv_and_dense(**compiled):
    """Return a network of one convolution and one dense layer, compiled when given how."""
    layers = [Conv2D(5, (3, 2), algorithm="im2col"), Flatten(), Dense(3, activation="softmax")]
    model = Sequential(layers, seed=3, input_shape=(4, 6, 2))
    if compiled:
        model.compile(**compiled)
    return model


def two_fused(fuse=True, dtype="float32", algorithm="auto"):
    """Return a compiled network of two convolutions that are fused with their pools."""
    layers = [
        Conv2D(7, (3, 2), activation="relu", padding=((1, 0), (0, 2)), algorithm=algorithm),
        MaxPooling2D((2, 3)),
        Dropout(0.3),
        Conv2D(17, 2, activation="relu", use_bias=False),
        MaxPooling2D(2, strides=1),
        Flatten(),
        Dense(5, activation="softmax"),
    ]
    model = Sequential(layers, seed=3, input_shape=(11, 13, 3), dtype=dtype)
    model.compile("adam", CROSSENTROPY, ["accuracy"], fuse=fuse)
    return model


def two_fused_data(dtype="float32"):
    """Return images and labels for `two_fused`."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((6, 11, 13, 3)).astype(dtype), rng.integers(0, 5, 6)


def tiny(dtype, algorithm):
    """Return a network for "naive", whose loops run in Python; a batch size, and the number of classes."""
    layers = [
        Conv2D(3, 3, activation="relu", algorithm=algorithm),
        MaxPooling2D(2),
        Conv2D(4, 2, activation="relu", algorithm=algorithm),
        Flatten(),
        Dense(3, activation="softmax"),
    ]
    return Sequential(layers, seed=5, input_shape=(9, 7, 1), dtype=dtype), 6, 3


def winograd(dtype, algorithm):
    """Return the same of a network with enough channels for Winograd, and with everything that is fused."""
    layers = [
        Conv2D(18, 3, activation="relu", algorithm=algorithm),
        Conv2D(17, 3, activation="relu", algorithm=algorithm),
        MaxPooling2D(2),
        Dropout(0.25),
        Conv2D(19, 2, activation="relu", algorithm=algorithm),
        Flatten(),
        Dense(5, activation="softmax"),
    ]
    return Sequential(layers, seed=5, input_shape=(13, 12, 2), dtype=dtype), 25, 5


def noisy_classes(batch, shape, classes, dtype, seed=0):
    """Return images of as many kinds as there are classes, under noise, and their classes."""
    rng = np.random.default_rng(seed)
    y = np.arange(batch) % classes
    kinds = rng.standard_normal((classes, *shape))
    return (kinds[y] + 0.7 * rng.standard_normal((batch, *shape))).astype(dtype), y


def with_random_weights(layers, input_shape, dtype="float32"):
    """Return a compiled network whose weights, biases included, are random."""
    model = Sequential(layers, seed=3, input_shape=input_shape, dtype=dtype)
    model.parameters[...] = np.random.default_rng(5).normal(0, 0.3, model.parameters.size)
    model.compile("sgd", "mse")
    return model


def every_instruction(dtype="float32"):
    """Return a compiled network of every kind of instruction, on sizes that fill no vector."""
    layers = [
        Conv2D(7, (3, 2), activation="relu", padding=((1, 0), (0, 2))),
        Conv2D(17, 3, activation="relu"),
        MaxPooling2D((3, 2), strides=(2, 1)),
        Dropout(0.5),
        Conv2D(33, 2, use_bias=False),
        MaxPooling2D(2, padding="same"),
        Flatten(),
        Dense(19, activation="relu"),
        Dense(5),
    ]
    return with_random_weights(layers, (19, 14, 3), dtype)


def normal_images(model, count=1, seed=0):
    """Return images for a model, from a normal distribution."""
    shape = count, *model.input_shape
    return np.random.default_rng(seed).standard_normal(shape).astype(model.dtype)


def assert_same_weights(model, other):
    """Raise unless two models have the same bits."""
    for (name, array), (_, twin) in zip(model.named_weights(), other.named_weights(), strict=True):
        np.testing.assert_array_equal(array, twin, err_msg=name)
