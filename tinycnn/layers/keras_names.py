"""Names that Keras gives to what a layer has.

::

    layer.weights, layer.kernel, layer.bias   -> the arrays of `params` and `state`
    layer(x)                                  -> layer.forward(x), built first if it was not
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinycnn.layers.weights import copy_weights


class KerasNames:
    """Base class of `Layer`: Keras' names for its arrays, and a layer as a function."""

    @property
    def weights(self: Any) -> list[np.ndarray]:
        """The arrays of `params`, then of `state`: themselves, not copies."""
        return [*self.params.values(), *self.state.values()]

    @property
    def trainable_weights(self: Any) -> list[np.ndarray]:
        """The arrays that an optimizer may change."""
        return list(self.params.values()) if self.trainable else []

    @property
    def non_trainable_weights(self: Any) -> list[np.ndarray]:
        """All other arrays."""
        return list(self.state.values()) if self.trainable else self.weights

    @property
    def output_shape(self: Any) -> tuple[int, ...]:
        """The shape of one output, without the batch axis."""
        shape: tuple[int, ...] = self.compute_output_shape(self.built_shape)
        return shape

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of `weights`."""
        return [array.copy() for array in self.weights]

    def set_weights(self: Any, weights: Sequence[np.ndarray]) -> None:
        """Copy arrays in, in the order of `weights`; raise ValueError if one does not fit."""
        copy_weights([*self.params.items(), *self.state.items()], weights)

    def __call__(self: Any, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return `forward(x, training)`. A layer that is not built is built for x first, from seed 0."""
        if not self.built:
            x = np.asarray(x)
            self.build(x.shape[1:], np.random.default_rng(0), x.dtype)
        y: np.ndarray = self.forward(x, training)
        return y


class WeightNamed:
    """Descriptor of one weight: `layer.kernel` is `layer.params["kernel"]`, None if the layer has none.

    Parameters
    ----------
    where : "params" or "state"
    """

    def __init__(self, where: str = "params") -> None:
        self.where = where

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, layer: Any, owner: type | None = None) -> Any:
        """Return the array; the descriptor itself for the class."""
        return self if layer is None else getattr(layer, self.where).get(self.name)

    def __set__(self, layer: Any, value: Any) -> None:
        """Copy a value into the array; raise ValueError when there is none."""
        weights = getattr(layer, self.where)
        if self.name not in weights:
            raise ValueError(f"{layer.label}: {self.name}: expected a layer that has one; is it built?")
        weights[self.name] = value
