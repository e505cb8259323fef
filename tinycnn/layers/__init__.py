"""Layers: one family per file.

::

    x -> forward -> y          dy -> backward -> dx, grads

The contract of a layer is in `tinycnn.layers.base`. The heavy layers are computed in `tinycnn.kernels`.
"""

from typing import Any

from tinycnn.layers.activation import Activation, ReLU, Softmax
from tinycnn.layers.base import Layer
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dense import Dense
from tinycnn.layers.depthwise import DepthwiseConv2D, SeparableConv2D
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.flatten import Flatten
from tinycnn.layers.gaussian_noise import GaussianNoise
from tinycnn.layers.input_layer import InputLayer
from tinycnn.layers.normalization import BatchNormalization
from tinycnn.layers.padding import ZeroPadding2D
from tinycnn.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from tinycnn.layers.random_layer import RandomLayer
from tinycnn.layers.reshape import Reshape
from tinycnn.layers.upsampling import UpSampling2D
from tinycnn.support import checks

#: The layers that a saved model may name.
LAYERS: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (
        Activation,
        AveragePooling2D,
        BatchNormalization,
        Conv2D,
        Dense,
        DepthwiseConv2D,
        Dropout,
        Flatten,
        GaussianNoise,
        GlobalAveragePooling2D,
        GlobalMaxPooling2D,
        MaxPooling2D,
        ReLU,
        Reshape,
        Softmax,
        UpSampling2D,
        ZeroPadding2D,
        SeparableConv2D,
    )
}

__all__ = ["LAYERS", "InputLayer", "Layer", "RandomLayer", "from_config", *LAYERS]


def from_config(class_name: str, config: dict[str, Any]) -> Layer:
    """Return a new layer.

    Parameters
    ----------
    class_name : str
        A name of `LAYERS`.
    config : dict
        The arguments of the constructor, as `get_config` returned them.

    Raises
    ------
    ValueError
        For an unknown class, or arguments out of range. The message begins with the name of the layer.
    """
    layer = LAYERS[checks.choice("layer", class_name, LAYERS)]
    try:
        return layer.from_config(config)
    except ValueError as error:
        if config.get("name") is None:
            raise
        kind = checks.ArgumentTypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"layer {config['name']!r:.99}: {error}") from error
