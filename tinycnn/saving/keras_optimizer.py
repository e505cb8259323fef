"""The moments of an optimizer in the order in which Keras saves them.

::

    Keras 3            iteration, learning_rate, then the moments
    Keras 2 (2.11 on)  iteration, then the moments
    the moments        m and v of the first parameter, m and v of the second, ...  (Adam, Adadelta)
                       one kind for all parameters, then the next                  (all others)
    Keras 2 (to 2.10)  always one kind for all parameters, then the next

Keras 3's order is written. tf-keras reads such a file too, with a warning that the optimizer starts afresh:
the learning rate in second place is not in its list.
"""

import warnings
from typing import Any

import numpy as np

from tinycnn.saving.snapshot import Snapshot

# Kinds of moments in Keras' order, those in one tuple interleaved parameter by parameter.
ORDER: dict[str, list[tuple[str, ...]]] = {
    "sgd": [("momentum",)],
    "rmsprop": [("velocity",), ("momentum",), ("average_gradient",)],
    "adadelta": [("accumulated_grad", "accumulated_delta")],
    "adam": [("momentum", "velocity"), ("velocity_hat",)],
    "adamw": [("momentum", "velocity"), ("velocity_hat",)],
}


def to_arrays(snapshot: Snapshot) -> list[tuple[str, np.ndarray]]:
    """Return the names and values of /optimizer_weights for a snapshot that has been trained or compiled."""
    training = snapshot.training or {}
    name = training["optimizer"]["name"]
    names = trainable_names(snapshot)
    arrays = [
        (f"{name}/iteration", np.array(training["iterations"], np.int64)),
        (f"{name}/learning_rate", np.array(training["optimizer"]["config"]["learning_rate"], np.float32)),
    ]
    for kind, i in _places(name, set(snapshot.slots), len(names)):
        arrays.append((f"{name}/{names[i].replace('/', '_')}_{kind}", snapshot.slots[kind][i]))
    return arrays


def from_arrays(arrays: list[tuple[str, np.ndarray]], snapshot: Snapshot) -> None:
    """Put the values of /optimizer_weights into a snapshot whose `training` has been read.

    Warns
    -----
    UserWarning
        When the arrays do not fit the parameters; training then starts with fresh moments.
    """
    training: dict[str, Any] = snapshot.training or {}
    if not arrays:
        return
    iteration, *rest = arrays
    if rest and rest[0][1].ndim == 0:
        rest = rest[1:]  # Keras 3's learning rate, which the configuration holds too
    name = training["optimizer"]["name"]
    shapes = [dict(snapshot.weights)[weight].shape for weight in trainable_names(snapshot)]
    kinds = _kinds(name, training["optimizer"]["config"])
    places = list(_places(name, kinds, len(shapes)))
    if rest and rest[0][0].endswith(("/m:0", "/momentum:0", "/rms:0")):  # Keras 2, up to 2.10
        places = [
            (kind, i) for group in ORDER[name] for kind in group if kind in kinds for i in range(len(shapes))
        ]
    if not kinds:
        rest = []  # tf-keras keeps a momentum for SGD even when it is 0
    if [array.shape for _, array in rest] != [shapes[i] for _, i in places]:
        if rest:
            warnings.warn(
                "the optimizer's moments do not fit the parameters: they start afresh", stacklevel=2
            )
            return
        places = []
    training["iterations"] = int(iteration[1])
    for (kind, _), (_, array) in zip(places, rest, strict=True):
        snapshot.slots.setdefault(kind, []).append(array)


def trainable_names(snapshot: Snapshot) -> list[str]:
    """Return the names of the weights that have moments: those of trainable layers, moving averages left out."""
    trainable = {layer["config"]["name"] for layer in snapshot.config["layers"] if layer["trainable"]}
    return [
        name
        for name, _ in snapshot.weights
        if name.rsplit("/", 1)[0] in trainable and not name.rsplit("/", 1)[1].startswith("moving_")
    ]


def _kinds(name: str, config: dict[str, Any]) -> set[str]:
    """Return which moments an optimizer with these settings keeps."""
    conditions = {"velocity_hat": "amsgrad", "average_gradient": "centered"}
    if name in ("sgd", "rmsprop"):
        conditions["momentum"] = "momentum"
    every = {kind for group in ORDER[name] for kind in group}
    return {kind for kind in every if kind not in conditions or config.get(conditions[kind])}


def _places(name: str, kinds: set[str], count: int) -> list[tuple[str, int]]:
    """Return (kind, number of the parameter) in Keras' order."""
    groups = [[kind for kind in group if kind in kinds] for group in ORDER[name]]
    return [(kind, i) for group in groups for i in range(count) for kind in group]
