"""A stack of layers: its shapes, its weights, and its description.

::

    layers -> Stack.build -> one vector of parameters, one of gradients (`tinycnn.parameters`)
    add, pop;  get_layer;  get_weights, set_weights, save_weights, load_weights;  summary;  get_config

`tinycnn.Sequential` is a stack that runs, learns and is saved.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from tinycnn import layers as layer_classes
from tinycnn import parameters as parameter_vectors
from tinycnn import saving
from tinycnn.layers import InputLayer, Layer
from tinycnn.layers.layer_list import LayerList
from tinycnn.saving import conversion
from tinycnn.support import checks
from tinycnn.support.assignment import CopiedInto, Fixed
from tinycnn.support.locks import one_at_a_time
from tinycnn.support.randomness import generator, resolve_seed

AnyStack = TypeVar("AnyStack", bound="Stack")


def _is_not_built(stack: Stack) -> bool:
    return not stack.built


class Stack:
    """A stack of layers; see `tinycnn.Sequential` for the parameters and attributes."""

    layers: list[Layer] = Fixed("call add(layer) or pop()")  # type: ignore[assignment]
    dtype: np.dtype[Any] = Fixed("make a new model")  # type: ignore[assignment]
    input_shape: tuple[int, ...] | None = Fixed("call build(input_shape)")  # type: ignore[assignment]
    seed: int = Fixed("make a new model", until=_is_not_built)  # type: ignore[assignment]
    parameters: np.ndarray = CopiedInto()  # type: ignore[assignment]
    gradients: np.ndarray = CopiedInto()  # type: ignore[assignment]

    def __init__(
        self,
        layers: Iterable[Layer | InputLayer] = (),
        seed: int | None = None,
        input_shape: Sequence[int] | None = None,
        dtype: str = "float32",
        name: str = "sequential",
    ) -> None:
        self.layers = LayerList()
        self.seed = resolve_seed(seed)
        self.dtype = checks.float_dtype("dtype", dtype)
        self.name = checks.text("name", name)
        self.input_shape = None
        self._allocate()
        self._start()
        if not isinstance(layers, Iterable):
            raise checks.ArgumentTypeError(f"layers: expected a list of layers, received {layers!r}")
        try:
            for layer in layers:
                self.add(layer)
            if input_shape is not None:
                self.build(input_shape)
        except BaseException:
            for layer in self.layers:  # so that the caller can use them in another try
                layer._owner = None
            raise
        self._known = frozenset(vars(self))  # the attributes that mean something

    def _start(self) -> None:
        """Set the attributes of a subclass, before the layers come."""

    # Layers.

    def add(self, layer: Layer | InputLayer) -> None:
        """Put a layer on top. One without a name gets its class's and a number: conv2d_1.

        A model that is built builds the layer at once. A compiled model must be compiled again. Before all
        layers, an `InputLayer` gives the shape of the images.

        Raises
        ------
        TypeError
            For something that is no layer.
        ValueError
            For a name that is taken, a layer that another model has, or one that does not fit on top.
        """
        if isinstance(layer, InputLayer):
            layer.check_first(self.layers, self.built)
            vars(self)["input_shape"] = layer.shape
            return
        if not isinstance(layer, Layer):
            raise checks.ArgumentTypeError(f"layer: expected a tinycnn.layers.Layer, received {layer!r}")
        if any(layer is other for other in self.layers):
            raise ValueError(f"{layer.label}: expected a layer that is not in this model, received it again")
        layer._claim(self, used=False, cure="add a copy of it: copy.deepcopy(layer)")
        try:
            self._name(layer)
            if self.input_shape is not None:
                self._build_layer(layer, len(self.layers), self.output_shape)
        except ValueError:
            layer._owner = None
            raise
        list.append(self.layers, layer)
        self._changed()

    def pop(self) -> Layer:
        """Remove the last layer and return it, with its weights. A compiled model must be compiled again.

        Raises
        ------
        ValueError
            When there is none.
        """
        if not self.layers:
            raise ValueError(f"{self.name}: expected at least one layer, received none")
        layer = list.pop(self.layers)
        layer._owner = None
        parameter_vectors.release(layer)
        self._changed()
        return layer

    def _name(self, layer: Layer) -> None:
        names = {other.name for other in self.layers}
        if layer.name is None:
            base = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(layer).__name__).lower()
            layer.name = next(n for n in (f"{base}_{i}" for i in range(1, 10**6)) if n not in names)
        if layer.name in names:
            raise ValueError(f"layer name: expected one that is not taken, received {layer.name!r} again")

    def _changed(self) -> None:
        """Adapt to another stack of layers."""
        if self.built:
            self._allocate()

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by its name or by its number, from 0.

        Raises
        ------
        ValueError
            When there is no such layer; the message lists the names.
        """
        if (name is None) == (index is None):
            raise ValueError("get_layer: expected a name or an index, received both or none")
        if name is not None:
            by_name = {str(layer.name): layer for layer in self.layers}
            return by_name[checks.choice("layer", name, by_name)]
        if not isinstance(index, int) or not -len(self) <= index < len(self):
            raise ValueError(f"index: expected a number below {len(self)}, received {index!r}")
        return self.layers[index]

    @property
    def trainable(self) -> bool:
        """Whether all layers are trainable. Assigned, it is assigned to every layer."""
        return all(layer.trainable for layer in self.layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.layers:
            layer.trainable = value

    # Shapes and parameters.

    @property
    def built(self) -> bool:
        """Whether the parameters exist."""
        return self.input_shape is not None

    @one_at_a_time
    def build(self, input_shape: Sequence[int]) -> None:
        """Create the parameters for images of one shape, without the batch axis.

        Raises
        ------
        ValueError
            When a layer cannot take what the one before gives; the message names it.
        """
        what = f"{self.name}: input_shape"
        if isinstance(input_shape, Sequence) and tuple(input_shape)[:1] == (None,):
            raise ValueError(f"{what}: expected no batch axis, received {tuple(input_shape)}")
        shape = checks.sizes(what, input_shape, 1)
        if self.built:
            checks.shape(what, shape, self.input_shape or ())
            return
        if not self.layers:
            raise ValueError(f"{self.name}: expected at least one layer, received none")
        for index, (layer, size) in enumerate(zip(self.layers, self._shapes(shape), strict=False)):
            self._build_layer(layer, index, size)
        vars(self)["parameters"], vars(self)["gradients"] = parameter_vectors.gather(self.layers, self.dtype)
        vars(self)["input_shape"] = self.layers[0].built_shape  # last: other threads take it for built

    def _build_layer(self, layer: Layer, index: int, input_shape: tuple[int, ...]) -> None:
        """Build a layer; one that has weights already, from elsewhere, keeps them if they fit."""
        layer.build(input_shape, generator(self.seed, "weights", index), self.dtype)
        if layer.dtype != self.dtype:
            raise ValueError(
                f"{layer.label}: expected a layer of {self.dtype}, received one of {layer.dtype}"
            )

    def _allocate(self) -> None:
        """Make the vectors of parameters and gradients."""
        vectors = parameter_vectors.gather(self.layers if self.built else (), self.dtype)
        vars(self)["parameters"], vars(self)["gradients"] = vectors

    def _shapes(self, input_shape: Sequence[int]) -> list[tuple[int, ...]]:
        """Return the shapes of the input and of the output of each layer."""
        shapes = [tuple(input_shape)]
        for layer in self.layers:
            shapes.append(layer.compute_output_shape(shapes[-1]))
        return shapes

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of one output, without the batch axis."""
        return self._shapes(self._built_shape)[-1]

    @property
    def _built_shape(self) -> tuple[int, ...]:
        if self.input_shape is None:
            raise ValueError(f"{self.name}: call model.build(input_shape) first, or give an input_shape")
        return self.input_shape

    def count_params(self, input_shape: Sequence[int] | None = None) -> int:
        """Return the number of values in all weights; `input_shape` is for a model that is not built."""
        shape = self._built_shape if input_shape is None else tuple(input_shape)
        return sum(layer.count_params(s) for layer, s in zip(self.layers, self._shapes(shape), strict=False))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy or a pickle, in which every view has become an array of its own."""
        vars(self).update(state)
        for layer in self.layers:
            layer._owner = None
            layer._claim(self, used=False, cure="")
        self._allocate()

    def __copy__(self: AnyStack) -> AnyStack:
        """Return a deep copy: a shallow one would share layers."""
        return copy.deepcopy(self)

    # Weights.

    @property
    def weights(self) -> list[np.ndarray]:
        """The arrays of all weights, themselves and not copies, in the order of `get_weights`."""
        return [array for _, array in self.named_weights()]

    @property
    def trainable_weights(self) -> list[np.ndarray]:
        """The parameters of the trainable layers."""
        return [array for layer in self.layers for array in layer.trainable_weights]

    @property
    def non_trainable_weights(self) -> list[np.ndarray]:
        """All other weights."""
        return [array for layer in self.layers for array in layer.non_trainable_weights]

    @property
    def parameter_names(self) -> list[str]:
        """The names of all parameters, "layer/parameter", trainable or not, in their order."""
        return [f"{layer.name}/{name}" for layer in self.layers for name in layer.params]

    def named_weights(self) -> list[tuple[str, np.ndarray]]:
        """Return every weight with its name, layer by layer: parameters, then state."""
        return parameter_vectors.named_weights(self.layers)

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all weights, layer by layer, in Keras' order."""
        return [array.copy() for _, array in self.named_weights()]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Copy weights in, in the order of `get_weights`; see `tinycnn.parameters.set_weights`."""
        parameter_vectors.set_weights(self.layers, weights)

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write a file without the optimizer; docs/formats.md has a table of what each suffix means.

        With a name that ends in `.weights.h5`, `.pt` or `.pth` it holds weights alone, as Keras 3 or PyTorch
        writes them. With another one, `load_model` reads it too.
        """
        saving.write_weights(path, conversion.take(self, include_optimizer=False))  # type: ignore[arg-type]

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Copy in the weights of a file of tinycnn, Keras, PyTorch, safetensors or NumPy.

        Keras' and PyTorch's are taken in their order; layers may have other names. A model that is not built
        is built, unless the file holds weights alone. See docs/formats.md.

        Raises
        ------
        ValueError
            When they do not fit; the message gives both lists. Then nothing changes.
        """
        weights, input_shape = saving.read_weights(path, self.get_config())
        if not self.built:
            if input_shape is None:
                raise ValueError(
                    f"{self.name}: call model.build(input_shape) first; {path} has weights alone"
                )
            self.build(input_shape)
        parameter_vectors.load_weights(self.layers, weights, str(path))

    # Descriptions.

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
    def from_config(cls: type[AnyStack], config: dict[str, Any]) -> AnyStack:
        """Return a new model from what `get_config` returned."""
        stack = []
        for entry in config["layers"]:
            layer = layer_classes.from_config(entry["class_name"], entry["config"])
            layer.trainable = entry["trainable"]
            stack.append(layer)
        return cls(stack, config["seed"], config["input_shape"], config["dtype"], config["name"])

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int | slice | str) -> Any:
        """Return a layer by number or name, or a list of layers."""
        if isinstance(index, str):
            return self.get_layer(index)
        found = self.layers[index]
        return list(found) if isinstance(found, list) else found

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __repr__(self) -> str:
        lines = "".join(f"    {layer!r},\n" for layer in self.layers)
        return f"{type(self).__name__}([\n{lines}], seed={self.seed}, input_shape={self.input_shape})"
