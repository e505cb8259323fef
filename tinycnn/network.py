"""A stack of layers, and the two vectors that hold all their numbers.

::

    x -> layer -> layer -> ... -> y
         grads <- grads <- ... <- dy

The parameters of all layers are views of one vector, `parameters`, and their gradients of another,
`gradients`. So an optimizer, a checkpoint or a moving average is a line over one array.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from tinycnn import checks, layers
from tinycnn.kernels.explanation import Pass
from tinycnn.layers import Layer
from tinycnn.randomness import generator, resolve_seed
from tinycnn.stages import Runnable
from tinycnn.summary import LINE_LENGTH, summary_text

AnyNetwork = TypeVar("AnyNetwork", bound="Network")


class Network:
    """A stack of layers that is built, run forward and run backward; `Sequential` adds the training.

    The arguments and attributes are described there.
    """

    def __init__(
        self,
        layers: Iterable[Layer] = (),
        seed: int | None = None,
        input_shape: Sequence[int] | None = None,
        dtype: str = "float32",
        name: str = "sequential",
    ) -> None:
        self.layers: list[Layer] = []
        self.seed = resolve_seed(seed)
        self.dtype = checks.float_dtype("dtype", dtype)
        self.name = checks.text("name", name)
        self.input_shape: tuple[int, ...] | None = None
        self.parameters = self.gradients = np.zeros(0, self.dtype)
        for layer in layers:
            self.add(layer)
        if input_shape is not None:
            self.build(input_shape)

    def add(self, layer: Layer) -> None:
        """Put a layer on top. One without a name gets its class's and a number: conv2d_1.

        Raises
        ------
        ValueError
            For something that is no layer, a name that is taken, a layer that is used already, or a model
            that is built already.
        """
        if not isinstance(layer, Layer):
            raise ValueError(f"layer: expected a tinycnn.layers.Layer, received {layer!r}")
        if self.built:
            raise ValueError(f"{self.name}: expected add before build, received {layer!r} after it")
        if layer.built:
            raise ValueError(
                f"{layer.label}: expected a layer that is not built, received one that is in use; "
                "make a new one with type(layer).from_config(layer.get_config())"
            )
        names = {other.name for other in self.layers}
        if layer.name is None:
            base = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(layer).__name__).lower()
            layer.name = next(n for n in (f"{base}_{i}" for i in range(1, 10**6)) if n not in names)
        if layer.name in names or any(layer is other for other in self.layers):
            raise ValueError(f"layer name: expected one that is not taken, received {layer.name!r} again")
        self.layers.append(layer)

    @property
    def stages(self) -> Sequence[Runnable]:
        """What runs, one after the other: the layers, here one by one."""
        return self.layers

    @property
    def built(self) -> bool:
        """Whether the parameters exist."""
        return self.input_shape is not None

    def build(self, input_shape: Sequence[int]) -> None:
        """Create the parameters for images of one shape, without the batch axis.

        Raises
        ------
        ValueError
            When a layer cannot take what the one before gives; the message names it.
        """
        shape = tuple(checks.whole(f"{self.name}: input_shape", size, 1) for size in input_shape)
        if self.built:
            checks.shape(f"{self.name}: input_shape", shape, self.input_shape or ())
            return
        if not self.layers:
            raise ValueError(f"{self.name}: expected at least one layer, received none")
        input_shapes = [shape, *self._output_shapes(shape)]
        for index, layer in enumerate(self.layers):
            layer.build(input_shapes[index], generator(self.seed, "weights", index), self.dtype)
        self._gather()
        self.input_shape = tuple(self.layers[0].input_shape or ())

    def _output_shapes(self, input_shape: Sequence[int]) -> list[tuple[int, ...]]:
        shapes = []
        shape = tuple(input_shape)
        for layer in self.layers:
            shape = layer.compute_output_shape(shape)
            shapes.append(shape)
        return shapes

    def _gather(self) -> None:
        """Move all parameters and gradients into two vectors, and leave views of them in the layers."""
        arrays = [(layer, name) for layer in self.layers for name in layer.params]
        self.parameters = np.concatenate(
            [np.zeros(0, self.dtype), *(layer.params[name].ravel() for layer, name in arrays)]
        )
        self.gradients = np.zeros_like(self.parameters)
        start = 0
        for layer, name in arrays:
            shape = layer.params[name].shape
            stop = start + math.prod(shape)
            layer.params[name] = self.parameters[start:stop].reshape(shape)
            layer.grads[name] = self.gradients[start:stop].reshape(shape)
            start = stop

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy or a pickle, in which every view has become an array of its own."""
        self.__dict__.update(state)
        self._gather()

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return the output of the last layer, for images (N, H, W, C) of the model's dtype."""
        for stage in self.stages:
            x = stage.forward(x, training)
        return x

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Assign `gradients` and return dL/dx, given dL/dy of the last training forward."""
        for stage in reversed(self.stages):
            dy = stage.backward(dy)
        return dy

    @property
    def parameter_names(self) -> list[str]:
        """The names of all parameters, "layer/parameter", trainable or not, in their order."""
        return [f"{layer.name}/{name}" for layer in self.layers for name in layer.params]

    def named_weights(self) -> list[tuple[str, np.ndarray]]:
        """Return every weight with its name, layer by layer: parameters, then state."""
        return [
            (f"{layer.name}/{name}", array)
            for layer in self.layers
            for name, array in (*layer.params.items(), *layer.state.items())
        ]

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all weights, in Keras' order."""
        return [array.copy() for _, array in self.named_weights()]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Copy weights in, in the order of `get_weights`.

        Raises
        ------
        ValueError
            When their number or a shape does not fit; the message names the weight. Nothing is changed then.
        """
        own = self.named_weights()
        if len(weights) != len(own):
            raise ValueError(f"weights: expected {len(own)} arrays, received {len(weights)}")
        for (name, array), value in zip(own, weights, strict=True):
            checks.shape(f"weights: {name}", np.shape(value), array.shape)
        for (_, array), value in zip(own, weights, strict=True):
            array[...] = value

    def count_params(self, input_shape: Sequence[int] | None = None) -> int:
        """Return the number of values in all weights; `input_shape` is for a model that is not built."""
        shape = self.input_shape if input_shape is None else tuple(input_shape)
        if shape is None:
            raise ValueError(f"{self.name}: expected build, or an input_shape, received neither")
        shapes = [shape, *self._output_shapes(shape)]
        return sum(layer.count_params(s) for layer, s in zip(self.layers, shapes[:-1], strict=True))

    def summary(self, verbose: bool = False, line_length: int = LINE_LENGTH) -> str:
        """Print the table of the layers, and return it; `verbose` adds the algorithms."""
        if self.input_shape is None:
            raise ValueError(f"{self.name}: expected build(input_shape) before summary, received none")
        shapes, passes = self._output_shapes(self.input_shape), self.passes() if verbose else None
        text = summary_text(self.layers, shapes, passes, line_length)
        print(text)
        return text

    def passes(self) -> list[Pass]:
        """Return what computes each pass of each layer, and why; `kernels.explain` prints it."""
        return [row for stage in self.stages for row in stage.passes()]

    def notes(self) -> list[str]:
        """Return what else there is to say about how it is computed, in sentences, for the same."""
        return []

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to make the same model with fresh weights, JSON-able."""
        return {
            "name": self.name,
            "seed": self.seed,
            "dtype": self.dtype.name,
            "input_shape": self.input_shape,
            "layers": [
                {"class_name": type(x).__name__, "config": x.get_config(), "trainable": x.trainable}
                for x in self.layers
            ],
        }

    @classmethod
    def from_config(cls: type[AnyNetwork], config: dict[str, Any]) -> AnyNetwork:
        """Return a new model from what `get_config` returned."""
        stack = []
        for entry in config["layers"]:
            layer = layers.from_config(entry["class_name"], entry["config"])
            layer.trainable = entry["trainable"]
            stack.append(layer)
        return cls(stack, config["seed"], config["input_shape"], config["dtype"], config["name"])

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int | slice | str) -> Any:
        """Return a layer by number or name, or a list of layers."""
        if isinstance(index, str):
            by_name = {str(layer.name): layer for layer in self.layers}
            return by_name[checks.choice("layer", index, by_name)]
        return self.layers[index]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __repr__(self) -> str:
        lines = "".join(f"    {layer!r},\n" for layer in self.layers)
        return f"{type(self).__name__}([\n{lines}], seed={self.seed}, input_shape={self.input_shape})"
