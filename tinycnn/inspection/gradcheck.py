"""Gradient checks: hand-written backward passes against finite differences.

::

    function of arrays, analytic gradients -> central differences in float64 -> GradientReport

Three properties make such a check reliable. It runs in float64, where a difference of two values still has
ten digits. The upstream gradient is random: with one of all ones, a softmax whose backward pass returns zeros
would pass, since its outputs sum to one. And it avoids kinks: where a ReLU switches or the argmax of a window
changes within the difference, the slopes to the left and to the right disagree, and a central difference is
not a derivative.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinycnn.layers import Layer
from tinycnn.support import checks

STEP = 1e-5  # finite difference: error about STEP**2 from curvature, 1e-16 / STEP from rounding
KINK_STEPS = (STEP, STEP / 10, STEP / 100)  # tried in turn when the two sides disagree
KINK_SLOPE = 1e-3  # relative difference between the two sides that counts as a kink
LARGEST_KINK_SHARE = 0.1


class GradientError(ValueError):
    """Error for an analytic gradient that finite differences contradict. The message is the report."""


@dataclass
class Entry:
    """One comparison, for an element of an array or a random direction ("direction 3")."""

    array: str
    index: tuple[int, ...] | str
    analytic: float
    numeric: float
    error: float


@dataclass
class GradientReport:
    """Result of a gradient check.

    Attributes
    ----------
    entries : list of Entry
        All comparisons.
    tolerance : float
        The largest relative error that is accepted.
    kinks : dict of str to int
        For each array, the number of elements left out because of a kink at every step size.
    """

    tolerance: float
    entries: list[Entry] = field(default_factory=list)
    kinks: dict[str, int] = field(default_factory=dict)

    @property
    def failures(self) -> list[Entry]:
        """The entries whose error is above the tolerance or NaN, the worst first."""
        bad = [entry for entry in self.entries if not entry.error <= self.tolerance]
        return sorted(bad, key=lambda entry: -math.inf if math.isnan(entry.error) else -entry.error)

    @property
    def too_many_kinks(self) -> list[str]:
        """The arrays with too many kinks for the check to show anything."""
        checked = {name: sum(entry.array == name for entry in self.entries) for name in self.kinks}
        return [
            name for name, kinks in self.kinks.items() if kinks > LARGEST_KINK_SHARE * (kinks + checked[name])
        ]

    @property
    def passed(self) -> bool:
        """Whether every comparison was within the tolerance, and enough could be made, at least one."""
        return bool(self.entries) and not self.failures and not self.too_many_kinks

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        lines = [
            f"gradient check {verdict}: {len(self.entries)} comparisons, {len(self.failures)} above "
            f"the tolerance {self.tolerance:g}, {sum(self.kinks.values())} left out at kinks"
        ]
        lines += [
            f"{name}: too many kinks ({self.kinks[name]}): choose other inputs"
            for name in self.too_many_kinks
        ]
        shown = self.failures[:10] or sorted(self.entries, key=lambda entry: -entry.error)[:3]
        lines.append(f"{'array':20} {'index':20} {'analytic':>15} {'numeric':>15} {'relative error':>15}")
        lines += [
            f"{e.array:20} {e.index!s:20} {e.analytic:15.8e} {e.numeric:15.8e} {e.error:15.2e}" for e in shown
        ]
        return "\n".join(lines)


def check_gradients(
    function: Callable[[], float],
    arrays: Mapping[str, np.ndarray],
    gradients: Mapping[str, np.ndarray],
    *,
    tolerance: float = 1e-6,
    max_elements: int = 200,
    directions: int = 20,
    seed: int = 0,
    raise_error: bool = True,
) -> GradientReport:
    """Compare the analytic gradients of a function with central differences.

    Parameters
    ----------
    function : callable without arguments
        Returns a number computed from `arrays`, which are changed in place between calls. It must be
        deterministic: a dropout mask, for example, must not change between calls.
    arrays, gradients : dict of str to ndarray of float64
        The arrays to vary, and the derivatives of the function: same keys, same shapes.
    tolerance : float
        The largest accepted relative error, `|a - n| / max(|a|, |n|)`. The denominator has a lower bound,
        below which neither value is known to this precision.
    max_elements : int
        An array of at most this many elements is checked element by element. A larger array is checked along
        random directions, in which every wrong element shows.
    directions : int
        Number of random directions.
    seed : int
        Of the random directions.
    raise_error : bool
        Whether to raise when the check fails, rather than only to return the report.

    Returns
    -------
    GradientReport

    Raises
    ------
    GradientError
        When the check fails.
    ValueError
        When an array is not float64, keys or shapes differ, or the function is not deterministic.
    """
    checks.whole("directions", directions, 1)
    if set(arrays) != set(gradients):
        raise ValueError(f"gradients: expected the names {sorted(arrays)}, received {sorted(gradients)}")
    for name, array in arrays.items():
        if array.dtype != np.float64:
            raise ValueError(f"{name}: expected float64, received {array.dtype}")
        checks.shape(f"gradient of {name}", gradients[name].shape, array.shape)
    # copies: a gradient may be one of the arrays, such as that of sum(a**2) / 2, and these are varied
    gradients = {name: np.array(gradient) for name, gradient in gradients.items()}
    if not function() == function():
        raise ValueError("function: expected the same finite number each time, received another or NaN")
    report = GradientReport(tolerance)
    scale = max([float(np.abs(g).max()) for g in gradients.values() if g.size], default=0.0)
    rounding = 1e3 * np.finfo(np.float64).eps * abs(function()) / STEP
    floor = max(1e-3 * scale, rounding / tolerance, 1e-12)
    rng = np.random.default_rng(seed)
    for name, array in arrays.items():
        report.kinks[name] = 0
        for index, direction in _directions(array, max_elements, directions, rng):
            analytic = float((gradients[name] * direction).sum())
            numeric = _slope(function, array, direction, floor)
            if numeric is None:
                report.kinks[name] += 1
                continue
            error = abs(analytic - numeric) / max(abs(analytic), abs(numeric), floor)
            report.entries.append(Entry(name, index, analytic, numeric, error))
    if raise_error and not report.passed:
        raise GradientError(str(report))
    return report


def _directions(
    array: np.ndarray, max_elements: int, count: int, rng: np.random.Generator
) -> Iterator[tuple[tuple[int, ...] | str, np.ndarray]]:
    """Yield each element as a direction, or `count` random directions for a large array."""
    if array.size <= max_elements:
        for index in np.ndindex(array.shape):
            direction = np.zeros_like(array)
            direction[index] = 1
            yield index, direction
        return
    for i in range(count):
        direction = rng.standard_normal(array.shape)
        yield f"direction {i}", direction / np.linalg.norm(direction)


def _slope(
    function: Callable[[], float], array: np.ndarray, direction: np.ndarray, floor: float
) -> float | None:
    """Return the central difference along a direction, or None for a kink at every step size."""
    start = array.copy()

    def value(distance: float) -> float:
        array[...] = start + distance * direction
        return float(function())

    try:
        middle = value(0.0)
        for step in KINK_STEPS:
            above, below = value(step), value(-step)
            right, left = (above - middle) / step, (middle - below) / step
            if abs(right - left) <= KINK_SLOPE * max(abs(right), abs(left), floor):
                return (above - below) / (2 * step)
            if not math.isfinite(above - below):
                return above - below
        return None
    finally:
        array[...] = start


def check_layer(
    layer: Layer,
    input_shape: Sequence[int],
    *,
    batch_size: int = 3,
    seed: int = 0,
    x: np.ndarray | None = None,
    tolerance: float = 1e-6,
    max_elements: int = 200,
    directions: int = 20,
    raise_error: bool = True,
) -> GradientReport:
    """Check the backward pass of a layer, dx and all parameter gradients, against finite differences.

    Parameters
    ----------
    layer : Layer
        It is copied, not changed. A layer that is not built is built in float64, and random values are added
        to its parameters, since a bias of 0 would hide mistakes. A built layer must be float64.
    input_shape : tuple of int
        The shape of one input, without the batch axis.
    batch_size : int
    seed : int
        Of the parameters, the inputs and the upstream gradient.
    x : ndarray of `batch_size` inputs, optional
        The inputs; random by default.
    tolerance, max_elements, directions, raise_error
        See `check_gradients`.

    Returns
    -------
    GradientReport
        For "x" and each name of `layer.params`.

    Raises
    ------
    GradientError
        When the check fails.
    ValueError
        When the layer changes x or dy, which its neighbours still need.

    Examples
    --------
    >>> from tinycnn.layers import Dense
    >>> check_layer(Dense(4, activation="tanh"), (5,)).passed
    True
    """
    rng = np.random.default_rng(seed)
    layer = copy.deepcopy(layer)
    if not layer.built:
        layer.build(tuple(input_shape), rng, np.float64)
        for parameter in layer.params.values():
            parameter += 0.1 * rng.standard_normal(parameter.shape)
    x = rng.standard_normal((batch_size, *input_shape)) if x is None else np.array(x)

    def forward() -> tuple[Layer, np.ndarray]:
        # every evaluation starts from the same mask index of dropout and averages of batch normalisation
        fresh = copy.deepcopy(layer)
        return fresh, fresh.forward(x, training=True)

    given = x.copy()
    trained, y = forward()
    _check_unchanged(layer, "forward", x=(x, given))
    dy = rng.standard_normal(y.shape)
    upstream = dy.copy()
    gradients = {"x": trained.backward(upstream), **trained.grads}
    _check_unchanged(layer, "backward", dy=(upstream, dy), x=(x, given))
    return check_gradients(
        lambda: float((forward()[1] * dy).sum()),
        {"x": x, **layer.params},
        gradients,
        tolerance=tolerance,
        max_elements=max_elements,
        directions=directions,
        seed=seed,
        raise_error=raise_error,
    )


def _check_unchanged(layer: Layer, method: str, **arrays: tuple[np.ndarray, np.ndarray]) -> None:
    """Raise ValueError for an argument, given as (now, before), that a method of the layer has changed."""
    for name, (now, before) in arrays.items():
        if not np.array_equal(now, before, equal_nan=True):
            raise ValueError(
                f"{layer.label}: {method} changed its argument {name}, which other layers still need; "
                "compute into a new array"
            )
