"""Compilation of kernels with Numba: the flags that all of them share.

::

    loops in Python -> jit -> machine code, kept in the cache folder for the next process

- nogil: other Python threads go on while a kernel runs.
- fastmath: multiply and add may be one instruction, and sums may be regrouped so that they vectorise. NaN
  and infinities keep their meaning, since a run that diverged must be seen.
- error_model "numpy": dividing by zero gives inf, without a branch around every division.
- cached: compiled once for each kind of CPU and each state of the sources (`runtime.cache`), with one line on
  stderr before the pause (`support.notices`).

A kernel on all cores is a jitted function that calls `runtime.parallel.parallel_for`.
"""

import hashlib
import os
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import numba
from numba.core import event

from tinycnn.kernels.runtime.availability import turned_off
from tinycnn.kernels.runtime.cache import KernelCache
from tinycnn.support.notices import notice, status

KERNELS = Path(__file__).parents[1]
FLAGS: dict[str, Any] = {
    "nogil": True,
    "fastmath": {"contract", "reassoc", "nsz"},
    "error_model": "numpy",
}


def jit(function: Callable[..., Any]) -> Any:
    """Compile a function with the project's flags, at its first call. Use as `@jit`.

    Raises
    ------
    RuntimeError
        When compilation is turned off: Numba would return the function as it is, and vector instructions have
        no meaning in Python. `availability.obstacle` knows this before a kernel's module is imported.
    """
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        raise RuntimeError(f"{function.__module__} cannot be compiled: {turned_off()}")
    compiled: Any = numba.njit(function, **FLAGS)
    try:
        # As cache=True does, except for the stamp: Numba looks at one file, but an inlined function of
        # another may have changed, or the flags above.
        compiled._cache = KernelCache(function, sources_stamp())
    except RuntimeError:  # Numba found no folder for its cache: a read-only install, a container
        notice(
            "compiled kernels cannot be kept for the next start, since no cache folder is writable; "
            "set NUMBA_CACHE_DIR to a folder of your own"
        )
    return compiled


@cache
def sources_stamp() -> str:
    """Return a digest of all code that compiled kernels may contain, and of the vector width that is forced.

    That is every module of `tinycnn.kernels`, except the printing of tables. Comments, docstrings and line
    numbers do not count: editing them compiles nothing. The modules may be in a zip, or compiled to bytecode
    without their sources.

    Raises
    ------
    RuntimeError
        When the modules cannot be found: code from the cache could be another version's.
    """
    digest = hashlib.sha256(os.environ.get("TINYCNN_VECTOR_BYTES", "").encode())
    modules = dict(_modules([str(KERNELS)], "tinycnn.kernels."))
    if "tinycnn.kernels.adam" not in modules:
        raise RuntimeError("the modules of tinycnn.kernels cannot be found")
    for name in sorted(modules):
        if name != "tinycnn.kernels.explanation":
            source, loader = modules[name].get_source(name), modules[name]
            # without docstrings
            code = loader.get_code(name) if source is None else compile(source, name, "exec", optimize=2)
            digest.update(code_as_text(code).encode())
    return digest.hexdigest()


def _modules(path: Iterable[str], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the names and loaders of all modules in folders, and in the packages in them."""
    for info in pkgutil.iter_modules(path, prefix):
        spec = info.module_finder.find_spec(info.name)  # type: ignore[call-arg]  # path entry finders need no path
        if spec is not None:
            yield info.name, spec.loader
            yield from _modules(spec.submodule_search_locations or [], f"{info.name}.")


def code_as_text(code: CodeType) -> str:
    """Return what Python runs of a module or function, which comments and line numbers are no part of."""
    constants = [_constant_as_text(constant) for constant in code.co_consts]
    return repr((code.co_name, code.co_code, code.co_names, code.co_varnames, code.co_freevars, constants))


def _constant_as_text(constant: Any) -> str:
    if isinstance(constant, CodeType):
        return code_as_text(constant)
    # the order of a set is another in each process
    return repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant)


class BeforeCompilation(event.Listener):
    """Calls a function before each kernel is compiled; one that is loaded from the cache does not count.

    Parameters
    ----------
    action : callable
        (name of the kernel) -> None
    after : callable, optional
        Called when the kernel is compiled.
    """

    def __init__(self, action: Callable[[str], None], after: Callable[[], None] | None = None) -> None:
        self.action, self.after = action, after

    def on_start(self, compiling: event.Event) -> None:
        """Take the event that Numba is about to compile a function, ours or another library's."""
        function = compiling.data["dispatcher"].py_func
        module = function.__module__  # None for a function made by exec
        if module is not None and module.startswith("tinycnn."):
            self.action(f"{module.rpartition('.')[2]}.{function.__name__.lstrip('_')}")

    def on_end(self, compiled: event.Event) -> None:
        """Take the event that it has compiled it."""
        if self.after is not None:
            self.after()


@contextmanager
def on_first_compilation(action: Callable[[], None]) -> Iterator[None]:
    """Call a function before the first kernel that is compiled inside a with-block, if one is."""
    once = cache(action)
    with event.install_listener("numba:compile", BeforeCompilation(lambda name: once())):
        yield


def _announce(kernel: str) -> None:
    try:
        os.getcwd()
    except FileNotFoundError:  # Numba would end with the same error, and no word of explanation
        raise FileNotFoundError(
            "working directory: expected one that exists while kernels are compiled, received one that was "
            "deleted; call os.chdir first"
        ) from None
    notice("compiling kernels for this machine, once; up to a minute ...")
    status(f"compiling {kernel} ...")


event.register("numba:compile", BeforeCompilation(_announce, after=lambda: status("")))
