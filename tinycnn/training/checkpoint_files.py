"""The files of a checkpoint folder: which one is read, how a new one takes its place, what is kept.

::

    write: checkpoint.new.npz, complete -> checkpoint.npz becomes checkpoint.previous.npz -> the new one takes
           its name
    read:  checkpoint.new.npz, else checkpoint.npz, else checkpoint.previous.npz: the first that is whole

At any moment one of the three is whole, also where a rename is a copy that may be cut short. Damaged files
are kept as `*.damaged`: what cannot be read today may be readable on another machine.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tinycnn.support.files import replace
from tinycnn.support.folder_lock import FolderLock
from tinycnn.support.notices import notice

NAME, PREVIOUS, NEW = "checkpoint.npz", "checkpoint.previous.npz", "checkpoint.new.npz"
NEWEST_FIRST = (NEW, NAME, PREVIOUS)
LOCK = "checkpoint.lock"
DAMAGED = ".damaged"
Content = TypeVar("Content")


class NotSavedError(OSError):
    """The last checkpoint of a run could not be written, and the run has ended."""


class CheckpointFiles:
    """The files in a checkpoint folder.

    Parameters
    ----------
    folder : path
        Created if it does not exist.

    Attributes
    ----------
    lock : FolderLock
        Not held at first.

    Raises
    ------
    ValueError
        When it is a file.
    OSError
        When it cannot be created.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise ValueError(f"checkpoint: expected a folder, received the file {self.folder}") from error
        self._path = self.folder.absolute()  # a callback may change the current folder
        self.lock = FolderLock(self.folder, LOCK)

    def write(self, write: Callable[[Path], None]) -> None:
        """Replace the newest checkpoint by another.

        Parameters
        ----------
        write : callable
            Writes a file, atomically.
        """
        new, name = self._path / NEW, self._path / NAME
        write(new)
        # The new file is complete before the old one is renamed: a full disk or a kill leaves at least one.
        if name.exists():
            replace(name, self._path / PREVIOUS)
        replace(new, name)

    def read(self, read: Callable[[Path], Content]) -> Content | None:
        """Return the content of the newest whole checkpoint; None when there is no checkpoint.

        Parameters
        ----------
        read : callable
            Raises any error for a damaged file.

        Raises
        ------
        ValueError
            When there are checkpoints and none can be read; then all files stay as they are.
        """
        damaged: dict[Path, Exception] = {}
        for name in NEWEST_FIRST:
            path = self._path / name
            if not os.path.lexists(path):
                continue
            try:
                content = read(path)
            except Exception as error:
                damaged[path] = error
                continue
            if name == NEW and (self._path / NAME).exists():
                # a crash came before it took this name; a damaged file must not become the previous one
                with contextlib.suppress(Exception):
                    read(self._path / NAME)
                    replace(self._path / NAME, self._path / PREVIOUS)
            self._settle(path, damaged)
            return content
        if damaged:
            reasons = "; ".join(f"{path.name}: {_reason(path, error)}" for path, error in damaged.items())
            raise ValueError(
                f"{self.folder}: cannot be loaded: {reasons}. Nothing in it was changed; to begin anew, use "
                "another folder"
            ) from next(iter(damaged.values()))
        return None

    def _settle(self, good: Path, damaged: dict[Path, Exception]) -> None:
        """Put damaged files aside, and remove what a killed process left half written."""
        for path, error in damaged.items():
            notice(
                f"{self.folder / path.name}: {_reason(path, error)}; resuming from the previous one, "
                f"{good.name}, and keeping the damaged one as {path.name}{DAMAGED}"
            )
            self._put_aside(path)
        with contextlib.suppress(OSError):
            if good.name == NEW:
                if os.path.lexists(self._path / NAME):  # it could not be read, or not be renamed
                    self._put_aside(self._path / NAME)
                replace(good, self._path / NAME)
            for left in self._path.glob(f".{NEW}.*.tmp"):
                left.unlink(missing_ok=True)

    def _put_aside(self, path: Path) -> None:
        # where a folder may not be written, no later save can make the damaged file the previous one
        with contextlib.suppress(OSError):
            replace(path, path.with_name(path.name + DAMAGED))


def existing(folder: Path) -> Path | None:
    """Return the checkpoint in a folder that a reader opens, or None: usually `NAME`."""
    return next((folder / name for name in (NAME, NEW, PREVIOUS) if (folder / name).exists()), None)


def _reason(path: Path, error: Exception) -> str:
    """Return an error without the path, which begins messages about files."""
    text = str(error) if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {error}"
    return text.removeprefix(f"{path}: ").removeprefix("cannot be loaded: ")
