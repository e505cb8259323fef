"""The loops over epochs and batches.

::

    fit:       for each epoch: for each batch: model.train_step;  evaluate on validation data;  record
    evaluate:  for each batch: model.forward -> loss and metrics, weighted by the size of the batch
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tinycnn import snapshots
from tinycnn.losses import Loss
from tinycnn.metrics import Metric
from tinycnn.saving.snapshot import check
from tinycnn.training import progress
from tinycnn.training.averaging import WeightAverage
from tinycnn.training.batches import batches, epoch_order, split
from tinycnn.training.callbacks import Callback
from tinycnn.training.checkpoint import Checkpoint, Position, digest
from tinycnn.training.history import History

Data = tuple[np.ndarray, np.ndarray]
# images, seed, epoch, numbers of the samples among all, step -> images: datasets.Augmentation is one
Augment = Callable[[np.ndarray, int, int, np.ndarray, int], np.ndarray]


class Trainable(Protocol):
    """What the loops need of a model; `Sequential` has it."""

    seed: int
    optimizer: Any
    loss: Loss
    metrics: dict[str, Metric]
    epochs_trained: int
    steps_trained: int
    history: History
    stop_training: bool

    @property
    def metric_names(self) -> list[str]: ...

    @property
    def parameter_names(self) -> list[str]: ...

    def get_config(self) -> dict[str, Any]: ...

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray: ...

    def train_step(self, x: np.ndarray, y: np.ndarray) -> list[float]: ...


class Means:
    """Means over images, of figures that come batch by batch."""

    def __init__(self, names: Iterable[str], begun: Position | None = None) -> None:
        self.sums = dict.fromkeys(names, 0.0) | (begun.sums if begun else {})
        self.samples = begun.samples if begun else 0

    def add(self, values: Iterable[float], samples: int) -> None:
        """Take in the figures of one batch."""
        for name, value in zip(self.sums, values, strict=True):
            self.sums[name] += value * samples
        self.samples += samples

    def result(self) -> dict[str, float]:
        """Return the means."""
        return {name: total / max(self.samples, 1) for name, total in self.sums.items()}


@dataclass
class Settings:
    """How `fit` goes through the data; see `Sequential.fit`."""

    batch_size: int
    epochs: int
    validation_split: float
    shuffle: bool
    augment: Augment | None
    checkpoint: str | os.PathLike[str] | None


def fit(
    model: Trainable,
    training: Data,
    validation_data: Data | None,
    settings: Settings,
    callbacks: Iterable[Callback],
    verbose: str | int,
) -> History:
    """Train a compiled model; see `Sequential.fit`."""
    x, y = training
    model.optimizer.check_rules(model.parameter_names)
    checkpoint = _checkpoint(model, settings, (*training, *(validation_data or ())))
    if settings.validation_split:
        rows, kept = split(y, settings.validation_split, model.seed)
        validation_data = x[kept], y[kept]
        x, y = x[rows], y[rows]
    # averages go into the model before others keep or restore weights, whatever the order they were given in
    callbacks = sorted(callbacks, key=lambda callback: not isinstance(callback, WeightAverage))
    shown = progress.choose(verbose)
    listeners = [*shown, *callbacks]
    model.history, model.stop_training = History(), False
    for listener in listeners:
        listener.model = model
        last = model.epochs_trained + settings.epochs
        listener.params = {"epochs": last, "samples": len(x), "batch_size": settings.batch_size}
    run = Run(model, (x, y), settings, listeners, Position(model.epochs_trained))
    begun: list[Callback] = []
    try:
        for listener in listeners:
            listener.on_train_begin()
            begun.append(listener)
        if checkpoint is not None:
            run.save = lambda: checkpoint.save(model, run.position, callbacks)
            run.due = checkpoint.due
            found = checkpoint.restore(model, callbacks)
            if found is None:
                run.save()  # the start, to which the same call goes back before there is another
            run.position = found or run.position
        for listener in listeners:
            listener.params["epochs"] = run.position.first_epoch + settings.epochs
        if run.position.batches:  # to its callbacks this epoch has begun already
            _notify(shown, "on_epoch_begin", model.epochs_trained)
        while model.epochs_trained < run.position.first_epoch + settings.epochs and not run.position.ended:
            if not run.train_epoch(validation_data):
                break
    finally:
        with ExitStack() as stack:  # each of them, also after one that failed
            for listener in reversed(begun):
                stack.callback(listener.on_train_end)
    return model.history


@dataclass
class Run:
    """A run of `fit`, and where it is."""

    model: Trainable
    data: Data
    settings: Settings
    listeners: list[Callback]
    position: Position
    save: Callable[[], None] = lambda: None
    due: Callable[[], bool] = lambda: False

    def train_epoch(self, validation_data: Data | None) -> bool:
        """Train what is left of an epoch, evaluate, record; return whether to go on."""
        model, epoch, size = self.model, self.model.epochs_trained, self.settings.batch_size
        if not self.position.batches:
            _notify(self.listeners, "on_epoch_begin", epoch)
        if not self._train_batches(epoch):
            self.position.ended = model.stop_training
            self.save()
            return False
        _notify(self.listeners, "on_evaluate_begin")
        logs = Means(model.metric_names, self.position).result()
        if validation_data is not None:
            validation = evaluate(model, validation_data, size)
            logs = {**logs, **{f"val_{name}": value for name, value in validation.items()}}
        model.epochs_trained += 1
        model.history.record(epoch, logs)
        _notify(self.listeners, "on_epoch_end", epoch, logs)
        _notify(self.listeners, "on_evaluate_end")
        self.position = Position(self.position.first_epoch, ended=model.stop_training)
        self.save()
        return not self._stops()

    def _stops(self) -> bool:
        """Return whether a callback wants to end the run, or to interrupt it."""
        return self.model.stop_training or any(listener.interrupted for listener in self.listeners)

    def _train_batches(self, epoch: int) -> bool:
        """Train on every batch that is left; return False when a callback stopped it half-way."""
        model, (x, y), position = self.model, self.data, self.position
        means = Means(model.metric_names, position)
        order = epoch_order(model.seed, epoch, len(x)) if self.settings.shuffle else np.arange(len(x))
        for start in range(position.batches * self.settings.batch_size, len(x), self.settings.batch_size):
            samples = order[start : start + self.settings.batch_size]
            images, step = x[samples], model.optimizer.iterations
            if self.settings.augment is not None:
                images = self.settings.augment(images, model.seed, epoch, samples, step)
            means.add(model.train_step(images, y[samples]), len(samples))
            position.batches += 1
            position.sums, position.samples = means.sums, means.samples
            logs = {**means.result(), "samples": means.samples}
            _notify(self.listeners, "on_batch_end", position.batches - 1, logs)
            if self._stops() and means.samples < len(x):
                return False
            if self.due():
                self.save()
        return True


def _checkpoint(model: Trainable, settings: Settings, data: Iterable[np.ndarray]) -> Checkpoint | None:
    """Return the checkpoint of a run, which knows all that the result depends on."""
    if settings.checkpoint is None:
        return None
    same = {
        "model": model.get_config(),
        "optimizer": {"name": model.optimizer.name, "config": model.optimizer.get_config()},
        "loss": {"name": model.loss.name, "config": model.loss.get_config()},
        "metrics": list(model.metrics),
        "batch_size": settings.batch_size,
        "validation_split": settings.validation_split,
        "shuffle": settings.shuffle,
        "augment": _described(settings.augment),
        "SHA-256 of the data": digest(data),
    }
    check(snapshots.take(model))  # what could not be read again is refused now
    return Checkpoint(settings.checkpoint, same)


def _described(augment: Augment | None) -> dict[str, Any] | None:
    """Return the same for the same augmentation in another process, as far as it tells."""
    if augment is None:
        return None
    named = augment if hasattr(augment, "__qualname__") else type(augment)
    settings = augment.get_config() if hasattr(augment, "get_config") else {}
    return {"name": f"{named.__module__}.{named.__qualname__}", "config": settings}


def evaluate(model: Trainable, data: Data, batch_size: int) -> dict[str, float]:
    """Return the loss and the metrics of a model, dropout off."""
    means = Means(model.metric_names)
    for x, y in batches(*data, batch_size):
        y_pred = model.forward(x)
        figures = [model.loss(y, y_pred), *(metric(y, y_pred) for metric in model.metrics.values())]
        means.add(figures, len(x))
    return means.result()


def _notify(listeners: Iterable[Callback], event: str, *arguments: object) -> None:
    for listener in listeners:
        getattr(listener, event)(*arguments)
