"""The arrays of a layer by their names. An assignment copies values into the array that is there.

::

    layer.params["kernel"] = w      the kernel keeps its place in the model's parameters, with the values of w
    layer.params = {"kernel": w}    the same for several
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from tinycnn.support import checks
from tinycnn.support.assignment import own


class Weights(dict[str, np.ndarray]):
    """Dictionary of arrays in which a name keeps its array.

    So the optimizer, files and compiled programs, which hold views of the same memory, see every assignment.
    """

    _complete = False

    def __init__(self, arrays: Mapping[str, np.ndarray] | None = None) -> None:
        super().__init__({name: own(array) for name, array in (arrays or {}).items()})

    def __setitem__(self, name: str, value: Any) -> None:
        """Copy a value into the array of a name, or store the array of a new name.

        Raises
        ------
        ValueError
            For another shape, or a name that the layer does not have once a model has built it.
        """
        array = self.get(name)
        if array is None:
            self._check_complete(name)
            super().__setitem__(name, value)
        elif array is not value:
            checks.shape(name, np.shape(value), array.shape)
            array[...] = value

    def __delitem__(self, name: str) -> None:
        """Remove a name, before a model has built the layer."""
        self._check_complete(name)
        super().__delitem__(name)

    # a dictionary's own methods would bypass the two above
    update = MutableMapping.update
    setdefault = MutableMapping.setdefault
    pop = MutableMapping.pop
    popitem = MutableMapping.popitem
    clear = MutableMapping.clear

    def __ior__(self, other: Any) -> Weights:  # type: ignore[override,misc]
        """Assign several arrays."""
        self.update(other)
        return self

    def bind(self, name: str, array: np.ndarray) -> None:
        """Let a name stand for another array: a view of a model's vector."""
        super().__setitem__(name, array)

    def complete(self, complete: bool = True) -> None:
        """Allow no more names to come or go, or allow it again."""
        self._complete = complete

    def replace(self, arrays: Any) -> None:
        """Assign all arrays: what `layer.params = arrays` does.

        Raises
        ------
        ValueError
            When the names are not those of the layer.
        """
        if not isinstance(arrays, Mapping) or (self._complete and set(arrays) != set(self)):
            received = sorted(arrays) if isinstance(arrays, Mapping) else arrays
            raise ValueError(f"weights: expected a dictionary of {sorted(self)}, received {received!r}")
        self.update(arrays)

    def _check_complete(self, name: str) -> None:
        if self._complete:
            raise ValueError(
                f"weights: expected one of {sorted(self)}, which a model holds, received {name!r}"
            )

    def __reduce__(self) -> tuple[type[Weights], tuple[dict[str, np.ndarray]]]:
        return type(self), (dict(self),)


def copy_weights(own: Sequence[tuple[str, np.ndarray]], values: Sequence[np.ndarray]) -> None:
    """Copy values into named arrays, in their order.

    Raises
    ------
    ValueError
        When their number or a shape does not fit; the message names the weight. Then nothing changes.
    TypeError
        For something that is no sequence.
    """
    if not isinstance(values, Sequence):
        raise checks.ArgumentTypeError(f"weights: expected a list of arrays, received {values!r}")
    if len(values) != len(own):
        raise ValueError(f"weights: expected {len(own)} arrays, received {len(values)}")
    for (name, array), value in zip(own, values, strict=True):
        checks.shape(f"weights: {name}", np.shape(value), array.shape)
    for (_, array), value in zip(own, values, strict=True):
        array[...] = value


class WeightsOf:
    """Descriptor of a layer's `Weights`, which are replaced by value."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __set__(self, layer: Any, value: Any) -> None:
        """Assign the arrays."""
        if self.name in vars(layer):
            vars(layer)[self.name].replace(value)
        else:
            vars(layer)[self.name] = Weights(value)
