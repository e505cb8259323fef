"""Learning-rate range test: a few steps with a growing rate show how high the rate may be.

::

    rates, growing -> a step with each -> losses -> the rate at which they fall fastest
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinycnn.saving import conversion
from tinycnn.support import checks
from tinycnn.training.batches import epoch_order

SMOOTHING = 0.9  # momentum of the moving mean of the losses
LEAST_FALL = 0.05  # relative fall of the loss; a smaller one is chance
WINDOW = 10  # number of batches whose median shows whether the loss explodes
DIVERGED = 4.0  # the test ends when the median is this many times the smallest one so far


@dataclass
class RangeTest:
    """Result of a learning-rate range test.

    Attributes
    ----------
    rates, losses, smooth : ndarray of shape (steps,)
        The rate of each step, the loss of its batch before the step, and a moving mean of the losses.
    suggestion : float
        The rate at which `smooth` falls fastest over the logarithm of the rate. Only the part between 10 %
        and 90 % of the whole fall counts: before it the loss fluctuates, and after it the loss is about to
        rise.
        NaN when the loss never falls by 5 %.
    """

    rates: np.ndarray
    losses: np.ndarray
    smooth: np.ndarray
    suggestion: float


def find_learning_rate(
    model: Any,
    x: np.ndarray,
    y: np.ndarray,
    low: float = 1e-6,
    high: float = 1.0,
    steps: int = 200,
    batch_size: int = 128,
) -> RangeTest:
    """Train with a rate that grows from step to step, and suggest a learning rate.

    This is the range test of Smith, "Cyclical learning rates", arXiv 1506.01186. The model, its optimizer and
    its counters of epochs and steps are restored afterwards.

    Parameters
    ----------
    model : Sequential
        Compiled.
    x : float ndarray of shape (N, H, W, C)
    y : ndarray of shape (N,) or (N, classes)
    low, high : float
        The first and the last rate. The test ends early when the loss explodes.
    steps : int
        At least 10.
    batch_size : int

    Returns
    -------
    RangeTest

    Raises
    ------
    ValueError
        When `low` is not below `high`, or a loss among the first ten steps is not finite.
    """
    low = checks.real("low", low, math.ulp(0))
    high = checks.real("high", high, low)
    if low == high:
        raise ValueError(f"high: expected a rate above low, {low}, received {high}")
    steps, batch_size = checks.whole("steps", steps, 10), checks.whole("batch_size", batch_size, 1)
    x, y = np.asarray(x), np.asarray(y)
    if len(x) != len(y):
        raise ValueError(f"y: expected {len(x)} labels, one for each image, received {len(y)}")
    model._compiled()
    model.check_data(x, y)  # errors of its own; and the model is built
    before, rate = conversion.take(model), model.optimizer.learning_rate
    rates = np.geomspace(low, high, steps)
    losses: list[float] = []
    epochs = -(-steps * batch_size // len(x))
    order = np.concatenate([epoch_order(model.seed, epoch, len(x)) for epoch in range(epochs)])
    try:
        for step, now in enumerate(rates):
            rows = order[step * batch_size : (step + 1) * batch_size]
            model.optimizer.learning_rate = float(now)
            loss = model.train_on_batch(x[rows], y[rows])
            losses.append(loss[0] if isinstance(loss, list) else loss)
            if not math.isfinite(losses[-1]):
                losses.pop()
                break
            if _explodes(losses):
                break
    finally:
        model.optimizer.learning_rate = rate
        conversion.load(model, before)
    if len(losses) < WINDOW:
        raise ValueError(f"loss: expected {WINDOW} finite losses, received {len(losses)}")
    smooth = _smooth(np.array(losses))
    rates = rates[: len(losses)]
    return RangeTest(rates, np.array(losses), smooth, _steepest(rates, smooth))


def _explodes(losses: list[float]) -> bool:
    """Return whether the losses of the last batches are far above the earlier ones.

    Losses of single batches say little: those of a trained network differ by a factor of more than 100. So
    the median of the last ten counts, and it must also exceed the loss of each of the first ten batches.
    """
    first, count = losses[:WINDOW], len(losses) - WINDOW + 1
    if count < 2:
        return False
    medians = np.median(np.lib.stride_tricks.sliding_window_view(losses, WINDOW), axis=1)
    return bool(medians[-1] > max(*first, DIVERGED * medians.min()))


def _steepest(rates: np.ndarray, smooth: np.ndarray) -> float:
    """Return the rate of the fastest fall, between 10 % and 90 % of it; NaN when there is no fall."""
    least = int(smooth.argmin())
    level = float(np.median(smooth[: least + 1]))  # before the fall; the first mean is a single batch
    fall = level - smooth[least]
    if fall < LEAST_FALL * level:
        return math.nan
    begun = np.flatnonzero(smooth[:least] >= level - 0.1 * fall)[-1]
    length = int(np.flatnonzero(smooth[begun:] <= level - 0.9 * fall)[0])
    slopes = np.gradient(smooth, np.log(rates))[begun : begun + length + 1]
    return float(rates[begun + int(slopes.argmin())])


def _smooth(values: np.ndarray) -> np.ndarray:
    """Return the moving mean of the values, with the bias correction of Adam."""
    mean, means = 0.0, []
    for t, value in enumerate(values, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        means.append(mean / (1 - SMOOTHING**t))
    return np.array(means)
