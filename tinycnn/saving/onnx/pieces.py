"""A ReLU with a threshold and a slope, which tinycnn writes as four nodes and reads as one.

::

    Greater(x, t), Sub(x, t), Mul(.., slope), Where(x > t, x, slope * (x - t)) -> one node

These are the only nodes of which several may have the images as an input.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: The operator of the one node; no name of ONNX's.
JOINED = "ReLU in two pieces"
_OPERATORS = ["Greater", "Sub", "Mul", "Where"]


def join(nodes: list[Any]) -> list[Any]:
    """Return nodes with each four that are a ReLU replaced by one."""
    return list(_joined(nodes))


def _joined(nodes: list[Any]) -> Iterator[Any]:
    number = 0
    while number < len(nodes):
        four = nodes[number : number + 4]
        if [node.op_type for node in four] == _OPERATORS and _fit(*four):
            yield _one(*four)
            number += 4
        else:
            yield nodes[number]
            number += 1


def _fit(above: Any, distance: Any, line: Any, where: Any) -> bool:
    """Return whether four nodes have each other as inputs, as those of a ReLU have."""
    if any(node.domain or node.attribute or len(node.output) != 1 for node in (above, distance, line, where)):
        return False
    if any(len(node.input) != 2 for node in (above, distance, line)):
        return False
    x = above.input[0]
    inputs = [above.output[0], x, line.output[0]]
    return x == distance.input[0] and line.input[0] == distance.output[0] and list(where.input) == inputs


def _one(above: Any, distance: Any, line: Any, where: Any) -> Any:
    from onnx import helper

    inputs = [*above.input, distance.input[1], line.input[1]]
    return helper.make_node(JOINED, inputs, list(where.output), where.name, where.doc_string)
