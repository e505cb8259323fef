"""Callbacks that watch a figure: they stop, save or slow down when it no longer gets better.

::

    logs["val_loss"] of each epoch -> better than the best so far? -> EarlyStopping, ModelCheckpoint,
                                                                      ReduceLROnPlateau
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from tinycnn import checks, config, files, saving
from tinycnn.training.callbacks import Callback, refuse_schedule, set_rate

MODES = ("auto", "max", "min")


class Monitor(Callback):
    """What those that watch a figure share.

    Parameters
    ----------
    monitor : str
        A name of the epoch's logs: "loss", a metric, or one of these after "val_".
    mode : "min", "max" or "auto"
        Whether less or more is better. "auto" takes more for losses as worse, and for all else as better.
    min_delta : float
        A change of no more than this is none.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        self.monitor = checks.text("monitor", monitor)
        self.mode = checks.choice("mode", mode, MODES)
        self.min_delta = checks.real("min_delta", min_delta, 0)
        self.forget()

    def forget(self) -> None:
        """Begin without a best figure."""
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.wait = 0

    def on_train_begin(self) -> None:
        """See `forget`."""
        self.forget()

    def improved(self, epoch: int, logs: dict[str, float]) -> bool:
        """Take in the figure of an epoch; return whether it is the best so far. NaN never is.

        Raises
        ------
        ValueError
            When there is no such figure.
        """
        if self.monitor not in logs:
            validated = any(name.startswith("val_") for name in logs)
            hint = "; is there validation data?" if self.monitor.startswith("val_") and not validated else ""
            expected = ", ".join(map(repr, logs))
            raise ValueError(f"monitor: expected one of {expected}, received {self.monitor!r}{hint}")
        value = logs[self.monitor]
        less = self.mode == "min" or (self.mode == "auto" and self.monitor.removeprefix("val_") == "loss")
        if math.isnan(value) or (
            self.best is not None
            and (value >= self.best - self.min_delta if less else value <= self.best + self.min_delta)
        ):
            self.wait += 1
            return False
        self.best, self.best_epoch, self.wait = value, epoch, 0
        return True

    def get_config(self) -> dict[str, Any]:
        """See `Callback.get_config`."""
        return config.arguments(self)

    def get_state(self) -> dict[str, Any]:
        """See `Callback.get_state`."""
        return {"best": self.best, "best_epoch": self.best_epoch, "wait": self.wait}

    def set_state(self, state: dict[str, Any]) -> None:
        """See `Callback.set_state`."""
        self.best, self.best_epoch, self.wait = state["best"], state["best_epoch"], state["wait"]


class EarlyStopping(Monitor):
    """Ends the training when a figure has not become better for some epochs.

    The weights of the best epoch are put back at the end of every run, also of one that went through all its
    epochs, or was interrupted. (Keras' does so only when it stopped the run itself, and not by default.)

    Parameters
    ----------
    monitor, mode, min_delta
        See `Monitor`.
    patience : int
        After how many epochs in a row that were not better; 0 is 1, as in Keras.
    restore_best_weights : bool

    Attributes
    ----------
    best, best_epoch
        The best figure, and the number of its epoch, from 0. None before there is one.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        restore_best_weights: bool = True,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = checks.whole("patience", patience, 0)
        self.restore_best_weights = checks.flag("restore_best_weights", restore_best_weights)

    def forget(self) -> None:
        """Begin without a best figure, and without its weights."""
        super().forget()
        self._best_weights: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Keep the weights, or wait, or stop."""
        if self.improved(epoch, logs) and self.restore_best_weights:
            self._best_weights = self.model.get_weights()
        if self.wait >= max(self.patience, 1):
            self.model.stop_training = True

    def on_train_end(self) -> None:
        """Put the best weights back."""
        if self._best_weights:
            self.model.set_weights(self._best_weights)

    def get_state(self) -> dict[str, Any]:
        """See `Callback.get_state`."""
        return super().get_state() | {f"weight_{i}": array for i, array in enumerate(self._best_weights)}

    def set_state(self, state: dict[str, Any]) -> None:
        """See `Callback.set_state`."""
        super().set_state(state)
        count = sum(name.startswith("weight_") for name in state)
        self._best_weights = [state[f"weight_{i}"] for i in range(count)]


class ModelCheckpoint(Monitor):
    """Saves the model after epochs: all of them, or those that are the best so far.

    To go on with a run that was stopped, see `checkpoint` of `Sequential.fit` instead.

    Parameters
    ----------
    filepath : path
        With a suffix of `Sequential.save`. It may hold figures: "{epoch:02d}-{val_loss:.4f}.h5"; epochs
        count from 1 here.
    monitor, mode, min_delta
        See `Monitor`.
    save_best_only : bool
    include_optimizer : bool
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        *,
        monitor: str = "val_loss",
        mode: str = "auto",
        min_delta: float = 0.0,
        save_best_only: bool = False,
        include_optimizer: bool = True,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.filepath = os.fspath(filepath)
        self.save_best_only = checks.flag("save_best_only", save_best_only)
        self.include_optimizer = checks.flag("include_optimizer", include_optimizer)

    def on_train_begin(self) -> None:
        """Begin without a best figure, with a path that can be written to as far as it is known."""
        super().on_train_begin()
        saving.format_of(self.filepath)
        if "{" not in os.path.dirname(self.filepath):
            files.writable(self.filepath)  # where the name has figures, its folder

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Save, if this one is to be saved."""
        if not self.save_best_only or self.improved(epoch, logs):
            self.model.save(self._path(epoch, logs), self.include_optimizer)

    def get_config(self) -> dict[str, Any]:
        """Return all but the path, which may be elsewhere the next time."""
        return {name: value for name, value in super().get_config().items() if name != "filepath"}

    def _path(self, epoch: int, logs: dict[str, float]) -> str:
        figures = {"epoch": epoch + 1, **logs}
        try:
            return self.filepath.format(**figures)
        except (KeyError, IndexError) as error:
            expected = ", ".join(figures)
            raise ValueError(f"filepath: expected figures among {expected}, received {error}") from None


class ReduceLROnPlateau(Monitor):
    """Multiplies the learning rate by a factor when a figure has not become better for some epochs.

    Parameters
    ----------
    monitor, mode, min_delta
        See `Monitor`.
    factor : float
        In (0, 1).
    patience : int
        After how many epochs in a row that were not better; 0 is 1, as in Keras.
    cooldown : int
        For how many epochs after a reduction none are counted.
    min_lr : float
        The rate goes no lower.
    """

    changes_rate = True

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor = checks.real("factor", factor, math.ulp(0), 1, below=True)
        self.patience = checks.whole("patience", patience, 0)
        self.cooldown = checks.whole("cooldown", cooldown, 0)
        self.min_lr = checks.real("min_lr", min_lr, 0)

    def forget(self) -> None:
        """Begin without a best figure, and not cooling down."""
        super().forget()
        self._cooling = 0

    def on_train_begin(self) -> None:
        """Refuse an optimizer with a schedule now, not at the first plateau."""
        super().on_train_begin()
        refuse_schedule(self.model.optimizer)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Count, or reduce the rate."""
        self.improved(epoch, logs)
        if self._cooling > 0:
            self._cooling -= 1
            self.wait = 0
        elif self.wait >= max(self.patience, 1):
            optimizer = self.model.optimizer
            set_rate(optimizer, max(optimizer.rate * self.factor, min(self.min_lr, optimizer.rate)))
            self._cooling, self.wait = self.cooldown, 0

    def get_state(self) -> dict[str, Any]:
        """See `Callback.get_state`."""
        return super().get_state() | {"cooling": self._cooling}

    def set_state(self, state: dict[str, Any]) -> None:
        """See `Callback.set_state`."""
        super().set_state(state)
        self._cooling = state["cooling"]
