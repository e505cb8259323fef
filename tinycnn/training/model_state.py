"""The state of a model in training, in memory: weights, moments, learning rate and position.

::

    model -> take -> a dictionary of copies -> put -> the model as it was, or its twin in another process
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.saving.model import Model, compiled


def take(model: Model) -> dict[str, Any]:
    """Return copies of all that training steps change in a compiled model."""
    optimizer, _ = compiled(model)
    return {
        "weights": [array.copy() for array in model.get_weights()],
        "slots": {name: slot.copy() for name, slot in optimizer.slots.items()},
        "iterations": optimizer.iterations,
        "learning_rate": optimizer.learning_rate,
        "progress": (model.epochs_trained, model.steps_trained),
    }


def put(model: Model, state: dict[str, Any]) -> None:
    """Restore what `take` returned, in that model or in one of the same layers and optimizer."""
    optimizer, _ = compiled(model)
    model.set_weights(state["weights"])
    optimizer.slots = {name: slot.copy() for name, slot in state["slots"].items()}
    optimizer.iterations = state["iterations"]
    optimizer.learning_rate = state["learning_rate"]
    model.epochs_trained, model.steps_trained = state["progress"]


def take_averages(model: Model) -> list[np.ndarray]:
    """Return copies of what a forward pass in training changes: the state of layers, such as moving means."""
    return [array.copy() for layer in model.layers for array in layer.state.values()]


def put_averages(model: Model, averages: list[np.ndarray]) -> None:
    """Restore what `take_averages` returned."""
    own = (array for layer in model.layers for array in layer.state.values())
    for array, average in zip(own, averages, strict=True):
        array[...] = average
