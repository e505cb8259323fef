"""How kernels are compiled: Numba's flags, in one place.

::

    loops in Python -> jit -> machine code, kept in the cache folder for the next process

- nogil: other Python threads go on while a kernel runs.
- fastmath: multiply and add may be one instruction, and sums may be regrouped so that they vectorise. NaN
  and infinities keep their meaning, since a diverged training must be seen.
- error_model "numpy": dividing by zero gives inf, without a branch around every division.
- cache: compiled once for each kind of CPU and each state of the sources.
"""

import hashlib
import os
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
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
        compiled = numba.njit(function, parallel=parallel, cache=True, **FLAGS)
    except RuntimeError:  # Numba found no folder for its cache: a read-only install, a container
        _warn_once()
        return numba.njit(function, parallel=parallel, **FLAGS)
    # Numba compares one file's date with its cache. An inlined function of another file may have changed
    # too, or the flags above: so every kernel's cache is stamped with all of them. (A private attribute: a
    # Numba without it falls back to the date.)
    cache_file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if cache_file is not None:
        cache_file._source_stamp = sources_stamp()
    return compiled


@cache
def sources_stamp() -> str:
    """Return a digest of every file in the folder of the kernels, and of the width that is forced."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    forced = os.environ.get("TINYCNN_VECTOR_BYTES", "")
    return hashlib.sha256(b"".join([forced.encode(), *(path.read_bytes() for path in files)])).hexdigest()


@cache
def _warn_once() -> None:
    warnings.warn(
        "compiled kernels cannot be kept for the next start, since no cache folder is writable; "
        "set NUMBA_CACHE_DIR to a folder of your own",
        stacklevel=3,
    )
