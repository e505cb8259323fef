"""What a picture says of a layer: the arguments that a reader asks for, shapes and counts, in words.

::

    Conv2D(32, 3, strides=2, activation="relu") -> "32 filters", "3 × 3 kernel", "stride 2 × 2", "relu"
"""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Iterable, Sequence
from typing import Any

TIMES = " \u00d7 "
#: How an argument is said; others are said by their names.
WORDS = {
    "filters": "{} filters",
    "units": "{} units",
    "kernel_size": "{} kernel",
    "pool_size": "{} pool",
    "strides": "stride {}",
    "dilation_rate": "dilation {}",
    "target_shape": "to {}",
}
#: These are said although they have their defaults.
ALWAYS = ("filters", "units", "kernel_size", "pool_size", "size")
#: These do not change what a layer computes from its weights; the activation has a switch of its own.
LEFT_OUT = ("activation", "algorithm", "dtype", "name", "seed", "trainable")
ENDINGS = ("_initializer", "_regularizer", "_constraint")
MISSING = object()


def arguments_of(layer: Any, activation: bool = True) -> list[str]:
    """Return the arguments of a layer that are not its defaults, as words, and its activation.

    Arrays, functions and other objects are left out, and what the constructor does not store.
    """
    found = []
    for name, parameter in inspect.signature(type(layer)).parameters.items():
        value = _plain(getattr(layer, name, MISSING))
        if name in LEFT_OUT or name.endswith(ENDINGS) or value is MISSING or value is None:
            continue
        if _is_always_said(name, value) or not (
            _is_default(value, parameter.default) or _follows(layer, name, value)
        ):
            found.append(_said(name, value))
    function = vars(layer).get("activation")  # as an argument; a property says again what the class does
    function = function if isinstance(function, str) else getattr(function, "__name__", None)
    return [*found, function] if activation and function and function != "linear" else found


def _is_always_said(name: str, value: Any) -> bool:
    return name in ALWAYS or (name == "padding" and not isinstance(value, str))


def _plain(value: Any) -> Any:
    """Return a number, a string, or a tuple of them; MISSING for anything else."""
    if value is None or isinstance(value, str | numbers.Real):
        return value
    if not isinstance(value, tuple | list) or not value:
        return MISSING
    items = tuple(map(_plain, value))
    return MISSING if any(item is MISSING for item in items) else items


def _is_default(value: Any, default: Any) -> bool:
    """Return whether a value is a default, perhaps one number for both sides."""
    plain = _plain(default)
    return plain is not MISSING and value in (plain, (plain, plain), ((plain, plain), (plain, plain)))


def _follows(layer: Any, name: str, value: Any) -> bool:
    """Return whether a value follows from another one, as the strides of a pool do."""
    return name == "strides" and value == getattr(layer, "pool_size", None)


def _said(name: str, value: Any) -> str:
    words = name.removeprefix("use_").replace("_", " ")
    if isinstance(value, bool):
        return words if value else f"no {words}"
    said = _value(value)
    text = WORDS.get(name, f"{words} {{}}").replace("{}", said)
    return text.removesuffix("s") if said == "1" and name in ("filters", "units") else text


def _value(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        if any(isinstance(item, tuple) for item in value):
            return ", ".join(f"({', '.join(map(_value, item))})" for item in map(_pair, value))
        return shape_text(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _pair(value: Any) -> Sequence[Any]:
    return value if isinstance(value, tuple) else (value,)


def shape_text(shape: Iterable[Any]) -> str:
    """Return a shape as text: 26 × 26 × 32."""
    return TIMES.join(map(_value, shape))


def count(number: int, what: str) -> str:
    """Return a number of things: "1 layer", "1,290 parameters"."""
    return f"{number:,} {what.removesuffix('s') if number == 1 else what}"
