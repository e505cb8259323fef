"""Attributes of a node, each of the type that the operator gives it.

::

    node.attribute -> Attributes -> whole("group", 1), numbers("pads", None), ... -> done()
"""

from __future__ import annotations

from typing import Any

import numpy as np

# AttributeProto.AttributeType: the name of the field, by number.
FIELDS = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints"}
MOST = 2**31 - 1  # of a stride, a size or an axis: what NumPy and every runtime hold
LONGEST = 64
SLICES = ("starts", "ends")  # of a Slice: a number beyond the end means the end


class Attributes:
    """The attributes of one node. Reading one of them takes it out; `done` refuses those that are left.

    Parameters
    ----------
    label : str
        Of the node, for messages.
    attributes : sequence of onnx.AttributeProto

    Raises
    ------
    ValueError
        For a graph, a reference, or another type that no operator here has, and for a name that comes twice.
    """

    def __init__(self, label: str, attributes: Any) -> None:
        self.label = label
        self._values: dict[str, tuple[str, Any]] = {}
        for attribute in attributes[: LONGEST + 1]:
            name = attribute.name
            if attribute.type not in FIELDS or attribute.ref_attr_name or name in self._values:
                raise ValueError(f"{label}: expected numbers and texts as attributes, received {name!r:.100}")
            kind = FIELDS[attribute.type]
            self._values[name] = kind, getattr(attribute, kind)
        if len(self._values) > LONGEST:
            raise ValueError(f"{label}: expected at most {LONGEST} attributes, received more")

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def _take(self, name: str, kind: str, default: Any) -> Any:
        found, value = self._values.pop(name, (kind, default))
        if found != kind:
            raise ValueError(f"{self.label}: {name}: expected the type {kind!r}, received {found!r}")
        return value

    def whole(self, name: str, default: Any) -> Any:
        """Return a whole number."""
        value = self._take(name, "i", default)
        return value if value is None else self._limited(name, value)

    def real(self, name: str, default: Any) -> float:
        """Return a float of 32 bits, as the shortest decimal number that is rounded to it."""
        return float(str(np.float32(self._take(name, "f", default))))

    def wholes(self, name: str, default: Any) -> Any:
        """Return a list of whole numbers."""
        value = self._take(name, "ints", default)
        return None if value is None else [self._limited(name, n) for n in self._short(name, value)]

    def reals(self, name: str, default: Any, most: int = LONGEST) -> Any:
        """Return a list of floats, at most `most`."""
        value = self._take(name, "floats", default)
        return None if value is None else self._short(name, value, most)

    def text(self, name: str, default: str) -> str:
        """Return a short text."""
        value = self._take(name, "s", default.encode())
        return bytes(value[:LONGEST]).decode(errors="replace")

    def tensor(self, name: str) -> Any:
        """Return an onnx.TensorProto, or None."""
        return self._take(name, "t", None)

    def expect(self, name: str, value: Any, *allowed: Any) -> None:
        """Raise ValueError unless a value is one of those that tinycnn can compute."""
        if value not in allowed:
            expected = " or ".join(map(repr, allowed))
            raise ValueError(f"{self.label}: {name}: expected {expected}, received {value!r:.200}")

    def done(self) -> None:
        """Raise ValueError for an attribute that was not read: it could change what is computed."""
        if self._values:
            raise ValueError(
                f"{self.label}: {next(iter(self._values))!r:.100} is no attribute that tinycnn reads"
            )

    def _short(self, name: str, value: Any, most: int = LONGEST) -> list[Any]:
        if len(value) > most:
            raise ValueError(f"{self.label}: {name}: expected at most {most} numbers, received {len(value)}")
        return list(value)

    def _limited(self, name: str, value: int) -> int:
        if abs(value) > MOST and name not in SLICES:
            raise ValueError(f"{self.label}: {name}: expected a number up to {MOST}, received {value}")
        return int(value)
