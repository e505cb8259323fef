"""Threads of kernels for computations that run side by side: each takes its share of the cores.

::

    fit, fit, predict in threads of one process -> Share each -> cores / 3, at least one thread
    a worker process of a pool or a cluster     -> its share was decided outside, or is one thread

Results have the same bits on any number of threads, so a share changes the time alone. The limits of BLAS
stay as they are: they belong to the process and not to a thread, and only small products are left to BLAS.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from contextlib import AbstractContextManager
from typing import Any

import numba

from tinycnn.kernels.runtime.threads import get_num_threads

_lock = threading.Lock()
_sharing = 0  # computations of this process that run now and share its threads


class Share(AbstractContextManager["Share"]):
    """The threads of one computation in the calling Python thread, as a `with` block.

    Parameters
    ----------
    count : int, optional
        The number of threads; by default the process's threads, divided by the computations that share them.
        It is never more than the calling thread may have.
    """

    def __init__(self, count: int | None = None) -> None:
        self._count = count

    def __enter__(self) -> Share:
        global _sharing
        self._most = get_num_threads()
        with _lock:
            _sharing += self._count is None
        self.renew()
        return self

    def renew(self) -> None:
        """Adapt to the computations that have begun or ended since."""
        wanted = max(1, threads_of_process() // max(_sharing, 1)) if self._count is None else self._count
        count = min(wanted, self._most)
        if count != get_num_threads():
            numba.set_num_threads(count)

    def __exit__(self, *details: Any) -> None:
        global _sharing
        with _lock:
            _sharing -= self._count is None
        numba.set_num_threads(self._most)


def threads_of_process() -> int:
    """Return how many threads all computations of this process should have together.

    NUMBA_NUM_THREADS says it, which joblib's loky sets for its workers; else OMP_NUM_THREADS, which Ray and
    Dask set. Without them a process that is not daemonic has all cores. A daemonic one is a worker of a pool,
    which does not know its siblings: it has one thread.
    """
    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    if "NUMBA_NUM_THREADS" in os.environ:
        return most
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if first.isdigit() and int(first):
        return min(int(first), most)
    return 1 if multiprocessing.current_process().daemon else most


def _after_fork() -> None:
    """Begin anew in a child: the threads that shared do not exist there."""
    global _lock, _sharing
    _lock, _sharing = threading.Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
