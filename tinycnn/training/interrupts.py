"""Ctrl-C and SIGTERM: the first one ends a run after the current step, a second one at once.

::

    SIGINT, SIGTERM -> StopOnInterrupt -> the step ends -> checkpoint -> `fit` returns
    fit(checkpoint=...) without it     -> the step ends -> checkpoint -> the signal is delivered again
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from tinycnn.support.notices import notice
from tinycnn.training.callbacks import Callback, Logs

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnInterrupt(Callback):
    """Callback that stops the run after the current batch on Ctrl-C (SIGINT) or SIGTERM; `fit` then returns.

    So the parameters are those after a complete step. A second signal has, at once, the effect that it has
    without this callback: of Ctrl-C, KeyboardInterrupt. Signals reach the main thread only: in another thread
    this callback does nothing.

    Attributes
    ----------
    interrupted : bool
        Whether there was a signal.
    signal : int or None
        Its number.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self.signal: int | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Install the handlers."""
        self.interrupted, self.signal = False, None
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if handler in (None, signal.SIG_IGN):
                continue  # a handler that is not Python's, and could not be restored; or `nohup` and the like
            self._previous[number] = handler  # before ours is there, which may be called at once
            signal.signal(number, self._stop)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Restore the previous handlers, where no callback has put others there meanwhile."""
        for number, handler in self._previous.items():
            if signal.getsignal(number) == self._stop:
                signal.signal(number, handler)
        self._previous = {}

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.interrupted, self.signal = True, number
        self.on_train_end()


class StopAndSave(StopOnInterrupt):
    """Of a run with a checkpoint and no `StopOnInterrupt`: delivers the signal after the save."""

    def deliver(self, folder: Any) -> None:
        """Let the signal have the effect that it has without this callback, if there was one."""
        if self.signal is not None:
            notice(
                f"{folder}: stopped after step {self.model.steps_trained}; the same call of fit resumes it"
            )
            signal.raise_signal(self.signal)
