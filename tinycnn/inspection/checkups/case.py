"""What a diagnosis examines: a copy of the model, a sample of the images, and the labels as rows.

::

    model, x, y -> Case: model (a copy), x, y (a random sample), rows (N, K) of the labels
    Case -> baseline (loss of the best constant prediction), uniform (loss of equal probabilities)
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tinycnn.layers import Layer, RandomLayer
from tinycnn.losses import Loss
from tinycnn.support.randomness import generator

CROSSENTROPIES = ("categorical_crossentropy", "sparse_categorical_crossentropy")
BINARY = "binary_crossentropy"
ERRORS = ("mean_squared_error", "mean_absolute_error")
#: Images of the forward and backward pass that is looked into. Two batches of the usual size.
PROBED = 64


@dataclass
class Case:
    """A copy of the model and a sample of the data.

    Attributes
    ----------
    model : Sequential
        A copy, built. It is not trained: runs make copies of it.
    x : float ndarray of shape (N, H, W, C)
        The sample, in a random order, in the dtype of the model.
    y : ndarray of shape (N, ...)
        Their labels, as given.
    all_y : ndarray
        All labels.
    seed : int
    """

    model: Any
    x: np.ndarray
    y: np.ndarray
    all_y: np.ndarray
    seed: int

    @property
    def loss(self) -> Loss:
        """The loss of the model."""
        found: Loss = self.model.loss
        return found

    @property
    def layers(self) -> list[Layer]:
        """The layers of the copy."""
        found: list[Layer] = self.model.layers
        return found

    @property
    def logits(self) -> bool:
        """Whether the loss expects logits."""
        return bool(getattr(self.loss, "from_logits", False))

    @cached_property
    def classes(self) -> bool:
        """Whether the labels name classes."""
        return self.loss.name not in ERRORS and class_numbers(self.all_y) is not None

    @cached_property
    def rows(self) -> np.ndarray:
        """The labels of the sample as rows of float64: one-hot for classes, else their numbers."""
        every, own = class_numbers(self.all_y), class_numbers(self.y)
        if not self.classes or every is None or own is None:
            return np.asarray(self.y, np.float64).reshape(len(self.y), -1)
        names = np.unique(every)
        return _one_hot(np.searchsorted(names, own), len(names))

    def trained_copy(self, dropout: bool = True) -> Any:
        """Return a copy of the model for a run, with or without its dropout."""
        model = copy.deepcopy(self.model)
        if not dropout:
            switch_off_dropout(model)
        return model

    def untrained_copy(self) -> Any:
        """Return a copy without dropout that has learned nothing by heart, for judging labels.

        A model that was trained has seen the images that a run holds out. So the weights of its trainable
        layers are drawn anew, except where a layer cannot be made from its arguments.
        """
        model = self.trained_copy(dropout=False)
        for index, layer in enumerate(model.layers):
            if model.steps_trained and layer.trainable and layer.params:
                _draw_anew(layer, generator(self.seed, "weights", index))
        return model

    def multiplications(self) -> int:
        """Return the number of multiplications of one forward pass of one image, at least 1."""
        total = 1
        for layer in self.layers:
            pixels = math.prod(layer.compute_output_shape(layer.built_shape)[:-1])
            total += sum(p.size * pixels for p in layer.params.values() if p.ndim > 1)
        return total

    def constant_loss(self, y: np.ndarray) -> float | None:
        """Return the loss of the best constant prediction for labels; None where it is not known."""
        y = np.asarray(y)
        rows = np.asarray(y, np.float64)
        if self.loss.integer_labels:
            shape = self.model.output_shape
            rows = _one_hot(y.reshape(-1), shape[-1]).reshape(len(y), *shape)
        middle = np.median if self.loss.name == ERRORS[1] else np.mean
        pixels = tuple(range(rows.ndim - 1)) if self.loss.name in CROSSENTROPIES else 0
        return self._loss_of(y, middle(rows, axis=pixels))

    def uniform_loss(self, y: np.ndarray) -> float | None:
        """Return the loss of equal probabilities, ln(classes); None for a loss without classes."""
        if self.loss.name not in (*CROSSENTROPIES, BINARY):
            return None
        classes = self.model.output_shape[-1]
        share = 0.5 if self.loss.name == BINARY else 1 / classes
        return self._loss_of(y, np.full((1, *self.model.output_shape), share))

    def _loss_of(self, y: np.ndarray, prediction: np.ndarray) -> float | None:
        """Return the loss when each row is predicted by the same probabilities or numbers."""
        shape = self.model.output_shape
        try:
            if prediction.size == math.prod(shape):  # with or without an axis of 1
                prediction = prediction.reshape(1, *shape)
            prediction = np.broadcast_to(prediction, (len(y), *shape))
            if self.loss.name in (*CROSSENTROPIES, BINARY):
                p = np.clip(prediction, 1e-12, 1 - 1e-12 if self.loss.name == BINARY else 1)
                prediction = p
                if self.logits:
                    prediction = np.log(p / (1 - p)) if self.loss.name == BINARY else np.log(p)
            return self.loss(y, np.ascontiguousarray(prediction, dtype=self.model.dtype))
        except (ValueError, TypeError):
            return None


def switch_off_dropout(model: Any) -> None:
    """Let the dropout layers of a copy drop nothing, and its noise be 0."""
    for layer in model.layers:
        if isinstance(layer, RandomLayer):
            layer.switch_off()


def _draw_anew(layer: Layer, rng: np.random.Generator) -> None:
    """Give a layer first weights, if another one can be made from its arguments."""
    try:
        fresh = type(layer).from_config(layer.get_config())
        fresh.build(layer.built_shape, rng, layer.dtype)
        layer.params, layer.state = fresh.params, fresh.state
    except (AttributeError, TypeError, ValueError):  # a class of the user's may do without these methods
        return


def sample(count: int, most: int, seed: int) -> np.ndarray:
    """Return at most `most` row numbers below `count`, in a random order."""
    return generator(seed, "diagnosis").permutation(count)[:most]


def class_numbers(y: np.ndarray) -> np.ndarray | None:
    """Return the class of each row, (N,); None for labels that name no classes.

    Classes are whole numbers, (N,) or (N, 1), or one-hot rows. Zeros and ones as floats are classes too.
    """
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] > 1:
        one_hot = bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())
        return y.argmax(axis=1) if one_hot else None
    if y.size != len(y):
        return None
    flat = y.reshape(-1)
    if flat.dtype.kind in "iub":
        return flat.astype(np.int64)
    if flat.dtype.kind == "f" and bool(((flat == 0) | (flat == 1)).all()):
        return flat.astype(np.int64)
    return None


def _one_hot(numbers: np.ndarray, classes: int) -> np.ndarray:
    rows = np.zeros((len(numbers), classes))
    rows[np.arange(len(numbers)), np.asarray(numbers, np.intp)] = 1
    return rows
