"""The processes that train a model together: this one alone, unless `tinycnn.distributed` gives others.

::

    current() -> OneProcess -> gradients, figures and decisions of this process
    current() -> DataParallel (in tinycnn.distributed) -> the same for all processes of a job

The training loop and batch normalisation ask here, so neither knows how many processes there are.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np


class OneProcess:
    """A process that trains alone.

    Attributes
    ----------
    rank, size : int
        The number of this process, from 0, and how many there are.
    main : bool
        Whether this process prints, and writes files. One of a job does.
    alone : bool
        Whether it has whole batches, not parts that it shares with others.
    fixed_shards : int or None
        Parts of each batch whose sums are added in a fixed order, on which the bits of a run depend.
    """

    rank, size = 0, 1
    main = True
    alone = True
    fixed_shards: int | None = None

    def begin(self, model: Any, run: dict[str, Any], state: Callable[[], Any]) -> Any:
        """Return the state that a run begins with in the main process; in that process itself None.

        Parameters
        ----------
        model : Sequential
        run : dict
            Plain values and arrays that must be the same in each process, by names for messages.
        state : callable
            Returns the state of a run in this process.
        """
        return None

    def gradients(self, model: Any, batch: Any, images: Callable[[Any], np.ndarray]) -> list[float]:
        """Assign `model.gradients` of a batch; return its loss, without penalties, and its metrics.

        Parameters
        ----------
        model : Sequential
        batch : tinycnn.training.sources.Batch
            The same in each process.
        images : callable
            Batch -> images, augmented.
        """
        values: list[float] = model.compute_gradients(images(batch), batch.y, batch.weights)
        return values

    def evaluates(self, batch: int) -> bool:
        """Return whether this process evaluates the batch of this number."""
        return True

    def in_order(self, rows: list[list[float]]) -> list[list[float]]:
        """Return the rows of all processes in the order of batches, given those of this process."""
        return rows

    def any(self, flag: bool) -> bool:
        """Return whether a flag is set in any process."""
        return flag

    def total(self, sums: np.ndarray) -> np.ndarray:
        """Return sums over the part of a batch in this process, added up over the processes that share it."""
        return sums


_current: ContextVar[OneProcess] = ContextVar("processes", default=OneProcess())  # noqa: B039 (has no state)
current = _current.get
enter = _current.set
leave = _current.reset
