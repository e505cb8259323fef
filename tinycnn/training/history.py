"""What training reported, epoch by epoch.

::

    fit -> History.record -> History.history["val_loss"] -> to_csv
"""

import csv
import os

from tinycnn.files import atomic_path


class History:
    """The record of a training run.

    Attributes
    ----------
    history : dict of str to list of float
        "loss", the metrics, and with validation data "val_loss" and so on; one value for each epoch. Epochs
        that were not finished are left out.
    epoch : list of int
        The numbers of these epochs; the first is 0, and a model that was loaded goes on counting.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def record(self, epoch: int, logs: dict[str, float]) -> None:
        """Add one epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one line for each epoch, counted from 1, with a heading."""
        with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", *self.history])
            for row in zip(self.epoch, *self.history.values(), strict=True):
                writer.writerow([row[0] + 1, *(f"{value:.6g}" for value in row[1:])])

    def __repr__(self) -> str:
        return f"History(epochs={len(self.epoch)}, {', '.join(self.history)})"
