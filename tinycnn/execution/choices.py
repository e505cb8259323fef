"""Algorithm choices of single layers: as data, and as rows of the table.

::

    layer, batch size -> kernels.choose -> choices -> rows
"""

from __future__ import annotations

from tinycnn.kernels import choose
from tinycnn.kernels.explanation import FILTER_GRADIENT, FORWARD, INPUT_GRADIENT, Row, minimal_filtering
from tinycnn.kernels.selection import CONVOLUTIONS, DEPTHWISE, Choice, choose_matmul, tile_size
from tinycnn.layers import (
    AveragePooling2D,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Layer,
    MaxPooling2D,
    SeparableConv2D,
)
from tinycnn.support.checks import Pair

DIRECTIONS = (FORWARD, INPUT_GRADIENT, FILTER_GRADIENT)


def convolution_choices(conv: Conv2D, images: int) -> dict[str, Choice]:
    """Return the choice for each of the three operations of a built Conv2D, for a batch of `images`."""
    strides, _, dilation = conv.geometry()
    shape, (OH, OW) = conv.params["kernel"].shape, output_size(conv)
    return {
        name: choose(name, conv.algorithm, shape, strides, dilation, OH * OW, images) for name in CONVOLUTIONS
    }


def output_size(conv: Conv2D) -> Pair:
    """Return (OH, OW) of a built Conv2D."""
    OH, OW, _ = conv.compute_output_shape(conv.built_shape)
    return OH, OW


def convolution_rows(conv: Conv2D, choices: dict[str, Choice], images: int) -> list[Row]:
    """Return a row for each operation of a Conv2D."""
    rows = []
    for direction, operation in zip(DIRECTIONS, CONVOLUTIONS, strict=True):
        row = Row(conv.label, direction, choices[operation])
        if row.choice.algorithm == "winograd" and not row.choice.refused:
            row = _with_tiles(row, conv, operation, images)
        rows.append(row)
    return rows


def _with_tiles(row: Row, conv: Conv2D, operation: str, images: int) -> Row:
    """Return the row of a Winograd convolution with its F(m, r) and what that saves."""
    from tinycnn.kernels.conv.winograd_image import fits_in_cache

    r, _, C, F = conv.params["kernel"].shape
    tiled = output_size(conv)
    if operation == "conv2d_grad_input":  # a convolution of dy: (OH, OW, F) -> (H, W, C)
        H, W, _ = conv.built_shape
        tiled, C, F = (H, W), F, C
    own_kernel = images == 1 and operation != "conv2d_grad_filter"
    alone = own_kernel and fits_in_cache((r, r, C, F), (1, *tiled, F), conv.dtype)
    m = tile_size(r, *tiled, images=1 if alone else 2)
    variant, multiplications = minimal_filtering(m, r, tiled, output_size(conv))
    return row._replace(variant=variant, multiplications=multiplications)


def layer_rows(layer: Layer, images: int) -> list[Row]:
    """Return what computes each pass of a layer that runs by itself; nothing for one without alternatives."""
    if isinstance(layer, Conv2D):
        return convolution_rows(layer, convolution_choices(layer, images), images)
    if isinstance(layer, MaxPooling2D | AveragePooling2D):
        names = layer.operation, f"{layer.operation}_grad_input"
        choices = [choose(name, layer.algorithm) for name in names]
        return [Row(layer.label, *pair) for pair in zip(DIRECTIONS, choices, strict=False)]
    if isinstance(layer, DepthwiseConv2D | SeparableConv2D):
        choices = [choose(name, layer.algorithm) for name in DEPTHWISE]
        if isinstance(layer, SeparableConv2D):
            choices = [
                choice._replace(cause="both halves") if choice.cause == "channels apart" else choice
                for choice in choices
            ]
        return [Row(layer.label, *pair) for pair in zip(DIRECTIONS, choices, strict=True)]
    if isinstance(layer, Dense):
        choice = choose_matmul(images * layer.params["kernel"].size)
        row = choice._replace(algorithm="row", cause="row") if images == 1 else choice
        forward = row if choice.algorithm == "blocked" else choice
        return [Row(layer.label, d, c) for d, c in zip(DIRECTIONS, (forward, choice, choice), strict=True)]
    return []
