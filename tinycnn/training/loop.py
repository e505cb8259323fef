"""The loops over epochs and batches.

::

    fit:       for each epoch: for each batch: model.train_step;  evaluate on validation data;  record
    evaluate:  for each batch: model.forward -> loss and metrics, weighted by the size of the batch
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from tinycnn.saving.model import Model, compiled
from tinycnn.training import progress
from tinycnn.training.batches import batches, epoch_order, split
from tinycnn.training.callback_list import CallbackList
from tinycnn.training.callbacks import Callback
from tinycnn.training.checkpoint import Checkpoint, NoCheckpoint, Position, run_settings
from tinycnn.training.history import History

Data = tuple[np.ndarray, np.ndarray]
# (images, seed, epoch, sample numbers, step) -> images, such as datasets.Augmentation
Augment = Callable[[np.ndarray, int, int, np.ndarray, int], np.ndarray]


@dataclass
class Settings:
    """How `fit` goes through the data; see `Sequential.fit`."""

    batch_size: int
    epochs: int
    validation_split: float
    shuffle: bool
    augment: Augment | None
    checkpoint: str | os.PathLike[str] | None


class Means:
    """Means over images, of values that come batch by batch."""

    def __init__(self, names: Iterable[str], position: Position | None = None) -> None:
        self.sums = dict.fromkeys(names, 0.0) | (position.sums if position else {})
        self.samples = position.samples if position else 0

    def add(self, values: Iterable[float], samples: int) -> None:
        """Add the values of one batch."""
        for name, value in zip(self.sums, values, strict=True):
            self.sums[name] += value * samples
        self.samples += samples

    def result(self) -> dict[str, float]:
        """Return the means."""
        return {name: total / max(self.samples, 1) for name, total in self.sums.items()}


def fit(
    model: Model,
    data: Data,
    validation_data: Data | None,
    settings: Settings,
    callbacks: Iterable[Callback],
    verbose: str | int,
) -> History:
    """Train a compiled model; see `Sequential.fit`."""
    optimizer, _ = compiled(model)
    optimizer.check_rules(model.parameter_names)
    checkpoint = _checkpoint(model, settings, (*data, *(validation_data or ())))
    if settings.validation_split:
        (x, y), (rows, kept) = data, split(data[1], settings.validation_split, model.seed)
        data, validation_data = (x[rows], y[rows]), (x[kept], y[kept])
    events = CallbackList(progress.choose(verbose), callbacks)
    model.history, model.stop_training = History(), False
    last_epoch = model.epochs_trained + settings.epochs
    params = {"epochs": last_epoch, "samples": len(data[0]), "batch_size": settings.batch_size}
    with events.session(model, params):
        position = checkpoint.begin(model, events.callbacks)
        run = Run(model, data, validation_data, settings, events, checkpoint, position)
        params["epochs"] = position.first_epoch + settings.epochs
        if position.batches:  # the callbacks have seen this epoch begin, the progress display has not
            for callback in events.progress:
                callback.on_epoch_begin(model.epochs_trained)
        while model.epochs_trained < params["epochs"] and not run.stops:
            run.train_epoch()
    return model.history


def _checkpoint(model: Model, settings: Settings, data: Iterable[np.ndarray]) -> Checkpoint | NoCheckpoint:
    if settings.checkpoint is None:
        return NoCheckpoint()
    how = {name: getattr(settings, name) for name in ("batch_size", "validation_split", "shuffle")}
    return Checkpoint(settings.checkpoint, run_settings(model, how, settings.augment, data))


@dataclass
class Run:
    """A run of `fit`, and where it is."""

    model: Model
    data: Data
    validation_data: Data | None
    settings: Settings
    events: CallbackList
    checkpoint: Checkpoint | NoCheckpoint
    position: Position

    @property
    def stops(self) -> bool:
        """Whether a callback ended the run or interrupts it, now or, as the checkpoint says, before."""
        return self.position.ended or self.model.stop_training or self.events.interrupted

    def train_epoch(self) -> None:
        """Train what is left of an epoch; if it was not stopped half-way, evaluate and record it."""
        model, epoch = self.model, self.model.epochs_trained
        if not self.position.batches:
            self.events.notify("on_epoch_begin", epoch)
        finished = self.train_batches(epoch)
        if finished:
            self.events.notify("on_evaluate_begin")
            logs = Means(model.metric_names, self.position).result()
            if self.validation_data is not None:
                validation = evaluate(model, self.validation_data, self.settings.batch_size)
                logs |= {f"val_{name}": value for name, value in validation.items()}
            model.epochs_trained += 1
            model.history.record(epoch, logs)
            self.events.notify("on_epoch_end", epoch, logs)
            self.events.notify("on_evaluate_end")
            self.position = Position(self.position.first_epoch)
        self.position.ended = model.stop_training
        self.save()

    def train_batches(self, epoch: int) -> bool:
        """Train on every batch that is left; return False when a callback stopped it half-way."""
        model, (x, y), position, size = self.model, self.data, self.position, self.settings.batch_size
        means = Means(model.metric_names, position)
        order = epoch_order(model.seed, epoch, len(x)) if self.settings.shuffle else np.arange(len(x))
        for start in range(position.batches * size, len(x), size):
            samples = order[start : start + size]
            means.add(model.train_step(self.images(samples, epoch), y[samples]), len(samples))
            position.batches += 1
            position.sums, position.samples = means.sums, means.samples
            logs = {**means.result(), "samples": means.samples}
            self.events.notify("on_batch_end", position.batches - 1, logs)
            if self.stops and means.samples < len(x):
                return False
            if self.checkpoint.due():
                self.save()
        return True

    def images(self, samples: np.ndarray, epoch: int) -> np.ndarray:
        """Return the images of a batch, augmented."""
        images, augment = self.data[0][samples], self.settings.augment
        if augment is None:
            return images
        optimizer, _ = compiled(self.model)
        return augment(images, self.model.seed, epoch, samples, optimizer.iterations)

    def save(self) -> None:
        """Write a checkpoint, if there are any."""
        self.checkpoint.save(self.model, self.position, self.events.callbacks)


def evaluate(model: Model, data: Data, batch_size: int) -> dict[str, float]:
    """Return the loss and the metrics of a compiled model, by name."""
    _, loss = compiled(model)
    means = Means(model.metric_names)
    for x, y in batches(*data, batch_size):
        y_pred = model.forward(x)
        means.add([loss(y, y_pred), *(metric(y, y_pred) for metric in model.metrics.values())], len(x))
    return means.result()
