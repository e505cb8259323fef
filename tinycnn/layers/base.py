"""The contract of a layer, and nothing else.

::

    forward:   x -> layer -> y
    backward:  dy -> layer -> dx, and layer.grads[name] = dL/d(layer.params[name])

A layer is used alone like this, or as a part of a `Sequential`:

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
from typing import Any

import numpy as np

from tinycnn import checks, config
from tinycnn.initializers import Initializer
from tinycnn.kernels.explanation import Pass

Shape = tuple[int, ...]


class Layer(ABC):
    """What every layer is.

    Attributes
    ----------
    params, grads : dict of str to ndarray
        Parameters and their gradients: same keys, same shapes, updated in place, in Keras' weight order.
    state : dict of str to ndarray
        What is kept and saved but not trained, such as moving averages.
    trainable : bool
        Whether an optimizer may change `params`; read by `Sequential.compile`.
    built : bool
    name : str or None
        A `Sequential` names the layers that have no name.

    A subclass stores its arguments in `__init__`, allocates in `build` and computes in `forward` and
    `backward`. `forward` sets `self._kept` to what `backward` reads, and only when training.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = None if name is None else checks.text("name", name)
        self.trainable = True
        self.built = False
        self.params: dict[str, np.ndarray] = {}
        self.grads: dict[str, np.ndarray] = {}
        self.state: dict[str, np.ndarray] = {}
        self.input_shape: Shape | None = None
        self.dtype = np.dtype(np.float32)
        self._initializers: dict[str, Initializer] = {}
        self._kept: Any = None

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: Any = np.float32) -> None:
        """Allocate parameters for inputs of a shape without the batch axis. A second time does nothing.

        Parameters
        ----------
        input_shape : tuple of int
        rng : numpy.random.Generator
            Where the initial values come from.
        dtype : float32 or float64, optional

        Raises
        ------
        ValueError
            When the shape does not suit the layer, or it was built for another shape.
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
            self.params[name] = self._initializers[name](shape, rng).astype(self.dtype)
            self.grads[name] = np.zeros(shape, self.dtype)
        for name, shape in self.state_shapes(input_shape).items():
            self.state[name] = self._initializers[name](shape, rng).astype(self.dtype)
        self.input_shape = input_shape
        self.built = True

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shapes of `params` for an input shape; pure arithmetic. The default has none."""
        return {}

    def state_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shapes of `state`, likewise."""
        return {}

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the output for an input shape, both without the batch axis."""
        return input_shape

    @abstractmethod
    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y in the dtype of x; keep what `backward` reads only when training."""

    @abstractmethod
    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Assign `grads` and return dx, given dy = dL/dy of the last training forward."""

    def backward_params(self, dy: np.ndarray) -> None:
        """Assign `grads` alone: for the first layer of a network, of which nobody needs dx."""
        if self.params:
            self.backward(dy)

    def forget(self) -> None:
        """Let go of what the last training forward kept for `backward`."""
        self._kept = None

    def passes(self) -> list[Pass]:
        """Return what computes each pass, and why (`kernels.explain`), of a layer that has a choice."""
        return []

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, JSON-able."""
        return config.arguments(self)

    @classmethod
    def from_config(cls, arguments: dict[str, Any]) -> Layer:
        """Return a new layer from what `get_config` returned."""
        return cls(**arguments)

    def count_params(self, input_shape: Shape) -> int:
        """Return the number of values in `params` and `state`; nothing needs to be built."""
        shapes = (*self.param_shapes(input_shape).values(), *self.state_shapes(input_shape).values())
        return sum(map(math.prod, shapes))

    @property
    def label(self) -> str:
        """The name that error messages use."""
        return self.name or type(self).__name__

    def check_input(self, x: np.ndarray) -> None:
        """Raise unless x is what the layer was built for."""
        if self.input_shape is None:
            raise ValueError(f"{self.label}: expected build(input_shape, rng) before forward, received none")
        self._check_array("x", x, (None, *self.input_shape))

    def check_gradient(self, dy: np.ndarray, shape: Shape) -> None:
        """Raise unless dy is a gradient of an output of this `shape`."""
        self._check_array("dy", dy, shape)

    def _check_array(self, what: str, value: np.ndarray, shape: tuple[int | None, ...]) -> None:
        checks.shape(f"{self.label}: {what}", np.shape(value), shape)
        received = getattr(value, "dtype", type(value).__name__)
        if received != self.dtype:
            raise ValueError(
                f"{self.label}: {what}: expected an array of {self.dtype}, as it was built for, "
                f"received {received}; convert it with np.asarray({what}, np.{self.dtype})"
            )

    def _recall(self) -> Any:
        """Return what the last training forward kept for `backward`."""
        if self._kept is None:
            raise ValueError(
                f"{self.label}: expected forward(x, training=True) before backward, received none"
            )
        return self._kept

    def __repr__(self) -> str:
        return config.describe(self)
