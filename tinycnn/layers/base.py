"""Base class of layers: the contract that every layer fulfils.

::

    forward:   x -> layer -> y
    backward:  dy -> layer -> dx, and layer.grads[name] = dL/d(layer.params[name])

A layer works alone, or as part of a `Sequential`:

>>> import numpy as np
>>> from tinycnn.layers import Conv2D
>>> conv = Conv2D(32, 3)
>>> conv.build((28, 28, 1), np.random.default_rng(0))
>>> y = conv.forward(np.zeros((5, 28, 28, 1), np.float32), training=True)
>>> dx = conv.backward(np.ones_like(y))
>>> dx.shape, conv.grads["kernel"].shape
((5, 28, 28, 1), (3, 3, 1, 32))
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from tinycnn import initializers, regularizers
from tinycnn.initializers import Initializer
from tinycnn.layers.assignment import AssignableLayer, Shape
from tinycnn.layers.keras_names import KerasNames
from tinycnn.layers.notebook import NotebookView
from tinycnn.layers.weights import Weights
from tinycnn.support import checks, constructor


class Layer(AssignableLayer, KerasNames, NotebookView, ABC):
    """Base class of layers.

    A subclass checks and stores its arguments in `__init__`, and computes in `forward` and `backward`.
    `forward` sets `self._saved` to what `backward` reads, and only when training. A layer with parameters
    also gives their shapes in `param_shapes`. Everything else has a default.

    Attributes
    ----------
    params, grads : dict of str to ndarray
        Parameters and their gradients: same keys and shapes, updated in place, in Keras' weight order.
    state : dict of str to ndarray
        Non-trainable weights, such as moving averages. They are saved with the model.
    algorithm : str
        What the layer asks for: a name of `tinycnn.kernels.ALGORITHMS`, or "auto".
    trainable : bool
        Whether an optimizer may change `params`; read at every step.
    built : bool
        Whether the weights exist.
    name : str or None
        A `Sequential` names the layers that have no name.
    input_shape : tuple of int or None
        The shape of one input, without the batch axis, that the layer was built for.
    dtype : numpy.dtype
        float32 or float64: of the weights, the input and the output.
    """

    algorithm = "auto"

    #: For weights whose first values no argument names, such as `kernel_initializer`.
    _initializers: Mapping[str, Initializer] = MappingProxyType({})

    def __init__(self, name: str | None = None) -> None:
        self.name = None if name is None else checks.text("name", name)
        self.trainable = True
        self.built = False
        self.params, self.grads, self.state = Weights(), Weights(), Weights()
        self.input_shape = None
        self.dtype = np.dtype(np.float32)
        self._saved: Any = None

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: Any = np.float32) -> None:
        """Allocate the weights. A second call with the same shape does nothing.

        Parameters
        ----------
        input_shape : tuple of int
            The shape of one input, without the batch axis.
        rng : numpy.random.Generator
            Source of the initial values.
        dtype : float32 or float64, optional

        Raises
        ------
        ValueError
            When the shape does not suit the layer, or the layer was built for another shape.
        """
        input_shape = tuple(checks.whole(f"{self.label}: input_shape", size, 1) for size in input_shape)
        if self.built:
            if input_shape != self.input_shape:
                raise ValueError(
                    f"{self.label}: expected input shape {self.input_shape}, received {input_shape}"
                )
            return
        self.compute_output_shape(input_shape)
        self.dtype = checks.float_dtype("dtype", dtype)
        for name, shape in self.param_shapes(input_shape).items():
            self.params[name] = self._initializer(name)(shape, rng).astype(self.dtype)
            self.grads[name] = np.zeros(shape, self.dtype)
        for name, shape in self.state_shapes(input_shape).items():
            self.state[name] = self._initializer(name)(shape, rng).astype(self.dtype)
        self.input_shape = input_shape
        self.built = True

    def _initializer(self, weight: str) -> Initializer:
        """Return what draws the first values of a weight: by default what `kernel_initializer` names."""
        own = self._initializers.get(weight)
        return initializers.get(getattr(self, f"{weight}_initializer")) if own is None else own

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shapes of `params` for an input shape; pure arithmetic. The default is none."""
        return {}

    def state_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shapes of `state` for an input shape; pure arithmetic. The default is none."""
        return {}

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the output for an input shape, both without the batch axis."""
        return input_shape

    @abstractmethod
    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y in the dtype of x. Save what `backward` reads, but only when training."""

    @abstractmethod
    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Assign `grads` and return dx, given dy = dL/dy of the last training forward."""

    def backward_params(self, dy: np.ndarray) -> None:
        """Assign `grads` without computing dx, for the first layer of a network."""
        if self.params:
            self.backward(dy)

    def release(self) -> None:
        """Release the arrays that the last training forward saved for `backward`."""
        self._saved = None

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, as JSON-serialisable values."""
        return {name: regularizers.to_config(value) for name, value in constructor.arguments(self).items()}

    @classmethod
    def from_config(cls, arguments: dict[str, Any]) -> Layer:
        """Return a new layer from the arguments that `get_config` returned."""
        return cls(**arguments)

    def count_params(self, input_shape: Shape) -> int:
        """Return the number of values in `params` and `state`. The layer need not be built."""
        shapes = (*self.param_shapes(input_shape).values(), *self.state_shapes(input_shape).values())
        return sum(map(math.prod, shapes))

    @property
    def built_shape(self) -> Shape:
        """The input shape that the layer was built for, without the batch axis."""
        if self.input_shape is None:
            raise ValueError(f"{self.label}: call build(input_shape, rng) first")
        return self.input_shape

    @property
    def label(self) -> str:
        """The name that error messages use."""
        return self.name or type(self).__name__

    def check_input(self, x: np.ndarray) -> None:
        """Raise ValueError unless x has the shape and dtype that the layer was built for."""
        if self.input_shape is None:
            raise ValueError(f"{self.label}: call build(input_shape, rng) before forward")
        self._check_array("x", x, (None, *self.input_shape))

    def check_gradient(self, dy: np.ndarray, shape: Shape) -> None:
        """Raise ValueError unless dy has the `shape` of the output, and the layer's dtype."""
        self._check_array("dy", dy, shape)

    def _check_array(self, what: str, value: np.ndarray, shape: tuple[int | None, ...]) -> None:
        checks.shape(f"{self.label}: {what}", np.shape(value), shape)
        received = getattr(value, "dtype", type(value).__name__)
        if received != self.dtype:
            raise ValueError(
                f"{self.label}: {what}: expected an array of {self.dtype}, as it was built for, "
                f"received {received}; convert it with np.asarray({what}, np.{self.dtype})"
            )

    def saved(self) -> Any:
        """Return what the last training forward saved for `backward`; raise ValueError if there was none."""
        if self._saved is None:
            raise ValueError(f"{self.label}: call forward(x, training=True) before backward")
        return self._saved

    def __repr__(self) -> str:
        return constructor.describe(self)
