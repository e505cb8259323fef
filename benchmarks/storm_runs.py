"""The runs that `kill_storm` trains and kills: one for each kind of state that a run has.

::

    "classic" -> KINDS -> Training(model, the arguments of fit) -> storm_child.py

All are small: a process lives for two or three seconds. The epochs are many, since a run is killed often.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinycnn import Sequential, recipes
from tinycnn.datasets import load_mnist, scale_images
from tinycnn.layers import Activation, BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tinycnn.optimizers import SGD, Adam, RMSprop
from tinycnn.recipes import RECIPES, Recipe
from tinycnn.training import Callback, EarlyStopping, ReduceLROnPlateau, StopOnInterrupt, WeightAverage

LOSS, SEED = "sparse_categorical_crossentropy", 3
BATCH, STEPS = 8, 6  # images in a step, steps in an epoch
VALIDATION = 3 * BATCH


class Training(NamedTuple):
    """A run: a compiled model, its images and labels, and how it is trained.

    Attributes
    ----------
    model : Sequential
    data : (ndarray, ndarray)
        Those of `STEPS` steps, then those of the validation.
    epochs : int
    callbacks : list of Callback
    augment : callable or None
    """

    model: Sequential
    data: tuple[np.ndarray, np.ndarray]
    epochs: int
    callbacks: list[Callback]
    augment: Any = None

    def arguments(self) -> dict[str, Any]:
        """Return arguments of `fit`, without callbacks and checkpoint."""
        (x, y), trained = self.data, BATCH * STEPS
        return {
            "x": x[:trained],
            "y": y[:trained],
            "validation_data": (x[trained:], y[trained:]),
            "batch_size": BATCH,
            "epochs": self.epochs,
            "augment": self.augment,
            "verbose": 0,
        }


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the first images and labels of MNIST."""
    (images, labels), _ = load_mnist()
    count = BATCH * STEPS + VALIDATION
    return scale_images(images[:count]), labels[:count].astype(np.int64)


def of_recipe(recipe: Recipe, epochs: int = 16) -> Training:
    """Return a run of `mnist_cnn` by a recipe, on few images."""
    recipe, steps = dataclasses.replace(recipe, epochs=epochs, batch_size=BATCH), epochs * STEPS
    model = recipes.network(recipe, SEED)
    model.compile(recipes.optimizer(recipe, steps), LOSS, ["accuracy"])
    augment = recipes.augmentation(recipe, steps, STEPS)
    return Training(model, digits(), epochs, recipes.callbacks(recipe), augment)


def averaged() -> Training:
    """Return a run whose callbacks hold a state, and which ends as `tinycnn train` does after a signal."""
    layers = [Conv2D(6, 3, activation="relu"), MaxPooling2D(2), Dropout(0.25), Flatten()]
    model = Sequential([*layers, Dense(10, activation="softmax")], seed=SEED, input_shape=(28, 28, 1))
    model.compile(SGD(0.05, momentum=0.9), LOSS, ["accuracy"])
    plateau = ReduceLROnPlateau("loss", factor=0.7, patience=1, min_delta=0.05)
    callbacks = [WeightAverage(0.95), EarlyStopping("val_loss", patience=999), plateau, StopOnInterrupt()]
    return Training(model, digits(), 60, callbacks)


def batch_normalised() -> Training:
    """Return a run with moving means and variances, and random numbers in each step."""
    layers = [Conv2D(5, 3, use_bias=False), BatchNormalization(), Activation("relu"), MaxPooling2D(2)]
    layers += [Dropout(0.25), Flatten(), Dense(17, activation="relu"), BatchNormalization(momentum=0.9)]
    layers += [Dropout(0.5), Dense(10, activation="softmax")]
    model = Sequential(layers, seed=SEED, input_shape=(28, 28, 1))
    model.compile(RMSprop(0.002), LOSS, ["accuracy"])
    return Training(model, digits(), 60, [])


def dense() -> Training:
    """Return a run for tests: quick, and with all that a run may forget."""
    sys.modules["numba"] = None  # type: ignore[assignment]  # as if not installed: its import takes longer
    rng = np.random.default_rng(SEED)
    count = BATCH * STEPS + VALIDATION
    layers = [Flatten(), Dense(7, activation="relu"), BatchNormalization(), Dropout(0.3)]
    model = Sequential([*layers, Dense(3, activation="softmax")], seed=SEED, input_shape=(4, 5, 1))
    model.compile(Adam(0.01), LOSS, ["accuracy"])
    data = rng.random((count, 4, 5, 1), np.float32), rng.integers(0, 3, count)
    return Training(model, data, 40, [WeightAverage(0.9)])


#: The runs by name.
KINDS: dict[str, Callable[[], Training]] = {
    "classic": lambda: of_recipe(RECIPES["classic"]),
    "augmented": lambda: of_recipe(dataclasses.replace(RECIPES["fast"], average=None)),
    "averaged": averaged,
    "batch-normalised": batch_normalised,
    "dense": dense,
}
