"""Findings of a diagnosis.

::

    check -> Finding(severity, check, layer, figures, message)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

#: From the gravest: a fault prevents learning, a warning hinders it, a note is information.
SEVERITIES = ("fault", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One finding: what is wrong, the measured figures, and the cure.

    Attributes
    ----------
    severity : str
        "fault", "warning" or "note".
    check : str
        The name of the check, a key of `tinycnn.inspection.diagnosis.CHECKS`.
    layer : str or None
        The layer that shows it, the first one where there are several.
    figures : mapping of str to float, int, str or list
        What was measured.
    message : str
        What is wrong, the measured figure and the expected range.
    cure : str
        What to do.
    """

    severity: str
    check: str
    layer: str | None
    figures: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    cure: str = ""

    def __post_init__(self) -> None:
        plain = {name: _plain(value) for name, value in self.figures.items()}
        object.__setattr__(self, "figures", MappingProxyType(plain))

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what a copy or a pickle is made from; a mapping proxy cannot be pickled."""
        values = self.severity, self.check, self.layer, dict(self.figures), self.message, self.cure
        return type(self), values

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON-serialisable values; a figure that is not finite becomes text."""
        figures = {name: _json(value) for name, value in self.figures.items()}
        return {
            "severity": self.severity,
            "check": self.check,
            "layer": self.layer,
            "figures": figures,
            "message": self.message,
            "cure": self.cure,
        }

    def __str__(self) -> str:
        where = f" in {self.layer}" if self.layer else ""
        return f"{self.severity}: {self.check}{where}: {self.message}\n    cure: {self.cure}"


def _plain(value: Any) -> Any:
    """Return numbers of NumPy as Python's."""
    if isinstance(value, (list, tuple)):
        return tuple(_plain(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value


def _json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_json(item) for item in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def has_fault(findings: Iterable[Finding]) -> bool:
    """Return whether one of the findings is a fault."""
    return any(finding.severity == "fault" for finding in findings)
