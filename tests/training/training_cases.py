"""A small network and data that the tests of training share."""

import numpy as np

from tinycnn import Sequential
from tinycnn.layers import BatchNormalization, Dense, Dropout, Flatten
from tinycnn.optimizers import Adam


def network(optimizer=None, seed=3, metrics=("accuracy",)):
    """With dropout and moving means: all that training may forget to keep."""
    layers = [Flatten(), Dense(7, activation="relu"), BatchNormalization(), Dropout(0.3)]
    model = Sequential([*layers, Dense(3, activation="softmax")], seed=seed, input_shape=(4, 5, 1))
    model.compile(optimizer or Adam(0.01), "sparse_categorical_crossentropy", list(metrics))
    return model


def data(count=50, seed=0):
    """Images of three classes that can be told apart, with noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    x = rng.random((count, 4, 5, 1), np.float32)
    x[np.arange(count), y] += 0.5
    return x, y


def same(model, other):
    """Raise unless two models have the same bits."""
    for (name, array), (_, twin) in zip(model.named_weights(), other.named_weights(), strict=True):
        np.testing.assert_array_equal(array, twin, err_msg=name)
