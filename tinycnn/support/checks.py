"""Argument checks. Every message gives the name, what was expected and what was received.

::

    name, value -> check -> the value, converted; or ValueError; or for another type ArgumentTypeError
"""

import math
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]  # ((top, bottom), (left, right))
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class ArgumentTypeError(TypeError, ValueError):
    """An argument of another type. It is a ValueError too, as every wrong argument was at first."""


def whole(name: str, value: Any, minimum: int) -> int:
    """Return `value` as an int; raise ValueError unless it is a whole number of at least `minimum`."""
    if type(value) is int and value >= minimum:  # the usual case, without the slow checks
        return value
    good_type = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not good_type or value < minimum:
        wrong = ValueError if good_type or isinstance(value, float) else ArgumentTypeError
        raise wrong(f"{name}: expected a whole number >= {minimum}, received {value!r}")
    return int(value)


def pair(name: str, value: Any, minimum: int) -> Pair:
    """Return `value` as (height, width); a single number stands for both."""
    items = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value, value)
    if len(items) != 2:
        raise ValueError(f"{name}: expected one whole number or a pair (height, width), received {value!r}")
    return whole(name, items[0], minimum), whole(name, items[1], minimum)


def sizes(name: str, value: Any, minimum: int) -> tuple[int, ...]:
    """Return `value`, one size or more, as a tuple of whole numbers of at least `minimum`."""
    if not isinstance(value, Iterable) or isinstance(value, str):
        raise ArgumentTypeError(f"{name}: expected sizes such as (28, 28, 1), received {value!r}")
    items = tuple(value)
    if not items:
        raise ValueError(f"{name}: expected at least one size, received none")
    return tuple(whole(name, item, minimum) for item in items)


def x_and_y(name: str, value: Any) -> tuple[Any, Any]:
    """Return `value`, a tuple or list (x, y); anything else is refused without iterating over it."""
    if not isinstance(value, tuple | list):
        raise ArgumentTypeError(f"{name}: expected a tuple (x, y), received {type(value).__name__}")
    if len(value) != 2:
        raise ValueError(f"{name}: expected a tuple (x, y), received {len(value)} items")
    return value[0], value[1]


def real(name: str, value: Any, low: float, high: float = math.inf, *, below: bool = False) -> float:
    """Return `value` as a float in [low, high], or in [low, high) when `below`."""
    good_type = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not good_type or not math.isfinite(value) or not low <= value <= high or (below and value == high):
        bounds = f"[{low}, {high}{')' if below or math.isinf(high) else ']'}"
        wrong = ValueError if good_type else ArgumentTypeError
        raise wrong(f"{name}: expected a number in {bounds}, received {value!r}")
    return float(value)


def flag(name: str, value: Any) -> bool:
    """Return `value` as a bool, if it is Python's or NumPy's True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ArgumentTypeError(f"{name}: expected True or False, received {value!r}")
    return bool(value)


def choice(name: str, value: Any, allowed: Iterable[str]) -> str:
    """Return `value` if it is one of the `allowed` names."""
    names = tuple(allowed)
    if not isinstance(value, str) or value not in names:
        wrong = ValueError if isinstance(value, str) else ArgumentTypeError
        raise wrong(f"{name}: expected one of {', '.join(map(repr, sorted(names)))}, received {value!r}")
    return value


def text(name: str, value: Any) -> str:
    """Return `value` if it is a string that is not empty."""
    if not isinstance(value, str) or not value:
        wrong = ValueError if isinstance(value, str) else ArgumentTypeError
        raise wrong(f"{name}: expected a non-empty string, received {value!r}")
    return value


def float_dtype(name: str, value: Any) -> np.dtype[Any]:
    """Return `value` as a dtype; raise ValueError unless it is float32 or float64."""
    if value not in ("float32", "float64", np.float32, np.float64):
        raise ValueError(f"{name}: expected float32 or float64, received {value!r}")
    return np.dtype(value)


def float_array(name: str, value: Any, ndim: int | None = None) -> np.dtype[Any]:
    """Return the dtype of `value`; raise ValueError unless it is a float array (of `ndim` axes, if given)."""
    if not isinstance(value, np.ndarray):
        raise ArgumentTypeError(f"{name}: expected a NumPy array, received {type(value).__name__}")
    if value.dtype not in FLOATS:
        raise ValueError(f"{name}: expected an array of float32 or float64, received {value.dtype}")
    if ndim is not None and value.ndim != ndim:
        raise ValueError(f"{name}: expected {ndim} axes, received {value.ndim} (shape {value.shape})")
    return value.dtype


def shape(name: str, received: tuple[int, ...], expected: tuple[int | None, ...]) -> None:
    """Raise ValueError unless `received` has the `expected` sizes, where None stands for any size."""
    fits = len(received) == len(expected) and all(
        e is None or e == r for r, e in zip(received, expected, strict=True)
    )
    if not fits:
        raise ValueError(f"{name}: expected shape {expected}, received {tuple(received)}")
