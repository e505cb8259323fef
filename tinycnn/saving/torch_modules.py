"""Modules of `torch.nn.Sequential` that compute what the layers of a model compute, and their tensors.

::

    Snapshot.config -> modules -> Module(0, "conv2d_1", ("weight" <- "conv2d_1/kernel", ...)), ...

PyTorch keeps images as (N, C, H, W). So its tensors are the weights of the layers with their axes in another
order, and where a flattened image is an axis, with that axis in another order too:

==================  =====================  =====================================  ==========================
layer               module                 weight                                 the axes of its tensor
==================  =====================  =====================================  ==========================
Conv2D              Conv2d                 kernel (KH, KW, C, F)                  (F, C, KH, KW)
DepthwiseConv2D     Conv2d, C groups       kernel (KH, KW, C, M)                  (C * M, 1, KH, KW)
SeparableConv2D     two of Conv2d          depthwise_kernel, pointwise_kernel     as the two above
Dense               Linear                 kernel (inputs, units)                 (units, inputs)
Dense, flat image   Linear                 kernel (H * W * C, units)              (units, C * H * W)
BatchNormalization  BatchNorm2d or 1d      gamma, beta, moving averages (C,)      (C,)
==================  =====================  =====================================  ==========================

The modules are numbered by these rules. Convolutions and dense layers have one more module after them for an
activation that is not linear. A convolution that adds more zeros on one side than on the other has a
ZeroPad2d before it: `padding=((0, 1), (0, 1))`, and some with "same". A global pool is two modules,
AdaptiveAvgPool2d and Flatten. Each other layer is one module.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinycnn.kernels import geometry
from tinycnn.layers import Layer
from tinycnn.saving import structure

Shape = tuple[int, ...]


class Tensor(NamedTuple):
    """A tensor of a module, and the weight of a layer that it is.

    Attributes
    ----------
    name : str
        In the module: "weight", "bias", "running_mean" or "running_var".
    weight : str
        In the layer; empty where the layer has none. The tensor then is `constant` everywhere.
    shape, split, axes : tuple of int
        The tensor is the weight, reshaped to `split`, with its `axes` transposed, reshaped to `shape`.
    constant : float
    """

    name: str
    weight: str
    shape: Shape
    split: Shape
    axes: Shape
    constant: float = 0.0

    def from_weight(self, array: np.ndarray) -> np.ndarray:
        """Return the tensor of a weight; its memory is its own."""
        return array.reshape(self.split).transpose(self.axes).reshape(self.shape).copy()

    def to_weight(self, tensor: np.ndarray, shape: Shape) -> np.ndarray:
        """Return the weight, of a `shape`, that a tensor is."""
        moved = tensor.reshape([self.split[axis] for axis in self.axes])
        return moved.transpose(np.argsort(self.axes)).reshape(shape)


class Module(NamedTuple):
    """A module that has tensors: its number, the name of its layer, and which one of the layer's it is."""

    number: int
    layer: str
    part: str
    tensors: tuple[Tensor, ...]

    @property
    def name(self) -> str:
        """The layer's name; with ".depthwise" or ".pointwise" for the two modules of a SeparableConv2D."""
        return f"{self.layer}.{self.part}" if self.part else self.layer


class _Own(NamedTuple):
    """A layer, the shapes of its weights, and the image (H, W, C) that its flat input was, if any."""

    layer: Any
    shapes: dict[str, Shape]
    image: Shape | None


def modules(config: dict[str, Any]) -> list[Module]:
    """Return the modules that have tensors, for a `Snapshot.config`, in their order.

    Raises
    ------
    ValueError
        For a model that is not built, for layers with weights that PyTorch has no module for, and for a
        Reshape that takes the values of an image in another order than PyTorch would.
    """
    found, number, image = list[Module](), 0, None
    for layer, shape in structure.layers(config):
        own = _Own(layer, {**layer.param_shapes(shape), **layer.state_shapes(shape)}, image)
        parts = _parts(own)
        number += _is_padded_unevenly(layer, shape)
        for part, tensors in parts.items():
            found.append(Module(number, str(layer.name), part, tuple(tensors)))
            number += 1
        number += _modules_without_tensors(layer)
        image = _flat_image(layer, shape, image)
    return found


def _parts(own: _Own) -> dict[str, list[Tensor]]:
    """Return the tensors of each module of a layer that has weights."""
    kind = type(own.layer).__name__
    if not own.shapes:
        return {}
    if kind not in TENSORS:
        raise ValueError(f"{own.layer.label}: expected one of {', '.join(TENSORS)}, received {kind}")
    return TENSORS[kind](own)


def _tensor(own: _Own, weight: str, axes: Shape = (0,), name: str = "weight") -> Tensor:
    """Return a tensor that is a weight, with its axes in another order."""
    split = own.shapes[weight]
    return Tensor(name, weight, tuple(split[axis] for axis in axes), split, axes)


def _bias(own: _Own) -> list[Tensor]:
    return [_tensor(own, "bias", name="bias")] if "bias" in own.shapes else []


def _convolution(own: _Own) -> dict[str, list[Tensor]]:
    return {"": [_tensor(own, "kernel", (3, 2, 0, 1)), *_bias(own)]}


def _depthwise_tensor(own: _Own, weight: str) -> Tensor:
    """Return the tensor (C * M, 1, KH, KW) of a kernel (KH, KW, C, M): M filters for each channel."""
    KH, KW, C, M = split = own.shapes[weight]
    return Tensor("weight", weight, (C * M, 1, KH, KW), split, (2, 3, 0, 1))


def _depthwise(own: _Own) -> dict[str, list[Tensor]]:
    return {"": [_depthwise_tensor(own, "kernel"), *_bias(own)]}


def _separable(own: _Own) -> dict[str, list[Tensor]]:
    pointwise = _tensor(own, "pointwise_kernel", (3, 2, 0, 1))
    return {"depthwise": [_depthwise_tensor(own, "depthwise_kernel")], "pointwise": [pointwise, *_bias(own)]}


def _dense(own: _Own) -> dict[str, list[Tensor]]:
    if own.image is None:
        return {"": [_tensor(own, "kernel", (1, 0)), *_bias(own)]}
    inputs, units = own.shapes["kernel"]
    kernel = Tensor("weight", "kernel", (units, inputs), (*own.image, units), (3, 2, 0, 1))
    return {"": [kernel, *_bias(own)]}


def _normalization(own: _Own) -> dict[str, list[Tensor]]:
    """Return gamma and beta, which PyTorch has both or none of, and the averages."""
    shape = own.shapes["moving_mean"]
    split, axes = (shape, (0,)) if own.image is None else (own.image, (2, 0, 1))
    affine = {"weight": "gamma", "bias": "beta"}
    names = {**affine, "running_mean": "moving_mean", "running_var": "moving_variance"}
    tensors = {
        name: Tensor(
            name, weight if weight in own.shapes else "", shape, split, axes, float(name == "weight")
        )
        for name, weight in names.items()
    }
    return {"": list(tensors.values())}


#: The tensors of each layer that has weights.
TENSORS: dict[str, Callable[[_Own], dict[str, list[Tensor]]]] = {
    "BatchNormalization": _normalization,
    "Conv2D": _convolution,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
}
CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D")
ACTIVATED = (*CONVOLUTIONS, "Dense")
GLOBAL_POOLS = ("GlobalAveragePooling2D", "GlobalMaxPooling2D")


def _modules_without_tensors(layer: Any) -> int:
    """Return how many modules a layer has beside its ZeroPad2d and those with tensors."""
    kind = type(layer).__name__
    if kind in ACTIVATED:
        return int(layer.activation not in (None, "linear"))
    return 2 if kind in GLOBAL_POOLS else int(kind not in TENSORS)


def _is_padded_unevenly(layer: Any, shape: Shape) -> bool:
    """Return whether a convolution adds more rows or columns of zeros on one side than on the other."""
    if type(layer).__name__ not in CONVOLUTIONS:
        return False
    pads = geometry.resolve_padding(
        layer.padding, shape[:2], layer.kernel_size, layer.strides, layer.dilation_rate
    )
    return any(before != after for before, after in pads)


def _flat_image(layer: Layer, shape: Shape, image: Shape | None) -> Shape | None:
    """Return the image (H, W, C) that the flat output of a layer holds, in that order; None if it holds none.

    Parameters
    ----------
    layer : Layer
    shape : tuple of int
        Of its input.
    image : tuple of int or None
        The image that the input holds, if that is flat.
    """
    kind, result = type(layer).__name__, layer.compute_output_shape(shape)
    if kind not in ("Flatten", "Reshape"):
        return None if kind in ACTIVATED else image  # the others change each value alone
    source = image or shape
    in_rows = len(source) != 3 or _has_one_order(source)  # the values are in the same order in PyTorch
    if len(result) == 1:
        return None if in_rows else source
    same = len(result) == 3 and (_has_one_order(result) if in_rows else result[2] == source[2])
    if not same and not (in_rows and len(result) != 3):
        raise ValueError(
            f"{layer.label}: expected a {kind} that keeps the channels, received one from {source} to "
            f"{result}: PyTorch, whose images are (C, H, W), takes the values in another order"
        )
    return None


def _has_one_order(image: Shape) -> bool:
    """Return whether (H, W, C) and (C, H, W) have their values in the same order."""
    return image[2] == 1 or math.prod(image[:2]) == 1
