"""Runs that diverge: the loss becomes NaN or infinite, and then the weights.

::

    loss of each step -> not finite? -> a warning that names the step;  TerminateOnNaN ends the run

What is not finite is never kept: no checkpoint and no `ModelCheckpoint` replaces a finite state by it.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from tinycnn.training import model_state
from tinycnn.training.callbacks import Callback, Logs


def is_finite(model: Any) -> bool:
    """Return whether all weights of a model, and the moments of its optimizer, are finite."""
    state = [array for layer in model.layers for array in layer.state.values()]
    slots = model.optimizer.slots.values() if model.optimizer is not None else ()
    return all(bool(np.isfinite(array).all()) for array in (model.parameters, *state, *slots))


def warn(loss: float, epoch: int, batch: int, step: int) -> None:
    """Warn that the loss of a step is not finite.

    Parameters
    ----------
    loss : float
    epoch, batch, step : int
        Counted from 0; the step since the model was made.
    """
    warnings.warn(
        f"the loss is {loss} at batch {batch + 1} of epoch {epoch + 1} (step {step + 1}); "
        "look for images or labels that are not finite, or lower the learning rate",
        UserWarning,
        stacklevel=2,
    )


class TerminateOnNaN(Callback):
    """Callback that ends the run when the loss of a step is NaN or infinite.

    The model is then left as it was after the last epoch in which all was finite: weights, moments and
    position. A run with a `checkpoint` counts as unfinished, so the same call of `fit`, with the cause
    mended, resumes it from there.
    """

    priority = 2  # after a `WeightAverage` has left its averages in the model

    def __init__(self) -> None:
        self._last: dict[str, Any] | None = None
        self.interrupted = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin without a state."""
        self.interrupted, self._last = False, None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Keep the state, if it is finite."""
        if is_finite(self.model):
            self._last = model_state.take(self.model)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Keep the state with which a resumed run begins, within an epoch."""
        if self._last is None:
            self.on_epoch_begin(self.model.epochs_trained)

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Check the mean loss so far, which stays NaN once it is NaN."""
        if not math.isfinite(logs["loss"]):
            self.interrupted = self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Restore the last finite state of a run that was ended."""
        if self.interrupted and self._last is not None:
            model_state.put(self.model, self._last | {"learning_rate": self.model.optimizer.learning_rate})
            self._last = None
