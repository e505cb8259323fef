"""Conversion of models to plain data, and back.

::

    model -> take -> Snapshot -> tinycnn.saving          Snapshot -> restore -> model
                                                         Snapshot -> load -> the same model again
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tinycnn import losses, metrics, optimizers
from tinycnn.parameters import trainable_spans
from tinycnn.saving import Snapshot
from tinycnn.saving.model import Model


def take(model: Model, include_optimizer: bool = True) -> Snapshot:
    """Return the snapshot of a built model. Its arrays are copies.

    Parameters
    ----------
    model : Sequential
    include_optimizer : bool
        Whether the snapshot of a compiled model contains the optimizer, its moments, the loss and metrics.

    Raises
    ------
    ValueError
        When the model is not built.
    """
    if not model.built:
        raise ValueError(f"{model.name}: call model.build(input_shape) before save")
    training, slots = None, {}
    optimizer = model.optimizer
    if include_optimizer and optimizer is not None and model.loss is not None:
        training = {
            "optimizer": {"name": optimizer.name, "config": optimizer.get_config()},
            "loss": {"name": model.loss.name, "config": model.loss.get_config()},
            "metrics": [name for name, metric in model.metrics.items() if _is_known(name, metric)],
            "iterations": optimizer.iterations,
        }
        begun = [name for name in optimizer.slot_names() if name in optimizer.slots]
        slots = {name: _cut(model, optimizer.slots[name]) for name in begun}
    progress = {"epochs_trained": model.epochs_trained, "steps_trained": model.steps_trained}
    weights = [(name, array.copy()) for name, array in model.named_weights()]
    return Snapshot(model.get_config(), weights, training, slots, progress)


def _is_known(name: str, metric: Any) -> bool:
    """Return whether a metric is found by its name; a function of the user's is not."""
    try:
        return metrics.get(name) == metric or type(metrics.get(name)) is type(metric) is partial
    except ValueError:
        return False


def restore(cls: Any, snapshot: Snapshot) -> Any:
    """Return a new model from a snapshot.

    Parameters
    ----------
    cls : type
        The class of the model, `Sequential`.
    snapshot : Snapshot

    Raises
    ------
    ValueError
        When the weights do not fit the layers. This is found before memory is allocated for them, so that a
        file cannot request more memory than it fills.
    """
    model = cls.from_config({**snapshot.config, "input_shape": None})
    input_shape = snapshot.config["input_shape"]
    wanted = model.count_params(input_shape)
    received = sum(array.size for _, array in snapshot.weights)
    if wanted != received:
        raise ValueError(f"weights: expected {wanted} values for the layers, received {received}")
    model.build(input_shape)
    if snapshot.training is not None:
        optimizer, loss = snapshot.training["optimizer"], snapshot.training["loss"]
        model.compile(
            optimizers.get(optimizer["name"], **optimizer["config"]),
            losses.get(loss["name"], **loss["config"]),
            snapshot.training["metrics"],
        )
    load(model, snapshot)
    return model


def load(model: Model, snapshot: Snapshot) -> None:
    """Load weights, moments and progress into a model of the same structure.

    Parameters
    ----------
    model : Sequential
        Built; compiled if the snapshot is.
    snapshot : Snapshot

    Raises
    ------
    ValueError
        When the weights do not fit.
    """
    model.set_weights([array for _, array in snapshot.weights])
    model.epochs_trained = snapshot.progress["epochs_trained"]
    model.steps_trained = snapshot.progress["steps_trained"]
    if snapshot.training is not None:
        _restore_optimizer(model, snapshot.training["iterations"], snapshot.slots)


def _cut(model: Model, vector: np.ndarray) -> list[np.ndarray]:
    """Return the part of a slot for each trainable parameter, in the shape of the parameter."""
    arrays, start = [], 0
    for layer in model.layers:
        for parameter in layer.params.values():
            if layer.trainable:
                arrays.append(vector[start : start + parameter.size].reshape(parameter.shape).copy())
            start += parameter.size
    return arrays


def _restore_optimizer(model: Model, iterations: int, slots: dict[str, list[np.ndarray]]) -> None:
    """Restore the counter and the slots of the optimizer; the inverse of `_cut`."""
    optimizer = model.optimizer
    if optimizer is None:
        return
    optimizer.iterations = iterations
    optimizer.slots.clear()  # a snapshot taken before the first step has no slots
    for name, arrays in slots.items():
        flat = np.concatenate([np.zeros(0), *(array.ravel() for array in arrays)])
        slot = optimizer.slots[name] = np.zeros_like(model.parameters)
        start = 0
        for span, _ in trainable_spans(model.layers):
            count = span.stop - span.start
            slot[span] = flat[start : start + count]
            start += count
