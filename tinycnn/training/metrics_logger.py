"""Figures of a run, sent to an experiment logger through the writer object that the user made.

::

    logs of epochs and batches, learning rate, weights -> MetricsLogger -> add_scalar, log_metrics, log

The writer is recognised by its methods, so no logger is imported here.
"""

from __future__ import annotations

import copy
import inspect
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinycnn.optimizers import schedules
from tinycnn.support import checks
from tinycnn.training.callbacks import Callback, Logs

EXPECTED = (
    "an object with add_scalar(tag, value, step), as TensorBoard's SummaryWriter, log_metrics(figures, "
    "step=), as mlflow, or log(figures, step=), as a run of Weights & Biases, or a function (figures, step)"
)
#: Methods of writers, in the order in which they are looked for, and how they are called; "" is the object.
CALLS: Mapping[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "add_scalar": (("loss", 0.0, 1), {}),
    "log_metrics": (({},), {"step": 1}),
    "log": (({},), {"step": 1}),
    "": (({}, 1), {}),
}


class MetricsLogger(Callback):
    """Callback that sends the figures of each epoch to an experiment logger.

    They are the loss, the metrics, those of validation such as `val_loss`, numbers that other callbacks have
    put into the logs, and `learning_rate`: that of the last step. Their names are those of the history.

    The step is the number of the epoch, counted from 1; it goes on in a second call of `fit` and in a resumed
    run. If figures of batches are sent too, the step of all figures is `model.steps_trained`, since some
    loggers have one axis for all. Figures of a batch have names such as `batch_loss` and are, as in the logs,
    means over the epoch so far; those of an epoch then have `epoch` among them.

    A run that was killed takes the steps after its last checkpoint again, and sends their figures again: the
    same ones, at the same steps.

    Parameters
    ----------
    writer : object
        TensorBoard's SummaryWriter (of torch.utils.tensorboard or tensorboardX), the module mlflow, a run of
        Weights & Biases, another object with such a method, or a function (figures: dict of str to float,
        step: int). It is flushed at the end of a run if it can be, and never closed. A copy of the callback
        has the same writer.
    prefix : str
        Put before each name, as in "train/".
    update_freq : "epoch", "batch" or int
        "batch" also sends the figures of each batch, a number n those of each step that is a multiple of n.
    histogram_freq : int
        The values of each weight are sent as a histogram after each epoch whose number is a multiple of this;
        0 is never. It needs a writer with `add_histogram`. Values that are not finite are left out.

    Raises
    ------
    ValueError
        For a writer of another kind, or one without histograms where they are asked for.

    Examples
    --------
    >>> MetricsLogger(lambda figures, step: print(step, figures)).update_freq
    'epoch'
    """

    main_only = True
    priority = 2  # last: it sees what others add to the logs, and not an epoch that fails in one of them

    def __init__(
        self, writer: Any, *, prefix: str = "", update_freq: str | int = "epoch", histogram_freq: int = 0
    ) -> None:
        _method_of(writer)
        self.writer = writer
        if not isinstance(prefix, str):
            raise checks.ArgumentTypeError(f"prefix: expected a string, received {prefix!r}")
        self.prefix = prefix
        self.update_freq: str | int
        if isinstance(update_freq, str):
            self.update_freq = checks.choice("update_freq", update_freq, ("epoch", "batch"))
        else:
            self.update_freq = checks.whole("update_freq", update_freq, 1)
        self.histogram_freq = checks.whole("histogram_freq", histogram_freq, 0)
        if self.histogram_freq and not _takes(writer, "add_histogram", ("w", np.zeros(1), 1), {}):
            raise ValueError(
                "histogram_freq: expected 0, or a writer with add_histogram(tag, values, step), "
                f"received {histogram_freq} and {writer!r}"
            )
        self._rate = 0.0

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """Send the figures of a batch, if they are asked for."""
        if self.update_freq == "epoch":
            return
        every = 1 if self.update_freq == "batch" else int(self.update_freq)
        step = self.model.steps_trained
        if step % every == 0:
            figures = {name: value for name, value in logs.items() if name != "samples"}
            self._send({"learning_rate": self._last_rate(), **figures}, step, "batch_")

    def on_evaluate_begin(self, logs: Logs | None = None) -> None:
        """Remember the learning rate, before another callback sets that of the next epoch."""
        self._rate = self._last_rate()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Send the figures of an epoch, and perhaps the weights that it was evaluated with."""
        step, figures = epoch + 1, {"learning_rate": self._rate, **logs}
        if self.update_freq != "epoch":
            step, figures = self.model.steps_trained, {"epoch": epoch + 1, **figures}
        self._send(figures, step)
        if self.histogram_freq and (epoch + 1) % self.histogram_freq == 0:
            for name, array in self.model.named_weights():
                finite = array[np.isfinite(array)]
                if finite.size:
                    self.writer.add_histogram(f"{self.prefix}{name}", finite, step)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Flush the writer, if it can be."""
        if _takes(self.writer, "flush", (), {}):
            self.writer.flush()

    def _last_rate(self) -> float:
        """Return the learning rate of the last step that was taken."""
        optimizer = self.model.optimizer
        return schedules.rate(optimizer.learning_rate, max(optimizer.iterations - 1, 0))

    def _send(self, figures: Mapping[str, Any], step: int, prefix: str = "") -> None:
        """Give the figures that are numbers to the writer."""
        numbers_only = {
            f"{self.prefix}{prefix}{name}": float(value)
            for name, value in figures.items()
            if isinstance(value, numbers.Real)
        }
        writer, method = self.writer, _method_of(self.writer)
        if method == "add_scalar":
            for name, value in numbers_only.items():
                writer.add_scalar(name, value, step)
        elif method == "log_metrics":
            writer.log_metrics(numbers_only, step=step)
        elif method == "log":
            writer.log(numbers_only, step=step)
        else:
            writer(numbers_only, step)

    def __deepcopy__(self, memo: dict[int, Any]) -> MetricsLogger:
        """Return a copy that has the same writer, which holds a file or a connection."""
        memo[id(self.writer)] = self.writer
        other = type(self).__new__(type(self))
        memo[id(self)] = other
        vars(other).update(copy.deepcopy(vars(self), memo))
        return other


def _method_of(writer: Any) -> str:
    """Return the name of the method in `CALLS` that the writer has."""
    if not isinstance(writer, type):
        for method, (arguments, options) in CALLS.items():
            if _takes(writer, method, arguments, options):
                return method
    made = " itself; make one of it" if isinstance(writer, type) else ""
    raise checks.ArgumentTypeError(f"writer: expected {EXPECTED}; received {writer!r}{made}")


def _takes(writer: Any, method: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Return whether the writer has a method that can be called with these arguments."""
    function = getattr(writer, method, None) if method else writer
    if not callable(function):
        return False
    try:
        signature = inspect.signature(function)
    except ValueError:  # a function written in C need not tell its arguments, as `print` of Python 3.10
        return not method  # as a writer it is meant; the method of an object may be another, as `math.log`
    try:
        signature.bind(*arguments, **options)
    except TypeError:
        return False
    return True
