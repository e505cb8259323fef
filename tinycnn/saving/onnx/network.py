"""A network that grows while a graph is read: layers, weights, and the axes of the current value.

::

    operators -> Network.add(class, weights, arguments), flatten, arrange -> Snapshot
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinycnn.layers import Layer, from_config
from tinycnn.saving.onnx.graph import PRODUCER
from tinycnn.saving.onnx.layout import Axes, Layout, channels_last, flat
from tinycnn.saving.onnx.nodes import Node
from tinycnn.saving.snapshot import Snapshot

#: Layers that may have an activation of their own.
ACTIVATED = ("Conv2D", "Dense", "DepthwiseConv2D", "SeparableConv2D")
#: Layers whose output is never below 0 if their input is not.
KEEP_SIGN = {"AveragePooling2D", "Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "MaxPooling2D"}
KEEP_SIGN |= {"Reshape", "UpSampling2D", "ZeroPadding2D"}
ARRANGING = ("Flatten", "Reshape")
NOT_NEGATIVE = ("relu", "sigmoid", "softmax")
MOST_CHANNELS = 2**16  # of a layer that is made from a single number in a file


class Network:
    """Layers so far.

    Parameters
    ----------
    layout : Layout
        Of the input.
    dtype : str
    producer : str
        The program that wrote the file.

    Attributes
    ----------
    layout : Layout
        Of the current value.
    layers : list of dict
        As in `Snapshot.config`.
    weights : list of dict of str to ndarray
        Of each layer.
    """

    def __init__(self, layout: Layout, dtype: str, producer: str) -> None:
        self.layout = layout
        self.input_shape = layout.shape(layout.ours)
        self.dtype = dtype
        self.producer = producer
        self.layers: list[dict[str, Any]] = []
        self.weights: list[dict[str, np.ndarray]] = []
        self._names: set[str] = set()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the current value, as tinycnn has it."""
        return self.layout.shape(self.layout.ours)

    def add(
        self, node: Node, class_name: str, weights: dict[str, np.ndarray] | None = None, **config: Any
    ) -> tuple[int, ...]:
        """Append a layer; return the shape of its output, which the caller gives to the layout.

        Raises
        ------
        ValueError
            For arguments that the layer does not take, and for an input that it does not.
        """
        try:
            layer: Layer = from_config(class_name, {**config, "name": self._name(node, class_name)})
            shape = layer.compute_output_shape(self.shape)
        except ValueError as error:
            node.refuse(str(error))
        self._append(layer, weights or {})
        return shape

    def replace(self, node: Node, class_name: str, weights: dict[str, np.ndarray], **config: Any) -> None:
        """Append a layer in the place of the last one."""
        del self.layers[-1], self.weights[-1]
        self._append(from_config(class_name, {**config, "name": self._name(node, class_name)}), weights)

    def _append(self, layer: Layer, weights: dict[str, np.ndarray]) -> None:
        kind = type(layer).__name__
        self.layers.append({"class_name": kind, "config": layer.get_config(), "trainable": True})
        self.weights.append({name: array.astype(self.dtype) for name, array in weights.items()})

    def _name(self, node: Node, class_name: str) -> str:
        """Return the name of a layer: its node's, without the operator's, or its class's with a number."""
        parts = [part for part in re.split(r"[/:]", node.name.removeprefix("node_")) if part]
        if self.producer == "tf2onnx" and len(parts) > 2:  # sequential_1/conv2d_1/BiasAdd
            parts = parts[1:-1]
        if parts and re.fullmatch(rf"{node.operator}_*\d*", parts[-1]):
            parts.pop()
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", "_".join(parts))[-60:].strip("_.-")
        is_number = re.fullmatch(r"n?\d+", name)  # in a list, or among nodes that an exporter counts
        if is_number or (class_name in ARRANGING and node.operator not in ARRANGING):
            name = ""  # or the name of another node
        base = name or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", class_name).lower()
        number = 0 if name else 1
        while (name := f"{base}_{number}" if number else base) in self._names:
            number += 1
        self._names.add(name)
        return name

    def flatten(self, node: Node) -> None:
        """Make the value one vector, if it is none; its order stays as tinycnn has it."""
        if len(self.layout.ours) != 1:
            self.arrange(node, [flat(self.layout.ours)])

    def images(self, node: Node) -> None:
        """Make the value what a node takes for images (N, C, H, W)."""
        if len(self.layout.stored) != 3:
            shape = self.layout.shape(self.layout.stored)
            node.refuse(f"expected images (N, C, H, W), received (N, {', '.join(map(str, shape))})")
        self.arrange(node, channels_last(self.layout.stored))

    def arrange(self, node: Node, axes: Axes) -> None:
        """Make the value one with these axes; the order of its numbers must be the same.

        Raises
        ------
        LayoutError
            For another order: tinycnn has no transposition.
        """
        if self.layout.ours == axes:
            return
        if flat(self.layout.ours) != flat(axes) and not self._reorder(flat(axes)):
            node.mismatch(
                "expected values in the order of (N, H, W, C), received transposed ones; no layer transposes"
            )
        if len(axes) == 1 and node.layer != "Reshape":
            self.add(node, "Flatten")
        else:
            self.add(node, "Reshape", target_shape=self.layout.shape(axes))
        self.layout.ours = axes

    def _reorder(self, order: list[int]) -> bool:
        """Give the units of the last Dense another order; return False where it is not a Dense's to give."""
        if len(self.layout.ours) != 1:
            return False
        places = self.layout.places(self.layout.ours[0], order)
        for layer, arrays in zip(self.layers[::-1], self.weights[::-1], strict=True):
            kind, mixes = layer["class_name"], layer["config"].get("activation") == "softmax"
            if mixes or kind not in ("Activation", "BatchNormalization", "Dense", "ReLU"):
                return False  # the file is refused then
            for name, array in arrays.items():
                arrays[name] = array[..., places]
            if kind == "Dense":
                self.layout.ours = [order]
                return True
        return False

    def channels(self, node: Node, stored: Sequence[int]) -> np.ndarray:
        """Return where the channels of tinycnn, the last axis, are on a stored axis."""
        axis = list(stored)
        if sorted(axis) == sorted(flat(self.layout.ours)):
            self.flatten(node)
        if sorted(axis) != sorted(self.layout.ours[-1]):
            node.mismatch("expected one number for each channel, received numbers for another axis")
        return self.layout.places(axis, self.layout.ours[-1])

    def can_fuse(self, node: Node) -> bool:
        """Return whether an activation can be part of the last layer, as it was if tinycnn wrote the file."""
        if not self.layers or self.layers[-1]["class_name"] not in ACTIVATED:
            return False
        last = self.layers[-1]
        own = self.producer != PRODUCER or node.layer == last["class_name"]
        return own and last["config"]["activation"] is None

    def is_not_negative(self) -> bool:
        """Return whether no value can be below 0."""
        for layer in reversed(self.layers):
            if layer["class_name"] not in KEEP_SIGN:
                config = layer["config"]
                bounded = layer["class_name"] == "ReLU" and not config["negative_slope"]
                return bounded or layer["class_name"] == "Softmax" or config.get("activation") in NOT_NEGATIVE
        return False

    def scale(self, node: Node, factor: np.ndarray, shift: np.ndarray) -> None:
        """Multiply each channel and add to it: in the last layer if it is linear, else in a new one."""
        kind = self.layers[-1]["class_name"] if self.layers else ""
        if kind == "BatchNormalization":
            own = self.weights[-1]
            own["gamma"], own["beta"] = own["gamma"] * factor, own["beta"] * factor + shift
        elif kind in ACTIVATED and self.layers[-1]["config"]["activation"] is None:
            self._scale_kernel(kind, factor, shift)
        else:
            self._normalize(node, factor, shift)
            return
        self.weights[-1] = {name: array.astype(self.dtype) for name, array in self.weights[-1].items()}

    def _scale_kernel(self, kind: str, factor: np.ndarray, shift: np.ndarray) -> None:
        own = self.weights[-1]
        name = "pointwise_kernel" if kind == "SeparableConv2D" else "kernel"
        kernel = own[name]
        by_output = (
            factor.reshape(kernel.shape[2:]) if kind == "DepthwiseConv2D" and factor.size > 1 else factor
        )
        own[name] = kernel * by_output
        bias = own.get("bias", 0) * factor + shift
        if "bias" in own or bias.any():
            self.layers[-1]["config"]["use_bias"] = True
            own["bias"] = np.broadcast_to(
                bias, (math.prod(kernel.shape[2:]) if kind == "DepthwiseConv2D" else kernel.shape[-1],)
            )

    def _normalize(self, node: Node, factor: np.ndarray, shift: np.ndarray) -> None:
        """Add a BatchNormalization whose averages are 0 and 1, so that it multiplies and adds alone."""
        C = self.shape[-1]
        if factor.size == shift.size == 1 and C > MOST_CHANNELS:
            node.refuse(f"expected at most {MOST_CHANNELS} channels, received {C}")
        arrays: dict[str, Any] = {"gamma": factor, "beta": shift, "moving_mean": 0, "moving_variance": 1}
        weights = {name: np.broadcast_to(value, (C,)) for name, value in arrays.items()}
        self.add(node, "BatchNormalization", weights, epsilon=0)

    def snapshot(self, name: str) -> Snapshot:
        """Return the model."""
        weights = [
            (f"{layer['config']['name']}/{weight}", np.ascontiguousarray(array))
            for layer, arrays in zip(self.layers, self.weights, strict=True)
            for weight, array in arrays.items()
        ]
        config = {
            "name": name or "sequential",
            "seed": None,
            "dtype": self.dtype,
            "input_shape": list(self.input_shape),
            "layers": self.layers,
        }
        return Snapshot(config, weights)
