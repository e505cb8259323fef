"""Checkpoints: a run can be stopped at any moment and resumed, to the bit.

::

    fit(checkpoint="run/") -> each minute and epoch: model, position, history, callbacks -> run/checkpoint.npz
    the same fit again     -> run/checkpoint.npz -> model, position, history, callbacks -> resumed run

A checkpoint is a model file with additions, so `tinycnn.load_model("run/checkpoint.npz")` opens it. The model
then has the weights that are being trained, even if a `WeightAverage` would leave averages at the end. All
random numbers follow from the seed, the step and the epoch, so no state of a random generator is saved.
training/checkpoint_files.py has the files, of which one is whole at any moment.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn import losses, saving
from tinycnn.optimizers import schedules
from tinycnn.saving import conversion, npz
from tinycnn.saving.model import Model, compiled
from tinycnn.saving.snapshot import check
from tinycnn.support import checks
from tinycnn.support.notices import notice
from tinycnn.training import callback_states
from tinycnn.training.callbacks import Callback
from tinycnn.training.checkpoint_files import CheckpointFiles, NotSavedError
from tinycnn.training.history import History

SECONDS_BETWEEN = 60.0


@dataclass
class Position:
    """Position of a run.

    Attributes
    ----------
    first_epoch : int
        The number of the first epoch of the run.
    batches : int
        Finished batches of the current epoch.
    sums : dict of str to float
        The loss and the metrics of these batches, each added up over their images.
    samples : int
        The number of these images.
    ended : bool
        Whether a callback ended the run.
    """

    first_epoch: int
    batches: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    samples: int = 0
    ended: bool = False

    def check(self) -> None:
        """Raise ValueError when a value is not of its type, as in a file that was changed."""
        for name in ("first_epoch", "batches", "samples"):
            checks.whole(name, getattr(self, name), 0)
        for name, value in self.sums.items():
            _figure(name, value)
        checks.flag("ended", self.ended)


class NoCheckpoint:
    """Keeps nothing: what `fit` uses without a `checkpoint`."""

    def __enter__(self) -> NoCheckpoint:
        """See `Checkpoint`."""
        return self

    def __exit__(self, *error: object) -> None:
        """See `Checkpoint`."""

    def due(self) -> bool:
        """See `Checkpoint.due`."""
        return False

    def save(self, model: Model, position: Position, callbacks: Sequence[Callback]) -> None:
        """See `Checkpoint.save`."""

    def begin(self, model: Model, callbacks: Sequence[Callback]) -> Position:
        """See `Checkpoint.begin`."""
        return Position(model.epochs_trained)


class Checkpoint:
    """The checkpoints of one run, in a folder that is its own within a with-block.

    Parameters
    ----------
    folder : path
        Created if it does not exist.
    settings : dict
        JSON-serialisable. A run is resumed only with equal settings.

    Attributes
    ----------
    saved_step : int
        The step of the last checkpoint that was written.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: dict[str, Any]) -> None:
        self.files = CheckpointFiles(folder)
        self.folder = self.files.folder
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        self._saved_at = time.monotonic()
        self.saved_step = 0
        self._failure: OSError | None = None  # of the last save

    def __enter__(self) -> Checkpoint:
        """Lock the folder; raise ValueError when another run has it."""
        self.files.lock.acquire()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Unlock the folder; raise NotSavedError if the last save failed and no other error is raised."""
        self.files.lock.release()
        if error is None and self._failure is not None:
            raise NotSavedError(
                f"{self.folder}: the last checkpoint is of step {self.saved_step}, the end of the run could "
                f"not be saved: {_reason(self._failure)}"
            ) from self._failure

    def due(self) -> bool:
        """Return whether the last checkpoint is a minute old."""
        return time.monotonic() - self._saved_at >= SECONDS_BETWEEN

    def save(self, model: Model, position: Position, callbacks: Sequence[Callback]) -> None:
        """Write a checkpoint, atomically: a reader finds the old one or the new one.

        Warns
        -----
        UserWarning
            When the system refuses it, and did not refuse the one before. The run goes on, and the next save
            is due as if this one had been written.
        """
        failed_before = self._failure is not None
        try:
            self._write(model, position, callbacks)
        except OSError as error:
            self._failure, self._saved_at = error, time.monotonic()
        if self._failure is not None and not failed_before:
            warnings.warn(
                f"{self.folder}: the checkpoint of step {model.steps_trained} could not be saved: "
                f"{_reason(self._failure)}; the last one is of step {self.saved_step}. The run goes on, and "
                "saves again when the next one is due",
                stacklevel=2,
            )

    def _write(self, model: Model, position: Position, callbacks: Sequence[Callback]) -> None:
        arrays: list[np.ndarray] = []
        states = [callback_states.packed(callback.get_state(), arrays) for callback in callbacks]
        run = {
            "settings": self.settings,
            "position": asdict(position),
            "history": {"epoch": model.history.epoch, "history": model.history.history},
            "callbacks": list(zip(callback_states.described(callbacks), states, strict=True)),
        }
        self.files.write(lambda path: npz.write(path, conversion.take(model), (run, arrays)))
        self._failure, self._saved_at, self.saved_step = None, time.monotonic(), model.steps_trained

    def begin(self, model: Model, callbacks: Sequence[Callback]) -> Position:
        """Restore the model and the callbacks of a run, and return its position; save a run that is new.

        Raises
        ------
        ValueError
            When the folder belongs to another run, or none of its checkpoints can be read.
        OSError
            When a run that is new cannot be saved.
        """
        found = self.files.read(_read)
        if found is None:
            start = Position(model.epochs_trained)
            self._write(model, start, callbacks)
            return start
        snapshot, (run, arrays) = found
        rate = snapshot.training["optimizer"]["config"]["learning_rate"]  # a callback may have changed it
        settings = self.settings["optimizer"]["config"]
        if settings["learning_rate"] == rate or any(callback.changes_rate for callback in callbacks):
            settings["learning_rate"] = run["settings"]["optimizer"]["config"]["learning_rate"]
        _compare(f"{self.folder}", run["settings"], self.settings)
        described = [one for one, _ in run["callbacks"]]
        _compare(f"{self.folder}: callbacks", described, callback_states.described(callbacks))
        callback_states.restore(f"{self.folder}", callbacks, [state for _, state in run["callbacks"]], arrays)
        try:
            conversion.load(model, snapshot)
        except ValueError as error:
            raise ValueError(f"{self.folder}: not a checkpoint of this model: {error}") from error
        optimizer, _ = compiled(model)
        optimizer.learning_rate = schedules.get("learning_rate", rate)
        model.history = History()
        model.history.epoch, model.history.history = run["history"]["epoch"], run["history"]["history"]
        self.saved_step = model.steps_trained
        position = Position(**run["position"])
        where = "ended" if position.ended else f"{model.epochs_trained} epochs, {position.batches} batches"
        notice(f"{self.folder}: resuming from its checkpoint ({where})")
        return position


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _read(path: Path) -> tuple[Any, npz.Extra]:
    """Return the content of a checkpoint. A damaged file may raise any error."""
    found = saving.read(path, judge=False), npz.read_extra(path)
    _check(*found)
    return found


def _check(snapshot: saving.Snapshot, extra: npz.Extra) -> None:
    """Raise an error when a file is not a checkpoint."""
    run, arrays = extra
    Position(**run["position"]).check()
    for name in ("settings", "position", "history", "callbacks"):
        if name not in run:
            raise ValueError(f"expected {name} in a checkpoint, received none")
    if not {"epoch", "history"} <= set(run["history"]):
        raise ValueError(f"expected a history in a checkpoint, received {run['history']!r}")
    for epoch in run["history"]["epoch"]:
        checks.whole("epoch", epoch, 0)
    for name, column in run["history"]["history"].items():
        if len(column) != len(run["history"]["epoch"]):
            raise ValueError(f"{name}: expected a value for each epoch, received {len(column)}")
        for value in column:
            _figure(name, value)
    if snapshot.training is None:
        raise ValueError("expected a compiled model, received one that is not")
    for training in (run["settings"], snapshot.training):
        if "learning_rate" not in training["optimizer"]["config"]:
            raise ValueError("expected a learning_rate in a checkpoint, received none")
    for _, state in run["callbacks"]:
        callback_states.unpacked(state, arrays)
    for name in run["position"]["sums"]:
        checks.choice("sums", name, ["loss", *snapshot.training["metrics"]])


def _figure(name: str, value: Any) -> None:
    """Raise ValueError unless a value is a float, as losses and metrics are; also NaN or infinite."""
    if not isinstance(value, float):
        raise ValueError(f"{name}: expected a float, received {value!r}")


def run_settings(
    model: Model, how: dict[str, Any], augment: Any, data: Iterable[np.ndarray]
) -> dict[str, Any]:
    """Return all that the result of a run depends on, for a compiled model; JSON-able.

    Parameters
    ----------
    model : Model
    how : dict
        Batch size, validation split and shuffling.
    augment : callable or None
    data : iterable of ndarray
        Images and labels; their digest stands for them.

    Raises
    ------
    ValueError
        For a model that could not be read again.
    """
    optimizer, loss = compiled(model)
    if type(loss) not in losses.LOSSES.values():
        raise ValueError(
            f"checkpoint: expected a loss of tinycnn.losses, which a file can name, received {loss!r}"
        )
    check(conversion.take(model))
    return {
        "model": model.get_config(),
        "optimizer": {"name": optimizer.name, "config": optimizer.get_config()},
        "loss": {"name": loss.name, "config": loss.get_config()},
        "metrics": list(model.metrics),
        **how,
        "augment": _describe_augmentation(augment),
        "SHA-256 of the data": digest(data),
    }


def _describe_augmentation(augment: Any) -> dict[str, Any] | None:
    """Describe an augmentation so that two processes can compare it."""
    if augment is None:
        return None
    named = augment if hasattr(augment, "__qualname__") else type(augment)
    settings = augment.get_config() if hasattr(augment, "get_config") else {}
    return {"name": f"{named.__module__}.{named.__qualname__}", "config": settings}


def digest(arrays: Iterable[np.ndarray]) -> str:
    """Return the SHA-256 of arrays with their shapes and dtypes, by which a run recognises its data."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(repr((array.shape, array.dtype.str)).encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def _compare(what: str, saved: Any, now: Any) -> None:
    """Raise ValueError unless two settings are equal; the message names the first difference."""
    if isinstance(saved, dict) and isinstance(now, dict) and set(saved) == set(now):
        for name in now:
            _compare(f"{what}: {name}", saved[name], now[name])
    elif isinstance(saved, list) and isinstance(now, list) and len(saved) == len(now):
        for number, (one, other) in enumerate(zip(saved, now, strict=True)):
            _compare(f"{what}[{number}]", one, other)
    elif saved != now:
        raise ValueError(f"{what}: expected {saved!r}, as in its checkpoint, received {now!r}")
