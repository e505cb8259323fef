"""Networks and data for the tests of files that two libraries read."""

import numpy as np

from tests.peers.peer_helpers import random_array, random_labels
from tinycnn import Sequential
from tinycnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
)

IMAGE = (11, 9, 2)
CLASSES = 5
# learning rates that move the weights by more than rounding
OPTIMIZERS = [
    ("SGD", {"learning_rate": 0.05}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
    ("RMSprop", {"learning_rate": 0.005}),
    ("RMSprop", {"learning_rate": 0.005, "momentum": 0.5, "centered": True}),
    ("Adadelta", {"learning_rate": 1.0}),
    ("Adam", {"learning_rate": 0.01}),
    ("Adam", {"learning_rate": 0.01, "amsgrad": True, "global_clipnorm": 0.5}),
    ("AdamW", {"learning_rate": 0.01, "weight_decay": 0.02}),
]


def batches(count, image=IMAGE, classes=CLASSES):
    """Return `count` batches of random images and class numbers."""
    rng = np.random.default_rng(5)
    return [(random_array(rng, (8, *image)), random_labels(rng, 8, classes)[0]) for _ in range(count)]


def small_network(activation="softmax"):
    """Return a tinycnn network in which nothing is random once it is built."""
    layers = [
        Conv2D(3, (4, 3), activation="relu"),
        MaxPooling2D(2),
        Dropout(0),
        Flatten(),
        Dense(CLASSES, activation=activation),
    ]
    return Sequential(layers, seed=3, input_shape=IMAGE)


def every_layer():
    """Return a tinycnn network with every layer and every activation, its second convolution frozen."""
    frozen = Conv2D(4, (2, 3), padding="same", dilation_rate=(2, 1), activation="tanh")
    frozen.trainable = False
    layers = [
        Conv2D(3, (4, 2), (2, 1), ((1, 3), (0, 2)), activation="leaky_relu"),
        BatchNormalization(momentum=0.5, epsilon=0.01),
        frozen,
        MaxPooling2D((2, 3), (1, 2), "same"),
        Conv2D(6, 2, use_bias=False, kernel_initializer="he_normal"),
        Activation("relu"),
        AveragePooling2D((3, 2), 1, "same"),
        BatchNormalization(scale=False),
        Dropout(0.25, seed=7),
        GlobalAveragePooling2D(),
        Flatten(),
        Dense(7, activation="sigmoid"),
        Dropout(0.0),
        Dense(8, activation="linear", use_bias=False),
        Activation("tanh"),
        Dense(CLASSES, activation="softmax"),
    ]
    return Sequential(layers, seed=4, input_shape=IMAGE)


def train(model, data):
    for x, y in data:
        model.train_on_batch(x, y)


def keras_weights(model):
    """Return the weights in tinycnn's order, layer by layer: a Keras 2 model puts the frozen ones last."""
    return [weight for layer in model.layers for weight in layer.get_weights()]


def keras_small_network(keras, activation="softmax"):
    """Return the network of `small_network` in Keras 3 or in tf-keras, whichever is given."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(IMAGE),
            layers.Conv2D(3, (4, 3), activation="relu"),
            layers.MaxPooling2D(2),
            layers.Dropout(0),
            layers.Flatten(),
            layers.Dense(CLASSES, activation=activation),
        ]
    )


def keras_every_layer(keras):
    """Return a Keras network with every layer that tinycnn has, and every activation."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(IMAGE),
            layers.ZeroPadding2D(((1, 3), (0, 2))),
            layers.Conv2D(3, (4, 2), (2, 1), activation="leaky_relu"),
            layers.BatchNormalization(momentum=0.5, epsilon=0.01),
            layers.Conv2D(
                4, (2, 3), padding="same", dilation_rate=(2, 1), activation="tanh", trainable=False
            ),
            layers.MaxPooling2D((2, 3), (1, 2), "same"),
            layers.Conv2D(6, 2, use_bias=False, kernel_initializer="he_normal"),
            layers.Activation("relu"),
            layers.AveragePooling2D((3, 2), 1, "same"),
            layers.BatchNormalization(scale=False),
            layers.Dropout(0.25),
            layers.GlobalAveragePooling2D(),
            layers.Flatten(),
            layers.Dense(7, activation="sigmoid"),
            layers.Dense(8, activation="linear", use_bias=False),
            layers.Activation("tanh"),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
