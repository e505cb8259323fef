"""Functions that make networks, in a module that worker processes can import."""

import os

from tinycnn import Sequential
from tinycnn.layers import Dense, Flatten, Layer


class Witness(Layer):
    """A layer that changes nothing, and records the process and the threads of each training step."""

    def __init__(self, name=None):
        super().__init__(name=name)
        self.seen = []

    def forward(self, x, training=False):
        from tinycnn.kernels.runtime.threads import get_num_threads

        if training:
            self.seen.append((os.getpid(), get_num_threads()))
        return x

    def backward(self, dy):
        return dy


def layers(input_shape, classes, units=5, activation="relu"):
    """A list of layers."""
    return [Flatten(), Dense(units, activation=activation), Dense(classes, activation="softmax")]


def witnessed(input_shape, classes, units=5):
    """The same behind a witness."""
    return [Witness(), *layers(input_shape, classes, units)]


def unbuilt(input_shape, classes):
    """A `Sequential` without a seed."""
    return Sequential(layers(input_shape, classes))


def built(input_shape, classes):
    """The same, with weights of a seed of its own."""
    return Sequential(layers(input_shape, classes), input_shape=input_shape)
