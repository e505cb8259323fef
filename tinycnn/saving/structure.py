"""Layers that a snapshot describes, with their shapes, before any memory is allocated for weights.

::

    Snapshot.config -> layers -> (layer, shape of its input), ... -> formats that need shapes
"""

from typing import Any

from tinycnn.layers import Layer, from_config


def layers(config: dict[str, Any]) -> list[tuple[Layer, tuple[int, ...]]]:
    """Return the layers of a `Snapshot.config`, not built, each with the shape of one of its inputs.

    Raises
    ------
    ValueError
        For a layer that tinycnn does not have, or one that cannot take what the one before gives.
    """
    shape, found = tuple(config["input_shape"]), []
    for entry in config["layers"]:
        layer = from_config(entry["class_name"], entry["config"])
        found.append((layer, shape))
        shape = layer.compute_output_shape(shape)
    return found
