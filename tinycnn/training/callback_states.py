"""The states and settings of callbacks, as a checkpoint keeps them.

::

    state -> packed -> JSON-able, and arrays -> unpacked -> state -> restore -> Callback.set_state
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinycnn.training.callbacks import Callback


def described(callbacks: Iterable[Callback]) -> Any:
    """Return the classes and settings of callbacks, which must be equal in a resumed run."""
    named = [{"name": type(callback).__name__, "config": callback.get_config()} for callback in callbacks]
    return json.loads(json.dumps(named))


def packed(state: dict[str, Any], arrays: list[np.ndarray]) -> dict[str, Any]:
    """Return a state with each array replaced by its index in `arrays`, to which the array is added."""
    packed = {}
    for name, value in state.items():
        if isinstance(value, np.ndarray):
            packed[name] = {"array": len(arrays)}
            arrays.append(value)
        else:
            packed[name] = value
    return packed


def unpacked(state: dict[str, Any], arrays: list[np.ndarray]) -> dict[str, Any]:
    """Return the state that `packed` was given."""
    return {
        name: arrays[value["array"]] if isinstance(value, dict) and "array" in value else value
        for name, value in state.items()
    }


def restore(what: str, callbacks: Sequence[Callback], states: list[Any], arrays: list[np.ndarray]) -> None:
    """Restore the states of callbacks; raise ValueError for a state that is not theirs."""
    for callback, state in zip(callbacks, states, strict=True):
        if state:
            try:
                callback.set_state(unpacked(state, arrays))
            except Exception as error:
                name = type(callback).__name__
                received = f"{type(error).__name__}: {error}"
                raise ValueError(
                    f"{what}: expected a state of {name}, received one with {received}"
                ) from error
