"""What a user hangs into training.

::

    fit -> on_train_begin, on_epoch_begin, on_batch_end, on_epoch_end, on_train_end -> Callback

A callback may read and change `self.model`; `self.model.stop_training = True` ends the training after the
batch in hand.
"""

from __future__ import annotations

import signal
import threading
from typing import Any


class Callback:
    """The events of a training run; the default does nothing.

    Attributes
    ----------
    model : Sequential
        Set before the first event.
    params : dict
        "epochs" (to the last one of this run), "samples" and "batch_size".
    """

    model: Any = None
    params: dict[str, int] = {}  # noqa: RUF012  (replaced on the instance, never changed)

    def on_train_begin(self) -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Before an epoch, counted from 0."""

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """After a batch; `logs` are means over the epoch so far, and "samples", how many these are."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """After an epoch and its validation. Not called for one that was stopped half-way."""

    def on_train_end(self) -> None:
        """After the last epoch, also when training ended with an error."""


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
        self.model.stop_training = True
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
