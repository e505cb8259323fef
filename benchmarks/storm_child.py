"""One life of a run of `kill_storm`: trains with checkpoints, and kills itself at the place that it is given.

::

    storm_child.py KIND FOLDER --place write --occurrence 3 --signal SIGKILL -> FOLDER/marks.jsonl, and death
    storm_child.py KIND FOLDER                                               -> FOLDER/end.json, the hashes

The library has no hooks for this. Functions of the standard library are wrapped from outside: `os.replace`,
`Path.mkdir`, and those that write and read the members of a zip archive. FOLDER also holds the checkpoints
(run/) and the log of the epochs (log.csv). `--forget` plants a fault into the checkpoints.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import signal
import sys
import zipfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from storm_runs import KINDS

from tinycnn.saving import conversion
from tinycnn.training import Callback, CSVLogger, StopOnInterrupt, WeightAverage, checkpoint

SECONDS_BETWEEN = 0.05  # of checkpoints: one or two steps of `mnist_cnn`, some more of a small network
INTERRUPTED = 130  # exit status after a signal that ended `fit` without an exception
NAME, PREVIOUS, NEW = "checkpoint.npz", "checkpoint.previous.npz", "checkpoint.new.npz"
#: Places in the order in which a life may come to them.
PLACES = ("folder", "resume", "write", "new", "renames", "batch", "validation", "epoch", "end")
FORGOTTEN = ("optimizer", "statistics", "average", "position", "log")


class Marks:
    """The log of a life, and the place at which it ends.

    Parameters
    ----------
    folder : Path
    place : str or None
    occurrence : int
        The number of times that the life comes to the place, before it ends there.
    signals : sequence of int
        Sent one after the other.
    """

    def __init__(self, folder: Path, place: str | None, occurrence: int, signals: Sequence[int]) -> None:
        self.checkpoints = folder / "run"
        self.place, self.occurrence, self.signals = place, occurrence, signals
        self._log = os.open(folder / "marks.jsonl", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def write(self, **entry: Any) -> None:
        """Add a line; what `os.write` was given outlives the process."""
        os.write(self._log, (json.dumps(entry) + "\n").encode())

    def reached(self, place: str) -> None:
        """Note that the life is at its last place, with the files that are there, and send the signals."""
        if place != self.place:
            return
        self.occurrence -= 1
        if self.occurrence == 0:
            self.write(
                place=place, files={path.name: path.stat().st_size for path in self.checkpoints.iterdir()}
            )
            os.fsync(self._log)
            for number in self.signals:
                signal.raise_signal(number)


class Witness(Callback):
    """Callback that notes the first step of a life, each further one, and the places in callbacks."""

    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self.began = False

    def on_batch_begin(self, batch, logs=None) -> None:
        """Note how many steps were trained before this life."""
        if not self.began:
            self.marks.write(step=self.model.steps_trained)
        self.began = True

    def on_batch_end(self, batch, logs) -> None:
        """Note a step."""
        self.marks.write(step=self.model.steps_trained)
        self.marks.reached("batch")

    def on_test_batch_end(self, batch, logs) -> None:
        """See `Marks.reached`."""
        self.marks.reached("validation")

    def on_epoch_end(self, epoch, logs) -> None:
        """See `Marks.reached`. The line of the epoch is in the log already, and not in a checkpoint."""
        self.marks.reached("epoch")

    def on_train_end(self, logs=None) -> None:
        """See `Marks.reached`. The last checkpoint is written, the model's file is not."""
        self.marks.reached("end")


def watch(marks: Marks) -> None:
    """Wrap functions that a checkpoint is written and read with, so that they report places."""

    def after_mkdir(path: Path, *_: Any) -> None:
        if path == marks.checkpoints:
            marks.reached("folder")

    def after_replace(source: Path, target: Path) -> None:
        if Path(target).name == NEW:
            marks.reached("new")
        elif Path(source).name == NAME:
            marks.reached("renames")

    def after_read(archive: zipfile.ZipFile, *_: Any) -> None:
        marks.reached("resume")

    def before_member(archive: zipfile.ZipFile, name: Any, mode: str = "r", *_: Any) -> None:
        if mode == "w" and archive.fp.tell() > 0:  # the members before this one reach the file
            archive.fp.flush()
            marks.reached("write")

    _wrap(Path, "mkdir", after_mkdir)
    _wrap(os, "replace", after_replace)
    _wrap(zipfile.ZipFile, "read", after_read)
    _wrap(zipfile.ZipFile, "open", before_member, before=True)


def _wrap(owner: Any, name: str, call: Callable[..., None], before: bool = False) -> None:
    function = getattr(owner, name)

    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if before:
            call(*arguments)
        result = function(*arguments, **named)
        if not before:
            call(*arguments)
        return result

    setattr(owner, name, wrapped)


def forget(part: str) -> None:
    """Plant a fault: checkpoints that leave out a part of the state of a run."""
    if part == "log":
        CSVLogger.get_state = lambda self: {}  # type: ignore[method-assign]
        return
    save = checkpoint.Checkpoint.save

    def forgetful(self, model, position, callbacks) -> None:
        if part == "position":
            position = checkpoint.Position(position.first_epoch, ended=position.ended)
        with zero(_arrays(part, model, callbacks)):
            save(self, model, position, callbacks)

    checkpoint.Checkpoint.save = forgetful  # type: ignore[method-assign]


def _arrays(part: str, model: Any, callbacks: Iterable[Callback]) -> list[np.ndarray]:
    if part == "optimizer":
        return list(model.optimizer.slots.values())
    if part == "statistics":
        return [array for layer in model.layers for array in layer.state.values()]
    if part == "average":
        return [array for one in callbacks if isinstance(one, WeightAverage) for array in one.averages]
    return []


@contextmanager
def zero(arrays: list[np.ndarray]):
    """Set arrays to 0 inside a with-block."""
    kept = [array.copy() for array in arrays]
    for array in arrays:
        array[...] = 0
    yield
    for array, values in zip(arrays, kept, strict=True):
        array[...] = values


def sha256(value: Any) -> str:
    """Return the SHA-256 of JSON-serialisable values and arrays."""

    def array(a: Any) -> list[Any]:
        return [a.dtype.str, a.shape, hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest()]

    return hashlib.sha256(json.dumps(value, sort_keys=True, default=array).encode()).hexdigest()


def hashes(model: Any, callbacks: Iterable[Callback], log: Path) -> dict[str, str]:
    """Return the SHA-256 of each part of what a run leaves."""
    snapshot = conversion.take(model)
    return {
        "weights": sha256(snapshot.weights),
        "moments": sha256(snapshot.slots),
        "steps": sha256([snapshot.progress, snapshot.training]),
        "history": sha256([model.history.epoch, model.history.history]),
        "callbacks": sha256([callback.get_state() for callback in callbacks]),
        "log": hashlib.sha256(log.read_bytes()).hexdigest(),
    }


def main() -> int:
    """Train a run until its end, or until the place of its death."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--place", choices=PLACES)
    parser.add_argument("--occurrence", type=int, default=1)
    parser.add_argument("--signal", action="append", default=[], help="SIGKILL and so on; may be repeated")
    parser.add_argument("--forget", choices=FORGOTTEN)
    options = parser.parse_args()
    # A program that a shell starts in the background ignores Ctrl-C, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signals = [getattr(signal, name) for name in options.signal]
    marks = Marks(options.folder, options.place, options.occurrence, signals)
    checkpoint.SECONDS_BETWEEN = SECONDS_BETWEEN
    if options.forget:
        forget(options.forget)
    training, log = KINDS[options.kind](), options.folder / "log.csv"
    watch(marks)
    callbacks = [*training.callbacks, CSVLogger(log), Witness(marks)]
    training.model.fit(**training.arguments(), callbacks=callbacks, checkpoint=marks.checkpoints)
    if any(isinstance(one, StopOnInterrupt) and one.interrupted for one in callbacks):
        return INTERRUPTED
    (options.folder / "end.json").write_text(
        json.dumps(hashes(training.model, callbacks, log)), encoding="utf-8"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
