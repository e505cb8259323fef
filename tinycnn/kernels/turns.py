"""Kernels on all cores, called from several Python threads, or in a process that was forked.

::

    threads of Python -> turn -> kernel on Numba's threads

Numba has three kinds of threads. "workqueue" (where neither TBB nor OpenMP is installed, as in slim
containers) ends the process when two Python threads use it at once (numba#8563): there, kernels take turns.
GNU's OpenMP does not survive a fork: Numba ends the child with SIGTERM (numba#7872), and a
multiprocessing.Pool then waits for it forever. There, the child gets an error that says what to do.
"""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any

import numba

_lock = threading.Lock()
# What a kernel runs in; chosen by the first one, when Numba has started its threads.
_turn: AbstractContextManager[Any] | None = None


class Forked(AbstractContextManager[None]):
    """Refuses to be entered, in the child of a process that had started OpenMP."""

    def __enter__(self) -> None:
        raise RuntimeError(
            "kernels on OpenMP's threads: expected the process that started them, received a child that was "
            'forked from it; use multiprocessing.get_context("spawn"), or set NUMBA_THREADING_LAYER=workqueue'
        )

    def __exit__(self, *details: object) -> None:
        """Never reached."""


def in_turn(compiled: Any) -> Callable[..., Any]:
    """Return a parallel kernel that threads and forked processes may call; `__wrapped__` is Numba's."""

    @wraps(compiled, updated=())
    def run(*args: Any) -> Any:
        with _turn or _choose():
            return compiled(*args)

    return run


def _choose() -> AbstractContextManager[Any]:
    global _turn
    numba.get_num_threads()  # starts Numba's threads, if nothing has
    _turn = _lock if numba.threading_layer() == "workqueue" else nullcontext()
    return _turn


def _after_fork() -> None:
    """Choose anew in a child, with a new lock: the old one may be held by a thread that is not there."""
    global _lock, _turn
    _lock, _turn = threading.Lock(), None
    try:
        layer = numba.threading_layer()
    except ValueError:  # no kernel has run yet
        return
    if layer == "omp" and sys.platform.startswith("linux"):
        _turn = Forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
