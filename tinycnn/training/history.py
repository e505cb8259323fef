"""History of a run: its figures, epoch by epoch.

::

    fit -> History.record -> History.history["val_loss"] -> to_csv
"""

import csv
import math
import numbers
import os
from typing import Any

from tinycnn.support.files import atomic_path


class History:
    """The figures of a run.

    Attributes
    ----------
    history : dict of str to list of float
        "loss", the metrics and, with validation data, "val_loss" and so on; and numbers that a callback has
        put into the logs. Each list has one value for each epoch; unfinished epochs are left out.
    epoch : list of int
        The numbers of these epochs, counted from 0. A model that was trained before continues counting.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def record(self, epoch: int, logs: dict[str, float]) -> None:
        """Add the figures of one epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))

    def complete(self, logs: dict[str, Any]) -> None:
        """Add numbers that callbacks have put into the logs of the last epoch; NaN where one is missing."""
        for name, value in logs.items():
            if isinstance(value, numbers.Real):
                column = self.history.setdefault(name, [math.nan] * (len(self.epoch) - 1))
                column += [float(value)] * (len(self.epoch) - len(column))
        for column in self.history.values():
            column += [math.nan] * (len(self.epoch) - len(column))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a CSV file with a header and one line for each epoch, counted from 1."""
        with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", *self.history])
            for row in zip(self.epoch, *self.history.values(), strict=True):
                writer.writerow([row[0] + 1, *(f"{value:.6g}" for value in row[1:])])

    def __repr__(self) -> str:
        return f"History(epochs={len(self.epoch)}, {', '.join(self.history)})"
