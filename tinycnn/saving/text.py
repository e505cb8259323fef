"""The part of a file that is text: JSON, of a size that nobody needs to fear.

::

    dictionary -> to_json -> text in a file -> from_json -> dictionary
"""

import json
from typing import Any

LARGEST = 2**22  # characters; the documented network has 5,000


def to_json(value: dict[str, Any]) -> str:
    """Return the JSON of a dictionary.

    Raises
    ------
    ValueError
        When it is longer than is ever read.
    """
    text = json.dumps(value)
    check_length("description of the model", len(text))
    return text


def from_json(name: str, text: str) -> dict[str, Any]:
    """Return the dictionary in a JSON text.

    Raises
    ------
    ValueError
        When it is too long, nested too deeply, no JSON, or JSON of something else.
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
    return value


def check_length(name: str, length: int) -> None:
    """Raise when a text is longer than is ever read."""
    if length > LARGEST:
        raise ValueError(f"{name}: expected at most {LARGEST} characters, received {length}")
