"""Order of an optimizer's moments in Keras' files.

::

    Keras 3            iteration, learning_rate if it is a number, then the moments
    Keras 2 (2.11 on)  iteration, then the moments
    the moments        m and v of the first parameter, m and v of the second, ...  (Adam, Adadelta)
                       one kind for all parameters, then the next                  (all others)
    Keras 2 (to 2.10)  always one kind for all parameters, then the next

Files are written in the order of Keras 3. tf-keras reads such a file with a warning that the optimizer starts
afresh, because it does not expect the learning rate in second place.
"""

import warnings

import numpy as np

from tinycnn.saving import keras_training
from tinycnn.saving.snapshot import Snapshot, slot_names
from tinycnn.support import checks

# For each optimizer, the number of its first kinds of moments that alternate, parameter by parameter.
ALTERNATING = {"adadelta": 2, "adam": 2, "adamw": 2}
# Endings of the name of the first moment in Keras 2 up to 2.10, where none alternate.
OLD_NAMES = ("/m:0", "/accum_grad:0")

Arrays = list[tuple[str, np.ndarray]]


def to_arrays(snapshot: Snapshot) -> Arrays:
    """Return the names and values of /optimizer_weights for a snapshot of a compiled model."""
    if snapshot.training is None:
        return []
    optimizer = snapshot.training["optimizer"]
    name = optimizer["name"]
    weights = snapshot.trainable_weights()
    arrays: Arrays = [(f"{name}/iteration", np.array(snapshot.training["iterations"], np.int64))]
    rate = keras_training.from_rate(optimizer["config"]["learning_rate"], snapshot.training["iterations"])
    if not isinstance(rate, dict):  # Keras has no variable for the rate of a schedule
        arrays.append((f"{name}/learning_rate", np.array(rate, np.float32)))
    for kind, i in _places(slot_names(optimizer), ALTERNATING.get(name, 1), len(weights)):
        weight, value = weights[i]
        # a missing moment is written as zeros, since Keras expects all of them
        moment = snapshot.slots[kind][i] if kind in snapshot.slots else np.zeros_like(value)
        arrays.append((f"{name}/{weight.replace('/', '_')}_{kind}", moment))
    return arrays


def from_arrays(arrays: Arrays, snapshot: Snapshot) -> None:
    """Add the values of /optimizer_weights to a snapshot whose `training` has been read.

    Warns
    -----
    UserWarning
        When the arrays do not fit the parameters; training then starts with fresh moments.
    """
    if snapshot.training is None or not arrays:
        return
    (_, iteration), *moments = arrays
    if moments and moments[0][1].ndim == 0:
        moments = moments[1:]  # the learning rate in Keras 3, which is in the configuration too
    optimizer = snapshot.training["optimizer"]
    kinds = slot_names(optimizer)
    if not kinds:
        moments = []  # tf-keras saves a momentum for SGD even if it is 0
    old = bool(moments) and moments[0][0].endswith(OLD_NAMES)
    weights = [array for _, array in snapshot.trainable_weights()]
    places = _places(kinds, 1 if old else ALTERNATING.get(optimizer["name"], 1), len(weights))
    if [array.shape for _, array in moments] != [weights[i].shape for _, i in places]:
        if moments:  # Keras writes no moments before the first step
            warnings.warn("the optimizer's moments do not fit the weights: they start afresh", stacklevel=2)
        return
    snapshot.training["iterations"] = checks.whole("iterations", iteration[()], 0)
    for (kind, _), (_, array) in zip(places, moments, strict=True):
        snapshot.slots.setdefault(kind, []).append(array.astype(snapshot.config["dtype"]))


def _places(kinds: list[str], alternating: int, count: int) -> list[tuple[str, int]]:
    """Return (kind, index of the parameter) in Keras' order; the first kinds alternate."""
    groups = [kinds[:alternating], *([kind] for kind in kinds[alternating:])]
    return [(kind, i) for group in groups for i in range(count) for kind in group]
