"""Thread safety of parallel kernels: several Python threads may call them, and forked processes.

::

    Python -> with threads.guard: kernel(...) -> Numba's threads

Numba has three threading layers. "workqueue" (where neither TBB nor OpenMP is installed, as in slim
containers) ends the process when two Python threads use it at once (numba#8563): there, the guard is a lock,
which serialises kernels. GNU's OpenMP does not survive a fork: Numba ends the child with SIGTERM
(numba#7872), and a multiprocessing.Pool then waits for it forever. TBB survives it unless other threads were
using it: then a child may wait forever. There, the guard of the child raises an error that says what to do.
Everywhere else the guard does nothing.

Numba's own locks do not survive a fork either. A child has none of its parent's other threads, so a lock that
one of them held is held forever. So a fork waits until none of them compiles or starts threads.
"""

import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.np.ufunc import parallel

# A signal handler, or the finalizer of an object, may run a kernel inside the guard of another one.
_lock = threading.RLock()
_start_lock = parallel._backend_init_thread_lock


class _Mark:
    """Mark of a living thread."""


class CountThreads(AbstractContextManager[None]):
    """The guard on TBB: it knows which of the living threads have run kernels."""

    def __init__(self) -> None:
        self._own = threading.local()  # it dies with its thread, and the mark with it
        self._marks: set[weakref.ref[_Mark]] = set()

    def __enter__(self) -> None:
        if not hasattr(self._own, "mark"):
            self._own.mark = _Mark()
            self._marks.add(weakref.ref(self._own.mark, self._marks.discard))

    def __exit__(self, *details: Any) -> None:
        """Do nothing: TBB counts a thread until it ends."""

    def has_others(self) -> bool:
        """Return whether another living thread than the one that asks has run kernels."""
        return len(self._marks) > hasattr(self._own, "mark")


_counted, _has_others = CountThreads(), False  # at the last fork


class ChooseGuard(AbstractContextManager[None]):
    """The guard of the first kernel: it starts Numba's threads and is replaced by what their layer needs."""

    def __enter__(self) -> None:
        global guard
        numba.get_num_threads()  # starts the threads, if nothing has
        guards: dict[str, AbstractContextManager[Any]] = {"workqueue": _lock, "tbb": _counted}
        guard = self._chosen = guards.get(numba.threading_layer(), nullcontext())
        self._chosen.__enter__()

    def __exit__(self, *details: Any) -> None:
        self._chosen.__exit__(*details)


class RefuseAfterFork(AbstractContextManager[None]):
    """The guard in the child of a process whose threads do not survive a fork: it raises."""

    def __init__(self, threads: str, expected: str) -> None:
        self.threads, self.expected = threads, expected

    def __enter__(self) -> None:
        raise RuntimeError(
            f"kernels on {self.threads} threads: expected {self.expected}, received a child that was "
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

    before = get_num_threads()
    if "NUMBA_NUM_THREADS" not in os.environ:
        numba.set_num_threads(min(count, before))
    try:
        with threadpool_limits(get_num_threads(), user_api="blas"):
            yield get_num_threads()
    finally:
        numba.set_num_threads(before)


def get_num_threads() -> int:
    """Return how many threads the kernels of the calling Python thread run on, as Numba's function does.

    Numba's takes a lock at each call, which a forked child shares with its parent. When one forked while
    another thread held it, neither process would ever get it again.
    """
    if not parallel._is_initialized:
        return numba.get_num_threads()
    return parallel._get_num_threads()  # type: ignore[attr-defined]  # which starting the threads has set


def _before_fork() -> None:
    """Wait for other threads that compile or start Numba's threads."""
    global _has_others
    _has_others = _counted.has_others()
    global_compiler_lock.acquire()
    _start_lock.acquire()


def _release() -> None:
    _start_lock.release()
    global_compiler_lock.release()


def _after_fork() -> None:
    """Choose a guard again in a child, with new locks: the holders of the old ones may not exist here."""
    global _lock, _counted, guard
    _release()
    parallel._backend_init_process_lock = None  # Numba makes a new one, which no other process has
    _lock, _counted = threading.RLock(), CountThreads()
    if isinstance(guard, RefuseAfterFork):  # the child of a child
        return
    guard = ChooseGuard()
    try:
        layer = numba.threading_layer()
    except ValueError:  # no kernel has run yet
        return
    if layer == "omp" and sys.platform.startswith("linux"):
        guard = RefuseAfterFork("OpenMP's", "the process that started them")
    if layer == "tbb" and _has_others:
        guard = RefuseAfterFork("TBB's", "a process in which one thread had run kernels")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_release, after_in_child=_after_fork)
