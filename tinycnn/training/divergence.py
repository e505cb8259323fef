"""Runs that diverge: the loss of a step becomes NaN or infinite, or its gradients do.

::

    loss, gradients of each step -> finite? -> the optimizer takes the step
                                 -> not?    -> NonFiniteStep -> a callback decides, or NonFiniteError ends it

So the weights stay finite. What is not finite is never kept: no checkpoint and no `ModelCheckpoint` replaces
a finite state by it. Callbacks that decide: `TerminateOnNaN` here, `RecoverFromNaN` in `recovery`.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinycnn.parameters import trainable_spans
from tinycnn.saving.model import Model
from tinycnn.support import processes
from tinycnn.training import model_state
from tinycnn.training.callbacks import Callback, Logs


def is_finite(model: Any) -> bool:
    """Return whether all weights of a model, and the moments of its optimizer, are finite."""
    state = [array for layer in model.layers for array in layer.state.values()]
    slots = model.optimizer.slots.values() if model.optimizer is not None else ()
    return all(map(_all_finite, (model.parameters, *state, *slots)))


def step_is_finite(model: Model, loss: float) -> bool:
    """Return whether a loss, the gradients of what is trained, and the layers' moving averages are finite.

    The gradients of frozen layers may be anything.
    """
    if not math.isfinite(loss):
        return False
    if not all(_all_finite(array) for layer in model.layers for array in layer.state.values()):
        return False
    gradients = model.gradients
    return _all_finite(gradients) or all(
        _all_finite(gradients[part.span]) for part in trainable_spans(model.layers)
    )


def _all_finite(array: np.ndarray) -> bool:
    """Return whether all numbers of an array are finite.

    The sum of their squares shows it in a tenth of the time: it is not finite if one is not. Only where it is
    not, which squares of large numbers may also cause, each is looked at.
    """
    flat = array.reshape(-1)
    return math.isfinite(np.dot(flat, flat)) or bool(np.isfinite(flat).all())


@dataclass(frozen=True)
class NonFiniteStep:
    """A step that is not finite; as text, all that is known of it.

    Attributes
    ----------
    loss : float
        Of the batch, penalties included. It may be finite where gradients are not.
    epoch, batch, step : int
        Counted from 0; the step since the model was made.
    where : str
        What is the first that is not finite: images, labels, weights, a layer's output or gradients.
    checkpoint : str
        The last good checkpoint, as a sentence.
    weights_are_finite : bool
        Whether the weights and the moments are, which are those before the step. An earlier step may have
        made them overflow.
    """

    loss: float
    epoch: int
    batch: int
    step: int
    where: str
    checkpoint: str
    weights_are_finite: bool

    def __str__(self) -> str:
        place = f"at batch {self.batch + 1} of epoch {self.epoch + 1} (step {self.step + 1})"
        if not math.isfinite(self.loss):
            what = f"the loss is {self.loss} {place}"
        elif self.weights_are_finite:
            what = f"the loss is {self.loss:.4g}, but its gradients are not finite, {place}"
        else:
            what = f"the loss is {self.loss:.4g}, but the weights are not finite, {place}"
        state = (
            "the step was not taken, so the weights are finite"
            if self.weights_are_finite
            else "the weights are no longer finite"
        )
        return f"{what}: {self.where}; {state}; {self.checkpoint}"


class NonFiniteError(FloatingPointError):
    """The loss or the gradients of a step are NaN or infinite, and no callback handles it.

    Attributes
    ----------
    problem : NonFiniteStep
    """

    def __init__(self, problem: NonFiniteStep) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        cure = "mend the data, lower the learning rate, or give fit a tinycnn.training.RecoverFromNaN"
        return f"{self.problem}; {cure}"


def warn(message: object) -> None:
    """Warn of something that is not finite, in the process that prints."""
    if processes.current().main:
        warnings.warn(str(message), UserWarning, stacklevel=3)


def warn_of_validation(loss: float, epoch: int) -> None:
    """Warn when the loss of the validation data is not finite; the epoch is counted from 0."""
    if not math.isfinite(loss):
        warn(
            f"the val_loss is {loss} after epoch {epoch + 1}; look for validation images or labels that are "
            "not finite, or lower the learning rate"
        )


class TerminateOnNaN(Callback):
    """Callback that ends the run, with a warning, when the loss or a gradient of a step is NaN or infinite.

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

    def on_nonfinite(self, batch: int, problem: NonFiniteStep) -> bool:
        """End the run."""
        warn(problem)
        self.interrupted = self.model.stop_training = True
        return True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Restore the last finite state of a run that was ended."""
        if self.interrupted and self._last is not None:
            model_state.put(self.model, self._last | {"learning_rate": self.model.optimizer.learning_rate})
            self._last = None
