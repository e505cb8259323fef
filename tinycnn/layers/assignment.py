"""Assignment to the attributes of a layer: it acts in every way that the layer runs, or it is refused.

::

    layer.activation = "relu", layer.trainable = False  -> stored; a model makes another plan
    layer.params["kernel"] = w, layer.params = {...}    -> copied into the arrays (`tinycnn.layers.weights`)
    layer.units = 5, once it is built                   -> ValueError
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.layers.weights import Weights, WeightsOf
from tinycnn.support import checks
from tinycnn.support.assignment import Constructed, Converted, Fixed, Owned

Shape = tuple[int, ...]


def _is_not_built(layer: Any) -> bool:
    return not layer.built


def _trainable(layer: Any, value: Any) -> bool:
    layer._version += 1
    return checks.flag("trainable", value)


class AssignableLayer(Owned, Constructed):
    """Base class of `Layer`: which attributes can be assigned, and what follows from it."""

    params: Weights = WeightsOf()  # type: ignore[assignment]
    grads: Weights = WeightsOf()  # type: ignore[assignment]
    state: Weights = WeightsOf()  # type: ignore[assignment]
    trainable: bool = Converted(_trainable)  # type: ignore[assignment]
    input_shape: Shape | None = Fixed(  # type: ignore[assignment]
        "make a new layer, and build it for this shape", until=_is_not_built
    )
    dtype: np.dtype[Any] = Fixed(  # type: ignore[assignment]
        "make a new layer, and build it with this dtype", until=_is_not_built
    )

    #: Arguments that only `build` reads.
    _used_by_build: tuple[str, ...] = ()
    #: How often a setting was changed. What was planned for another version is out of date.
    _version = 0

    def _accept(self: Any, name: str, changed: Any) -> None:
        """See `Constructed`. What was built must stay as it is."""
        built = self.input_shape if self.built else None
        if name == "name":
            self._check_name(changed.name)
        elif built and (name in self._used_by_build or self._shapes(built) != changed._shapes(built)):
            new = f"{type(self).__name__}.from_config({{**layer.get_config(), {name!r}: ...}})"
            raise ValueError(
                f"{self.label}: {name}: expected {getattr(self, name)!r}, as it was built with, received "
                f"{getattr(changed, name)!r}; make a new layer: {new}"
            )
        self._version += 1

    def _shapes(self: Any, input_shape: Shape) -> Any:
        """Return the shapes of weights and output, or None if the layer does not suit the input."""
        try:
            weights = self.param_shapes(input_shape), self.state_shapes(input_shape)
            return weights, self.compute_output_shape(input_shape)
        except ValueError:
            return None

    def _check_name(self, name: str | None) -> None:
        """Raise ValueError for a name that another layer of the same model has."""
        model = self._owner and self._owner()
        if model is not None and (name is None or any(x.name == name for x in model.layers if x is not self)):
            raise ValueError(f"layer name: expected one that is not taken, received {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle takes along: not what the last forward pass saved."""
        return super().__getstate__() | {"_saved": None}
