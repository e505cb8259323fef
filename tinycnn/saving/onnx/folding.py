"""Nodes whose inputs are all constants, computed while a file is read.

::

    Shape -> Gather -> Concat -> sizes of a Reshape          Transpose, Cast -> kernels

The size of the batch is not known. It is 0 in the result of Shape, and 0 at the front of a Reshape's sizes
means: as many as there are. Numbers are computed with sizes only as far as they cannot contain it.

A small file could have a long chain of nodes that doubles an array again and again. So all arrays together
have a `Budget`, and it is asked before an array is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.saving.onnx import tensors
from tinycnn.saving.onnx.nodes import Node

BATCH = 0
MOST_SIZES = 1024  # numbers in an array that is put together; a shape has a few
CASTS = {1: "float32", 6: "int64", 7: "int64", 9: "bool", 10: "float32", 11: "float64"}


class Budget:
    """Numbers that may be computed while a file is read: some times as many as it has bytes."""

    def __init__(self, size: int) -> None:
        self.left = 2 * size + 2**20

    def take(self, node: Node, count: int) -> None:
        """Count an array before it is made."""
        self.left -= count
        if self.left < 0:
            node.refuse("expected constants that are not much larger than the file, received larger ones")


def fold(node: Node, budget: Budget, folder: Path) -> np.ndarray:
    """Return the result of a node without images among its inputs.

    Raises
    ------
    ValueError
        For an operator that is not in `FOLDED`.
    """
    if node.operator not in FOLDED:
        node.refuse(f"expected an operator on images, or one of {', '.join(FOLDED)} on constants")
    if node.operator == "Constant":
        return _constant(node, folder)
    result = np.asarray(FOLDED[node.operator](node, budget))
    node.attributes.done()
    if result.ndim > tensors.MOST_AXES:
        node.refuse(f"expected at most {tensors.MOST_AXES} axes, received {result.ndim}")
    return result


def _constant(node: Node, folder: Path) -> np.ndarray:
    attributes = node.attributes
    tensor = attributes.tensor("value")
    if tensor is not None:
        return tensors.array(tensor, folder)
    for name, read, dtype in (
        ("value_float", attributes.real, np.float32),
        ("value_floats", attributes.reals, np.float32),
        ("value_int", attributes.whole, np.int64),
        ("value_ints", attributes.wholes, np.int64),
    ):
        if name in attributes:
            return np.array(read(name, None), dtype)
    return node.refuse("expected a tensor or numbers, received none")


def _small(node: Node, count: int) -> None:
    if count > MOST_SIZES:
        node.refuse(f"expected constants of at most {MOST_SIZES} numbers, received {count}")


def _filled(node: Node, budget: Budget) -> np.ndarray:
    shape = node.wholes(0, "shape") or []
    if min(shape, default=0) < 0:
        node.refuse(f"shape: expected sizes >= 0, received {shape}")
    _small(node, math.prod(shape))
    tensor = node.attributes.tensor("value")
    value = np.float32(0) if tensor is None else tensors.array(tensor, Path()).ravel()
    return np.broadcast_to(value, shape)


def _gather(node: Node, budget: Budget) -> np.ndarray:
    array, places = node.constant(0, "data"), node.constant(1, "indices")
    axis = node.attributes.whole("axis", 0)
    _small(node, array.size)
    _small(node, places.size)
    if array.ndim != 1 or axis not in (0, -1) or places.dtype.kind != "i":
        node.refuse("expected whole numbers as indices of a list of sizes")
    return array[places]


def _concat(node: Node, budget: Budget) -> np.ndarray:
    arrays = [node.constant(index, "input", least=0) for index in range(len(node.inputs))]
    _small(node, sum(array.size for array in arrays))
    return np.concatenate(arrays, node.attributes.whole("axis", 0))


def _slice(node: Node, budget: Budget) -> np.ndarray:
    array = node.constant(0, "data")
    if node.opset < 10:
        lists = [node.attributes.wholes(name, None) for name in ("starts", "ends", "axes")]
    else:
        lists = [node.constant(i, "bounds").ravel().tolist() if node.given(i) else None for i in (1, 2, 3, 4)]
    starts, ends = lists[0] or [], lists[1] or []
    axes, steps = lists[2] or range(len(starts)), (lists[3:] or [None])[0] or [1] * len(starts)
    if not starts or not len(starts) == len(ends) == len(axes) == len(steps):
        node.refuse("expected one start and one end for each axis")
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        array = np.moveaxis(np.moveaxis(array, axis, 0)[start:end:step], 0, axis)
    return array


def _squeeze(node: Node, budget: Budget) -> np.ndarray:
    axes = node.axes(1, 13)
    return np.squeeze(node.constant(0, "data"), None if axes is None else tuple(axes))


def _unsqueeze(node: Node, budget: Budget) -> np.ndarray:
    return np.expand_dims(node.constant(0, "data"), tuple(node.axes(1, 13) or ()))


def _reshape(node: Node, budget: Budget) -> np.ndarray:
    node.attributes.expect("allowzero", node.attributes.whole("allowzero", 0), 0)
    array = node.constant(0, "data")
    sizes = [array.shape[i] if size == 0 else size for i, size in enumerate(node.wholes(1, "shape") or [])]
    return array.reshape(sizes)


def _transpose(node: Node, budget: Budget) -> np.ndarray:
    return node.constant(0, "data").transpose(node.attributes.wholes("perm", None))


def _cast(node: Node, budget: Budget) -> np.ndarray:
    array, target = node.constant(0, "data"), node.attributes.whole("to", None)
    node.attributes.whole("saturate", 1)
    node.attributes.expect("to", target, *CASTS)
    budget.take(node, array.size)
    return array.astype(CASTS[target])


def _identity(node: Node, budget: Budget) -> np.ndarray:
    return node.constant(0, "data")


def _arithmetic(function: Callable[..., Any]) -> Callable[[Node, Budget], np.ndarray]:
    def compute(node: Node, budget: Budget) -> np.ndarray:
        arrays = [node.constant(index, "input") for index in range(len(node.inputs))]
        if any(array.dtype.kind == "i" and not array.all() for array in arrays):
            node.refuse(
                "expected no computation with the size of the batch, or with whole numbers that are 0"
            )
        budget.take(node, math.prod(np.broadcast_shapes(*(array.shape for array in arrays))))
        with np.errstate(all="ignore"):
            result = np.asarray(function(*arrays))
        return result.astype(arrays[0].dtype)

    return compute


def _remainder(node: Node, budget: Budget) -> np.ndarray:
    node.attributes.expect("fmod", node.attributes.whole("fmod", 0), 0)
    return _arithmetic(np.mod)(node, budget)


FOLDED: dict[str, Callable[[Node, Budget], np.ndarray]] = {
    "Add": _arithmetic(np.add),
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _identity,
    "ConstantOfShape": _filled,
    "Div": _arithmetic(lambda a, b: a // b if a.dtype.kind == "i" else a / b),
    "Gather": _gather,
    "Identity": _identity,
    "Mod": _remainder,
    "Mul": _arithmetic(np.multiply),
    "Neg": _arithmetic(np.negative),
    "Reciprocal": _arithmetic(np.reciprocal),
    "Reshape": _reshape,
    "Slice": _slice,
    "Sqrt": _arithmetic(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _arithmetic(np.subtract),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
