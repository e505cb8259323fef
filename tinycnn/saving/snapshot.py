"""Snapshot of a model: the content of a file, as plain data.

::

    model -> Snapshot -> hdf5.write, npz.write          hdf5.read, npz.read -> Snapshot -> model

The formats know snapshots and no networks, so each format can be read alone.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinycnn import losses, optimizers
from tinycnn.layers import LAYERS
from tinycnn.support import checks


@dataclass
class Snapshot:
    """Structure, weights and training state of a model.

    Attributes
    ----------
    config : dict
        "name", "seed", "dtype", "input_shape" (without the batch axis) and "layers", a list of dictionaries
        with "class_name", "config" (the arguments of the constructor) and "trainable".
    weights : list of (str, ndarray)
        "layer/weight" and the values, in Keras' order: layer by layer, parameters before state.
    training : dict or None
        "optimizer" and "loss" (dictionaries with "name" and "config"), "metrics" (names) and "iterations".
        None for a model that is not compiled.
    slots : dict of str to list of ndarray
        The moments of the optimizer, each with one array for each trainable parameter. A missing moment is
        0, as before the first step.
    progress : dict of str to int
        "epochs_trained" and "steps_trained".
    """

    config: dict[str, Any]
    weights: list[tuple[str, np.ndarray]]
    training: dict[str, Any] | None = None
    slots: dict[str, list[np.ndarray]] = field(default_factory=dict)
    progress: dict[str, int] = field(default_factory=lambda: {"epochs_trained": 0, "steps_trained": 0})

    def trainable_weights(self) -> list[tuple[str, np.ndarray]]:
        """Return the weights that have moments: those of trainable layers, without moving averages."""
        trainable = {layer["config"]["name"] for layer in self.config["layers"] if layer["trainable"]}
        weights = []
        for name, array in self.weights:
            layer, _, weight = name.rpartition("/")
            if layer in trainable and not weight.startswith("moving_"):
                weights.append((name, array))
        return weights


def check(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot, after checking it as far as is possible without making a model.

    Raises
    ------
    ValueError
        For unknown layers, losses and optimizers, counts below 0, arrays of another dtype than the model's,
        and moments that do not fit the parameters.
    """
    dtype = checks.float_dtype("dtype", snapshot.config["dtype"])
    for name, array in snapshot.weights:
        _check_dtype(name, array, dtype)
    for layer in snapshot.config["layers"]:
        name = layer["config"]["name"]
        if not isinstance(name, str):
            raise ValueError(f"layer name: expected text, received {name!r}")
        checks.choice(f"layer {name!r}", layer["class_name"], LAYERS)
        checks.flag(f"layer {name!r}: trainable", layer["trainable"])
    for name in ("epochs_trained", "steps_trained"):
        checks.whole(name, snapshot.progress[name], 0)
    if snapshot.training is not None:
        losses.get(snapshot.training["loss"]["name"], **snapshot.training["loss"]["config"])
        checks.whole("iterations", snapshot.training["iterations"], 0)
    _check_slots(snapshot, dtype)
    return snapshot


def slot_names(optimizer: dict[str, Any]) -> list[str]:
    """Return the names of the moments of a `Snapshot.training["optimizer"]`, in Keras' order."""
    return optimizers.get(optimizer["name"], **optimizer["config"]).slot_names()


def _check_slots(snapshot: Snapshot, dtype: Any) -> None:
    names = slot_names(snapshot.training["optimizer"]) if snapshot.training else []
    shapes = [array.shape for _, array in snapshot.trainable_weights()]
    for name, arrays in snapshot.slots.items():
        checks.choice("optimizer's moment", name, names)
        received = [array.shape for array in arrays]
        if received != shapes:
            raise ValueError(f"optimizer's {name}: expected arrays of shapes {shapes}, received {received}")
        for array in arrays:
            _check_dtype(f"optimizer's {name}", array, dtype)


def _check_dtype(name: str, array: np.ndarray, dtype: Any) -> None:
    if array.dtype != dtype:
        raise ValueError(f"{name}: expected an array of {dtype}, received {array.dtype}")
