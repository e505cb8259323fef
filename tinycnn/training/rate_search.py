"""How high may the learning rate be? A few steps with a rate that grows tell.

::

    rates, growing -> a step with each -> losses -> the rate at which they fall fastest
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinycnn import checks, snapshots
from tinycnn.training.batches import epoch_order

SMOOTHING = 0.9  # of the moving mean of the losses
LEAST_FALL = 0.05  # of the loss before: less is chance
WINDOW = 10  # batches whose median is looked at for an explosion
DIVERGED = 4.0  # times the least median so far: the test ends


@dataclass
class RangeTest:
    """What a range test found.

    Attributes
    ----------
    rates, losses, smooth : ndarray of shape (steps,)
        The rate of each step, the loss of its batch before the step, and a moving mean of these.
    suggestion : float
        The rate at which `smooth` falls fastest, over the logarithm of the rate, between a tenth and nine
        tenths of its fall: before, it goes up and down by chance, and after, it is about to rise. NaN when it
        never falls by a twentieth.
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
    """Train with a rate that grows from step to step, and say where it does most good.

    The range test of Smith, "Cyclical learning rates", arXiv 1506.01186. The model, its optimizer and its
    position in the training are afterwards as they were before.

    Parameters
    ----------
    model : Sequential
        Compiled.
    x : float ndarray of shape (N, H, W, C)
    y : ndarray of shape (N,) or (N, classes)
    low, high : float
        The first rate and the last; the test ends before it when the loss explodes.
    steps : int
        At least 10.
    batch_size : int

    Returns
    -------
    RangeTest

    Raises
    ------
    ValueError
        When low is not below high, or the loss was not finite within the first ten steps.
    """
    low = checks.real("low", low, math.ulp(0))
    high = checks.real("high", high, low)
    if low == high:
        raise ValueError(f"high: expected a rate above low, {low}, received {high}")
    steps, batch_size = checks.whole("steps", steps, 10), checks.whole("batch_size", batch_size, 1)
    x, y = np.asarray(x), np.asarray(y)
    if len(x) != len(y):
        raise ValueError(f"y: expected {len(x)} labels, one for each image, received {len(y)}")
    model.evaluate(x[:1], y[:1])  # its own errors for what does not fit; builds the model
    before, rate = snapshots.take(model), model.optimizer.learning_rate
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
        snapshots.load(model, before)
    if len(losses) < WINDOW:
        raise ValueError(f"loss: expected {WINDOW} finite ones, received {len(losses)}")
    smooth = _smooth(np.array(losses))
    rates = rates[: len(losses)]
    return RangeTest(rates, np.array(losses), smooth, _steepest(rates, smooth))


def _explodes(losses: list[float]) -> bool:
    """Return whether the last batches are far above what there was.

    Single batches tell nothing: those of a trained network differ by more than a hundred times. So it is
    their median, and it must be above each of the first batches too.
    """
    first, count = losses[:WINDOW], len(losses) - WINDOW + 1
    if count < 2:
        return False
    medians = np.median(np.lib.stride_tricks.sliding_window_view(losses, WINDOW), axis=1)
    return bool(medians[-1] > max(*first, DIVERGED * medians.min()))


def _steepest(rates: np.ndarray, smooth: np.ndarray) -> float:
    """Return the rate of the fastest fall, between its tenths 1 and 9; NaN where there is none."""
    least = int(smooth.argmin())
    level = float(np.median(smooth[: least + 1]))  # before the fall; the first mean is that of a single batch
    fall = level - smooth[least]
    if fall < LEAST_FALL * level:
        return math.nan
    begun = np.flatnonzero(smooth[:least] >= level - 0.1 * fall)[-1]
    length = int(np.flatnonzero(smooth[begun:] <= level - 0.9 * fall)[0])
    slopes = np.gradient(smooth, np.log(rates))[begun : begun + length + 1]
    return float(rates[begun + int(slopes.argmin())])


def _smooth(values: np.ndarray) -> np.ndarray:
    """Return a moving mean, corrected for its start as Adam's is."""
    mean, means = 0.0, []
    for t, value in enumerate(values, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        means.append(mean / (1 - SMOOTHING**t))
    return np.array(means)
