"""How kernels are compiled: Numba's flags, in one place.

::

    loops in Python -> jit -> machine code, kept in the cache folder for the next process

- nogil: other Python threads go on while a kernel runs.
- fastmath: multiply and add may be one instruction, and sums may be regrouped so that they vectorise. NaN
  and infinities keep their meaning, since a diverged training must be seen.
- error_model "numpy": dividing by zero gives inf, without a branch around every division.
- cache: compiled once for each source file and kind of CPU.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numba

FLAGS: dict[str, Any] = {
    "nogil": True,
    "fastmath": {"contract", "reassoc", "nsz"},
    "error_model": "numpy",
}


def jit(function: Callable[..., Any] | None = None, *, parallel: bool = False) -> Any:
    """Compile a function with the project's flags. Use as `@jit` or `@jit(parallel=True)`."""
    if function is None:
        return lambda decorated: jit(decorated, parallel=parallel)
    try:
        return numba.njit(function, parallel=parallel, cache=True, **FLAGS)
    except RuntimeError:  # Numba found no folder for its cache: a read-only install, a container
        warnings.warn(
            "compiled kernels cannot be kept for the next start, since no cache folder is writable; "
            "set NUMBA_CACHE_DIR to a folder of your own",
            stacklevel=2,
        )
        return numba.njit(function, parallel=parallel, **FLAGS)
