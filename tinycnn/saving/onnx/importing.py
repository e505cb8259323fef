"""Reading of a feed-forward graph as a stack of layers.

::

    ModelProto -> checks -> nodes that the output needs -> fold (constants), OPERATORS (images) -> Snapshot

A model says how its images are stored, but not where their channels are. So a graph is read twice, with the
channels first and with the channels last. Where only one of them needs no transposition, that is the right
one. A file with names for the axes (ONNX's dimension denotation; tinycnn writes them) is read once.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.saving.onnx import pieces, tensors
from tinycnn.saving.onnx.attributes import MOST, Attributes
from tinycnn.saving.onnx.folding import BATCH, Budget, fold
from tinycnn.saving.onnx.graph import CHANNEL, PRODUCER
from tinycnn.saving.onnx.layout import Layout, LayoutError, channels_last, flat
from tinycnn.saving.onnx.network import Network
from tinycnn.saving.onnx.nodes import DATA, Node
from tinycnn.saving.onnx.operators import OPERATORS
from tinycnn.saving.snapshot import Snapshot

OPSETS = range(7, 29)
DOMAINS = ("", "ai.onnx")
SCALER = ("ai.onnx.ml", "Scaler")  # the one operator of another domain that is read
MOST_NODES = 10_000
FLOATS = {1: "float32", 10: "float32", 11: "float64"}
INTEGERS = range(2, 8)  # types of images that a Cast makes floats
#: What helps against an operator that many networks end with.
CURES = {"LogSoftmax": "; export the network without it, or with Softmax in its place"}
USUAL_CHANNELS = (1, 3)  # grey and colours


def to_snapshot(model: Any, folder: Path, size: int) -> Snapshot:
    """Return the network of a model.

    Parameters
    ----------
    model : onnx.ModelProto
    folder : path
        The folder of its file.
    size : int
        Bytes of the file.

    Raises
    ------
    ValueError
        For a model that is no stack of tinycnn's layers. The message names the node.
    """
    graph = Graph(model, folder, size)
    found: list[Network] = []
    errors: list[LayoutError] = []
    for channels_first in graph.orders():
        try:
            found.append(graph.read(channels_first))
        except LayoutError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    network = min(found, key=lambda network: len(network.layers))  # the first of several
    return network.snapshot(re.sub(r"[^A-Za-z0-9_.-]+", "_", model.graph.name)[:60])


class Graph:
    """A graph of which all that is not a stack of layers has been refused, except what its nodes compute.

    Parameters
    ----------
    model : onnx.ModelProto
    folder : path
    size : int
    """

    def __init__(self, model: Any, folder: Path, size: int) -> None:
        self._graph: Any = model.graph
        self._folder, self._size = folder, size
        self._producer = model.producer_name
        self._opset = _opset(model)
        if model.functions or model.graph.sparse_initializer:
            raise ValueError("model: expected no functions and no sparse tensors, received some")
        for what in ("node", "initializer", "input", "output"):  # before any is looked at
            count = len(getattr(self._graph, what))
            if count > MOST_NODES:
                raise ValueError(f"model: expected at most {MOST_NODES} {what}s, received {count}")
        self._tensors = {tensor.name: tensor for tensor in self._graph.initializer}
        if len(self._tensors) != len(self._graph.initializer):
            raise ValueError("model: expected tensors with names of their own, received a name twice")
        self._arrays: dict[str, np.ndarray] = {}
        self.input = self._only_input()
        self._output = self._only_output()
        self._nodes = pieces.join(self._needed())
        self._users: dict[str, list[str]] = {}  # of each value, the nodes that take its numbers
        for node in self._nodes:
            label = _label(node)
            for name in set(node.input) if node.op_type != "Shape" else ():
                self._users.setdefault(name, []).append(label)

    def _only_input(self) -> Any:
        """Return the input for images; weights may be among the inputs too."""
        inputs = [entry for entry in self._graph.input if entry.name not in self._tensors]
        if len(inputs) != 1:
            names = ", ".join(repr(entry.name) for entry in inputs)
            raise ValueError(f"model: expected one input, received {len(inputs)}: {names:.300}")
        kind, value = inputs[0].type.WhichOneof("value"), inputs[0].type.tensor_type
        label = f"input {inputs[0].name!r:.100}"
        if kind != "tensor_type" or value.elem_type not in (*FLOATS, *INTEGERS):
            raise ValueError(f"{label}: expected a tensor of numbers, received {kind} of {value.elem_type}")
        dimensions = value.shape.dim[: tensors.MOST_AXES + 1]
        sizes = [d.dim_value if d.HasField("dim_value") else None for d in dimensions]
        inner = [size for size in sizes[1:] if size is not None and 1 <= size <= MOST]
        if len(sizes) < 2 or len(inner) != len(sizes) - 1 or len(sizes) > tensors.MOST_AXES:
            raise ValueError(f"{label}: expected fixed sizes after the batch's, received {sizes!s:.200}")
        return inputs[0]

    def _only_output(self) -> str:
        """Return the name of the output. Of a classifier of skl2onnx it is that of the probabilities."""
        outputs = [entry.name for entry in self._graph.output]
        makers = {name: node for node in self._graph.node for name in node.output}
        if len(outputs) == 2 and self._producer == "skl2onnx":
            maker = makers.get(outputs[1])
            if maker is not None and maker.op_type == "ZipMap" and len(maker.input) == 1:
                return str(maker.input[0])
            return outputs[1]
        if len(outputs) != 1:
            names = ", ".join(map(repr, outputs))
            raise ValueError(f"model: expected one output, received {len(outputs)}: {names:.300}")
        return outputs[0]

    def _needed(self) -> list[Any]:
        """Return the nodes that the output depends on, in their order."""
        makers: dict[str, int] = {}
        for number, node in enumerate(self._graph.node):
            for name in filter(None, node.output):
                if name in makers or name in self._tensors or name == self.input.name:
                    raise ValueError(
                        f"{_label(node)}: expected a new name of an output, received {name!r:.100}"
                    )
                makers[name] = number
        needed: set[int] = set()
        open_names: list[str] = [self._output]
        while open_names:
            number = makers.get(open_names.pop(), -1)
            if number >= 0 and number not in needed:
                needed.add(number)
                open_names += list(self._graph.node[number].input)
        return [self._graph.node[number] for number in sorted(needed)]

    def orders(self) -> list[bool]:
        """Return whether the input has its channels first: the possible answers, the likely one first."""
        dimensions = self.input.type.tensor_type.shape.dim[1:]
        named = [dimension.denotation == CHANNEL for dimension in dimensions]
        if len(named) == 1 or sum(named) == 1:
            return [named[0] and len(named) > 1]
        if len(named) != 3:
            return [False, True]
        first, last = (dimensions[end].dim_value in USUAL_CHANNELS for end in (0, 2))
        from_keras = self._producer in ("tf2onnx", "keras2onnx")
        return [False, True] if from_keras or (last and not first) else [True, False]

    def read(self, channels_first: bool) -> Network:
        """Return the network, if the input has its channels first or last."""
        value = self.input.type.tensor_type
        shape = tuple(dimension.dim_value for dimension in value.shape.dim[1:])
        dtype = FLOATS.get(value.elem_type, "float32")
        network = Network(Layout.of_stored(shape, channels_first), dtype, self._producer)
        values: dict[str, Any] = {self.input.name: DATA}
        shapes, budget = {self.input.name: shape}, Budget(self._size)
        for proto in self._nodes:
            node = self._node(proto, values)
            if node.operator == "Shape" and node.inputs == [DATA]:
                values[proto.output[0]] = _shape(node, shapes[proto.input[0]])
            elif DATA in [value for value in node.inputs if value is DATA]:
                self._run(network, node, proto)
                values[proto.output[0]] = DATA
                shapes[proto.output[0]] = network.layout.shape(network.layout.stored)
            else:
                values[proto.output[0]] = fold(node, budget, self._folder)
        if values.get(self._output) is not DATA:
            raise ValueError(f"output {self._output!r:.100}: expected one that is computed from the input")
        _finish(network, self._opset)
        return network

    def _node(self, proto: Any, values: dict[str, Any]) -> Node:
        """Return a node with its inputs; all of them must be known."""
        label = _label(proto)
        if proto.domain not in DOMAINS and (proto.domain, proto.op_type) != SCALER:
            raise ValueError(f"{label}: expected an operator of ONNX, received domain {proto.domain!r:.100}")
        attributes = Attributes(label, proto.attribute)
        inputs: list[Any] = []
        for name in proto.input:
            if not name:
                inputs.append(None)
            elif name in values:
                inputs.append(values[name])
            elif name in self._tensors:
                inputs.append(self._array(name))
            else:
                raise ValueError(
                    f"{label}: input {name!r:.100} is not known here: a cycle, or a second output"
                )
        layer = proto.doc_string if self._producer == "tinycnn" else ""
        if not proto.output:
            raise ValueError(f"{label}: expected an output, received none")
        return Node(proto.name, proto.op_type, layer, self._opset, inputs, attributes)

    def _array(self, name: str) -> np.ndarray:
        """Return a tensor of the model, read when it is first needed."""
        if name not in self._arrays:
            self._arrays[name] = tensors.array(self._tensors[name], self._folder)
        return self._arrays[name]

    def _run(self, network: Network, node: Node, proto: Any) -> None:
        """Add what a node does with the images to the network."""
        names = [name for name, value in zip(proto.input, node.inputs, strict=True) if value is DATA]
        if node.operator not in OPERATORS:
            known = ", ".join(name for name in OPERATORS if name != pieces.JOINED)
            cure = CURES.get(node.operator, "")
            node.refuse(f"expected one of the operators {known}, received another{cure}")
        if len(names) > 1:
            node.refuse(f"expected one path of images, received several that meet: {', '.join(names)!s:.200}")
        users = self._users[names[0]]
        if len(users) > 1:
            other = next((label for label in users if label != node.label), "another one of this name")
            node.refuse(
                f"expected one path of images, received {names[0]!r:.100}, which goes to {other} too; "
                "a network of tinycnn is a stack of layers"
            )
        OPERATORS[node.operator](network, node)
        node.attributes.done()


def _label(node: Any) -> str:
    """Return what messages call a node."""
    name = node.name or (node.output[0] if node.output else "")
    return f"node {name!r:.100} ({node.op_type:.50})"


def _opset(model: Any) -> int:
    """Return the version of ONNX's operators that a model uses."""
    versions = {entry.version for entry in model.opset_import if entry.domain in DOMAINS}
    if len(versions) != 1 or not versions <= set(OPSETS):
        received = ", ".join(map(str, sorted(versions))) or "none"
        raise ValueError(
            f"model: expected one opset of ONNX from {OPSETS[0]} to {OPSETS[-1]}, received {received:.100}"
        )
    return int(versions.pop())


def _shape(node: Node, shape: tuple[int, ...]) -> np.ndarray:
    """Return the sizes of images, in which the batch's is not known."""
    start, end = node.attributes.whole("start", 0), node.attributes.whole("end", None)
    node.attributes.done()
    return np.array([BATCH, *shape], np.int64)[start:end]


def _finish(network: Network, opset: int) -> None:
    """Give the output the shape that it has in ONNX, but images with their channels last.

    In tinycnn's own files the channels of all outputs are where those of the input are.
    """
    layout, node = network.layout, Node("", "output", "", opset, [], Attributes("output", []))
    if not layout.stored:
        node.refuse("expected shape (N, features) or images, received (N,); export without the last squeeze")
    image = channels_last(layout.stored)
    may_be_image = len(image) == 3 or network.producer == PRODUCER
    fits = may_be_image and layout.ours != layout.stored and flat(layout.ours) == flat(image)
    network.arrange(node, image if fits else layout.stored)
    if not network.layers:
        network.add(node, "Activation", activation="linear")
