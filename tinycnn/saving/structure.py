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
        For a layer that tinycnn does not have, one that cannot take what the one before gives, or a model
        that is not built.
    """
    if config["input_shape"] is None:
        raise ValueError(f"{config['name']}: call model.build(input_shape) first")
    shape, found = tuple(config["input_shape"]), []
    for entry in config["layers"]:
        layer = from_config(entry["class_name"], entry["config"])
        found.append((layer, shape))
        shape = layer.compute_output_shape(shape)
    return found


def weight_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight, "layer/weight", in the order of `Snapshot.weights`."""
    return {
        f"{layer.name}/{name}": size
        for layer, shape in layers(config)
        for name, size in (*layer.param_shapes(shape).items(), *layer.state_shapes(shape).items())
    }
