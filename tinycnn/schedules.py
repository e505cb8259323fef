"""How a rate goes along a training. Names, formulas and defaults are Keras', but for `OneCycle` and `Warmup`.

::

    step (0, 1, 2, ...) -> schedule -> rate of that step

A schedule is a function of the number of the step alone: so a training that was stopped goes on with the
same rates, and a picture of a schedule needs no training. An optimizer takes one in place of its learning
rate, and `datasets.Augmentation` in place of its strength. A constant rate is a number; one that follows what
is measured on the way is a callback, `training.ReduceLROnPlateau`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from tinycnn import checks, config


class Schedule(ABC):
    """What all schedules share."""

    @abstractmethod
    def __call__(self, step: int) -> float:
        """Return the rate of a step; the first is number 0."""

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, JSON-able."""
        return {name: to_config(value) for name, value in config.arguments(self).items()}

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]  # its settings can be changed

    def __repr__(self) -> str:
        return config.describe(self)


class PiecewiseConstantDecay(Schedule):
    """A rate for each stretch of steps.

    Parameters
    ----------
    boundaries : sequence of int
        The last step of each stretch but the last one, ascending.
    values : sequence of float
        One more than boundaries.
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
    """initial_learning_rate * decay_rate ** (step / decay_steps); in whole powers if `staircase`.

    A `decay_rate` above 1 lets the rate grow, as `training.find_learning_rate` does.
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
    """Half a cosine from a rate to `alpha` times it, after a warm-up if one is asked for.

    Loshchilov & Hutter, "SGDR", arXiv 1608.03983, without restarts.

    Parameters
    ----------
    initial_learning_rate : float
        Where the cosine begins, or with `warmup_target` the straight line to that.
    decay_steps : int
        Length of the cosine.
    alpha : float
        Where it ends, as a share of where it begins.
    warmup_target : float, optional
        Where the cosine begins instead.
    warmup_steps : int
        Length of the straight line before it. Without `warmup_target` there is none, as in Keras.
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
    """Up by half a cosine to the largest rate, then down by half a cosine to next to nothing.

    Smith & Topin, "Super-convergence", arXiv 1708.07120, in the form and with the defaults of PyTorch's
    OneCycleLR.

    Parameters
    ----------
    max_learning_rate : float
    total_steps : int
        At least 2; later steps have the last one's rate.
    warmup_share : float
        The share of the steps that go up, between 0 and 1.
    start, end : float
        The first rate and the last, as shares of the largest.
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
    """A straight line from `start` times the first rate of another schedule up to it, and then that.

    Parameters
    ----------
    learning_rate : float or Schedule
        What follows; its own step 0 is at the end of the line.
    warmup_steps : int
        Length of the line.
    start : float
        Where it begins, as a share of where it ends.
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
    """Return a point of the half cosine that goes from `start` to `end`."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


SCHEDULES: dict[str, type[Schedule]] = {
    cls.__name__: cls for cls in (PiecewiseConstantDecay, ExponentialDecay, CosineDecay, OneCycle, Warmup)
}


def rate(value: float | Schedule, step: int) -> float:
    """Return what a number or a schedule says for a step."""
    return value(step) if isinstance(value, Schedule) else value


def get(name: str, value: float | Schedule | dict[str, Any]) -> float | Schedule:
    """Return a number of at least 0, a schedule, or the schedule that `to_config` made a dictionary of.

    Raises
    ------
    ValueError
        For anything else; the message begins with `name`.
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
    """Return a schedule as JSON-able data, and anything else as it is."""
    if not isinstance(value, Schedule):
        return value
    return {"class_name": type(value).__name__, "config": value.get_config()}
