"""JSON in model files, of limited length.

::

    dictionary -> to_json -> text in a file -> from_json -> dictionary
"""

import json
from typing import Any

LARGEST = 2**22  # characters; mnist_cnn has 5,000
DEEPEST = 64  # lists and objects in each other; Keras' configurations have about 10


def to_json(value: dict[str, Any]) -> str:
    """Return a dictionary as JSON.

    Raises
    ------
    ValueError
        When the text is longer than `LARGEST`.
    """
    text = json.dumps(value)
    check_length("description of the model", len(text))
    return text


def from_json(name: str, text: str, largest: int | None = None, *, unique: bool = False) -> dict[str, Any]:
    """Return the dictionary in a JSON text; errors call the text `name`.

    Parameters
    ----------
    name, text : str
    largest : int, optional
        Characters; by default `LARGEST`.
    unique : bool
        Refuse an object that has a key twice; otherwise the last one counts.

    Raises
    ------
    ValueError
        When the text is too long, nested too deeply, not JSON, or not a JSON object.
    """
    check_length(name, len(text), largest)
    try:
        value = json.loads(text, object_pairs_hook=_unique if unique else None)
    except RecursionError:
        raise ValueError(f"{name}: expected JSON, received one that is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{name}: expected JSON, received none: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{name}: expected a JSON object, received {type(value).__name__}")
    _check_depth(name, value)
    return value


def _check_depth(name: str, value: Any) -> None:
    """Raise ValueError when lists and objects are nested more than `DEEPEST` times."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise ValueError(f"{name}: expected JSON, received one that is nested too deeply")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, if no key of it occurs twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"expected each key once, received {len(pairs)} keys, of which {len(found)} differ")
    return found


def check_length(name: str, length: int, largest: int | None = None) -> None:
    """Raise ValueError when a text is longer than `largest`, by default `LARGEST`."""
    largest = LARGEST if largest is None else largest
    if length > largest:
        raise ValueError(f"{name}: expected at most {largest} characters, received {length}")
