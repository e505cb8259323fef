"""Moving average of the weights, usually more accurate than the weights of the last step.

::

    weights after each step -> average += (1 - d) * (weights - average) -> evaluated, and left in the model
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn.kernels.runtime.availability import obstacle
from tinycnn.support import checks, constructor
from tinycnn.training.callbacks import Callback, Logs

if TYPE_CHECKING:
    from tinycnn.training.divergence import NonFiniteStep


class WeightAverage(Callback):
    """Exponential moving average of the weights.

    After each epoch the model is evaluated, reported and saved with the averages. At the end of the run the
    averages are left in the model, unless an `EarlyStopping` then restores those of the best epoch.

    Parameters
    ----------
    momentum : float
        d, in [0, 1): the average covers about 1 / (1 - d) steps. Step t uses min(d, (1 + t) / (10 + t)), so
        that the initial weights, which are random, soon have no influence.

    Attributes
    ----------
    averages : list of ndarray
        Averages of `model.parameters` and of each array in the layers' state.
    updates : int
        Number of steps averaged so far.
    """

    priority = 0  # the averages are in the model before other callbacks keep or restore its weights

    def __init__(self, momentum: float = 0.999) -> None:
        self.momentum = checks.real("momentum", momentum, 0, 1, below=True)
        self.averages: list[np.ndarray] = []
        self.updates = 0
        self._exchanged = False
        self._left_out: int | None = None  # the number of a step that was not taken

    def _weights(self) -> list[np.ndarray]:
        return [self.model.parameters, *(a for layer in self.model.layers for a in layer.state.values())]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start from the current weights."""
        self.averages, self.updates = [array.copy() for array in self._weights()], 0
        self._exchanged, self._left_out = False, None

    def on_nonfinite(self, batch: int, problem: NonFiniteStep) -> None:
        """Remember that there was no step; another callback decides."""
        self._left_out = self.model.optimizer.iterations

    def _no_step(self) -> bool:
        """Return whether a step was left out. Begin anew if the model then went back to earlier weights."""
        left_out, self._left_out = self._left_out, None
        if left_out is not None and self.model.optimizer.iterations < left_out:
            self.on_train_begin()
        return left_out is not None

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Update the averages with the weights after a step."""
        if self._no_step():
            return
        share = 1 - min(self.momentum, (1 + self.updates) / (10 + self.updates))
        for average, array in zip(self.averages, self._weights(), strict=True):
            _update(average, array, share)
        self.updates += 1

    def on_evaluate_begin(self, logs: Logs | None = None) -> None:
        """Exchange the weights and the averages."""
        self._no_step()
        for average, array in zip(self.averages, self._weights(), strict=True):
            average[...], array[...] = array.copy(), average.copy()
        self._exchanged = not self._exchanged

    def on_evaluate_end(self, logs: Logs | None = None) -> None:
        """Exchange them back."""
        self.on_evaluate_begin()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Leave the averages in the model.

        They are there already when an evaluation ended with an error.
        """
        if self._exchanged:
            return
        for average, array in zip(self.averages, self._weights(), strict=True):
            array[...] = average

    def get_config(self) -> dict[str, Any]:
        """See `Callback.get_config`."""
        return constructor.arguments(self)

    def get_state(self) -> dict[str, Any]:
        """See `Callback.get_state`."""
        return {"updates": self.updates} | {f"average_{i}": a for i, a in enumerate(self.averages)}

    def set_state(self, state: dict[str, Any]) -> None:
        """See `Callback.set_state`."""
        self.updates = checks.whole("updates", state["updates"], 0)
        for i, average in enumerate(self.averages):
            checks.shape(f"average_{i}", np.shape(state[f"average_{i}"]), average.shape)
            average[...] = state[f"average_{i}"]


def _update(average: np.ndarray, values: np.ndarray, share: float) -> None:
    """Move an average, in place, by a `share` of the way to the values."""
    if obstacle():
        average += average.dtype.type(share) * (values - average)
        return
    from tinycnn.kernels import moving_average

    moving_average.update(average.reshape(-1), values.reshape(-1), share)
