"""How kernels are compiled: Numba's flags, in one place.

::

    loops in Python -> jit -> machine code, kept in the cache folder for the next process

- nogil: other Python threads go on while a kernel runs.
- fastmath: multiply and add may be one instruction, and sums may be regrouped so that they vectorise. NaN
  and infinities keep their meaning, since a diverged training must be seen.
- error_model "numpy": dividing by zero gives inf, without a branch around every division.
- cached: compiled once for each kind of CPU and each state of the sources (`cachefile`), with one line on
  stderr before the pause (`notices`).
- parallel: on all cores, from any number of Python threads (`turns`).
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import event

from tinycnn.kernels.cachefile import KernelCache
from tinycnn.kernels.turns import in_turn
from tinycnn.notices import notice

FLAGS: dict[str, Any] = {
    "nogil": True,
    "fastmath": {"contract", "reassoc", "nsz"},
    "error_model": "numpy",
}


def jit(function: Callable[..., Any] | None = None, *, parallel: bool = False) -> Any:
    """Compile a function with the project's flags. Use as `@jit` or `@jit(parallel=True)`."""
    if function is None:
        return lambda decorated: jit(decorated, parallel=parallel)
    compiled: Any = numba.njit(function, parallel=parallel, **FLAGS)
    try:
        # What cache=True does, but for the stamp: Numba compares one file with its cache, and an inlined
        # function of another file may have changed too, or the flags above.
        compiled._cache = KernelCache(function, sources_stamp())
    except RuntimeError:  # Numba found no folder for its cache: a read-only install, a container
        notice(
            "compiled kernels cannot be kept for the next start, since no cache folder is writable; "
            "set NUMBA_CACHE_DIR to a folder of your own"
        )
    return in_turn(compiled) if parallel else compiled


@cache
def sources_stamp() -> str:
    """Return a digest of every file in the folder of the kernels, and of the width that is forced."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    forced = os.environ.get("TINYCNN_VECTOR_BYTES", "")
    return hashlib.sha256(b"".join([forced.encode(), *(path.read_bytes() for path in files)])).hexdigest()


class Announcer(event.Listener):
    """Says so before the first kernel is compiled. Numba tells it of compiling, not of loading or calling."""

    def on_start(self, compiling: event.Event) -> None:
        """Hear of a function that will be compiled now, perhaps somebody else's."""
        module = compiling.data["dispatcher"].py_func.__module__  # None for a function made by exec
        if module is not None and module.startswith("tinycnn."):
            notice("compiling kernels for this machine, once; up to a minute ...")

    def on_end(self, compiled: event.Event) -> None:
        """Say nothing more."""


event.register("numba:compile", Announcer())
