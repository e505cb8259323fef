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


def from_json(name: str, text: str) -> dict[str, Any]:
    """Return the dictionary in a JSON text; errors call the text `name`.

    Raises
    ------
    ValueError
        When the text is too long, nested too deeply, not JSON, or not a JSON object.
    """
    check_length(name, len(text))
    try:
        value = json.loads(text)
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


def check_length(name: str, length: int) -> None:
    """Raise ValueError when a text is longer than `LARGEST`."""
    if length > LARGEST:
        raise ValueError(f"{name}: expected at most {LARGEST} characters, received {length}")
