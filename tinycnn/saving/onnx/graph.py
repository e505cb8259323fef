"""A graph of ONNX that is being written: a chain of nodes, each with the output of the one before as input.

::

    Graph(shape) -> add(operator, name, constants, attributes), ... -> model() -> bytes of a ModelProto

Images are (N, H, W, C) in tinycnn, and (N, C, H, W) in ONNX's operators. The graph knows in which order the
current value is stored, so a Transpose is written only where the order has to change.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

OPSET = 13
IR_VERSION = 7  # the version of ONNX 1.8, which had opset 13 first
LARGEST = 2**31 - 2**20  # bytes of weights; a file of protobuf ends at 2 GiB
PRODUCER = "tinycnn"
BATCH, SPACE, CHANNEL = "DATA_BATCH", "DATA_FEATURE", "DATA_CHANNEL"  # names in ONNX's DimensionDenotation


class Graph:
    """A chain of nodes.

    Parameters
    ----------
    name : str
    shape : tuple of int
        Of one input, as tinycnn has it.
    channels_first : bool
        Whether the input is (N, C, H, W).

    Attributes
    ----------
    shape : tuple of int
        Of the current value, as tinycnn has it.
    channels_first : bool
        Whether it is stored as (N, C, H, W).
    value : str
        The name of the current value.
    layer : str
        The class of the layer that is written, for the `doc_string` of its nodes.
    order : tuple of int or None
        (H, W, C) of a vector whose values are stored as those of (C, H, W).
    """

    def __init__(self, name: str, shape: tuple[int, ...], channels_first: bool) -> None:
        self.name = name
        self.input_shape = self.shape = shape
        self.channels_first = self._input_first = channels_first and len(shape) > 1
        self.order: tuple[int, ...] | None = None
        self.layer = ""
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self.value = "input"
        self._names = {"input", "output"}
        self._bytes = 0

    def add(self, operator: str, name: str, *inputs: tuple[str, Any], **attributes: Any) -> str:
        """Append a node; return the name of its output, which is the current value now.

        Parameters
        ----------
        operator, name : str
        *inputs : (str, ndarray, str or None)
            The inputs after the first, with the last parts of their names: constants, outputs of nodes, or
            None for one that is left out. Floats become float32.
        **attributes

        Raises
        ------
        ValueError
            For a number that float32 does not hold, and for a model too large for a file of protobuf.
        """
        from onnx import helper

        name = self._free(name)
        names = [self.value, *(self._input(f"{name}/{part}", value) for part, value in inputs)]
        self._nodes.append(helper.make_node(operator, names, [name], name, self.layer, **attributes))
        self.value = name
        return name

    def _input(self, name: str, array: np.ndarray | str | None) -> str:
        from onnx import numpy_helper

        if array is None or isinstance(array, str):
            return array or ""
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                values = array.astype(np.float32)
            if np.any(np.isinf(values) & np.isfinite(array)):
                raise ValueError(f"{name}: expected numbers that float32 holds, received larger ones")
            array = values
        self._bytes += array.nbytes
        if self._bytes > LARGEST:
            raise ValueError(
                f"{self.name}: expected at most {LARGEST} bytes of weights for ONNX, received more"
            )
        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def _free(self, name: str) -> str:
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name

    def to_channels_first(self, name: str) -> None:
        """Store the current value as (N, C, H, W), for the layer called `name`."""
        if len(self.shape) > 1 and not self.channels_first:
            rank = len(self.shape)
            self.add("Transpose", f"{name}/channels_first", perm=[0, rank, *range(1, rank)])
            self.channels_first = True

    def to_channels_last(self, name: str) -> None:
        """Store the current value as (N, H, W, C), for the layer called `name`."""
        if self.channels_first:
            rank = len(self.shape)
            self.add("Transpose", f"{name}/channels_last", perm=[0, *range(2, rank + 1), 1])
            self.channels_first = False

    def sorted(self, array: np.ndarray) -> np.ndarray:
        """Return an array whose first axis goes along the current vector, in the order of what is stored."""
        if self.order is None:
            return array
        rows = np.arange(math.prod(self.order)).reshape(self.order)
        return array[np.moveaxis(rows, -1, 0).ravel()]

    def model(self) -> bytes:
        """Return the ModelProto, after the last node."""
        from onnx import TensorProto, helper

        if self._input_first:
            self.to_channels_first("output")
        else:
            self.to_channels_last("output")
        if not self._nodes:
            self.add("Identity", "identity")
        self._nodes[-1].output[0] = "output"
        shapes = (self._sizes(self.input_shape), self._sizes(self.shape))
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *sizes])
            for name, sizes in zip(("input", "output"), shapes, strict=True)
        ]
        self._denote(ends[0])
        graph = helper.make_graph(self._nodes, self.name, ends[:1], ends[1:], list(self._constants.values()))
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, producer_name=PRODUCER, opset_imports=[opset], ir_version=IR_VERSION)
        return bytes(model.SerializeToString())

    def _sizes(self, shape: tuple[int, ...]) -> list[int]:
        """Return the shape of the input or the output as it is stored."""
        return [shape[-1], *shape[:-1]] if self._input_first and len(shape) > 1 else list(shape)

    def _denote(self, entry: Any) -> None:
        """Say which axis of the input has the channels, by ONNX's names for axes."""
        axes = [SPACE] * (len(self.input_shape) - 1)
        names = [CHANNEL, *axes] if self._input_first else [*axes, CHANNEL]
        if axes:
            for dimension, name in zip(entry.type.tensor_type.shape.dim, [BATCH, *names], strict=True):
                dimension.denotation = name
