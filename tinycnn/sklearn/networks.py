"""The network of a classifier: made by a function whose arguments can be searched.

::

    model, input shape, classes, model__... -> a function -> layers -> Sequential, seeded, built, checked
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinycnn import Sequential, mnist_cnn
from tinycnn.layers import Conv2D, Dense, Flatten, Layer, MaxPooling2D

Shape = tuple[int, ...]
Function = Callable[..., Any]

PREFIX = "model__"  # of the arguments of the function, as scikit-learn names those of a part


def small_network(input_shape: Shape, classes: int, *, filters: int = 16, units: int = 64) -> list[Layer]:
    """Return the layers of the default network, which end with a softmax.

    Parameters
    ----------
    input_shape : (H, W, C) or (features,)
        Of one image, or of one row that is no image.
    classes : int
    filters : int
        Of the first of two convolutions; the second one has twice as many. Rows have none.
    units : int
        Of the hidden dense layer.
    """
    dense: list[Layer] = [Dense(units, activation="relu"), Dense(classes, activation="softmax")]
    if len(input_shape) == 1:
        return dense
    layers: list[Layer] = []
    size = min(input_shape[:2])
    for count in (filters, 2 * filters):
        layers.append(Conv2D(count, 3, padding="same", activation="relu"))
        if size >= 4:
            layers.append(MaxPooling2D(2))
            size //= 2
    return [*layers, Flatten(), *dense]


def like_mnist_cnn(input_shape: Shape, classes: int) -> list[Layer]:
    """Return the layers of `tinycnn.mnist_cnn`, with an output for each class."""
    layers = [type(layer).from_config(layer.get_config()) for layer in mnist_cnn()[:-1]]
    return [*layers, Dense(classes, activation="softmax")]


def function(model: Any) -> Function:
    """Return the function that makes the network, by the parameter `model` of `CNNClassifier`."""
    if model is None:
        return small_network
    if isinstance(model, str) and model == "mnist_cnn":
        return like_mnist_cnn
    if callable(model) and not isinstance(model, Sequential | type):
        return model
    raise ValueError(
        'model: expected None, "mnist_cnn" or a function (input_shape, classes) that returns layers, '
        f"received {model!r}"
    )


def defaults(model: Any) -> dict[str, Any]:
    """Return the defaults of the function's further arguments, by their names with `model__`."""
    try:
        parameters = list(inspect.signature(function(model)).parameters.values())[2:]
    except (ValueError, TypeError):  # another object, or a function without a signature
        return {}
    return {PREFIX + one.name: one.default for one in parameters if one.default is not one.empty}


def check_arguments(model: Any, names: Iterable[str]) -> None:
    """Raise ValueError for a name that the function has no argument for."""
    try:
        parameters = inspect.signature(function(model)).parameters.values()
    except (ValueError, TypeError):  # another object, which `fit` refuses, or a function without a signature
        return
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return
    known = [PREFIX + one.name for one in list(parameters)[2:] if one.kind is not one.VAR_POSITIONAL]
    for name in names:
        if name not in known:
            expected = ", ".join(known) or "no argument"
            raise ValueError(f"{name}: expected {expected}, as the function model has, received this name")


def network(model: Any, shape: Shape, classes: int, own: dict[str, Any], seed: int) -> Sequential:
    """Return the network for inputs of one shape, built and checked; not compiled.

    Parameters
    ----------
    model
        The parameter of `CNNClassifier`.
    shape : (H, W, C) or (features,)
        Images are computed in float32, other rows in float64; a `Sequential` has a dtype of its own.
    classes : int
    own : dict of str to object
        Arguments of the function, by their names with `model__`.
    seed : int
        Of the weights, unless the function returns others than initial ones.
    """
    check_arguments(model, own)
    arguments = {name.removeprefix(PREFIX): own[name] for name in own}
    _check_call(function(model), shape, classes, **arguments)
    made = function(model)(shape, classes, **arguments)
    if isinstance(made, Sequential):
        found = _with_seed(made, seed)
    elif isinstance(made, Iterable):
        found = Sequential(made, seed=seed, dtype="float64" if len(shape) == 1 else "float32")
    else:
        raise ValueError(f"model: expected a function that returns layers or a Sequential, received {made!r}")
    try:
        found.build(shape)
    except ValueError as error:
        raise ValueError(f"model: the network does not fit inputs of shape {shape}: {error}") from error
    if found.output_shape != (classes,):
        raise ValueError(
            f"model: expected a network with {classes} outputs, one for each class, received outputs of "
            f"shape {found.output_shape}"
        )
    _check_softmax(found, shape)
    return found


def _check_call(made_by: Function, *arguments: Any, **options: Any) -> None:
    """Raise ValueError for a function that does not take these arguments, such as one without any."""
    try:
        signature = inspect.signature(made_by)
    except ValueError:  # of a function that does not tell its arguments
        return
    try:
        signature.bind(*arguments, **options)
    except TypeError as error:
        raise ValueError(
            f"model: expected a function (input_shape, classes, ...), received {made_by!r}: {error}"
        ) from None


def _with_seed(made: Sequential, seed: int) -> Sequential:
    """Return a copy with the weights of a seed, unless it has others than its own seed gave it."""
    config = made.get_config()
    if made.built:
        initial = type(made).from_config(config).weights
        if not all(map(np.array_equal, made.weights, initial)):
            return copy.copy(made)
    return type(made).from_config(config | {"seed": seed})


def _check_softmax(found: Sequential, shape: Shape) -> None:
    """Raise ValueError unless the outputs for noise are probabilities."""
    noise = np.random.default_rng(0).random((2, *shape))
    outputs = found(noise.astype(found.dtype))
    if not (outputs.min() >= 0 and np.allclose(outputs.sum(axis=1), 1, atol=1e-3)):
        raise ValueError(
            "model: expected a network that ends with a softmax, so that its outputs add up to 1, received "
            f"outputs {outputs[0]}"
        )
