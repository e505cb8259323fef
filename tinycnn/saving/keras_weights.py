"""Weights in Keras' files: names by position, and kernels of other backends.

::

    arrays of each layer, in Keras' order -> named -> "layer/kernel", "layer/bias", ...
    kernels of Theano -> orient -> the same, upside down and left to right

Keras finds weights by order. Their names differ between its versions and backends: `dense_1_W` in Keras 1,
`dense/kernel:0` in Keras 2, `sequential/dense/kernel` in Keras 3.

Theano computes convolutions, which flip the filter, and the other backends cross-correlations. So Keras flips
the kernels where a file moves between them (`_need_convert_kernel` in Keras 2, keras/engine/saving.py). It
does not flip those of depthwise and separable convolutions, which its Theano backend flips itself. With
padding "same", Theano pads half a window on each side, and the others put an odd pixel at the end.

A bilinear UpSampling2D has half-pixel centres, as PyTorch's, since Keras 2.4 and TensorFlow 1.15. Before, the
first pixel of an output was the first of the input, and the image was shifted. Keras inside TensorFlow called
itself 2.2.4-tf from TensorFlow 1.13 to 2.1, so there it is not known.
"""

import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinycnn.saving.snapshot import Snapshot
from tinycnn.support import checks

Arrays = list[tuple[str, Any]]
#: The weights of each layer, in Keras' order, each with the argument that turns it off.
WEIGHTS: dict[str, dict[str, str | None]] = {
    "BatchNormalization": {"gamma": "scale", "beta": "center", "moving_mean": None, "moving_variance": None},
    "Conv2D": {"kernel": None, "bias": "use_bias"},
    "Dense": {"kernel": None, "bias": "use_bias"},
    "DepthwiseConv2D": {"kernel": None, "bias": "use_bias"},
    "SeparableConv2D": {"depthwise_kernel": None, "pointwise_kernel": None, "bias": "use_bias"},
}
CONVOLUTION = "theano"  # the backend that flips filters
HALF_PIXELS = {"": (2, 4, 0), "-tf": (2, 3, 0)}  # the first versions that surely have half-pixel centres
CROSS_CORRELATION = ("cntk", "jax", "mxnet", "numpy", "openvino", "tensorflow", "torch")


def named(config: dict[str, Any], groups: Sequence[tuple[str, Arrays]]) -> Arrays:
    """Return ("layer/weight", array) for the arrays of a file.

    Parameters
    ----------
    config : dict
        A `Snapshot.config`.
    groups : sequence of (str, list of (str, array))
        The name of each group in the file, and its arrays, of any type, with their names there. Groups
        without arrays do not count.

    Raises
    ------
    ValueError
        When a layer has more or fewer arrays than it needs.
    """
    wanted = [(layer["config"]["name"], weight_names(layer)) for layer in config["layers"]]
    wanted = [(name, weights) for name, weights in wanted if weights]
    received = [(name, arrays) for name, arrays in groups if arrays]
    if len(received) != len(wanted):
        layers, found = [name for name, _ in wanted], [name for name, _ in received]
        raise ValueError(f"weights: expected those of {layers!s:.300}, received those of {found!s:.300}")
    result: Arrays = []
    for (layer, weights), (_, arrays) in zip(wanted, received, strict=True):
        if len(weights) != len(arrays):
            raise ValueError(f"layer {layer!r}: expected {', '.join(weights)}, received {len(arrays)} arrays")
        pairs = zip(weights, arrays, strict=True)
        result += [(f"{layer}/{weight}", array) for weight, (_, array) in pairs]
    return result


def by_name(config: dict[str, Any], groups: list[tuple[str, Arrays]]) -> list[tuple[str, Arrays]]:
    """Return the groups of a functional model in the order of its layers.

    A file may list the layers of such a model in another order than that of its chain. Where the names of the
    groups are not those of the layers, the order stays.
    """
    places = {layer["config"]["name"]: place for place, layer in enumerate(config["layers"])}
    filled = [(name, arrays) for name, arrays in groups if arrays]
    if any(name not in places for name, _ in filled):
        return groups
    return sorted(filled, key=lambda group: places[group[0]])


def weight_names(layer: dict[str, Any]) -> list[str]:
    """Return the names of a layer's weights, in Keras' order, for an entry of `Snapshot.config`."""
    own, weights = layer["config"], WEIGHTS.get(layer["class_name"], {})
    return [name for name, argument in weights.items() if argument is None or own.get(argument, True)]


def orient(snapshot: Snapshot, backend: str | None) -> Snapshot:
    """Return the snapshot with convolution kernels, and their moments, as cross-correlations need them.

    Parameters
    ----------
    snapshot : Snapshot
        Changed in place.
    backend : str or None
        The backend that the file names.

    Warns
    -----
    UserWarning
        When the model has convolutions and the file names no backend, or one that is unknown. Its kernels are
        then not flipped, as in Keras. Also for layers that Theano pads otherwise.
    """
    kernels = {
        f"{layer['config']['name']}/kernel"
        for layer in snapshot.config["layers"]
        if layer["class_name"] == "Conv2D"
    }
    if backend == CONVOLUTION:
        _warn_of_padding(snapshot.config)
    if not kernels or backend in CROSS_CORRELATION:
        return snapshot
    if backend != CONVOLUTION:
        received = "no backend" if backend is None else f"the backend {backend!r:.100}"
        warnings.warn(
            f"the file names {received}: its convolution kernels are read as TensorFlow's; Theano's would "
            "have to be flipped",
            stacklevel=2,
        )
        return snapshot
    names = [name for name, _ in snapshot.trainable_weights()]
    snapshot.weights = [(name, _flipped(a) if name in kernels else a) for name, a in snapshot.weights]
    for kind, slot in snapshot.slots.items():
        pairs = zip(names, slot, strict=True)
        snapshot.slots[kind] = [_flipped(a) if name in kernels else a for name, a in pairs]
    return snapshot


def _warn_of_padding(config: dict[str, Any]) -> None:
    """Warn of layers with padding "same" that begin at another pixel in Theano."""
    settings = [layer["config"] for layer in config["layers"]]
    names = [own["name"] for own in settings if own.get("padding") == "same" and not _is_padded_alike(own)]
    if names:
        warnings.warn(
            f"{', '.join(names)}: Theano pads 'same' by other rules, so the outputs differ at the edges, or "
            "everywhere with strides above 1",
            stacklevel=3,
        )


def warn_of_upsampling(config: dict[str, Any], keras_version: str | None) -> None:
    """Warn of bilinear UpSampling2D layers if the Keras that wrote a file may interpolate otherwise.

    Parameters
    ----------
    config : dict
        A `Snapshot.config`.
    keras_version : str or None
        The version that the file names. No Keras that names none has bilinear interpolation.
    """
    match = re.match(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(-tf)?", keras_version or "")
    if match is None or tuple(int(part or 0) for part in match.groups()[:3]) >= HALF_PIXELS[match[4] or ""]:
        return
    settings = [layer["config"] for layer in config["layers"]]
    names = [own["name"] for own in settings if own.get("interpolation") == "bilinear"]
    if names:
        warnings.warn(
            f"{', '.join(names)}: the file is of Keras {keras_version:.99}; before Keras 2.4 and TensorFlow "
            "1.15, a bilinear UpSampling2D had no half-pixel centres, so the outputs may differ",
            stacklevel=2,
        )


def _is_padded_alike(own: dict[str, Any]) -> bool:
    """Return whether a layer is a convolution of an odd window that moves pixel by pixel."""
    if "kernel_size" not in own:
        return False
    window = checks.pair("kernel_size", own["kernel_size"], 1)
    return all(size % 2 for size in window) and checks.pair("strides", own.get("strides", 1), 1) == (1, 1)


def _flipped(kernel: np.ndarray) -> np.ndarray:
    """Return a kernel (KH, KW, C, F), flipped in KH and KW; an array of another shape is refused later."""
    return np.ascontiguousarray(kernel[::-1, ::-1]) if kernel.ndim == 4 else kernel
