"""Availability of compiled kernels: whether Numba compiles in this process, and if not, why.

::

    import numba, its settings -> obstacle -> selection.choose, execution.plan, Adam, Augmentation, ...

Numba may be missing, refuse a new version of NumPy, fail to load LLVM, or be told not to compile. Then
everything runs on NumPy, several times slower: convolutions and pools by `im2col`, layers one by one, and the
readable twins of the other kernels. Random numbers, and so dropout masks and orders, are the same to the bit;
other results differ by rounding. A request for a compiled algorithm is refused, with the reason.
"""

import os
from functools import cache
from typing import Any

from tinycnn.support.notices import notice


@cache
def obstacle() -> str:
    """Return why kernels cannot be compiled, and what to do; an empty string if they can.

    The first call imports Numba, and prints a notice if there is an obstacle. The answer is that of the whole
    process: what has been decided by it would not change with it.
    """
    reason = _find_obstacle()
    if reason:
        notice(f"running on NumPy, which is slower than compiled kernels: {reason}")
    return reason


def _find_obstacle() -> str:
    """Return the obstacle; a failed import is one, whatever it raises."""
    try:
        import numba

        if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
            return turned_off()
        # all that the library uses of Numba's internals, which another version may not have
        from tinycnn.kernels.runtime import linking, parallel, threads  # noqa: F401

        return _find_obstacle_to_threads(numba)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "numba":
            return "Numba is not installed; pip install numba"
        lines = str(error).strip().splitlines() or [""]
        cure = "pip install --upgrade numba"
        if isinstance(error, ValueError):  # of a setting, such as NUMBA_NUM_THREADS=0
            cure = "look at the variables of the environment that begin with NUMBA_"
        return f"Numba fails with {type(error).__name__}: {lines[0].rstrip('.')}; {cure}"


def _find_obstacle_to_threads(numba: Any) -> str:
    """Return why the threading layer that the environment asks for cannot be loaded, if it asks for one."""
    layer = numba.config.THREADING_LAYER
    if layer != "default":
        try:
            numba.get_num_threads()  # starts the threads
        except ValueError as error:
            reason = " ".join(str(error).split()).rstrip(".")
            return f"NUMBA_THREADING_LAYER={layer} cannot be obeyed; unset it, or say workqueue ({reason})"
    return ""


def turned_off() -> str:
    """Return what to do about Numba's setting DISABLE_JIT, by the place that it comes from."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return "NUMBA_DISABLE_JIT turns compilation off; unset it before the program starts"
    return "numba.config.DISABLE_JIT turns compilation off; remove disable_jit from .numba_config.yaml"
