"""A training film: the models that a run kept, in the order of their epochs.

::

    run/01.npz, run/02.npz, ... -> the same layers in all? -> models, loaded when they are looked at
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import tinycnn
from tinycnn import saving

MOST_LOADED = 8  # models in memory


class Frame(NamedTuple):
    """A file of a run, and the epochs that its model was trained for."""

    path: Path
    epochs: int


class Film:
    """The models of a folder, by number.

    Parameters
    ----------
    model : Sequential
        The one that the page begins with; models of other layers are left out.
    folder : path, optional
        With files that `ModelCheckpoint` wrote. Without it the film has no frames.

    Attributes
    ----------
    frames : list of Frame
        By epochs.
    skipped : list of str
        Names of model files that do not belong to the model.

    Raises
    ------
    FileNotFoundError
        When there is no such folder, or no model of the same layers in it.
    """

    def __init__(self, model: Any, folder: str | Path | None = None) -> None:
        self.model = model
        self.frames: list[Frame] = []
        self.skipped: list[str] = []
        self._loaded: OrderedDict[int, Any] = OrderedDict()
        self._lock = Lock()
        if folder is not None:
            self._find(Path(folder))

    def _find(self, folder: Path) -> None:
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: expected a folder with the models of a run")
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() not in saving.FORMATS:
                continue
            try:
                found = tinycnn.load_model(path)
            except ValueError:
                self.skipped.append(path.name)
                continue
            if _layers(found) == _layers(self.model):
                self.frames.append(Frame(path, found.epochs_trained))
            else:
                self.skipped.append(path.name)
        if not self.frames:
            raise FileNotFoundError(
                f"{folder}: expected models of the same layers as {self.model.name}, found none"
            )
        self.frames.sort(key=lambda frame: frame.epochs)

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
