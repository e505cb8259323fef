"""Values as JSON has them.

::

    np.float32(0.5), nan, {1: (2, 3)} -> plain -> 0.5, None, {"1": [2, 3]}
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def plain(value: Any, other: Callable[[Any], str] = str) -> Any:
    """Return a value as JSON has it: without NumPy's types, NaN and infinities as None, with text as keys.

    Parameters
    ----------
    value : object
    other : callable
        Returns the text for an object that JSON has no type for.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item, other) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist(), other)
    if isinstance(value, list | tuple):
        return [plain(item, other) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else other(value)
