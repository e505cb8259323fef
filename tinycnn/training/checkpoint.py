"""Training that can be stopped at any moment and goes on where it was, to the bit.

::

    fit(checkpoint="run/") -> each minute and epoch: model, position, history, callbacks -> run/checkpoint.npz
    the same fit again     -> run/checkpoint.npz -> model, position, history, callbacks -> goes on

A checkpoint is a model's file with more in it, so `tinycnn.load_model("run/checkpoint.npz")` opens it too:
with the weights that are being trained, also where a `WeightAverage` would leave others at the end. The one
before is kept beside it, for a file that a failing disk has damaged. All random numbers follow from
the seed, the step and the epoch, so there is no state of theirs to be kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn import saving, schedules, snapshots
from tinycnn.notices import notice
from tinycnn.saving import npz
from tinycnn.training.callbacks import Callback
from tinycnn.training.history import History

NAME, PREVIOUS, NEW = "checkpoint.npz", "checkpoint.previous.npz", "checkpoint.new.npz"
SECONDS_BETWEEN = 60.0


@dataclass
class Position:
    """How far a run is.

    Attributes
    ----------
    first_epoch : int
        Of the run.
    batches : int
        Of the epoch in hand that are done.
    sums, samples
        The means of that epoch so far.
    ended : bool
        Whether a callback ended the run.
    """

    first_epoch: int
    batches: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    samples: int = 0
    ended: bool = False


class Checkpoint:
    """The folder of one run.

    Parameters
    ----------
    folder : path
        Made if it is not there.
    settings : dict
        JSON-able: what must be the same for the run to go on.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: dict[str, Any]) -> None:
        self.folder = Path(folder)
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._saved_at = time.monotonic()

    def due(self) -> bool:
        """Return whether the last one is long ago."""
        return time.monotonic() - self._saved_at >= SECONDS_BETWEEN

    def save(self, model: Any, position: Position, callbacks: Sequence[Callback]) -> None:
        """Write where a run is; a reader finds the old checkpoint or the new one."""
        arrays: list[np.ndarray] = []
        states = [_packed(callback.get_state(), arrays) for callback in callbacks]
        run = {
            "settings": self.settings,
            "position": asdict(position),
            "history": {"epoch": model.history.epoch, "history": model.history.history},
            "callbacks": list(zip(_described(callbacks), states, strict=True)),
        }
        # The new one is whole before the old one makes room: a full disk or a kill leaves at least one.
        npz.write(self.folder / NEW, snapshots.take(model), (run, arrays))
        if (self.folder / NAME).exists():
            os.replace(self.folder / NAME, self.folder / PREVIOUS)
        os.replace(self.folder / NEW, self.folder / NAME)
        self._saved_at = time.monotonic()

    def restore(self, model: Any, callbacks: Sequence[Callback]) -> Position | None:
        """Bring a run to where it was; return that, or None when it has not begun.

        Raises
        ------
        ValueError
            When the folder is of another run, or neither of its checkpoints can be read.
        """
        # what a process left that was killed while it wrote
        for left in (self.folder / NEW, *self.folder.glob(f".{NEW}.*.tmp")):
            left.unlink(missing_ok=True)
        found = self._read()
        if found is None:
            return None
        snapshot, (run, arrays) = found
        rate = snapshot.training["optimizer"]["config"]["learning_rate"]  # a callback may have changed it
        settings = self.settings["optimizer"]["config"]
        if settings["learning_rate"] == rate or any(callback.changes_rate for callback in callbacks):
            settings["learning_rate"] = run["settings"]["optimizer"]["config"]["learning_rate"]
        _compare(f"{self.folder}", run["settings"], self.settings)
        described = [one for one, _ in run["callbacks"]]
        _compare(f"{self.folder}: callbacks", described, _described(callbacks))
        snapshots.load(model, snapshot)
        model.optimizer.learning_rate = schedules.get("learning_rate", rate)
        for callback, (_, state) in zip(callbacks, run["callbacks"], strict=True):
            if state:
                callback.set_state(_unpacked(state, arrays))
        model.history = History()
        model.history.epoch, model.history.history = run["history"]["epoch"], run["history"]["history"]
        position = Position(**run["position"])
        where = "ended" if position.ended else f"{model.epochs_trained} epochs, {position.batches} batches"
        notice(f"{self.folder}: going on from its checkpoint ({where})")
        return position

    def _read(self) -> tuple[Any, npz.Extra] | None:
        """Return the newest checkpoint that can be read; a file may hold anything, and raise any error."""
        errors: list[Exception] = []
        for name in (NAME, PREVIOUS):
            path = self.folder / name
            if not path.exists():
                continue
            try:
                found = saving.read(path), npz.read_extra(path)
                _check(*found)
            except Exception as error:
                errors.append(error)
                continue
            if errors:
                notice(f"{self.folder / NAME}: {errors[0]}; going on from the one before")
                (self.folder / NAME).unlink()  # or it would take the place of the good one at the next save
            return found
        if errors:
            raise ValueError(f"{self.folder}: expected a checkpoint, received: {errors[0]}") from errors[0]
        return None


def _check(snapshot: saving.Snapshot, extra: npz.Extra) -> None:
    """Raise when a file is no checkpoint."""
    run, arrays = extra
    Position(**run["position"])
    _ = (
        run["settings"]["optimizer"]["config"]["learning_rate"],
        run["history"]["epoch"],
        run["history"]["history"],
    )
    for _, state in run["callbacks"]:
        _unpacked(state, arrays)
    if snapshot.training is None:
        raise ValueError("expected a compiled model, received one that is not")


def digest(arrays: Iterable[np.ndarray]) -> str:
    """Return the SHA-256 of arrays, their shapes and dtypes, as far as a run must have the same again."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(repr((array.shape, array.dtype.str)).encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def _described(callbacks: Iterable[Callback]) -> Any:
    """Return what must be the same again of callbacks, as JSON gives it back: their kinds and settings."""
    named = [{"name": type(callback).__name__, "config": callback.get_config()} for callback in callbacks]
    return json.loads(json.dumps(named))


def _packed(state: dict[str, Any], arrays: list[np.ndarray]) -> dict[str, Any]:
    """Return a state in which each array has become its number in `arrays`, and put the array there."""
    packed = {}
    for name, value in state.items():
        if isinstance(value, np.ndarray):
            packed[name] = {"array": len(arrays)}
            arrays.append(value)
        else:
            packed[name] = value
    return packed


def _unpacked(state: dict[str, Any], arrays: list[np.ndarray]) -> dict[str, Any]:
    return {
        name: arrays[value["array"]] if isinstance(value, dict) and "array" in value else value
        for name, value in state.items()
    }


def _compare(what: str, saved: Any, now: Any) -> None:
    """Raise unless two settings are the same; the message names where they are not."""
    if isinstance(saved, dict) and isinstance(now, dict) and set(saved) == set(now):
        for name in now:
            _compare(f"{what}: {name}", saved[name], now[name])
    elif isinstance(saved, list) and isinstance(now, list) and len(saved) == len(now):
        for number, (one, other) in enumerate(zip(saved, now, strict=True)):
            _compare(f"{what}[{number}]", one, other)
    elif saved != now:
        raise ValueError(f"{what}: expected {saved!r}, as in its checkpoint, received {now!r}")
