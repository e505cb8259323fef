"""All that a file holds of a model, as plain data.

::

    model -> Snapshot -> hdf5.write, npz.write          hdf5.read, npz.read -> Snapshot -> model

The formats know this and nothing of networks, so that each can be read alone.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Snapshot:
    """A model's structure, weights and state of training.

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
        The moments of the optimizer, each with one array for each trainable parameter.
    progress : dict of str to int
        "epochs_trained" and "steps_trained".
    """

    config: dict[str, Any]
    weights: list[tuple[str, np.ndarray]]
    training: dict[str, Any] | None = None
    slots: dict[str, list[np.ndarray]] = field(default_factory=dict)
    progress: dict[str, int] = field(default_factory=lambda: {"epochs_trained": 0, "steps_trained": 0})
