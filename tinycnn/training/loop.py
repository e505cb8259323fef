"""The loops over epochs and batches.

::

    fit:       for each epoch: for each batch: model.train_step;  evaluate on validation data;  record
    evaluate:  for each batch: model.forward -> loss and metrics, weighted by the size of the batch
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np

from tinycnn.losses import Loss
from tinycnn.metrics import Metric
from tinycnn.training import progress
from tinycnn.training.batches import batches, epoch_order, split
from tinycnn.training.callbacks import Callback
from tinycnn.training.history import History

Data = tuple[np.ndarray, np.ndarray]


class Trainable(Protocol):
    """What the loops need of a model; `Sequential` has it."""

    seed: int
    loss: Loss
    metrics: dict[str, Metric]
    epochs_trained: int
    history: History
    stop_training: bool

    @property
    def metric_names(self) -> list[str]: ...

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray: ...

    def train_step(self, x: np.ndarray, y: np.ndarray) -> list[float]: ...


class Means:
    """Means over images, of figures that come batch by batch."""

    def __init__(self, names: Iterable[str]) -> None:
        self.sums = dict.fromkeys(names, 0.0)
        self.samples = 0

    def add(self, values: Iterable[float], samples: int) -> None:
        """Take in the figures of one batch."""
        for name, value in zip(self.sums, values, strict=True):
            self.sums[name] += value * samples
        self.samples += samples

    def result(self) -> dict[str, float]:
        """Return the means."""
        return {name: total / max(self.samples, 1) for name, total in self.sums.items()}


def fit(
    model: Trainable,
    training: Data,
    batch_size: int,
    epochs: int,
    validation_data: Data | None,
    validation_split: float,
    shuffle: bool,
    callbacks: Iterable[Callback],
    verbose: str | int,
) -> History:
    """Train a compiled model; see `Sequential.fit`."""
    x, y = training
    if validation_split:
        rows, kept = split(y, validation_split, model.seed)
        validation_data = x[kept], y[kept]
        x, y = x[rows], y[rows]
    first, last = model.epochs_trained, model.epochs_trained + epochs
    listeners = [*progress.choose(verbose), *callbacks]
    for listener in listeners:
        listener.model = model
        listener.params = {"epochs": last, "samples": len(x), "batch_size": batch_size}
    model.history, model.stop_training = History(), False
    try:
        _notify(listeners, "on_train_begin")
        for epoch in range(first, last):
            order = epoch_order(model.seed, epoch, len(x)) if shuffle else None
            logs = train_epoch(model, (x, y), batch_size, epoch, order, listeners)
            if logs is None:
                break
            if validation_data is not None:
                validation = evaluate(model, validation_data, batch_size)
                logs = {**logs, **{f"val_{name}": value for name, value in validation.items()}}
            model.epochs_trained += 1
            model.history.record(epoch, logs)
            _notify(listeners, "on_epoch_end", epoch, logs)
            if model.stop_training:
                break
    finally:
        _notify(listeners, "on_train_end")
    return model.history


def train_epoch(
    model: Trainable,
    data: Data,
    batch_size: int,
    epoch: int,
    order: np.ndarray | None,
    listeners: Iterable[Callback],
) -> dict[str, float] | None:
    """Train on every batch once; return the means, or None when a callback stopped it half-way."""
    means = Means(model.metric_names)
    _notify(listeners, "on_epoch_begin", epoch)
    for index, (x, y) in enumerate(batches(*data, batch_size, order)):
        means.add(model.train_step(x, y), len(x))
        _notify(listeners, "on_batch_end", index, {**means.result(), "samples": means.samples})
        if model.stop_training and means.samples < len(data[0]):
            return None
    return means.result()


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
