"""Functional models of Keras that are one chain: their layers in the order of the chain.

::

    {"layers": [...], "input_layers": ..., "output_layers": ...} -> chain -> entries, as in a Sequential

A layer says where its input comes from. Keras 1 and 2 write `inbound_nodes` as lists, a node for each call of
the layer and in it a source for each input: `[[["conv", 0, 0, {}]]]`. Keras 3 writes a dictionary for each
call, with the source as the `keras_history` of a `__keras_tensor__`. tinycnn has no graphs, so a layer with
several inputs, outputs or calls is refused by its name. Nothing here is recursive: a file may be hostile.
"""

import warnings
from typing import Any

#: Names of the class of such a model: today's, and the one up to Keras 2.3.
CLASSES = ("Functional", "Model")
TENSOR = "__keras_tensor__"


def chain(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of the layers, the InputLayer first and the layer of the output last.

    Parameters
    ----------
    config : dict
        The "config" of the model, with a list "layers".

    Raises
    ------
    ValueError
        For a graph that is not one chain; the message names the layer where it branches.

    Warns
    -----
    UserWarning
        For a layer that was called with `training=False` in Keras 2: further training ignores it.
    """
    entries = _by_name(config["layers"])
    first, last = (_only_end(config, key) for key in ("input_layers", "output_layers"))
    followers: dict[str, str] = {}
    for name, entry in entries.items():
        source = _source(name, entry, name == first)
        if source is None:
            continue
        if source in followers:
            both = f"{followers[source]!r} and {name!r}"
            raise ValueError(f"layer {source!r}: expected one layer after it, received {both}")
        followers[source] = name
    order = [first]
    while order[-1] in followers and len(order) <= len(entries):
        order.append(followers[order[-1]])
    if len(order) != len(entries) or first not in entries:
        lost = sorted(entries.keys() - set(order)) or order[-1:]
        raise ValueError(f"layer {lost[0]!r}: expected one chain from the input {first!r}, which has no such")
    if order[-1] != last:
        raise ValueError(f"layer {last!r}: expected the last layer, {order[-1]!r}, as the output")
    return [entries[name] for name in order]


def _by_name(layers: list[Any]) -> dict[str, dict[str, Any]]:
    """Return the entries by the names that the nodes use."""
    found: dict[str, dict[str, Any]] = {}
    for number, entry in enumerate(layers, 1):
        config = entry.get("config") if isinstance(entry, dict) else None
        inner = config.get("name") if isinstance(config, dict) else None
        name = entry.get("name", inner) if isinstance(entry, dict) else None
        if not isinstance(name, str) or name in found:
            raise ValueError(f"layer {number}: expected a name of its own, received {name!r:.200}")
        found[name] = entry
    return found


def _only_end(config: dict[str, Any], key: str) -> str:
    """Return the name of the only layer in "input_layers" or "output_layers"."""
    ends = config.get(key)
    ends = list(ends.values()) if isinstance(ends, dict) else ends
    if _is_history(ends):
        ends = [ends]
    if not isinstance(ends, list) or len(ends) != 1 or not _is_history(ends[0]):
        raise ValueError(f"model: {key}: expected one layer, as in a Sequential, received {ends!r:.200}")
    return _only_call(ends[0])


def _is_history(value: Any) -> bool:
    """Return whether a value is a layer, the number of its call and the number of its output, the first."""
    return isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str) and value[2] == 0


def _only_call(history: list[Any]) -> str:
    """Return the name of a layer; raise ValueError for another call of it than the first."""
    name, number = history[:2]
    if number != 0:
        raise ValueError(f"layer {name!r}: expected one use in the model, received call {number!r:.99} of it")
    return str(name)


def _source(name: str, entry: dict[str, Any], is_input: bool) -> str | None:
    """Return the name of the layer that a layer takes its input from; None for the input of the model."""
    calls = entry.get("inbound_nodes")
    if not isinstance(calls, list):
        raise ValueError(f"layer {name!r}: expected a list of inbound_nodes, received {calls!r:.200}")
    if is_input and not calls:
        return None
    if len(calls) != 1 or is_input:
        raise ValueError(
            f"layer {name!r}: expected one use in the model, received {len(calls)}: a shared layer, or "
            "another input, does not fit into a Sequential"
        )
    if "ops" in str(entry.get("module")).split("."):
        raise ValueError(
            f"layer {name!r}: expected a layer, received an operation of {entry['module']!r:.99}"
        )
    sources, arguments = _call(name, calls[0])
    if len(sources) != 1:
        names = ", ".join(repr(source) for source in sources)
        raise ValueError(f"layer {name!r}: expected one input, received {len(sources)}: {names:.200}")
    given = {key: value for key, value in arguments.items() if value is not None}
    if isinstance(calls[0], dict) and given.get("training") is False:
        del given["training"]  # Keras 3 writes it of each Dropout, and has another value in training
    if given == {"training": False}:
        warnings.warn(f"layer {name!r}: further training ignores training=False", stacklevel=5)
    elif given:
        raise ValueError(f"layer {name!r}: expected a call without arguments, received {given!r:.200}")
    return sources[0]


def _call(name: str, call: Any) -> tuple[list[str], dict[str, Any]]:
    """Return the names of the layers whose outputs one call takes, and its other arguments."""
    histories: list[Any]
    if isinstance(call, dict):  # Keras 3
        arguments = call.get("kwargs") or {}
        tensors = call.get("args")
        if isinstance(tensors, list) and len(tensors) == 1 and isinstance(tensors[0], list):
            tensors = tensors[0]  # a list of inputs is one argument
        histories = [_history(tensor) for tensor in tensors] if isinstance(tensors, list) else [None]
    else:
        histories = call if isinstance(call, list) else [None]
        if histories and isinstance(histories[0], str):
            histories = [histories]
        extra = [history[3] for history in histories if isinstance(history, list) and len(history) > 3]
        arguments = extra[0] if extra else {}
    if not isinstance(arguments, dict) or not all(_is_history(history) for history in histories):
        raise ValueError(f"layer {name!r}: expected the first output of a layer, received {call!r:.200}")
    return [_only_call(history) for history in histories], arguments


def _history(tensor: Any) -> Any:
    """Return the "keras_history" of one of Keras 3's tensors; None for anything else."""
    if not isinstance(tensor, dict) or tensor.get("class_name") != TENSOR:
        return None
    config = tensor.get("config")
    return config.get("keras_history") if isinstance(config, dict) else None
