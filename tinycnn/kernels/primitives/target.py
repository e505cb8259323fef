"""What kernels are compiled for and run on: the processor, the width of vectors, and threads.

::

    llvmlite, simd, Numba -> describe -> {"compiled_for": "znver4", "vector_bytes": 64, "threads": 2, ...}
"""

from typing import Any

import llvmlite.binding as llvm
import numba

from tinycnn.kernels.primitives import simd


def describe() -> dict[str, Any]:
    """Return the processor that kernels are compiled for, the bytes of a vector, threads and their layer."""
    return {
        "compiled_for": numba.config.CPU_NAME or llvm.get_host_cpu_name(),  # type: ignore[attr-defined]
        "vector_bytes": simd.VECTOR_BYTES,
        "threads": numba.get_num_threads(),
        "threading_layer": threading_layer(),
    }


def threading_layer() -> str | None:
    """Return the name of Numba's threading layer; None before a kernel has run in parallel."""
    try:
        return str(numba.threading_layer())
    except ValueError:
        return None
