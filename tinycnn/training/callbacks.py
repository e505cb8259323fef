"""What a user hangs into training.

::

    fit -> on_train_begin, on_epoch_begin, on_batch_end, on_evaluate_begin, on_epoch_end, on_evaluate_end,
           on_train_end -> Callback

A callback may read and change `self.model`; `self.model.stop_training = True` ends the training after the
batch in hand. Those that watch a figure are in `monitors`, the moving average of the weights in `averaging`.
"""

from __future__ import annotations

import csv
import math
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from tinycnn import checks, files
from tinycnn.schedules import Schedule


class Callback:
    """The events of a training run; the default does nothing.

    Attributes
    ----------
    model : Sequential
        Set before the first event.
    params : dict
        "epochs" (to the last one of this run), "samples" and "batch_size".
    interrupted : bool
        True ends the training after the batch in hand, as `model.stop_training` does; but a run with a
        checkpoint is not over, and the same call goes on with it.
    changes_rate : bool
        Whether it sets the learning rate.
    """

    model: Any = None
    interrupted = False
    changes_rate = False
    params: dict[str, int] = {}  # noqa: RUF012  (replaced on the instance, never changed)

    def on_train_begin(self) -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Before an epoch, counted from 0."""

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """After a batch; `logs` are means over the epoch so far, and "samples", how many these are."""

    def on_evaluate_begin(self) -> None:
        """After the last batch of an epoch, before the model is evaluated, reported and perhaps kept."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """After an epoch and its validation. Not called for one that was stopped half-way."""

    def on_evaluate_end(self) -> None:
        """After every callback had its `on_epoch_end`."""

    def on_train_end(self) -> None:
        """After the last epoch, also when training ended with an error."""

    def get_config(self) -> dict[str, Any]:
        """Return the settings, JSON-able, with which alone a run may go on from a checkpoint."""
        return {}

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold for this callback to go on: arrays, and JSON-able values."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned in a run that was stopped; called after `on_train_begin`."""


class LambdaCallback(Callback):
    """Functions for events, given by the name of the event: LambdaCallback(on_epoch_end=print).

    Parameters
    ----------
    on_train_begin, on_epoch_begin, on_batch_end, on_epoch_end, on_train_end : callable, optional
        With the arguments of the method of `Callback` of that name.
    """

    def __init__(
        self,
        on_train_begin: Callable[[], Any] | None = None,
        on_epoch_begin: Callable[[int], Any] | None = None,
        on_batch_end: Callable[[int, dict[str, float]], Any] | None = None,
        on_epoch_end: Callable[[int, dict[str, float]], Any] | None = None,
        on_train_end: Callable[[], Any] | None = None,
    ) -> None:
        given = {
            "on_train_begin": on_train_begin,
            "on_epoch_begin": on_epoch_begin,
            "on_batch_end": on_batch_end,
            "on_epoch_end": on_epoch_end,
            "on_train_end": on_train_end,
        }
        for event, function in given.items():
            if function is not None:
                setattr(self, event, function)


class TerminateOnNaN(Callback):
    """Ends the training when the loss is NaN or infinite."""

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Look at the mean so far, which stays NaN once it is."""
        if not math.isfinite(logs["loss"]):
            self.model.stop_training = True


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch.

    Parameters
    ----------
    schedule : callable
        (epoch, rate) -> rate, the epoch counted from 0. For a rate that changes at every step, give a
        `tinycnn.schedules.Schedule` to the optimizer.
    """

    changes_rate = True

    def __init__(self, schedule: Callable[[int, float], float]) -> None:
        self.schedule = schedule

    def on_train_begin(self) -> None:
        """Refuse an optimizer with a schedule now, not after an epoch."""
        refuse_schedule(self.model.optimizer)

    def on_epoch_begin(self, epoch: int) -> None:
        """Ask for the rate, and set it."""
        set_rate(self.model.optimizer, self.schedule(epoch, self.model.optimizer.rate))


def set_rate(optimizer: Any, rate: float) -> None:
    """Set a learning rate.

    Raises
    ------
    ValueError
        For what is no rate.
    """
    optimizer.learning_rate = checks.real("learning_rate", rate, 0)


def refuse_schedule(optimizer: Any) -> None:
    """Raise when the learning rate is that of a schedule, which callbacks cannot change."""
    if isinstance(optimizer.learning_rate, Schedule):
        schedule = optimizer.learning_rate
        raise ValueError(
            f"learning_rate: expected a number, to be changed by callbacks, received {schedule!r}"
        )


class CSVLogger(Callback):
    """Writes a line for each epoch as it ends, the epoch counted from 1, under a heading.

    A run that goes on from a checkpoint goes on in its file.

    Parameters
    ----------
    filename : path
    append : bool
        Whether a file that exists is kept and added to.
    """

    def __init__(self, filename: str | os.PathLike[str], append: bool = False) -> None:
        self.filename = filename
        self.append = checks.flag("append", append)
        self._lines = 0

    def on_train_begin(self) -> None:
        """Begin anew, with a file that can be written."""
        files.writable(self.filename)
        self._lines = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Write the line, and the heading before the first."""
        begins = self._lines == 0
        add = self.append or not begins
        heading = begins and not (add and os.path.exists(self.filename) and os.path.getsize(self.filename))
        with open(self.filename, "a" if add else "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if heading:
                writer.writerow(["epoch", *logs])
            writer.writerow([epoch + 1, *(f"{value:.6g}" for value in logs.values())])
        self._lines += 1

    def get_state(self) -> dict[str, Any]:
        """Return how far the file was."""
        size = os.path.getsize(self.filename) if os.path.exists(self.filename) else 0
        return {"lines": self._lines, "bytes": size if self._lines or self.append else 0}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on in the file, without the lines of epochs that will be trained again."""
        if not os.path.exists(self.filename):
            return
        self._lines = state["lines"]
        if self._lines or self.append:
            with open(self.filename, "r+b") as file:
                file.truncate(min(state["bytes"], os.path.getsize(self.filename)))


class StopOnInterrupt(Callback):
    """Ctrl-C ends the training after the batch in hand, so that the parameters are those of a whole step.

    A second Ctrl-C raises KeyboardInterrupt at once. Signals reach the main thread only: in another
    thread this callback does nothing.

    Attributes
    ----------
    interrupted : bool
        Whether Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._previous: Any = None

    def on_train_begin(self) -> None:
        """Take over SIGINT."""
        self.interrupted = False
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._stop)

    def on_train_end(self) -> None:
        """Give SIGINT back."""
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def _stop(self, signum: int, frame: Any) -> None:
        self.interrupted = True
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
