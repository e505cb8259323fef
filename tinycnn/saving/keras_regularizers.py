"""Regularizers in Keras' files, and tinycnn's.

::

    {"class_name": "L2", "config": {"l2": 0.01}}                       today, also with a module
    {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.01}}, "l2"    Keras 2
    {"name": "L1L2Regularizer", "l1": 0.0, "l2": 0.01}                 Keras 1

Classes are looked up by name. One that tinycnn does not have, such as a user's own, is left out with a
warning (`tinycnn.saving.keras_config`); a known one with other arguments is refused.
"""

from typing import Any

from tinycnn import regularizers
from tinycnn.regularizers import REGULARIZERS, SHORT_NAMES
from tinycnn.saving import keras_names
from tinycnn.support import checks

KERAS_1 = {"WeightRegularizer": "L1L2", "L1L2Regularizer": "L1L2"}


def to_layer(label: str, keras: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Return the regularizers that tinycnn has among the arguments `names` of Keras' layer, called `label`.

    Raises
    ------
    ValueError
        For factors that are missing, unknown, or no numbers of at least 0.
    """
    read = [name for name in names if is_known(keras.get(name))]
    return {name: _config(f"{label}: {name}", keras[name]) for name in read}


def is_known(value: Any) -> bool:
    """Return whether an argument of a layer is a regularizer of a class that tinycnn has."""
    return _class_name(value) in REGULARIZERS


def _class_name(value: Any) -> Any:
    """Return the class of a regularizer by the name of today; None if the value names none."""
    name = value
    if isinstance(value, dict):
        name = None if keras_names.is_users(value) else value.get("class_name", value.get("name"))
    return SHORT_NAMES.get(name, KERAS_1.get(name, name)) if isinstance(name, str) else None


def _config(what: str, value: Any) -> dict[str, Any]:
    """Return what `regularizers.get` takes, after trying it."""
    kind = _class_name(value)
    if isinstance(value, str):
        return dict(regularizers.to_config(regularizers.get(what, kind)))
    in_keras_1 = "class_name" not in value
    config = {k: v for k, v in value.items() if k != "name"} if in_keras_1 else value.get("config")
    factors = REGULARIZERS[kind]().get_config()
    if not isinstance(config, dict) or not config.keys() <= factors.keys():
        raise ValueError(f"{what}: expected {kind} of {', '.join(factors)}, received {config!r:.200}")
    given = {factor: number for factor, number in config.items() if number is not None}  # None: the default
    checked = {factor: checks.real(f"{what}: {factor}", number, 0) for factor, number in given.items()}
    return {"class_name": kind, "config": factors | checked}
