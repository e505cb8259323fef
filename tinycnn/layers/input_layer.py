"""The shape of images as the first thing that a model is given, as in Keras.

::

    Sequential([InputLayer((28, 28, 1)), Conv2D(8, 3), ...]) -> a model that is built as the layers come
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tinycnn.support import checks
from tinycnn.support.assignment import Fixed


class InputLayer:
    """The shape of one image, for `Sequential` and its `add`; it is not one of the model's layers.

    Parameters
    ----------
    shape : sequence of int, optional
        Without the batch axis, such as (H, W, C).
    name : str, optional
    batch_shape : sequence, optional
        Instead of `shape`: the same after a None, which stands for the batch axis.

    Attributes
    ----------
    shape : tuple of int
    """

    shape: tuple[int, ...] = Fixed("make a new InputLayer")  # type: ignore[assignment]
    name: str | None = Fixed("make a new InputLayer")  # type: ignore[assignment]

    def __init__(
        self,
        shape: Sequence[int] | None = None,
        name: str | None = None,
        *,
        batch_shape: Sequence[int | None] | None = None,
    ) -> None:
        self.name = None if name is None else checks.text("name", name)
        if (shape is None) == (batch_shape is None):
            raise ValueError("InputLayer: expected a shape or a batch_shape, received both or none")
        sizes = shape if batch_shape is None else _without_batch_axis(batch_shape)
        self.shape = checks.sizes("shape", sizes, 1)

    @property
    def batch_shape(self) -> tuple[int | None, ...]:
        """The shape with the batch axis, (None, H, W, C)."""
        return None, *self.shape

    def check_first(self, others: Sequence[Any], built: bool) -> None:
        """Raise ValueError for a model that has layers already, or a shape."""
        if others:
            raise ValueError(f"{self!r}: expected before all layers, received after {others[-1].name}")
        if built:
            raise ValueError(f"{self!r}: expected a model without an input shape, received one that has it")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, as JSON-serialisable values."""
        return {"shape": self.shape, "name": self.name}

    @classmethod
    def from_config(cls, arguments: dict[str, Any]) -> InputLayer:
        """Return a new one from the arguments that `get_config` returned."""
        return cls(**arguments)

    def __repr__(self) -> str:
        name = "" if self.name is None else f", name={self.name!r}"
        return f"{type(self).__name__}(shape={self.shape}{name})"


def _without_batch_axis(batch_shape: Any) -> tuple[Any, ...]:
    items = tuple(batch_shape) if isinstance(batch_shape, Iterable) else ()
    if items[:1] != (None,):
        raise ValueError(f"batch_shape: expected one such as (None, 28, 28, 1), received {batch_shape!r}")
    return items[1:]
