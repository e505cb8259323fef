"""A run that goes on after a step that is not finite.

::

    NonFiniteStep -> RecoverFromNaN -> "skip":       the weights stay               -> the next batch
                                    -> "lower_rate": earlier weights, a lower rate  -> the next batch
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinycnn.support import checks, constructor
from tinycnn.training import model_state
from tinycnn.training.callbacks import Callback, Logs, refuse_schedule, set_rate
from tinycnn.training.divergence import NonFiniteStep, is_finite, warn

ACTIONS = ("lower_rate", "skip")


class RecoverFromNaN(Callback):
    """Callback that goes on with the next batch when the loss or a gradient of a step is NaN or infinite.

    It warns each time. A run that was stopped and resumed ends with the same bits; for that, a checkpoint of
    "lower_rate" holds the weights and the moments to go back to.

    Parameters
    ----------
    action : "skip" or "lower_rate"
        "skip" leaves the step out: weights and moments stay as they are. It is for single bad batches.
        "lower_rate" also multiplies the learning rate by `factor`, and goes back to the weights and moments
        of the epoch's beginning; or of the epoch before, if no step of this one was finite. It is for a rate
        that is too high. It refuses a schedule.
    factor : float
        In (0, 1).
    most : int
        How many such steps are handled: with "skip" in a row, with "lower_rate" without a whole epoch between
        them, since each of them undoes the steps before it. After that `fit` raises `NonFiniteError`, as it
        does at once where there are no finite weights to go on with.
    """

    def __init__(self, action: str = "skip", *, factor: float = 0.5, most: int = 10) -> None:
        self.action = checks.choice("action", action, ACTIONS)
        self.factor = checks.real("factor", factor, math.ulp(0), 1, below=True)
        self.most = checks.whole("most", most, 1)
        self.changes_rate = self.action == "lower_rate"
        self._forget()

    def _forget(self) -> None:
        self._count, self._last = 0, -2  # of such steps; the number of the last one, or of its epoch
        self._good: dict[str, Any] | None = None  # the state to go back to
        self._new: dict[str, Any] | None = None  # that of this epoch, until a step from it was finite

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start anew; raise ValueError for a rate that cannot be lowered, before the first epoch."""
        self._forget()
        if self.changes_rate:
            refuse_schedule(self.model.optimizer)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Keep the state, if it is finite."""
        if self.changes_rate and is_finite(self.model):
            self._new = model_state.take(self.model)

    def on_batch_end(self, batch: int, logs: Logs) -> None:
        """Trust the state of the epoch's beginning, once a step was taken from it."""
        if self._new is not None and self.model.optimizer.iterations > self._new["iterations"]:
            self._good, self._new = self._new, None

    def on_nonfinite(self, batch: int, problem: NonFiniteStep) -> bool:
        """Do what `action` says; return False when that is of no use."""
        now = problem.epoch if self.changes_rate else problem.step
        self._count = self._count + 1 if now <= self._last + 1 else 1
        self._last = now
        if self._count > self.most:
            return False
        return self._lower(problem) if self.changes_rate else self._skip(problem)

    def _skip(self, problem: NonFiniteStep) -> bool:
        if problem.weights_are_finite:
            warn(f"{problem}; the batch is left out; {self._count} in a row of at most {self.most}")
        return problem.weights_are_finite

    def _lower(self, problem: NonFiniteStep) -> bool:
        self._good, self._new = self._good or self._new, None
        if self._good is None:
            return False
        model, before = self.model, self.model.optimizer.rate
        _, steps = self._good["progress"]
        now = {"learning_rate": before, "progress": (model.epochs_trained, model.steps_trained)}
        model_state.put(model, self._good | now)
        set_rate(model.optimizer, before * self.factor)
        rates = f"{model.optimizer.rate:.4g} instead of {before:.4g}"
        warn(
            f"{problem}; the weights are those after step {steps} again, with a learning rate of {rates}; "
            f"{self._count} of at most {self.most} without a good epoch between"
        )
        return True

    def get_config(self) -> dict[str, Any]:
        """See `Callback.get_config`."""
        return constructor.arguments(self)

    def get_state(self) -> dict[str, Any]:
        """See `Callback.get_state`."""
        state: dict[str, Any] = {"count": self._count, "last": self._last}
        good = self._good or self._new
        if good is not None:
            state |= {"progress": list(good["progress"]), "iterations": good["iterations"]}
            state |= {f"weight_{i}": array for i, array in enumerate(good["weights"])}
            state |= {f"slot_{name}": array for name, array in good["slots"].items()}
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """See `Callback.set_state`."""
        self._count, self._last = checks.whole("count", state["count"], 0), int(state["last"])
        if "iterations" not in state:
            return
        weights = self.model.get_weights()
        for i, own in enumerate(weights):
            checks.shape(f"weight_{i}", np.shape(state[f"weight_{i}"]), own.shape)
        slots = {name.removeprefix("slot_"): state[name] for name in state if name.startswith("slot_")}
        for name, slot in slots.items():
            checks.shape(name, np.shape(slot), self.model.parameters.shape)
        epochs, steps = (checks.whole("progress", number, 0) for number in state["progress"])
        self._good = {
            "weights": [state[f"weight_{i}"] for i in range(len(weights))],
            "slots": slots,
            "iterations": checks.whole("iterations", state["iterations"], 0),
            "progress": (epochs, steps),
        }
