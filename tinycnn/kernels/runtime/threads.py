"""Thread safety of parallel kernels: several Python threads may call them, and forked processes.

::

    Python -> with threads.guard: kernel(...) -> Numba's threads

Numba has three threading layers. "workqueue" (where neither TBB nor OpenMP is installed, as in slim
containers) ends the process when two Python threads use it at once (numba#8563): there, the guard is a lock,
which serialises kernels. GNU's OpenMP does not survive a fork: Numba ends the child with SIGTERM
(numba#7872), and a multiprocessing.Pool then waits for it forever. There, the guard of the child raises an
error that says what to do. Everywhere else the guard does nothing.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numba

_lock = threading.Lock()


class ChooseGuard(AbstractContextManager[None]):
    """The guard of the first kernel: it starts Numba's threads and is replaced by what their layer needs."""

    def __enter__(self) -> None:
        global guard
        numba.get_num_threads()  # starts the threads, if nothing has
        guard = _lock if numba.threading_layer() == "workqueue" else nullcontext()
        guard.__enter__()

    def __exit__(self, *details: Any) -> None:
        guard.__exit__(*details)


class RefuseAfterFork(AbstractContextManager[None]):
    """The guard in the child of a process that had started OpenMP: it raises."""

    def __enter__(self) -> None:
        raise RuntimeError(
            "kernels on OpenMP's threads: expected the process that started them, received a child that was "
            'forked from it; use multiprocessing.get_context("spawn"), or set NUMBA_THREADING_LAYER=workqueue'
        )

    def __exit__(self, *details: Any) -> None:
        """Never reached."""


#: What every parallel kernel is called in, as `with threads.guard:`. It is replaced by the first kernel and
#: after a fork, so it must be read from this module each time.
guard: AbstractContextManager[Any] = ChooseGuard()


@contextmanager
def limited(count: int) -> Iterator[int]:
    """Run a block with at most `count` threads of kernels, and of BLAS; yield the number.

    The environment variable NUMBA_NUM_THREADS is the user's decision, and wins.

    Raises
    ------
    ImportError
        Without threadpoolctl, which the extra "mpi" brings.
    """
    from threadpoolctl import threadpool_limits

    before = numba.get_num_threads()
    if "NUMBA_NUM_THREADS" not in os.environ:
        numba.set_num_threads(min(count, before))
    try:
        with threadpool_limits(numba.get_num_threads(), user_api="blas"):
            yield numba.get_num_threads()
    finally:
        numba.set_num_threads(before)


def _after_fork() -> None:
    """Choose a guard again in a child, with a new lock: the holder of the old one may not exist here."""
    global _lock, guard
    _lock, guard = threading.Lock(), ChooseGuard()
    try:
        layer = numba.threading_layer()
    except ValueError:  # no kernel has run yet
        return
    if layer == "omp" and sys.platform.startswith("linux"):
        guard = RefuseAfterFork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
