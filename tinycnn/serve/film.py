"""A training film: the models that a run kept, in the order of their epochs.

::

    run/01.npz, run/02.npz, ... -> the same layers in all? -> frames by steps, loaded when they are looked at
"""

from __future__ import annotations

import re
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import tinycnn
from tinycnn import saving

MOST_LOADED = 8  # models in memory


class Frame(NamedTuple):
    """A file of a run, and the epochs and steps that its model was trained for."""

    path: Path
    epochs: int
    steps: int


class Film:
    """The models of a folder, by number.

    Parameters
    ----------
    model : Sequential, optional
        The one that the page begins with; models of other layers are left out. By default the model of the
        folder that was trained longest.
    folder : path, optional
        With files that `ModelCheckpoint` or `tinycnn train --checkpoint` wrote. Without it the film has no
        frames.

    Attributes
    ----------
    model : Sequential
    frames : list of Frame
        By steps, epochs and name; of two files of one step, the last.
    skipped : list of str
        Names of model files that do not belong to the model.

    Raises
    ------
    FileNotFoundError
        When there is no such folder, or no model of the same layers in it.
    """

    def __init__(self, model: Any = None, folder: str | Path | None = None) -> None:
        self.frames: list[Frame] = []
        self.skipped: list[str] = []
        self._loaded: OrderedDict[int, Any] = OrderedDict()
        self._lock = Lock()
        self.model = model if folder is None else self._find(model, Path(folder))

    def _find(self, model: Any, folder: Path) -> Any:
        """Fill `frames` and `skipped`; return the model that the page begins with."""
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: expected a folder with the models of a run")
        found = list(self._models(folder))
        if model is None and found:
            model = tinycnn.load_model(found[-1][0].path)
        for frame, layers in found:
            if layers != _layers(model):
                self.skipped.append(frame.path.name)
                continue
            if self.frames and frame.steps and self.frames[-1].steps == frame.steps:
                del self.frames[-1]
            self.frames.append(frame)
        if not self.frames:
            what = "models" if model is None else f"models of the same layers as {model.name}"
            raise FileNotFoundError(f"{folder}: expected {what}, found none")
        return model

    def _models(self, folder: Path) -> list[tuple[Frame, Any]]:
        """Return the models of a folder as frames, each with what `_layers` says of it, in their order."""
        found = []
        for path in folder.iterdir():
            if path.suffix.lower() not in saving.FORMATS:
                continue
            try:
                model = tinycnn.load_model(path)
            except (
                ImportError,
                ValueError,
                OSError,
            ):  # no library for it, damaged, a folder, a link to nowhere
                self.skipped.append(path.name)
            else:
                frame = Frame(path, model.epochs_trained, _steps(model))
                found.append((frame, _layers(model)))
        return sorted(found, key=lambda pair: (pair[0].steps, pair[0].epochs, _natural(pair[0].path.name)))

    def at(self, number: int | None) -> Any:
        """Return the model of a frame, or the one that the page begins with for None.

        Raises
        ------
        ValueError
            For a frame that is not there.
        """
        if number is None:
            return self.model
        if not 0 <= number < len(self.frames):
            raise ValueError(f"frame: expected a number below {len(self.frames)}, received {number}")
        with self._lock:
            if number not in self._loaded:
                self._loaded[number] = tinycnn.load_model(self.frames[number].path)
            self._loaded.move_to_end(number)
            while len(self._loaded) > MOST_LOADED:
                self._loaded.popitem(last=False)
            return self._loaded[number]


def _layers(model: Any) -> Any:
    """Return what two models of one run have in common."""
    return model.input_shape, [(type(layer).__name__, layer.get_config()) for layer in model.layers]


def _steps(model: Any) -> int:
    """Return the steps that a model was trained for; of Keras, its optimizer knows them."""
    iterations = 0 if model.optimizer is None else model.optimizer.iterations
    return int(model.steps_trained or iterations)


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which "epoch 2" comes before "epoch 10"."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
