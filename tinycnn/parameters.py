"""Parameter vector of a network, and gradient vector; the layers hold views of both.

::

    layers -> gather -> parameters (count,), gradients (count,)
    layer.params[name] is a view of parameters, layer.grads[name] a view of gradients

So an optimizer step, a checkpoint or a moving average is one line over one array.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinycnn.layers import Layer
from tinycnn.layers.weights import copy_weights
from tinycnn.optimizers import ParameterSpan


def gather(layers: Sequence[Layer], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Move all parameters and gradients into two new vectors, and leave views in the layers.

    Returns
    -------
    parameters, gradients : ndarray of shape (count,)
    """
    arrays = [(layer, name) for layer in layers for name in layer.params]
    parameters = np.concatenate([np.zeros(0, dtype), *(layer.params[name].ravel() for layer, name in arrays)])
    gradients = np.zeros_like(parameters)
    start = 0
    for layer, name in arrays:
        shape = layer.params[name].shape
        stop = start + math.prod(shape)
        layer.params.bind(name, parameters[start:stop].reshape(shape))
        gradient = layer.grads.get(name, 0)  # a copy of a network has gradients already
        layer.grads.bind(name, gradients[start:stop].reshape(shape))
        layer.grads[name][...] = gradient
        start = stop
    for layer in layers:
        for weights in (layer.params, layer.grads, layer.state):
            weights.complete()
    return parameters, gradients


def release(layer: Layer) -> None:
    """Give a layer arrays of its own, instead of views of a network's vectors."""
    for weights in (layer.params, layer.grads, layer.state):
        weights.complete(False)
        for name, array in weights.items():
            weights.bind(name, array.copy())


def trainable_spans(layers: Sequence[Layer]) -> list[ParameterSpan]:
    """Return the spans of the trainable parameters in the vector of `gather`, one for each parameter."""
    spans: list[ParameterSpan] = []
    start = 0
    for layer in layers:
        for name, array in layer.params.items():
            if layer.trainable:
                spans.append(ParameterSpan(slice(start, start + array.size), f"{layer.name}/{name}"))
            start += array.size
    return spans


def named_weights(layers: Sequence[Layer]) -> list[tuple[str, np.ndarray]]:
    """Return all weights as ("layer/weight", array): for each layer its `params`, then its `state`."""
    return [
        (f"{layer.name}/{name}", array)
        for layer in layers
        for name, array in (*layer.params.items(), *layer.state.items())
    ]


def set_weights(layers: Sequence[Layer], weights: Sequence[np.ndarray]) -> None:
    """Copy weights into the layers, in the order of `named_weights`.

    Raises
    ------
    ValueError
        When the number of arrays or a shape does not fit; the message names the weight. Then nothing changes.
    """
    copy_weights(named_weights(layers), weights)


def load_weights(layers: Sequence[Layer], weights: Sequence[tuple[str, np.ndarray]], path: str) -> None:
    """Copy the weights of a file, ("layer/weight", array), into the layers, in the order of `named_weights`.

    Raises
    ------
    ValueError
        When the shapes are others; the message gives both lists. Then nothing changes.
    """
    own = [f"{name} {array.shape}" for name, array in named_weights(layers)]
    found = [f"{name} {array.shape}" for name, array in weights]
    arrays = [array for _, array in weights]
    if [array.shape for array in arrays] != [array.shape for _, array in named_weights(layers)]:
        raise ValueError(f"{path}: expected the weights {', '.join(own)}, received {', '.join(found)}")
    set_weights(layers, arrays)
