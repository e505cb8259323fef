"""Operators that move a window over images: convolutions and pools.

::

    Conv, W (F, C / group, KH, KW) -> Conv2D or DepthwiseConv2D          MaxPool -> MaxPooling2D
    AveragePool -> AveragePooling2D                                      Pad -> ZeroPadding2D
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinycnn.kernels import geometry
from tinycnn.saving.onnx.network import Network
from tinycnn.saving.onnx.nodes import Node
from tinycnn.support.checks import Pads, Pair

AUTOMATIC = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")  # values of auto_pad


class Window(NamedTuple):
    """Sizes of a window, and how it moves."""

    kernel: Pair
    strides: Pair
    dilation: Pair
    pads: Pads

    def padding(self, size: tuple[int, ...]) -> str | Pads:
        """Return the argument `padding` for an image of a size: by name where it has one."""
        if self.pads == geometry.NO_PADDING:
            return "valid"
        if self.pads == geometry.resolve_padding("same", size, self.kernel, self.strides, self.dilation):
            return "same"
        return self.pads


def window(node: Node, size: tuple[int, ...], kernel: tuple[int, ...] | None = None) -> Window:
    """Read the attributes of a window over an image (H, W); `kernel` is the size that its weights have.

    Raises
    ------
    ValueError
        For a number of axes that is not 2, and numbers out of range.
    """
    read = node.attributes
    declared = read.wholes("kernel_shape", list(kernel) if kernel else None)
    strides, dilations = read.wholes("strides", [1, 1]), read.wholes("dilations", [1, 1])
    pads, auto = read.wholes("pads", None), read.text("auto_pad", "NOTSET")
    read.expect("auto_pad", auto, *AUTOMATIC)
    for name, value in (("kernel_shape", declared), ("strides", strides), ("dilations", dilations)):
        if value is None or len(value) != 2 or min(value) < 1:
            node.refuse(f"{name}: expected two numbers >= 1, received {value}")
    if kernel is not None and tuple(declared) != kernel:
        node.refuse(f"kernel_shape: expected {kernel}, as the weights are, received {declared}")
    whole = tuple(declared), tuple(strides), tuple(dilations)
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        sides = geometry.resolve_padding("same", size[:2], *whole)
        if auto == "SAME_LOWER":
            (top, bottom), (left, right) = sides
            sides = (bottom, top), (right, left)
        return Window(*whole, sides)
    pads = [0, 0, 0, 0] if pads is None or auto == "VALID" else pads
    if len(pads) != 4 or min(pads) < 0:
        node.refuse(f"pads: expected four numbers >= 0, received {pads}")
    top, left, bottom, right = pads
    return Window(*whole, ((top, bottom), (left, right)))


def conv(net: Network, node: Node) -> None:
    """Read a Conv."""
    w, group = node.constant(1, "weights", 4), node.attributes.whole("group", 1)
    net.images(node)
    (H, W, C), (F, per_group, *size) = net.shape, w.shape
    how = window(node, (H, W), tuple(size))
    if group < 1 or per_group * group != C or F % group:
        node.refuse(f"weights: expected those of {C} channels in {group} groups, received shape {w.shape}")
    arrays = {"bias": _bias(node, F)} if node.given(2) else {}
    common: dict[str, Any] = {
        "kernel_size": how.kernel,
        "strides": how.strides,
        "dilation_rate": how.dilation,
    }
    common |= {"padding": how.padding((H, W)), "use_bias": "bias" in arrays}
    if node.layer == "SeparableConv2D" and _join_separable(net, node, w, arrays):
        return
    if group == 1:
        arrays = {"kernel": w.transpose(2, 3, 1, 0), **arrays}  # (F, C, KH, KW) -> (KH, KW, C, F)
        shape = net.add(node, "Conv2D", arrays, filters=F, **common)
    elif group == C:
        kernel = w.reshape(C, F // C, *how.kernel).transpose(2, 3, 0, 1)  # -> (KH, KW, C, M)
        arrays = {"kernel": kernel, **arrays}
        shape = net.add(node, "DepthwiseConv2D", arrays, depth_multiplier=F // C, **common)
    else:
        node.refuse(f"group: expected 1, or {C} for {C} channels, received {group}")
    net.layout.compute(shape, channels_first=True)


def _join_separable(net: Network, node: Node, w: np.ndarray, bias: dict[str, np.ndarray]) -> bool:
    """Make one layer of two nodes that tinycnn wrote, if this is the second; return whether it is."""
    F, C, *size = w.shape
    last: dict[str, Any] = net.layers[-1]["config"] if net.layers else {}
    if size != [1, 1] or last.get("name") != f"{node.name}_depthwise":
        return False
    kernel = net.weights[-1]["kernel"]  # (KH, KW, C, M); one of a Conv2D if there is one channel
    depthwise = kernel.reshape(*kernel.shape[:2], -1, last.get("depth_multiplier") or C)
    shape = *net.shape[:2], F
    weights = {"depthwise_kernel": depthwise, "pointwise_kernel": w.transpose(2, 3, 1, 0), **bias}
    config = {key: last[key] for key in ("kernel_size", "strides", "padding", "dilation_rate")}
    config |= {"filters": F, "depth_multiplier": depthwise.shape[3], "use_bias": bool(bias)}
    net.replace(node, "SeparableConv2D", weights, **config)
    net.layout.compute(shape, channels_first=True)
    return True


def _bias(node: Node, filters: int) -> np.ndarray:
    bias = node.constant(2, "bias", 1)
    if bias.shape != (filters,):
        node.refuse(f"bias: expected shape ({filters},), received {bias.shape}")
    return bias


def pool(net: Network, node: Node) -> None:
    """Read a MaxPool or an AveragePool.

    Padding of zeros is the same as none to a maximum of numbers that are not negative, and to a mean that
    counts it. What `ceil_mode` adds is never counted.
    """
    read = node.attributes
    net.images(node)
    size = net.shape[:2]
    up, counted = read.whole("ceil_mode", 0), read.whole("count_include_pad", 0)
    read.whole("storage_order", 0)  # of the second output
    how = window(node, size)
    read.expect("dilations", how.dilation, (1, 1))
    for kernel, sides in zip(how.kernel, how.pads, strict=True):
        if max(sides) >= kernel:
            node.refuse(f"pads: expected less than the window {how.kernel}, received {how.pads}")
    counted = counted and how.pads != geometry.NO_PADDING
    extended = how._replace(pads=_rounded_up(how, size)) if up else how
    highest, padding = node.operator == "MaxPool", extended.padding(size)
    explicit = not isinstance(padding, str) or (not highest and counted and padding != "valid")
    if explicit:
        if not (net.is_not_negative() if highest else counted and extended == how):
            added = ", what ceil_mode adds among them" if extended != how else ""
            node.refuse(f"pads: expected none, or those of padding 'same', received {extended.pads}{added}")
        net.layout.compute(net.add(node, "ZeroPadding2D", padding=extended.pads), channels_first=True)
        padding = "valid"
    kind = "MaxPooling2D" if highest else "AveragePooling2D"
    shape = net.add(node, kind, pool_size=how.kernel, strides=how.strides, padding=padding)
    net.layout.compute(shape, channels_first=True)


def _rounded_up(how: Window, size: tuple[int, ...]) -> Pads:
    """Return the padding with what `ceil_mode` adds: one window more, if it begins on the image."""
    sides = []
    for length, kernel, stride, (before, after) in zip(size, how.kernel, how.strides, how.pads, strict=True):
        rest = length + before + after - kernel
        count = -(-rest // stride)
        if count * stride >= length + before:
            count -= 1
        sides.append((before, max(after, after + count * stride - rest)))
    return sides[0], sides[1]


def pad(net: Network, node: Node) -> None:
    """Read a Pad of zeros around images, as ONNX or as tinycnn stores them."""
    read = node.attributes
    read.expect("mode", read.text("mode", "constant"), "constant")
    if node.opset < 11:
        pads, value = read.wholes("pads", None), read.real("value", 0.0)
    else:
        pads, value = node.wholes(1, "pads"), node.scalar(2, "value", 0.0)
    rank = len(net.layout.stored) + 1
    axes = node.wholes(3, "axes") or range(rank)
    if (
        pads is None
        or len(pads) != 2 * len(axes)
        or min(pads) < 0
        or not all(-rank <= a < rank for a in axes)
    ):
        node.refuse(f"pads: expected two numbers >= 0 for each of {rank} axes, received {pads}")
    sides = [(0, 0)] * rank
    for axis, *both in zip(axes, pads, pads[len(axes) :], strict=False):
        sides[axis] = (both[0], both[1])
    if not any(map(any, sides)):
        return
    read.expect("value", value, 0.0)
    last = rank == 4 and sides[3] == (0, 0) and net.layout.ours == net.layout.stored
    if not last:
        net.images(node)
    batch, channels, *space = (sides[0], sides[3], *sides[1:3]) if last else sides
    if any(batch) or any(channels):
        node.mismatch(f"pads: expected none of the batch and of the channels, received {pads}")
    shape = net.add(node, "ZeroPadding2D", padding=tuple(space))
    net.layout.compute(shape, channels_first=not last)
