"""Operators that make images larger: Resize, and Upsample before it.

::

    nearest: each pixel again          linear between the centres of pixels: bilinear          -> UpSampling2D

ONNX has many rules for which pixel a new one comes from. They are not compared by name: the places of all new
pixels are computed by the file's rule, and must be those of UpSampling2D.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinycnn.saving.onnx.network import Network
from tinycnn.saving.onnx.nodes import Node

MOST = 2**16  # pixels along an axis of the result
ROUNDED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
}
#: The place in the input of each place in the output, for sizes `a` and `b`.
PLACES: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {
    "asymmetric": lambda x, a, b: x * a / b,
    "half_pixel": lambda x, a, b: (x + 0.5) * a / b - 0.5,
    "pytorch_half_pixel": lambda x, a, b: (x + 0.5) * a / b - 0.5 if b > 1 else 0 * x,
    "align_corners": lambda x, a, b: x * (a - 1) / (b - 1) if b > 1 else 0 * x,
}


def resize(net: Network, node: Node) -> None:
    """Read a Resize or an Upsample."""
    net.images(node)
    H, W, C = net.shape
    factors = _factors(node, (C, H, W))
    mode = node.attributes.text("mode", "nearest")
    node.attributes.expect("mode", mode, "nearest", "linear", "bilinear")
    rule, rounding = _rule(node)
    for size, factor in zip((H, W), factors, strict=True):
        if size * factor > MOST:
            node.refuse(f"expected a result of at most {MOST} pixels along an axis, received {size * factor}")
        new = np.arange(size * factor)
        places = PLACES[rule](new, size, size * factor)
        if mode == "nearest":
            same = np.array_equal(np.clip(ROUNDED[rounding](places), 0, size - 1), new // factor)
        else:
            centres = PLACES["half_pixel"](new, size, size * factor)
            same = np.allclose(np.clip(places, 0, size - 1), np.clip(centres, 0, size - 1), atol=1e-6)
        if not same:
            node.refuse(f"expected the pixels of UpSampling2D, received the rule {rule!r} with {rounding!r}")
    interpolation = "nearest" if mode == "nearest" else "bilinear"
    shape = net.add(node, "UpSampling2D", size=factors, interpolation=interpolation)
    net.layout.compute(shape, channels_first=True)


def tile(net: Network, node: Node) -> None:
    """Read a Tile of a new axis behind one of an image: each pixel again, as Keras does it in TensorFlow."""
    layout = net.layout
    repeats = node.wholes(1, "repeats") or []
    axes = [axis for axis, count in enumerate(repeats) if count != 1]
    if len(repeats) != len(layout.stored) + 1 or len(axes) != 1 or not 1 < repeats[axes[0]] <= MOST:
        node.refuse(f"repeats: expected one above 1 in {len(layout.stored) + 1} numbers, received {repeats}")
    axis, count = axes[0] - 1, repeats[axes[0]]
    before = layout.stored[axis - 1] if axis > 0 else []
    if len(layout.ours) != 3 or not before or layout.stored[axis] or before not in layout.ours[:2]:
        node.mismatch("expected each row or column of images to be repeated")
    place = layout.ours.index(before)
    size = (1, count) if place else (count, 1)
    last: dict[str, Any] = net.layers[-1] if net.layers else {"class_name": "", "config": {}}
    if last["class_name"] == "UpSampling2D" and last["config"]["interpolation"] == "nearest":
        last["config"]["size"] = tuple(a * b for a, b in zip(last["config"]["size"], size, strict=True))
    else:
        net.add(node, "UpSampling2D", size=size)
    layout.stored[axis] = layout.factors(count)
    layout.ours[place] = [*before, *layout.stored[axis]]


def _rule(node: Node) -> tuple[str, str]:
    """Return where new pixels come from, and how that is rounded."""
    read = node.attributes
    if node.operator == "Upsample" or node.opset < 11:
        return "asymmetric", "floor"
    rule = read.text("coordinate_transformation_mode", "half_pixel")
    rounding = read.text("nearest_mode", "round_prefer_floor")
    read.expect("coordinate_transformation_mode", rule, *PLACES)
    read.expect("nearest_mode", rounding, *ROUNDED)
    for name in ("antialias", "exclude_outside"):
        read.expect(name, read.whole(name, 0), 0)
    read.expect("keep_aspect_ratio_policy", read.text("keep_aspect_ratio_policy", "stretch"), "stretch")
    read.real("cubic_coeff_a", 0.0), read.real("extrapolation_value", 0.0)  # of other modes
    return rule, rounding


def _factors(node: Node, old: tuple[int, int, int]) -> tuple[int, int]:
    """Return by how much H and W grow; the batch and the channels do not."""
    axes = node.attributes.wholes("axes", [0, 1, 2, 3])
    ratios = [1.0, 1.0, 1.0, 1.0]
    if node.operator == "Upsample" and node.opset < 9:
        given = node.attributes.reals("scales", [])
    elif node.given(3):
        sizes = node.wholes(3, "sizes") or []
        found = dict(zip([axis % 4 for axis in axes], sizes, strict=False))
        given = [found[axis] / old[axis - 1] if axis else 1.0 for axis in found]  # the batch stays as it is
    else:
        given = [float(number) for number in node.constant(1 if node.opset < 11 else 2, "scales", 1)]
    if len(given) != len(axes) or not all(-4 <= axis < 4 for axis in axes):
        node.refuse(f"scales: expected one for each of the axes {axes}, received {given!s:.200}")
    for axis, ratio in zip(axes, given, strict=True):
        ratios[axis] = ratio
    batch, channels, *space = ratios
    if batch != 1 or channels != 1 or any(not 1 <= r <= MOST or r != int(r) for r in space):
        node.refuse(f"scales: expected 1, 1 and two whole numbers, received {ratios}")
    return int(space[0]), int(space[1])
