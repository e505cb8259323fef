"""The loops over epochs and batches.

::

    fit:       for each epoch: for each batch: a step;  evaluate on validation data;  record
    a step:    the processes of the run -> compute_gradients, summed over them -> model.apply_gradients
    evaluate:  for each batch: model.forward -> loss and metrics, weighted by the size of the batch
    predict:   for each batch: model.forward -> outputs
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinycnn.saving.model import Model, compiled
from tinycnn.support import processes
from tinycnn.support.processes import OneProcess
from tinycnn.training import culprit, divergence, model_state, progress
from tinycnn.training.callback_list import CallbackList
from tinycnn.training.callbacks import Callback
from tinycnn.training.checkpoint import Checkpoint, NoCheckpoint, Position, run_settings
from tinycnn.training.checkpoint_files import NAME
from tinycnn.training.divergence import NonFiniteError, NonFiniteStep
from tinycnn.training.history import History
from tinycnn.training.interrupts import StopAndSave, StopOnInterrupt
from tinycnn.training.monitors import ModelCheckpoint
from tinycnn.training.sources import Arrays, Batch, Batches

Source = Arrays | Batches
# (images, seed, epoch, sample numbers, step) -> images, such as datasets.Augmentation
ALONE = OneProcess()
Augment = Callable[[np.ndarray, int, int, np.ndarray, int], np.ndarray]


@dataclass
class Settings:
    """How `fit` goes through the data; see `Sequential.fit`.

    Attributes
    ----------
    epochs : int
        Epochs of this run, a resumed one's earlier epochs included.
    batch_size : int or None
        None for batches of an iterable.
    digested : sequence of ndarray
        The data that a run with a checkpoint recognises.
    """

    epochs: int
    batch_size: int | None
    validation_split: float
    shuffle: bool
    augment: Augment | None
    checkpoint: str | os.PathLike[str] | None
    digested: Iterable[np.ndarray] = ()


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
        """Return the means; NaN of no images."""
        return {name: total / self.samples if self.samples else math.nan for name, total in self.sums.items()}


def fit(
    model: Model,
    source: Source,
    validation: Source | None,
    settings: Settings,
    callbacks: Iterable[Callback] | Callback | None,
    verbose: str | int,
) -> History:
    """Train a compiled model; see `Sequential.fit`."""
    optimizer, _ = compiled(model)
    optimizer.check_rules(model.parameter_names)
    team = processes.current()
    checkpoint = _checkpoint(model, settings, team) if team.main else NoCheckpoint()
    events = CallbackList(progress.choose(verbose) if team.main else [], callbacks, main=team.main)
    interrupt = StopAndSave()
    if settings.checkpoint is not None and not any(isinstance(c, StopOnInterrupt) for c in events):
        events.progress.append(interrupt)
    model.history, model.stop_training = History(), False
    names = [*model.metric_names, *(f"val_{name}" for name in model.metric_names if validation is not None)]
    params: dict[str, Any] = {
        "epochs": model.epochs_trained + settings.epochs,
        "steps": source.steps,
        "samples": source.samples,
        "batch_size": settings.batch_size,
        "metrics": names if all(map(_is_ours, events)) else None,
    }
    for callback in events:
        callback.set_run(source, validation, settings, events.callbacks)
    with checkpoint, events.session(model, params) as logs:
        position = checkpoint.begin(model, events.callbacks)
        compared = {"epochs": settings.epochs, "batches of an epoch": source.steps, "data": settings.digested}
        received = team.begin(model, compared, lambda: _state(model, position, events))
        if received is not None:
            position = _restore(model, events, received)
        run = Run(model, source, validation, settings, events, checkpoint, position, team)
        params["epochs"] = position.first_epoch + settings.epochs
        if position.batches:  # the callbacks have seen this epoch begin, the progress display has not
            for callback in events.progress:
                callback.on_epoch_begin(model.epochs_trained)
        while model.epochs_trained < params["epochs"] and not run.stops():
            run.train_epoch()
        logs |= run.logs
    interrupt.deliver(settings.checkpoint)
    return model.history


def _state(model: Model, position: Position, events: CallbackList) -> tuple[Any, ...]:
    """Return the state of a run, as other processes begin with it."""
    return model_state.take(model), position, model.history, [c.get_state() for c in events.shared]


def _restore(model: Model, events: CallbackList, state: tuple[Any, ...]) -> Position:
    """Take over the `_state` of the main process; return its position."""
    own, position, model.history, callbacks = state
    model_state.put(model, own)
    for callback, one in zip(events.shared, callbacks, strict=True):
        if one:
            callback.set_state(one)
    return copy.deepcopy(position)


def _is_ours(callback: Callback) -> bool:
    """Return whether a callback is of this library: it adds no figures to the logs."""
    return type(callback).__module__.startswith(__name__.partition(".")[0] + ".")


def _checkpoint(model: Model, settings: Settings, team: OneProcess) -> Checkpoint | NoCheckpoint:
    if settings.checkpoint is None:
        return NoCheckpoint()
    how = {name: getattr(settings, name) for name in ("batch_size", "validation_split", "shuffle")}
    how["shards"] = team.fixed_shards
    return Checkpoint(settings.checkpoint, run_settings(model, how, settings.augment, settings.digested))


@dataclass
class Run:
    """A run of `fit`, and where it is."""

    model: Model
    source: Source
    validation: Source | None
    settings: Settings
    events: CallbackList
    checkpoint: Checkpoint | NoCheckpoint
    position: Position
    team: OneProcess
    diverged: bool = False  # and ended for that, by a callback
    logs: dict[str, float] = field(default_factory=dict)  # of the last epoch

    def __post_init__(self) -> None:
        """Begin with what the checkpoint, if there are any, holds now; `saved` is the number of its step."""
        self.saved = self.model.steps_trained if divergence.is_finite(self.model) else None
        self._seen: np.ndarray | None = None  # the images of the last batch, augmented

    def stops(self) -> bool:
        """Return whether a callback ended the run, now or before its checkpoint, or interrupts it."""
        return self.team.any(self.position.ended or self.model.stop_training or self.events.interrupted)

    def train_epoch(self) -> None:
        """Train what is left of an epoch; if it was not stopped half-way, evaluate and record it."""
        model, epoch = self.model, self.model.epochs_trained
        if not self.position.batches:
            self.events.notify("on_epoch_begin", epoch)
        finished = self.train_batches(epoch)
        if finished:
            self.events.notify("on_evaluate_begin")
            logs = Means(model.metric_names, self.position).result()
            if self.validation is not None:
                self.events.notify("on_test_begin")
                figures = evaluate(model, self.validation, self.events, self.team)
                self.events.notify("on_test_end", figures)
                if not self.validation.exhausted:  # figures of no images are NaN too
                    divergence.warn_of_validation(figures["loss"], epoch)
                logs |= {f"val_{name}": value for name, value in figures.items()}
            model.epochs_trained += 1
            model.history.record(epoch, logs)
            self.events.notify("on_epoch_end", epoch, logs)
            model.history.complete(logs)
            self.logs = logs
            self.events.notify("on_evaluate_end")
            self.position = Position(self.position.first_epoch)
        self.position.ended = model.stop_training
        self.save()

    def train_batches(self, epoch: int) -> bool:
        """Train on every batch that is left; return False when a callback stopped it half-way."""
        model, position = self.model, self.position
        means, loss = Means(model.metric_names, position), math.nan
        for batch in self.source.epoch(epoch, position.batches):
            self.begin_batch("train", position.batches)
            values = self.step(batch, epoch)
            if values is not None:
                means.add(values, len(batch.x))
                loss = values[0]
            position.batches += 1
            position.sums, position.samples = means.sums, means.samples
            logs = {**means.result(), "samples": means.samples}
            self.events.notify("on_batch_end", position.batches - 1, logs)
            self.events.notify("on_train_batch_end", position.batches - 1, logs)
            if self.stops() and position.batches != self.source.steps:
                return False
            if self.checkpoint.due():
                self.save()
        if self.source.exhausted:
            model.stop_training = True
        if position.batches and not self.diverged and not divergence.is_finite(model):
            where = next(culprit.in_weights(model))  # no step follows that would find it
            self.report(loss, epoch, position.batches - 1, model.steps_trained - 1, where)
        return position.batches > 0 and not self.diverged

    def step(self, batch: Batch, epoch: int) -> list[float] | None:
        """Take one step of the optimizer; return the loss and the metrics before it.

        None for a step that is not finite: it is left out, as a callback decided.
        """
        model, images = self.model, len(batch.x)
        averages = model_state.take_averages(model)
        values = self.team.gradients(model, batch, lambda part: self.images(part, epoch))
        values[0] += model.add_penalties(images)
        if divergence.step_is_finite(model, values[0]):
            model.apply_gradients(images)
            return values
        model_state.put_averages(model, averages)
        seen = self._seen if self.team.alone and self._seen is not None else self.images(batch, epoch)
        where = culprit.find(model, self.source, batch, seen)
        self.report(values[0], epoch, self.position.batches, model.steps_trained, where)
        model.steps_trained += 1  # so that the next dropout masks are those of the next step
        return None

    def report(self, loss: float, epoch: int, batch: int, step: int, where: str) -> None:
        """Let the callbacks decide about what is not finite; raise NonFiniteError when none of them does."""
        finite = divergence.is_finite(self.model)
        problem = NonFiniteStep(loss, epoch, batch, step, where, self.last_good(), finite)
        if not self.events.handle("on_nonfinite", batch, problem):
            raise NonFiniteError(problem)
        self.diverged = self.model.stop_training

    def last_good(self) -> str:
        """Return the last checkpoint, which is of a finite state, as a sentence."""
        found = [c.saved for c in self.events.callbacks if isinstance(c, ModelCheckpoint) and c.saved]
        folder = self.settings.checkpoint
        if folder is not None and not self.team.main:
            return f"the last good checkpoint is in {os.fspath(folder)}"
        if folder is not None and self.saved is not None:
            found.append((os.path.join(folder, NAME), self.saved))
        if not found:
            return "there is no checkpoint"
        path, step = max(found, key=lambda one: one[1])
        return f"the last good checkpoint is {path}, after step {step}"

    def begin_batch(self, what: str, batch: int) -> None:
        """Tell the callbacks that a batch of training begins."""
        self.events.notify("on_batch_begin", batch)
        self.events.notify(f"on_{what}_batch_begin", batch)

    def images(self, batch: Batch, epoch: int) -> np.ndarray:
        """Return the images of a batch, augmented."""
        augment = self.settings.augment
        if augment is None:
            return batch.x
        optimizer, _ = compiled(self.model)
        self._seen = augment(batch.x, self.model.seed, epoch, batch.samples, optimizer.iterations)
        return self._seen

    def save(self) -> None:
        """Write a checkpoint, if there are any, of a state that is finite."""
        if isinstance(self.checkpoint, Checkpoint) and not self.diverged and divergence.is_finite(self.model):
            self.checkpoint.save(self.model, self.position, self.events.callbacks)
            self.saved = self.checkpoint.saved_step


def evaluate(
    model: Model, source: Source, events: CallbackList, team: OneProcess = ALONE
) -> dict[str, float]:
    """Return the loss and the metrics of a compiled model, by name."""
    means, rows = Means(model.metric_names), []
    for number, batch in enumerate(source.epoch(0)):
        if not team.evaluates(number):
            continue
        events.notify("on_test_batch_begin", number)
        values = model.test_step(batch.x, batch.y, batch.weights)
        means.add(values, len(batch.x))
        rows.append([*values, len(batch.x)])
        events.notify("on_test_batch_end", number, {**means.result(), "samples": means.samples})
    whole = Means(model.metric_names)
    for *values, samples in team.in_order(rows):
        whole.add(values, int(samples))
    return whole.result()


def predict(model: Model, batches: Iterable[np.ndarray], events: CallbackList) -> np.ndarray:
    """Return the outputs of a model for batches of images."""
    outputs = []
    for number, x in enumerate(batches):
        events.notify("on_predict_batch_begin", number)
        outputs.append(model.forward(x))
        events.notify("on_predict_batch_end", number, {"outputs": outputs[-1]})
    return np.concatenate(outputs)
