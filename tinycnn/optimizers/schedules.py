"""Learning-rate schedules. Names, formulas and defaults are Keras', except `OneCycle` and `Warmup`.

::

    step (0, 1, 2, ...) -> schedule -> rate of that step

A schedule is a function of the number of the step alone. So a resumed run continues with the same rates, and
a schedule can be plotted without training. An optimizer takes one in place of its learning rate, and
`datasets.Augmentation` in place of its strength. A constant rate is a number. A rate that depends on
measurements is the business of a callback, `training.ReduceLROnPlateau`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from tinycnn.support import checks, constructor
from tinycnn.support.assignment import Constructed


class Schedule(Constructed, ABC):
    """Base class of schedules: a function from the number of a step to a rate."""

    @abstractmethod
    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, as JSON-serialisable values."""
        return {name: to_config(value) for name, value in constructor.arguments(self).items()}

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]  # its settings can be changed

    def __repr__(self) -> str:
        return constructor.describe(self)


class PiecewiseConstantDecay(Schedule):
    """Piecewise constant schedule: a rate for each interval of steps.

    Parameters
    ----------
    boundaries : sequence of int
        The last step of each interval except the last interval, ascending.
    values : sequence of float
        The rate of each interval; one more than there are boundaries.
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        self.boundaries = [checks.whole("boundaries", boundary, 0) for boundary in boundaries]
        self.values = [checks.real("values", value, 0) for value in values]
        if self.boundaries != sorted(set(self.boundaries)):
            raise ValueError(f"boundaries: expected ascending numbers of steps, received {boundaries}")
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"values: expected {len(self.boundaries) + 1} rates, received {len(self.values)}"
            )

    def __call__(self, step: int) -> float:
        """See `Schedule.__call__`."""
        return self.values[sum(step > boundary for boundary in self.boundaries)]


class ExponentialDecay(Schedule):
    """Exponential schedule: initial_learning_rate * decay_rate ** (step / decay_steps).

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Steps in which the rate is multiplied by `decay_rate` once.
    decay_rate : float
        At least 0. Above 1 the rate grows.
    staircase : bool
        Whether the exponent is rounded down to a whole number.
    """

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False
    ) -> None:
        self.initial_learning_rate = checks.real("initial_learning_rate", initial_learning_rate, 0)
        self.decay_steps = checks.whole("decay_steps", decay_steps, 1)
        self.decay_rate = checks.real("decay_rate", decay_rate, 0)
        self.staircase = checks.flag("staircase", staircase)

    def __call__(self, step: int) -> float:
        """See `Schedule.__call__`."""
        power = step // self.decay_steps if self.staircase else step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate**power


class CosineDecay(Schedule):
    """Cosine schedule: half a cosine from a rate down to `alpha` times it, after an optional warm-up.

    Loshchilov & Hutter, "SGDR", arXiv 1608.03983, without restarts.

    Parameters
    ----------
    initial_learning_rate : float
        First rate: of the cosine or, with `warmup_target`, of the warm-up.
    decay_steps : int
        Steps of the cosine.
    alpha : float
        Last rate of the cosine, as a share of its first rate.
    warmup_target : float, optional
        First rate of the cosine. The warm-up is a straight line from `initial_learning_rate` to this rate.
    warmup_steps : int
        Steps of the warm-up. Without `warmup_target` there is none, as in Keras.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate = checks.real("initial_learning_rate", initial_learning_rate, 0)
        self.decay_steps = checks.whole("decay_steps", decay_steps, 1)
        self.alpha = checks.real("alpha", alpha, 0, 1)
        self.warmup_target = None if warmup_target is None else checks.real("warmup_target", warmup_target, 0)
        self.warmup_steps = checks.whole("warmup_steps", warmup_steps, 0)

    def __call__(self, step: int) -> float:
        """See `Schedule.__call__`."""
        if self.warmup_target is None:
            return self._cosine(step, self.initial_learning_rate)
        if step < self.warmup_steps:
            share = step / self.warmup_steps
            return self.initial_learning_rate + share * (self.warmup_target - self.initial_learning_rate)
        return self._cosine(step - self.warmup_steps, self.warmup_target)

    def _cosine(self, step: int, start: float) -> float:
        share = min(step, self.decay_steps) / self.decay_steps
        return start * ((1 - self.alpha) * 0.5 * (1 + math.cos(math.pi * share)) + self.alpha)


class OneCycle(Schedule):
    """One-cycle schedule: half a cosine up to the largest rate, then half a cosine down to almost 0.

    Smith & Topin, "Super-convergence", arXiv 1708.07120, with the formula and defaults of PyTorch's
    OneCycleLR.

    Parameters
    ----------
    max_learning_rate : float
    total_steps : int
        At least 2. Later steps have the rate of the last one.
    warmup_share : float
        The share of the steps in which the rate rises, in [0, 1].
    start, end : float
        The first and the last rate, as shares of the largest.
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        warmup_share: float = 0.3,
        start: float = 1 / 25,
        end: float = 1 / 250_000,
    ) -> None:
        self.max_learning_rate = checks.real("max_learning_rate", max_learning_rate, 0)
        self.total_steps = checks.whole("total_steps", total_steps, 2)
        self.warmup_share = checks.real("warmup_share", warmup_share, 0, 1)
        self.start, self.end = checks.real("start", start, 0, 1), checks.real("end", end, 0, 1)

    def __call__(self, step: int) -> float:
        """See `Schedule.__call__`."""
        top, last = self.warmup_share * self.total_steps - 1, self.total_steps - 1
        step = min(step, last)
        if step <= top:
            return self.max_learning_rate * _between(self.start, 1.0, step / top if top else 1.0)
        return self.max_learning_rate * _between(1.0, self.end, (step - top) / (last - top))


class Warmup(Schedule):
    """Linear warm-up, followed by a constant rate or by another schedule.

    Parameters
    ----------
    learning_rate : float or Schedule
        What follows the warm-up; its own step 0 is the first step after the warm-up.
    warmup_steps : int
        Steps of the warm-up.
    start : float
        First rate, as a share of the rate that the warm-up leads to.
    """

    def __init__(self, learning_rate: float | Schedule, warmup_steps: int, start: float = 0.0) -> None:
        self.learning_rate = get("learning_rate", learning_rate)
        self.warmup_steps = checks.whole("warmup_steps", warmup_steps, 0)
        self.start = checks.real("start", start, 0, 1)

    def __call__(self, step: int) -> float:
        """See `Schedule.__call__`."""
        if step >= self.warmup_steps:
            return rate(self.learning_rate, step - self.warmup_steps)
        return rate(self.learning_rate, 0) * (self.start + (1 - self.start) * step / self.warmup_steps)


def _between(start: float, end: float, share: float) -> float:
    """Return the value of a half cosine from `start` to `end`, at a `share` of the way."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


#: The schedules by name, for files.
SCHEDULES: dict[str, type[Schedule]] = {
    cls.__name__: cls for cls in (PiecewiseConstantDecay, ExponentialDecay, CosineDecay, OneCycle, Warmup)
}


def rate(value: float | Schedule, step: int) -> float:
    """Return the rate of a step: of a schedule, or a constant one."""
    return value(step) if isinstance(value, Schedule) else value


def get(name: str, value: float | Schedule | dict[str, Any]) -> float | Schedule:
    """Return `value` as a number or a schedule.

    Parameters
    ----------
    name : str
        Of the argument, for the message of an error.
    value : float, Schedule or dict
        A number of at least 0, a schedule, or the dictionary that `to_config` made of one.

    Raises
    ------
    ValueError
        For anything else.
    """
    if isinstance(value, Schedule):
        return value
    if not isinstance(value, dict):
        return checks.real(name, value, 0)
    if set(value) != {"class_name", "config"} or not isinstance(value["config"], dict):
        raise ValueError(f"{name}: expected the class_name and the config of a schedule, received {value!r}")
    cls = SCHEDULES[checks.choice(f"{name}: schedule", value["class_name"], SCHEDULES)]
    return cls(**value["config"])


def to_config(value: Any) -> Any:
    """Return a schedule as JSON-serialisable data, and anything else unchanged."""
    if not isinstance(value, Schedule):
        return value
    return {"class_name": type(value).__name__, "config": value.get_config()}
