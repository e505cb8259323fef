"""Comparison of receipts: the first epoch in which two runs differ, and what may be the cause.

::

    run.json -> read -> receipt, checked
    receipt, receipt of the same run again -> first_difference -> epoch, weight
                                           -> differences -> data, settings, versions, processor
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from tinycnn.training.receipt import FORMAT, VERSION

LARGEST = 2**24  # bytes; a thousand epochs of a network with a hundred arrays have a quarter of that
LONGEST = 60  # characters of a wrong value in a message
ABSENT = "nothing"  # in the place of a value that one receipt does not have


class FirstDifference(NamedTuple):
    """The first difference in the weights of two runs.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    weight : str or None
        The first array that differs, as in "conv2d_1/kernel"; None if the arrays say nothing.
    when : "before", "trained" or "evaluated"
        Whether the weights before the first epoch differ, those that were trained in this one, or only those
        that it was evaluated with, as under another `WeightAverage`.
    """

    epoch: int
    weight: str | None
    when: str

    def __str__(self) -> str:
        where = "" if self.weight is None else f": {self.weight} is the first weight that does"
        if self.when == "before":
            return f"epoch {self.epoch} differs, as the weights before it do{where}"
        averages = ", in the weights that were evaluated" if self.when == "evaluated" else ""
        return f"epoch {self.epoch} differs{averages}{where}"


def first_difference(receipt: Mapping[str, Any], other: Mapping[str, Any]) -> FirstDifference | None:
    """Return the first difference in the weights of two receipts, in the epochs that both have; or None.

    Parameters
    ----------
    receipt, other : dict
        As `read` returns them, or `RunReceipt.content`.
    """
    first = min((one["epoch"] for one in receipt["epochs"]), default=1)
    weight = _first_array(receipt["initial"], other["initial"])
    if weight or receipt["initial"]["weights"] != other["initial"]["weights"]:
        return FirstDifference(first, weight, "before")
    others = {one["epoch"]: one for one in other["epochs"]}
    for one in receipt["epochs"]:
        again = others.get(one["epoch"])
        if again is None:
            continue
        weight = _first_array(one, again)
        if weight or any(one[name] != again[name] for name in ("weights", "steps")):
            return FirstDifference(one["epoch"], weight, "trained")
        if one["evaluated"] != again["evaluated"]:
            return FirstDifference(one["epoch"], None, "evaluated")
    return None


def _first_array(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """Return the name of the first array that is not the same; None if all are."""
    names = [*one["arrays"], *(name for name in other["arrays"] if name not in one["arrays"])]
    return next((name for name in names if one["arrays"].get(name) != other["arrays"].get(name)), None)


def differences(one: Any, other: Any, name: str = "") -> list[str]:
    """Return sentences on where two values of JSON differ, as in "numpy: 2.4.6, now 2.5.0".

    Parameters
    ----------
    one, other : object
        Then and now: a part of a receipt, such as its "data" or "settings".
    name : str
        That of the part, for the sentences.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        names = [*one, *(key for key in other if key not in one)]
        found = []
        for key in names:
            inner = f"{name}.{key}" if name else key
            found += differences(one.get(key, ABSENT), other.get(key, ABSENT), inner)
        return found
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            sentence
            for number, (a, b) in enumerate(zip(one, other, strict=True))
            for sentence in differences(a, b, f"{name}[{number}]")
        ]
    same = one == other and isinstance(one, bool) == isinstance(other, bool)
    return [] if same else [f"{name}: {_short(one)}, now {_short(other)}"]


def environment_of(receipt: Mapping[str, Any], epoch: int) -> dict[str, Any]:
    """Return the environment that an epoch was trained in; a run may have been resumed in another one."""
    known = [one for one in receipt["environments"] if one["first_epoch"] <= epoch]
    found = known[-1] if known else receipt["environments"][0]
    return {name: value for name, value in found.items() if name != "first_epoch"}


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a receipt, and check all that `first_difference` and `environment_of` rely on.

    Raises
    ------
    OSError
        When the file cannot be read.
    ValueError
        When it is too large, damaged, or no receipt.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"expected at most {LARGEST} bytes, received more")
        return check(_parsed(content))
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: not a receipt that can be used: {error}") from error


def _parsed(content: bytes) -> Any:
    """Return the value of a JSON text."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("expected JSON, received one that is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"expected JSON, received none: {_one_line(str(error))}") from None


def check(receipt: Any) -> dict[str, Any]:
    """Return a receipt; raise ValueError when a part is missing or of another type."""
    _expect("the file", receipt, dict)
    if receipt.get("format") != FORMAT:
        raise ValueError(f'format: expected "{FORMAT}", received {_short(receipt.get("format"))}')
    if receipt.get("version") != VERSION or isinstance(receipt["version"], bool):
        raise ValueError(f"version: expected {VERSION}, received {_short(receipt.get('version'))}")
    for name, kind in (("data", dict), ("settings", dict), ("model", dict), ("times", dict)):
        _expect(name, receipt.get(name), kind)
    _whole("seed", receipt.get("seed"), 0)
    _check_texts("data", {name: value for name, value in receipt["data"].items() if value is not None})
    command = receipt.get("command")
    if command is not None:
        _expect("command", command, list)
        _check_texts("command", dict(enumerate(command)))
    _check_environments(receipt.get("environments"))
    _expect("initial", receipt.get("initial"), dict)
    _check_digests("initial", receipt["initial"], ("weights",))
    _check_epochs(receipt.get("epochs"))
    return dict(receipt)


def _check_environments(environments: Any) -> None:
    _expect("environments", environments, list)
    if not environments:
        raise ValueError("environments: expected at least one, received none")
    for number, one in enumerate(environments):
        _expect(f"environments[{number}]", one, dict)
        _whole(f"environments[{number}].first_epoch", one.get("first_epoch"), 1)


def _check_epochs(epochs: Any) -> None:
    """Raise ValueError unless these are epochs, one after the other."""
    _expect("epochs", epochs, list)
    for index, one in enumerate(epochs):
        name = f"epochs[{index}]"
        _expect(name, one, dict)
        number = _whole(f"{name}.epoch", one.get("epoch"), 1)
        expected = epochs[0]["epoch"] + index
        if number != expected:
            raise ValueError(f"{name}.epoch: expected {expected}, received {number}")
        _whole(f"{name}.steps", one.get("steps"), 0)
        _check_digests(name, one, ("weights", "evaluated"))


def _check_digests(name: str, entry: Mapping[str, Any], totals: tuple[str, ...]) -> None:
    _check_texts(name, {total: entry.get(total) for total in totals})
    _expect(f"{name}.arrays", entry.get("arrays"), dict)
    _check_texts(f"{name}.arrays", entry["arrays"])


def _check_texts(name: str, values: Mapping[Any, Any]) -> None:
    for key, value in values.items():
        _expect(f"{name}.{key}", value, str)


def _expect(name: str, value: Any, kind: type) -> None:
    """Raise ValueError when a value is of another type."""
    if not isinstance(value, kind):
        words = {"dict": "a JSON object", "list": "a list", "str": "text"}
        raise ValueError(f"{name}: expected {words[kind.__name__]}, received {_short(value)}")


def _whole(name: str, value: Any, minimum: int) -> int:
    """Return a whole number; raise ValueError when it is none, or too small."""
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"{name}: expected a whole number >= {minimum}, received {_short(value)}")
    return value


def _short(value: Any) -> str:
    """Return a value as text in one line, cut where it is long."""
    if isinstance(value, dict | list):  # its text may be long to make, or too deep
        return f"{len(value)} values"
    text = _one_line(value if isinstance(value, str) else json.dumps(value))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _one_line(text: str) -> str:
    return " ".join(text.split())
