"""Arrays of a file that are not read yet, so that shapes can be compared before memory is taken.

::

    Stored(shape, dtype, read) -> compared with a weight of the model -> values -> ndarray
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

#: The dtypes, by their names, that weights may have in a file of another program.
FLOATS = ("float16", "bfloat16", "float32", "float64")


class Stored(NamedTuple):
    """An array of a file: its shape, the name of its dtype, and the function that reads it."""

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]

    def values(self, name: str, dtype: np.dtype) -> np.ndarray:
        """Return the values as `dtype`; infinity where it cannot hold one.

        Raises
        ------
        ValueError
            For values that are no floats.
        """
        if self.dtype not in FLOATS:
            raise ValueError(f"{name}: expected an array of {', '.join(FLOATS)}, received {self.dtype}")
        with np.errstate(over="ignore", invalid="ignore"):
            return self.read().astype(dtype, copy=False)


def listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return names and shapes for a message, cut after 400 characters."""
    text = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
    return f"{text:.400}" if text else "none"
