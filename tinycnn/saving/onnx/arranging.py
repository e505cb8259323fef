"""Operators that arrange numbers and compute none: they change the layout and are no layers.

::

    Transpose, Flatten, Reshape, Squeeze, Unsqueeze, Gather -> Layout.stored
"""

from __future__ import annotations

import math

from tinycnn.saving.onnx.layout import Layout, flat
from tinycnn.saving.onnx.network import Network
from tinycnn.saving.onnx.nodes import Node


def _inner(node: Node, axes: list[int], rank: int) -> list[int]:
    """Return axes without the batch's, from 0; `rank` counts the batch."""
    found = [axis + rank if axis < 0 else axis for axis in axes]
    if any(not 1 <= axis < rank for axis in found) or len(set(found)) != len(found):
        node.refuse(f"axes: expected some of 1 to {rank - 1}, received {axes}; axis 0 is that of the batch")
    return [axis - 1 for axis in found]


def transpose(net: Network, node: Node) -> None:
    """Read a Transpose."""
    rank = len(net.layout.stored) + 1
    perm = node.attributes.wholes("perm", list(range(rank))[::-1])
    if len(perm) != rank or perm[0] != 0:
        node.refuse(f"perm: expected 0 first, the axis of the batch, and {rank} axes in all, received {perm}")
    net.layout.stored = [net.layout.stored[axis] for axis in _inner(node, perm[1:], rank)]


def flatten(net: Network, node: Node) -> None:
    """Read a Flatten."""
    axis, rank = node.attributes.whole("axis", 1), len(net.layout.stored) + 1
    axis += rank if axis < 0 else 0
    if not 1 <= axis < max(rank, 2) or flat(net.layout.stored[: axis - 1]):
        node.refuse(f"axis: expected 1, received {axis}")
    net.layout.stored = [flat(net.layout.stored)]
    net.flatten(node)


def squeeze(net: Network, node: Node) -> None:
    """Read a Squeeze."""
    stored, axes = net.layout.stored, node.axes(1, 13)
    if axes is None:
        net.layout.stored = [axis for axis in stored if axis]
        return
    gone = _inner(node, axes, len(stored) + 1)
    if any(stored[axis] for axis in gone):
        node.refuse(f"axes: expected axes of size 1 of {net.layout.shape(stored)}, received {axes}")
    net.layout.stored = [axis for number, axis in enumerate(stored) if number not in gone]


def unsqueeze(net: Network, node: Node) -> None:
    """Read an Unsqueeze."""
    axes = node.axes(1, 13) or []
    rank = len(net.layout.stored) + 1 + len(axes)
    new, rest = _inner(node, axes, rank), iter(net.layout.stored)
    net.layout.stored = [[] if number in new else next(rest) for number in range(rank - 1)]


def gather(net: Network, node: Node) -> None:
    """Read a Gather of the only place on an axis, as of means: `x[:, :, 0, 0]` in PyTorch."""
    stored, place = net.layout.stored, node.constant(1, "indices", 0)
    [axis] = _inner(node, [node.attributes.whole("axis", 0)], len(stored) + 1)
    if place not in (0, -1) or stored[axis]:
        shape = net.layout.shape(stored)
        node.refuse(f"expected place 0 of an axis of size 1, received {place} of axis {axis + 1} of {shape}")
    net.layout.stored = [*stored[:axis], *stored[axis + 1 :]]


def reshape(net: Network, node: Node) -> None:
    """Read a Reshape; where the new axes cut through the old ones, it is a layer."""
    layout = net.layout
    old = layout.shape(layout.stored)
    sizes = node.wholes(1, "shape") or [0]
    if node.attributes.whole("allowzero", 0) and 0 in sizes[1:]:
        node.refuse(f"shape: expected sizes above 0, received {sizes}")  # the first 0 is that of the batch
    new = _new_shape(node, sizes, old)
    if layout.reshape(new):
        if len(new) == 1:
            net.flatten(node)
        elif node.layer == "Reshape":
            net.arrange(node, layout.stored)
        return
    net.arrange(node, layout.stored)
    net.layout = Layout.of_stored(net.add(node, "Reshape", target_shape=new), channels_first=False)


def _new_shape(node: Node, sizes: list[int], old: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a Reshape gives, without the batch; it must keep the images apart."""
    total = math.prod(old)
    new = [old[i] if size == 0 and i < len(old) else size for i, size in enumerate(sizes[1:])]
    known = math.prod(size for size in new if size != -1)
    if new.count(-1) == 1 and known > 0 and sizes[0] != -1 and total % known == 0:
        new[new.index(-1)] = total // known
    if not new or min(new) < 1 or math.prod(new) != total or sizes[0] < -1:
        node.refuse(f"shape: expected the batch first and {total} numbers an image, received {sizes}")
    return tuple(new)
