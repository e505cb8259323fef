"""Callbacks that watch a metric: they stop, save or reduce the rate when it no longer improves.

::

    logs["val_loss"] of each epoch -> better than the best so far? -> EarlyStopping, ModelCheckpoint,
                                                                      ReduceLROnPlateau
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinycnn import metrics, saving
from tinycnn.support import checks, constructor, files
from tinycnn.training.callbacks import Callback, Logs, refuse_schedule, set_rate
from tinycnn.training.divergence import is_finite

MODES = ("auto", "max", "min")


class Monitor(Callback):
    """Base class of callbacks that watch a metric.

    Parameters
    ----------
    monitor : str
        A name of the epoch's logs: "loss" or a metric, with "val_" before it for validation.
    mode : "min", "max" or "auto"
        Whether smaller or larger is better. "auto" is "min" for the loss and metrics that are losses, such as
        "mse", and "max" for everything else.
    min_delta : float
        A change of at most this much does not count as an improvement.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        self.monitor = checks.text("monitor", monitor)
        self.mode = checks.choice("mode", mode, MODES)
        self.min_delta = checks.real("min_delta", min_delta, 0)
        self.reset()

    def reset(self) -> None:
        """Start without a best value."""
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.wait = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """See `reset`; raise ValueError when the logs of the run will have no figure of this name."""
        self.reset()
        names = self.params.get("metrics")
        if names is not None and self.watches:
            self._check_name(names)

    @property
    def watches(self) -> bool:
        """Whether the metric matters."""
        return True

    def _check_name(self, names: Iterable[str]) -> None:
        if self.monitor not in names:
            validated = any(name.startswith("val_") for name in names)
            hint = "; is there validation data?" if self.monitor.startswith("val_") and not validated else ""
            expected = ", ".join(map(repr, names))
            raise ValueError(f"monitor: expected one of {expected}, received {self.monitor!r}{hint}")

    def improved(self, epoch: int, logs: dict[str, float]) -> bool:
        """Return whether the value of this epoch is the best so far, and remember it. NaN never is.

        Raises
        ------
        ValueError
            When the logs have no such name.
        """
        self._check_name(logs)
        value = logs[self.monitor]
        less = self.mode == "min" or (self.mode == "auto" and self._is_loss())
        if math.isnan(value) or (
            self.best is not None
            and (value >= self.best - self.min_delta if less else value <= self.best + self.min_delta)
        ):
            self.wait += 1
            return False
        self.best, self.best_epoch, self.wait = value, epoch, 0
        return True

    def _is_loss(self) -> bool:
        """Return whether the figure is the loss of the model, or a metric that is a loss."""
        name = self.monitor.removeprefix("val_")
        return name == "loss" or metrics.is_loss(getattr(self.model, "metrics", {}).get(name, name))

    def get_config(self) -> dict[str, Any]:
        """See `Callback.get_config`."""
        return constructor.arguments(self)

    def get_state(self) -> dict[str, Any]:
        """See `Callback.get_state`."""
        return {"best": self.best, "best_epoch": self.best_epoch, "wait": self.wait}

    def set_state(self, state: dict[str, Any]) -> None:
        """See `Callback.set_state`."""
        best, epoch = state["best"], state["best_epoch"]
        if best is not None and not isinstance(best, float):  # it may be infinite
            raise ValueError(f"best: expected a float or None, received {best!r}")
        self.best, self.best_epoch = best, None if epoch is None else checks.whole("best_epoch", epoch, 0)
        self.wait = checks.whole("wait", state["wait"], 0)


class EarlyStopping(Monitor):
    """Callback that ends the run when a metric has not improved for some epochs.

    It restores the weights of the best epoch at the end of every run, also of a run that finished all its
    epochs or was interrupted. (In Keras this is off by default, and Keras 2 does it only if the callback
    stopped the run.)

    Parameters
    ----------
    monitor, mode, min_delta
        See `Monitor`.
    patience : int
        Number of epochs in a row without improvement after which to stop; 0 means 1, as in Keras.
    restore_best_weights : bool

    Attributes
    ----------
    best : float or None
        The best value so far.
    best_epoch : int or None
        The number of its epoch, counted from 0.
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

    def reset(self) -> None:
        """Start without a best value, and without its weights."""
        super().reset()
        self._best_weights: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Keep the weights of an improvement; stop when the patience is over."""
        if self.improved(epoch, logs) and self.restore_best_weights:
            self._best_weights = self.model.get_weights()
        if self.wait >= max(self.patience, 1):
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Restore the best weights."""
        if self._best_weights:
            self.model.set_weights(self._best_weights)

    def get_state(self) -> dict[str, Any]:
        """See `Callback.get_state`."""
        return super().get_state() | {f"weight_{i}": array for i, array in enumerate(self._best_weights)}

    def set_state(self, state: dict[str, Any]) -> None:
        """See `Callback.set_state`."""
        super().set_state(state)
        count = sum(name.startswith("weight_") for name in state)
        weights = [state[f"weight_{i}"] for i in range(count)]
        for i, (weight, own) in enumerate(zip(weights, self.model.get_weights(), strict=False)):
            checks.shape(f"weight_{i}", np.shape(weight), own.shape)
        self._best_weights = weights


class ModelCheckpoint(Monitor):
    """Callback that saves the model after each epoch, after those that are the best so far, or within epochs.

    To resume a run that was stopped, use the argument `checkpoint` of `Sequential.fit` instead.

    Parameters
    ----------
    filepath : path
        With a suffix that `Sequential.save` takes. It may contain fields: "{epoch:02d}-{val_loss:.4f}.h5",
        with epochs counted from 1; with a `save_freq` in steps also "{batch}", that of the epoch, from 1.
    monitor, mode, min_delta
        See `Monitor`.
    save_best_only : bool
    include_optimizer : bool
    save_freq : "epoch" or int
        When to save: after each epoch, or whenever the number of steps that the model was trained for is a
        multiple of this. `tinycnn serve --checkpoint` shows such files as a film.

    Attributes
    ----------
    saved : (str, int) or None
        The last file of this run, and the number of steps that its model was trained for.
    """

    main_only = True
    saved: tuple[str, int] | None = None

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        *,
        monitor: str = "val_loss",
        mode: str = "auto",
        min_delta: float = 0.0,
        save_best_only: bool = False,
        include_optimizer: bool = True,
        save_freq: str | int = "epoch",
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.filepath = os.fspath(filepath)
        self.save_best_only = checks.flag("save_best_only", save_best_only)
        self.include_optimizer = checks.flag("include_optimizer", include_optimizer)
        self.save_freq = save_freq if save_freq == "epoch" else checks.whole("save_freq", save_freq, 1)
        if self.save_best_only and self.save_freq != "epoch":
            raise ValueError("save_best_only: expected save_freq='epoch', after which a model is evaluated")

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start without a best value, and check the path as far as it is known."""
        super().on_train_begin()
        self.saved = None
        saving.check_name(self.filepath)
        if "{" not in os.path.dirname(self.filepath):
            files.writable(self.filepath)  # with fields in the name, this checks the folder
        if (names := self.params.get("metrics")) is not None:
            within = self.save_freq != "epoch"  # where there is a batch, and no validation yet
            names = [name for name in names if not (within and name.startswith("val_"))]
            self._path(0, dict.fromkeys(names, 0.0), batch=0 if within else None)

    @property
    def watches(self) -> bool:
        """Whether the metric matters."""
        return self.save_best_only

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Save the model if this epoch is to be saved; one that is not finite leaves the last file alone."""
        if self.save_freq == "epoch" and (not self.save_best_only or self.improved(epoch, logs)):
            self._save(self._path(epoch, logs), f"epoch {epoch + 1}")

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """Save the model if this step is to be saved."""
        if self.save_freq != "epoch" and self.model.steps_trained % self.save_freq == 0:
            epoch = self.model.epochs_trained
            figures = {name: value for name, value in logs.items() if name != "samples"}
            self._save(self._path(epoch, figures, batch), f"step {self.model.steps_trained}")

    def _save(self, path: str, when: str) -> None:
        if is_finite(self.model):
            self.model.save(path, self.include_optimizer)
            self.saved = path, self.model.steps_trained
        else:
            warnings.warn(
                f"{path}: not saved after {when}, since weights are not finite",
                UserWarning,
                stacklevel=3,
            )

    def get_config(self) -> dict[str, Any]:
        """Return all arguments except the path, which a resumed run may change."""
        return {name: value for name, value in super().get_config().items() if name != "filepath"}

    def _path(self, epoch: int, logs: dict[str, float], batch: int | None = None) -> str:
        figures = {"epoch": epoch + 1, **({} if batch is None else {"batch": batch + 1}), **logs}
        try:
            return self.filepath.format(**figures)
        except (KeyError, IndexError) as error:
            expected = ", ".join(figures)
            raise ValueError(f"filepath: expected fields among {expected}, received {error}") from None


class ReduceLROnPlateau(Monitor):
    """Callback that reduces the learning rate when a metric has not improved for some epochs.

    Parameters
    ----------
    monitor, mode, min_delta
        See `Monitor`.
    factor : float
        By which the rate is multiplied, in (0, 1).
    patience : int
        Number of epochs in a row without improvement after which to reduce; 0 means 1, as in Keras.
    cooldown : int
        Number of epochs after a reduction that do not count, as Keras counts them: the last of them does, so
        that 1 is as 0.
    min_lr : float
        Lower bound of the rate.
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

    def reset(self) -> None:
        """Start without a best value and without a cooldown."""
        super().reset()
        self._cooling = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Raise ValueError for an optimizer with a schedule, before the first epoch."""
        super().on_train_begin()
        refuse_schedule(self.model.optimizer)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Count the epoch, and reduce the rate when the patience is over."""
        if self._cooling > 0:
            self._cooling -= 1
            self.wait = 0
        self.improved(epoch, logs)
        if self._cooling > 0:
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
        self._cooling = checks.whole("cooling", state["cooling"], 0)
