"""One operator of a graph that is read, with its inputs.

::

    NodeProto, values by name -> Node -> constant(1), attributes, refuse("...")
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from tinycnn.saving.onnx.attributes import Attributes
from tinycnn.saving.onnx.layout import LayoutError

#: Stands for the images, among inputs that are constants.
DATA = object()


@dataclass
class Node:
    """One operator.

    Attributes
    ----------
    name, operator, layer : str
        The last is the class of the layer, if tinycnn wrote the file; else empty.
    opset : int
        The version of ONNX's operators.
    inputs : list
        Of each input: an array, `DATA`, or None where it is left out.
    attributes : Attributes
    """

    name: str
    operator: str
    layer: str
    opset: int
    inputs: list[Any]
    attributes: Attributes

    @property
    def label(self) -> str:
        """The name that messages use."""
        return self.attributes.label

    def refuse(self, reason: str) -> NoReturn:
        """Raise ValueError with the name of the node."""
        raise ValueError(f"{self.label}: {reason}")

    def mismatch(self, reason: str) -> NoReturn:
        """Raise LayoutError with the name of the node."""
        raise LayoutError(f"{self.label}: {reason}")

    def given(self, index: int) -> bool:
        """Return whether an input is there."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def constant(self, index: int, what: str, axes: int | None = None, least: int = 1) -> np.ndarray:
        """Return an input that must be a constant of `least` numbers, with `axes` axes if that is given."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if not isinstance(value, np.ndarray):
            self.refuse(f"{what}: expected a constant, received {'nothing' if value is None else 'images'}")
        if axes is not None and value.ndim != axes:
            self.refuse(f"{what}: expected {axes} axes, received shape {value.shape}")
        if value.size < least:
            self.refuse(f"{what}: expected at least one number, received shape {value.shape}")
        return value

    def scalar(self, index: int, what: str, default: float) -> float:
        """Return an input that is one number, or the default where it is left out."""
        if not self.given(index):
            return default
        value = self.constant(index, what)
        if value.size != 1:
            self.refuse(f"{what}: expected one number, received shape {value.shape}")
        number = value.ravel()[0]
        return float(str(np.float32(number))) if value.dtype == np.float32 else float(number)

    def wholes(self, index: int, what: str) -> list[int] | None:
        """Return an input that is a list of whole numbers, or one; None where it is left out."""
        if not self.given(index) or (
            isinstance(self.inputs[index], np.ndarray) and not self.inputs[index].size
        ):
            return None
        value = self.constant(index, what)
        if value.ndim > 1 or value.dtype.kind != "i" or value.size > 64 or np.abs(value).max() > 2**31 - 1:
            self.refuse(
                f"{what}: expected some whole numbers of 32 bits, received {value.dtype} {value.shape}"
            )
        return [int(number) for number in value.ravel()]

    def axes(self, index: int, since: int) -> list[int] | None:
        """Return the axes that an operator is for: an attribute, from opset `since` on an input."""
        if self.opset >= since:
            return self.wholes(index, "axes")
        return self.attributes.wholes("axes", None)
