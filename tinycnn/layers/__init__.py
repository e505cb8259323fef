"""What a layer computes. One family per file, one lesson per file.

::

    x -> forward -> y          dy -> backward -> dx, grads

The contract is in `tinycnn.layers.base`; how the heavy layers are computed is in `tinycnn.kernels`.
"""

from typing import Any

from tinycnn import checks
from tinycnn.layers.activation import Activation
from tinycnn.layers.base import Layer
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.flatten import Flatten
from tinycnn.layers.normalization import BatchNormalization
from tinycnn.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, MaxPooling2D

#: The layers that a saved model may name.
LAYERS: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (
        Activation,
        AveragePooling2D,
        BatchNormalization,
        Conv2D,
        Dense,
        Dropout,
        Flatten,
        GlobalAveragePooling2D,
        MaxPooling2D,
    )
}

__all__ = ["LAYERS", "Layer", "from_config", *LAYERS]


def from_config(class_name: str, config: dict[str, Any]) -> Layer:
    """Return a new layer of a class of `LAYERS`, from what its `get_config` returned."""
    return LAYERS[checks.choice("layer", class_name, LAYERS)].from_config(config)
