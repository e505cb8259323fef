"""One image on its way through a network and back: every array that the layers compute.

::

    model -> twin, whose activations are layers of their own -> forward: x, y of each step
                                                             -> loss(label) -> backward: dy, dx of each step

A trace is taken as at inference: nothing is dropped, no noise is added, and batch normalisation uses its
moving averages. So the gradient is that of the prediction that the model makes. The arrays are those of the
layers; nothing here computes a layer a second time.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinycnn.inspection.fields import CONVOLUTIONS
from tinycnn.layers import (
    Activation,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    RandomLayer,
    Reshape,
)
from tinycnn.losses import BinaryCrossentropy, Loss, SparseCategoricalCrossentropy
from tinycnn.support import checks


@dataclass(frozen=True)
class Step:
    """One layer, or the activation of one, with its arrays for one image, without the batch axis.

    Attributes
    ----------
    name : str
        Of the model's layer. A layer with an activation has two steps of this name.
    layer : Layer
        Of the twin: a convolution or a dense layer here has no activation.
    x, y : ndarray
        Input and output.
    dx, dy : ndarray or None
        Gradients of the loss by these; None without a label.
    """

    name: str
    layer: Layer
    x: np.ndarray
    y: np.ndarray
    dx: np.ndarray | None = None
    dy: np.ndarray | None = None


@dataclass(frozen=True)
class Trace:
    """What a network computes from one image.

    Attributes
    ----------
    steps : tuple of Step
        In the order of the layers.
    label : int or None
        The class that the loss was computed for.
    loss : float or None
        In nats, for a cross-entropy.
    """

    steps: tuple[Step, ...]
    label: int | None = None
    loss: float | None = None

    @property
    def image(self) -> np.ndarray:
        """The image (H, W, C)."""
        return self.steps[0].x

    @property
    def output(self) -> np.ndarray:
        """The output of the last layer, such as the probabilities (classes,)."""
        return self.steps[-1].y

    @property
    def image_gradient(self) -> np.ndarray | None:
        """The gradient of the loss by the pixels (H, W, C); None without a label."""
        return self.steps[0].dx

    def of(self, name: str) -> list[Step]:
        """Return the steps of a layer of the model: one, or two if it has an activation."""
        found = [step for step in self.steps if step.name == name]
        if not found:
            names = ", ".join(dict.fromkeys(step.name for step in self.steps))
            raise ValueError(f"layer: expected one of {names}, received {name!r}")
        return found


def trace(model: Any, image: np.ndarray, label: int | None = None) -> Trace:
    """Return what a network computes from an image; with a label, also the gradients of the loss.

    Parameters
    ----------
    model : Sequential
        Built. It is not changed.
    image : float ndarray of shape (H, W, C)
        As the model takes it.
    label : int, optional
        The class, from 0, that the loss is computed for. The loss is the model's. Without one it is
        cross-entropy: binary for a single output, and of logits where no softmax or sigmoid ends the model.

    Raises
    ------
    ValueError
        When the model is not built, the image does not fit it, or it has no output for the label.

    Examples
    --------
    >>> import numpy as np
    >>> from tinycnn import Sequential
    >>> from tinycnn.layers import Dense, Flatten
    >>> model = Sequential([Flatten(), Dense(3, activation="softmax")], seed=0, input_shape=(2, 2, 1))
    >>> found = trace(model, np.ones((2, 2, 1)), label=2)
    >>> [(step.name, step.y.shape) for step in found.steps]
    [('flatten_1', (4,)), ('dense_1', (3,)), ('dense_1', (3,))]
    >>> found.image_gradient.shape
    (2, 2, 1)
    """
    if model.input_shape is None or not model.layers:
        raise ValueError(f"{model.name}: call model.build(input_shape) before it is traced")
    x = model.check_images(np.asarray(image)[np.newaxis])
    passed = [(name, layer, x) for name, layer in twin(model)]
    for number, (name, layer, _) in enumerate(passed):
        passed[number] = name, layer, x
        x = layer.forward(x, training=True)
    outputs = [x for _, _, x in passed[1:]] + [x]
    if label is None:
        steps = [Step(name, layer, x[0], y[0]) for (name, layer, x), y in zip(passed, outputs, strict=True)]
        return Trace(tuple(steps))
    loss, y_true = _loss(model), _target(model, label)
    value, dy = loss(y_true, outputs[-1]), loss.gradient(y_true, outputs[-1])
    steps = []
    for (name, layer, x), y in zip(reversed(passed), reversed(outputs), strict=True):
        dx = layer.backward(dy)
        steps.append(Step(name, layer, x[0], y[0], dx[0], dy[0]))
        dy = dx
    return Trace(tuple(reversed(steps)), int(label), value)


def twin(model: Any) -> list[tuple[str, Layer]]:
    """Return copies of a model's layers that run in training as they do at inference, with their names.

    Each activation becomes a layer of its own, so that the sums before it can be seen. Dropout drops nothing,
    noise is 0, and layers are frozen, so that batch normalisation uses its moving averages.
    """
    found: list[tuple[str, Layer]] = []
    for layer in copy.deepcopy(model).layers:
        name, shape = layer.name, layer.compute_output_shape(layer.built_shape)
        layer.trainable = False
        if isinstance(layer, RandomLayer):
            layer.switch_off()
        found.append((name, layer))
        activation = getattr(layer, "activation", None)
        if isinstance(layer, CONVOLUTIONS | Dense) and activation not in (None, "linear"):
            layer.activation = None
            after = Activation(activation)
            after.build(shape, np.random.default_rng(0), layer.dtype)
            found.append((name, after))
    return found


def gives_probabilities(model: Any) -> bool:
    """Return whether the outputs of a model are probabilities: softmax or sigmoid is its last activation."""
    for layer in reversed(model.layers):
        # these leave them probabilities
        if not isinstance(layer, RandomLayer | Flatten | Reshape | GlobalAveragePooling2D):
            return getattr(layer, "activation", None) in ("softmax", "sigmoid")
    return False


def by_class(model: Any, output: np.ndarray) -> np.ndarray:
    """Return a value for each class (classes,): a single probability is that of class 1."""
    if output.shape == (1,) and gives_probabilities(model):
        return np.concatenate([1 - output, output])
    return output


def _loss(model: Any) -> Loss:
    if model.loss is not None:
        found: Loss = model.loss
        return found
    kind = BinaryCrossentropy if model.output_shape[-1] == 1 else SparseCategoricalCrossentropy
    return kind(from_logits=not gives_probabilities(model))


def _target(model: Any, label: int) -> np.ndarray:
    """Return a label in the form that the model's loss takes, for one image."""
    label, classes = checks.whole("label", label, 0), model.output_shape[-1]
    if label >= max(classes, 2):  # a single output stands for two classes
        raise ValueError(f"label: expected a class below {max(classes, 2)}, received {label}")
    if _loss(model).integer_labels:
        return np.array([label])
    row = np.array([[label]]) if classes == 1 else np.eye(1, classes, label)
    return row.astype(model.dtype)
