"""Rows and columns of its input that an output of a layer depends on.

::

    layer, outputs first to last of an axis -> reads -> first and last of the input, none of the padding

Convolutions, pools and padding have windows; upsampling has taps. Every other layer of this library works
pixel by pixel, or takes all pixels together (`takes_all`). `kernel_of` is what a window is multiplied by.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.layers import (
    Activation,
    AveragePooling2D,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
    Reshape,
    SeparableConv2D,
    Softmax,
    UpSampling2D,
    ZeroPadding2D,
)
from tinycnn.support.checks import Pads, Pair

CONVOLUTIONS = Conv2D | DepthwiseConv2D | SeparableConv2D
WINDOWED = CONVOLUTIONS | MaxPooling2D | AveragePooling2D | ZeroPadding2D


def window_geometry(layer: Any) -> tuple[Pair, Pair, Pads, Pair]:
    """Return size, strides, padding and dilation of the windows of a convolution, a pool or a padding."""
    if isinstance(layer, CONVOLUTIONS):
        strides, pads, dilation = layer.geometry()
        return layer.kernel_size, strides, pads, dilation
    size, strides, pads = layer.geometry()
    return size, strides, pads, (1, 1)


def kernel_of(layer: Any) -> np.ndarray:
    """Return the kernel of a dense layer, or that of the convolution that a layer is as a whole.

    A depthwise convolution has zeros where it does not look at a channel. A separable one is linear, so its
    two kernels are one: the sum over the channels in between of their products.
    """
    if isinstance(layer, SeparableConv2D):
        KH, KW, C, M = layer.params["depthwise_kernel"].shape
        pointwise = layer.params["pointwise_kernel"].reshape(C, M, layer.filters)
        return np.einsum("klcm,cmf->klcf", layer.params["depthwise_kernel"], pointwise)
    kernel: np.ndarray = layer.params["kernel"]
    if isinstance(layer, DepthwiseConv2D):
        KH, KW, C, M = kernel.shape
        whole = np.zeros((KH, KW, C, C, M), kernel.dtype)
        whole[:, :, np.arange(C), np.arange(C)] = kernel
        return whole.reshape(KH, KW, C, C * M)
    return kernel


def softmax_axis(layer: Any, axes: int) -> int | None:
    """Return the axis of a softmax layer, from 0, the first of `axes` without the batch axis; else None."""
    if isinstance(layer, Softmax):
        return layer.axis - 1 if layer.axis > 0 else layer.axis + axes
    return axes - 1 if isinstance(layer, Activation) and layer.activation == "softmax" else None


def takes_all(layer: Any, axis: int) -> bool:
    """Return whether each output depends on all rows (axis 0), or all columns (axis 1), of the input."""
    if isinstance(layer, Dense | GlobalAveragePooling2D | GlobalMaxPooling2D):
        return True
    if isinstance(layer, Reshape):  # the rows of a map are others than those of its input
        return len(layer.output_shape) == 3 and layer.output_shape != layer.built_shape
    axes = len(layer.built_shape)
    return softmax_axis(layer, axes) == (axis if axes == 3 else 0)


def reads(layer: Any, axis: int, first: int, last: int) -> Pair:
    """Return the first and the last row (axis 0) or column (axis 1) that outputs first to last depend on.

    The last one is before the first for outputs of padding alone. Not for layers that `takes_all` names.
    """
    if isinstance(layer, UpSampling2D):
        return min(layer.taps(axis, first)), max(layer.taps(axis, last))
    if isinstance(layer, WINDOWED):
        sizes, strides, pads, dilations = window_geometry(layer)
        before, reach = pads[axis][0], (sizes[axis] - 1) * dilations[axis]
        end = layer.built_shape[axis] - 1
        return max(first * strides[axis] - before, 0), min(last * strides[axis] - before + reach, end)
    return first, last
