"""Base class of optimizers.

::

    parameters, gradients (two flat vectors) -> step -> parameters, changed in place

An optimizer keeps its moments in vectors of the same length, `slots`. A step changes only the parameters in
given spans; frozen layers lie between the spans.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np

from tinycnn.optimizers import schedules
from tinycnn.optimizers.schedules import Schedule
from tinycnn.support import checks, constructor
from tinycnn.support.assignment import Constructed, Owned, own
from tinycnn.support.ranges import flush, smallest_normal


class ParameterSpan(NamedTuple):
    """A slice of the parameter vector, and the name of the parameter.

    Attributes
    ----------
    span : slice
    name : str
        "layer/parameter", which the rules of weight decay are matched with.
    """

    span: slice
    name: str = ""


#: Once in this number of steps, weights that decayed to denormal numbers are set to 0.
FLUSH_STEPS = 64
#: Sums of squares in between are neither infinite nor made of denormal numbers.
SQUARES = (1e-280, 1e308)
EVERYTHING = (ParameterSpan(slice(None)),)


class Optimizer(Owned, Constructed, ABC):
    """Base class of optimizers: the rate, the count of steps, the moments, clipping, weight decay.

    Parameters
    ----------
    learning_rate : float or Schedule
        The learning rate, at least 0, or a function from the number of the step to the rate.
    global_clipnorm : float, optional
        The largest norm of all gradients together; gradients with a larger norm are scaled down to it.
    weight_decay : float or dict of str to float, optional
        Before a step, p -= rate * weight_decay * p (decoupled: Loshchilov & Hutter, arXiv 1711.05101). A
        dictionary holds rules, from patterns to decays: `{"dense_*/kernel": 0.01, "*/kernel": 0.001}`.
        Patterns are matched with parameter names like file names (`fnmatch`), and the first match counts.
        Parameters without a match do not decay. `fit` refuses a pattern that matches no parameter.

    Attributes
    ----------
    iterations : int
        Number of steps taken.
    slots : dict of str to ndarray
        The moments (slot variables), each a vector as long as the parameters.
    lr : float or Schedule
        The old name of `learning_rate`.

    An optimizer belongs to the model that is compiled with it. Arguments can be assigned:
    `optimizer.learning_rate = 0.01` acts from the next step.
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
        """The name of the class in `OPTIMIZERS`."""
        return type(self).__name__.lower()

    @property
    def lr(self) -> float | Schedule:
        """The old name of `learning_rate`."""
        return self.learning_rate

    @lr.setter
    def lr(self, value: float | Schedule) -> None:
        self.learning_rate = value

    def belong_to(self, model: Any, parameters: np.ndarray) -> None:
        """Become the optimizer of a model; called by `compile`.

        Raises
        ------
        ValueError
            When it is another model's, or has moments for other `parameters`.
        """
        new = f"make a new one with {type(self).__name__}(**optimizer.get_config())"
        for name, slot in self.slots.items():
            if parameters.size and (slot.shape != parameters.shape or slot.dtype != parameters.dtype):
                raise ValueError(
                    f"{type(self).__name__}: {name}: expected {parameters.shape} {parameters.dtype}, as the "
                    f"model's parameters, received {slot.shape} {slot.dtype}; {new}"
                )
        self._claim(model, used=self.iterations > 0, cure=new)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy or a pickle, whose moments may be read-only."""
        vars(self).update(state)
        self.slots = {name: own(slot) for name, slot in self.slots.items()}

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return schedules.rate(self.learning_rate, self.iterations)

    def slot_names(self) -> list[str]:
        """Return the names of the moments."""
        return []

    def decay_of(self, name: str) -> float:
        """Return the weight decay of a parameter by its name, "layer/parameter"."""
        if not isinstance(self.weight_decay, dict):
            return self.weight_decay or 0.0
        return next((rate for rule, rate in self.weight_decay.items() if fnmatchcase(name, rule)), 0.0)

    def check_rules(self, names: Sequence[str]) -> None:
        """Raise ValueError when a rule of weight decay matches none of the parameter names."""
        rules = self.weight_decay if isinstance(self.weight_decay, dict) else {}
        for rule in rules:
            if not any(fnmatchcase(name, rule) for name in names):
                known = ", ".join(names)
                raise ValueError(f"weight_decay: expected a pattern for one of {known}, received {rule!r}")

    def step(
        self, parameters: np.ndarray, gradients: np.ndarray, spans: Sequence[ParameterSpan] = EVERYTHING
    ) -> None:
        """Take one step: change the `parameters` in place.

        Parameters
        ----------
        parameters, gradients : ndarray of shape (count,)
            Of one dtype. The gradients are not changed.
        spans : sequence of ParameterSpan
            The parameters that may change; all by default.

        Raises
        ------
        ValueError
            When shapes or dtypes differ between parameters, gradients and moments.
        """
        if not self.slots:
            self.slots = {name: np.zeros_like(parameters) for name in self.slot_names()}
        for name, array in {"gradients": gradients, **self.slots}.items():
            if array.shape != parameters.shape or array.dtype != parameters.dtype:
                raise ValueError(
                    f"{type(self).__name__}: {name}: expected {parameters.shape} {parameters.dtype} as the "
                    f"parameters, received {array.shape} {array.dtype}"
                )
        rate = self.learning_rate
        rate = rate(self.iterations) if isinstance(rate, Schedule) else rate
        most = self.global_clipnorm
        scale = None if most is None else self._clip_scale(gradients, spans, most)
        self.iterations += 1
        for decay, span in self._decayed(spans):
            p = parameters[span]
            g = gradients[span] if scale is None else _scaled(gradients[span], scale)
            if decay:
                p *= 1 - rate * decay
                if self.iterations % FLUSH_STEPS == 0:
                    flush(p)
            slots = {}
            for name, vector in self.slots.items():
                slots[name] = vector[span]
            self._update(p, g, rate, **slots)

    def _decayed(self, spans: Sequence[ParameterSpan]) -> list[tuple[float, slice]]:
        """Return (decay, span), with neighbours of equal decay joined: one long vector is faster."""
        joined: list[tuple[float, slice]] = []
        constant = None if isinstance(self.weight_decay, dict) else self.weight_decay or 0.0
        for span, name in spans:
            decay = self.decay_of(name) if constant is None else constant
            if joined and joined[-1][0] == decay and joined[-1][1].stop == span.start is not None:
                span = slice(joined.pop()[1].start, span.stop)
            joined.append((decay, span))
        return joined

    def _clip_scale(self, gradients: np.ndarray, spans: Sequence[ParameterSpan], most: float) -> float | None:
        """Return the factor that clips the gradients to a norm of `most`, or None if theirs is smaller."""
        norm = _norm([gradients[s.span] for s in spans])
        return most / norm if norm > most else None

    @abstractmethod
    def _update(self, p: np.ndarray, g: np.ndarray, rate: float, **slots: np.ndarray) -> None:
        """Update `p` in place by the gradients `g`. All arrays are views of one span, of one length."""

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, as JSON-serialisable values."""
        return {name: schedules.to_config(value) for name, value in constructor.arguments(self).items()}

    def __repr__(self) -> str:
        return constructor.describe(self)


def _norm(vectors: Sequence[np.ndarray]) -> float:
    """Return the Euclidean norm of all elements of some vectors.

    The squares are float64, so those of float32 neither overflow nor vanish. Where those of float64 do, they
    are computed again in units of the largest element.
    """
    with np.errstate(over="ignore"):
        total = sum(float(np.square(vector, dtype=np.float64).sum()) for vector in vectors)
    if SQUARES[0] < total < SQUARES[1]:
        return math.sqrt(total)
    unit = max((float(np.abs(vector).max(initial=0)) for vector in vectors), default=0.0)
    if unit == 0 or not math.isfinite(unit):
        return unit
    return unit * math.sqrt(
        sum(float(np.square(vector / unit, dtype=np.float64).sum()) for vector in vectors)
    )


def _scaled(g: np.ndarray, scale: float) -> np.ndarray:
    """Return g * scale in the dtype of g, also where that holds the product but not the scale."""
    if scale < smallest_normal(g.dtype):
        return np.multiply(g, scale, dtype=np.float64).astype(g.dtype)
    return g * g.dtype.type(scale)


def _decay_rules(value: Any) -> float | dict[str, float] | None:
    """Return a weight decay, checked."""
    if not isinstance(value, Mapping):
        return None if value is None else checks.real("weight_decay", value, 0)
    return {
        checks.text("weight_decay: pattern", rule): checks.real(f"weight_decay: {rule}", decay, 0)
        for rule, decay in value.items()
    }
