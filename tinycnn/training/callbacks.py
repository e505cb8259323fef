"""Callbacks: hooks that run during training, evaluation and prediction.

::

    fit -> on_train_begin, on_epoch_begin, on_train_batch_begin, on_train_batch_end, on_evaluate_begin,
           on_test_begin, ..., on_test_end, on_epoch_end, on_evaluate_end, on_train_end -> Callback

The names are Keras'; `on_evaluate_begin`, `on_evaluate_end` and `on_nonfinite` are this library's. A callback
may read and change `self.model`. Setting `self.model.stop_training = True` ends the run after the current
batch. Callbacks that watch a metric are in `monitors`, the moving average of the weights is in `averaging`,
those for steps that are not finite are in `divergence` and `recovery`, the one for experiment loggers is in
`metrics_logger`.
"""

from __future__ import annotations

import csv
import inspect
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tinycnn.optimizers.schedules import Schedule
from tinycnn.support import checks, files

if TYPE_CHECKING:
    from tinycnn.training.divergence import NonFiniteStep

Logs = dict[str, float]

#: The events of a run, with the arguments of each. A method may leave `logs` out.
EVENTS = (
    "on_train_begin",
    "on_train_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_batch_begin",
    "on_batch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_nonfinite",
    "on_evaluate_begin",
    "on_evaluate_end",
    "on_test_begin",
    "on_test_end",
    "on_test_batch_begin",
    "on_test_batch_end",
    "on_predict_begin",
    "on_predict_end",
    "on_predict_batch_begin",
    "on_predict_batch_end",
)


class Callback:
    """Base class of callbacks: one method for each event of a run. The default methods do nothing.

    Attributes
    ----------
    model : Sequential
        Set before the first event.
    params : dict
        "epochs" (the number of the last epoch of this run), "steps" and "samples" of an epoch (None if
        unknown), "batch_size", and "metrics": the names in the logs of an epoch, or None where a callback of
        one's own may add others.
    interrupted : bool
        True stops after the current batch, as `model.stop_training` does. But a run with a checkpoint counts
        as unfinished: the same call of `fit` resumes it.
    changes_rate : bool
        Whether the callback sets the learning rate.
    main_only : bool
        Whether only the main process of a job calls it, such as one that writes a file. Others run in each
        process, with the same figures.
    priority : int
        Callbacks of a lower priority are called first; among equals, in the order they were given.
    """

    model: Any = None
    interrupted = False
    changes_rate = False
    main_only = False
    priority = 1
    params: dict[str, Any] = {}  # noqa: RUF012  (replaced on the instance, never changed)

    def set_model(self, model: Any) -> None:
        """Set the attribute `model`."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Set the attribute `params`."""
        self.params = params

    def set_run(self, source: Any, validation: Any, settings: Any, callbacks: Iterable[Callback]) -> None:
        """Receive what `fit` was given, before `on_train_begin`; by default it is not kept.

        Parameters
        ----------
        source, validation : Arrays, Batches or None
            Of `tinycnn.training.sources`.
        settings : tinycnn.training.loop.Settings
        callbacks : iterable of Callback
            All those of the user.
        """

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Run before the first epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Run before an epoch, counted from 0."""

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a batch of training, counted from 0."""

    def on_batch_end(self, batch: int, logs: Logs) -> None:
        """Run after a batch; `logs` holds means over the epoch so far, and "samples", their image count."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run when `on_batch_begin` does."""

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """Run when `on_batch_end` does."""

    def on_nonfinite(self, batch: int, problem: NonFiniteStep) -> bool | None:
        """Decide about a step whose loss or gradients are NaN or infinite; it has not been taken.

        Callbacks are asked in their order until one returns True: the run goes on with the next batch, or
        ends if `model.stop_training` was set. Otherwise `fit` raises `NonFiniteError`. The step counts in
        `model.steps_trained`, but not in the means of the epoch; `on_batch_end` follows. The processes of a
        job have to decide alike, so a callback that is `main_only` is not asked.

        Parameters
        ----------
        batch : int
            Counted from 0.
        problem : tinycnn.training.NonFiniteStep
        """

    def on_evaluate_begin(self, logs: Logs | None = None) -> None:
        """Run after the last batch of an epoch, before the model is evaluated, reported and perhaps saved."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Run after an epoch and its validation, but not after an epoch that was stopped halfway."""

    def on_evaluate_end(self, logs: Logs | None = None) -> None:
        """Run after the `on_epoch_end` of every callback."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Run before an evaluation, by `evaluate` or on the validation data of `fit`."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs) -> None:
        """Run after a batch of an evaluation; `logs` holds means so far, and "samples"."""

    def on_test_end(self, logs: Logs) -> None:
        """Run after an evaluation; `logs` holds its figures."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Run before `predict`."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a batch of `predict`."""

    def on_predict_batch_end(self, batch: int, logs: Logs) -> None:
        """Run after a batch of `predict`; `logs` holds its "outputs"."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Run after `predict`."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Run after the last epoch, also when training ended with an error."""

    def get_config(self) -> dict[str, Any]:
        """Return the settings, JSON-serialisable. A checkpoint is resumed only with equal settings."""
        return {}

    def get_state(self) -> dict[str, Any]:
        """Return the state to save in a checkpoint: arrays and JSON-serialisable values."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_state` returned, in a resumed run; called after `on_train_begin`."""


class LambdaCallback(Callback):
    """Callback made of functions: LambdaCallback(on_epoch_end=print).

    Parameters
    ----------
    **events : callable
        By the names of `EVENTS`, called with the arguments of the method of that name in `Callback`.

    Raises
    ------
    TypeError
        For another name, or something that cannot be called.
    """

    def __init__(self, **events: Callable[..., Any] | None) -> None:
        for event, function in events.items():
            checks.choice("LambdaCallback: event", event, EVENTS)
            if function is None:
                continue
            if not callable(function):
                raise checks.ArgumentTypeError(f"{event}: expected a function, received {function!r}")
            setattr(self, event, function)


class LearningRateScheduler(Callback):
    """Callback that sets the learning rate before each epoch.

    Parameters
    ----------
    schedule : callable
        (epoch, rate) -> rate or, as in Keras, (epoch) -> rate, with the epoch counted from 0. For a rate that
        changes at every step, pass a `tinycnn.optimizers.schedules.Schedule` to the optimizer instead.

    Raises
    ------
    ValueError
        For a function of other arguments.
    """

    changes_rate = True

    def __init__(self, schedule: Callable[..., float]) -> None:
        self.schedule = schedule
        if not _accepts(schedule, 0, 0.0) and not _accepts(schedule, 0):
            raise ValueError(f"schedule: expected a function (epoch, rate) or (epoch), received {schedule!r}")

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Raise ValueError for an optimizer with a schedule, before the first epoch."""
        refuse_schedule(self.model.optimizer)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the rate of this epoch."""
        optimizer = self.model.optimizer
        takes_rate = _accepts(self.schedule, epoch, optimizer.rate)
        rate = self.schedule(epoch, optimizer.rate) if takes_rate else self.schedule(epoch)
        set_rate(optimizer, rate)


def _accepts(function: Callable[..., Any], *arguments: Any) -> bool:
    """Return whether a function can be called with these arguments; one without a signature can."""
    try:
        inspect.signature(function).bind(*arguments)
    except ValueError:  # some functions written in C have none
        return True
    except TypeError:
        return False
    return True


def set_rate(optimizer: Any, rate: float) -> None:
    """Set the learning rate of an optimizer.

    Raises
    ------
    ValueError
        When `rate` is not a finite number of at least 0.
    """
    optimizer.learning_rate = checks.real("learning_rate", rate, 0)


def refuse_schedule(optimizer: Any) -> None:
    """Raise ValueError when the learning rate is a schedule, which callbacks cannot change."""
    if isinstance(optimizer.learning_rate, Schedule):
        schedule = optimizer.learning_rate
        raise ValueError(
            f"learning_rate: expected a number, since a callback changes it, received {schedule!r}"
        )


class CSVLogger(Callback):
    """Callback that writes one CSV line after each epoch, counted from 1, below a header line.

    A resumed run continues its file.

    Parameters
    ----------
    filename : path
    append : bool
        Whether lines are added to an existing file, of the same columns. Otherwise it is replaced.
    """

    main_only = True

    def __init__(self, filename: str | os.PathLike[str], append: bool = False) -> None:
        self.filename = filename
        self.append = checks.flag("append", append)
        self._lines = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Check that the file can be written and, if it is continued, has the columns of this run."""
        files.writable(self.filename)
        self._lines = 0
        names = self.params.get("metrics")
        if names is not None and self.append and self._has_header():
            self._check_header(["epoch", *names])

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Write a line, and the header before the first one; raise ValueError under another header."""
        begins = self._lines == 0
        header = ["epoch", *logs]
        add = self.append or not begins
        heading = begins and not (add and self._has_header())
        if begins and add and not heading:
            self._check_header(header)
        with open(self.filename, "a" if add else "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if heading:
                writer.writerow(header)
            writer.writerow([epoch + 1, *(f"{value:.6g}" for value in logs.values())])
        self._lines += 1

    def _has_header(self) -> bool:
        return os.path.exists(self.filename) and os.path.getsize(self.filename) > 0

    def _check_header(self, header: list[str]) -> None:
        """Raise ValueError when the file that is appended to has other columns."""
        with open(self.filename, newline="", encoding="utf-8") as file:
            found = next(csv.reader(file), [])
        if found != header:
            raise ValueError(
                f"{self.filename}: expected the columns {header}, received {found}; "
                "append=True continues a file of the same figures"
            )

    def get_state(self) -> dict[str, Any]:
        """Return how much of the file was written: lines and bytes."""
        size = os.path.getsize(self.filename) if os.path.exists(self.filename) else 0
        return {"lines": self._lines, "bytes": size if self._lines or self.append else 0}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue the file, after removing the lines of epochs that will be trained again."""
        if not os.path.exists(self.filename):
            return
        self._lines = state["lines"]
        if self._lines or self.append:
            with open(self.filename, "r+b") as file:
                file.truncate(min(state["bytes"], os.path.getsize(self.filename)))
