"""What every optimizer is.

::

    parameters, gradients (two flat vectors) -> step -> parameters, changed in place

An optimizer keeps its moments in vectors of the same length, `slots`. A frozen part of the network is a gap
between the `parts` that a step may touch.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np

from tinycnn import checks, config, schedules
from tinycnn.schedules import Schedule


class Part(NamedTuple):
    """A stretch of the parameters, and the name that rules of weight decay know it by."""

    span: slice
    name: str = ""


EVERYTHING = (Part(slice(None)),)


class Optimizer(ABC):
    """What all optimizers share: the rate, the count of steps, the moments, clipping, weight decay.

    Parameters
    ----------
    learning_rate : float or Schedule
        At least 0.
    global_clipnorm : float, optional
        When the norm of all gradients together is larger, they are scaled down to it.
    weight_decay : float or dict of str to float, optional
        Before a step, p -= rate * weight_decay * p (decoupled: Loshchilov & Hutter, arXiv 1711.05101). A
        dictionary has rules: the first pattern that a parameter's name matches, as file names match, says how
        much; what matches none is not decayed. Such as {"dense_*/kernel": 0.01, "*/kernel": 0.001}. `fit`
        refuses a pattern that matches no parameter.

    Attributes
    ----------
    iterations : int
        Steps so far.
    slots : dict of str to ndarray
        The moments, each a vector as long as the parameters.
    """

    def __init__(
        self,
        learning_rate: float | Schedule,
        global_clipnorm: float | None = None,
        weight_decay: float | Mapping[str, float] | None = None,
    ) -> None:
        self.learning_rate = schedules.get("learning_rate", learning_rate)
        if global_clipnorm is not None:
            global_clipnorm = checks.real("global_clipnorm", global_clipnorm, math.ulp(0))
        self.global_clipnorm = global_clipnorm
        self.weight_decay = _decay_rules(weight_decay)
        self.iterations = 0
        self.slots: dict[str, np.ndarray] = {}

    @property
    def name(self) -> str:
        """The key of this kind in `OPTIMIZERS`."""
        return type(self).__name__.lower()

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return schedules.rate(self.learning_rate, self.iterations)

    def slot_names(self) -> list[str]:
        """Return the names of the moments."""
        return []

    def decay_of(self, name: str) -> float:
        """Return the weight decay of the parameter of a name, "layer/parameter"."""
        if not isinstance(self.weight_decay, dict):
            return self.weight_decay or 0.0
        return next((rate for rule, rate in self.weight_decay.items() if fnmatchcase(name, rule)), 0.0)

    def check_rules(self, names: Sequence[str]) -> None:
        """Raise ValueError when a rule of weight decay matches none of the names, and so is misspelt."""
        rules = self.weight_decay if isinstance(self.weight_decay, dict) else {}
        for rule in rules:
            if not any(fnmatchcase(name, rule) for name in names):
                known = ", ".join(names)
                raise ValueError(f"weight_decay: expected patterns for some of {known}, received {rule!r}")

    def step(self, parameters: np.ndarray, gradients: np.ndarray, parts: Sequence[Part] = EVERYTHING) -> None:
        """Change the `parameters` in place.

        Parameters
        ----------
        parameters, gradients : ndarray of shape (count,), of one dtype
            The gradients are left as they are.
        parts : sequence of Part
            What may change; the default is all.

        Raises
        ------
        ValueError
            When shapes or dtypes differ from each other or from the moments'.
        """
        for name in self.slot_names():
            if name not in self.slots:
                self.slots[name] = np.zeros_like(parameters)
        for name, array in {"gradients": gradients, **self.slots}.items():
            checks.shape(f"{type(self).__name__}: {name}", array.shape, parameters.shape)
            if array.dtype != parameters.dtype:
                raise ValueError(
                    f"{type(self).__name__}: {name}: expected {parameters.dtype} as the parameters, "
                    f"received {array.dtype}"
                )
        rate, scale = self.rate, self._clip_scale(gradients, parts)
        self.iterations += 1
        for decay, span in self._joined(parts):
            p = parameters[span]
            g = gradients[span] if scale is None else gradients[span] * gradients.dtype.type(scale)
            if decay:
                p *= 1 - rate * decay
            self._update(p, g, rate, **{k: v[span] for k, v in self.slots.items()})

    def _joined(self, parts: Sequence[Part]) -> list[tuple[float, slice]]:
        """Return the parts with their decay, neighbours of the same as one: a long vector is faster."""
        joined: list[tuple[float, slice]] = []
        for span, name in parts:
            decay = self.decay_of(name)
            if joined and joined[-1][0] == decay and joined[-1][1].stop == span.start is not None:
                span = slice(joined.pop()[1].start, span.stop)
            joined.append((decay, span))
        return joined

    def _clip_scale(self, gradients: np.ndarray, parts: Sequence[Part]) -> float | None:
        """Return what the gradients must be multiplied by, or None when they are short enough."""
        if self.global_clipnorm is None:
            return None
        norm = math.sqrt(sum(float(np.square(gradients[p.span], dtype=np.float64).sum()) for p in parts))
        return self.global_clipnorm / norm if norm > self.global_clipnorm else None

    @abstractmethod
    def _update(self, p: np.ndarray, g: np.ndarray, rate: float, **slots: np.ndarray) -> None:
        """Change parameters `p` by gradients `g`; arrays are views, changed in place."""

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, JSON-able."""
        return {name: schedules.to_config(value) for name, value in config.arguments(self).items()}

    def __repr__(self) -> str:
        return config.describe(self)


def _decay_rules(value: Any) -> float | dict[str, float] | None:
    """Return a weight decay, checked."""
    if not isinstance(value, Mapping):
        return None if value is None else checks.real("weight_decay", value, 0)
    return {
        checks.text("weight_decay: pattern", rule): checks.real(f"weight_decay: {rule}", decay, 0)
        for rule, decay in value.items()
    }
