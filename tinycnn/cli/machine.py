"""Description of the machine and of the installation, without Numba.

::

    /proc, cgroup, affinity, environment, packages -> dictionaries of plain values
"""

import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

import tinycnn
from tinycnn.support.machine import lines, processor, version

REQUIRED = ("numpy", "numba", "llvmlite", "h5py", "tqdm")
#: Optional packages: what each is for, and how to get it.
OPTIONAL = {
    "matplotlib": ("pictures of training and of errors", 'pip install "tinycnn[plot]"'),
    "pillow": ("tinycnn predict", 'pip install "tinycnn[image]"'),
}
CGROUP = Path("/sys/fs/cgroup")
#: Environment variables that change what runs, and what they do.
VARIABLES = {
    "TINYCNN_ALGORITHM": "every convolution and pool runs by this algorithm, where it can",
    "TINYCNN_VECTOR_BYTES": "kernels use vectors of this width, whatever the processor has",
    "TINYCNN_QUIET": "silences the notice before kernels are compiled, unless it is 0",
    "TINYCNN_DEBUG": "the command shows where an error came from, unless it is 0",
    "NUMBA_CACHE_DIR": "compiled kernels are kept in this folder",
    "NUMBA_CACHE_LOCATOR_CLASSES": "where Numba looks for a cache folder",
    "NUMBA_NUM_THREADS": "the number of threads of kernels",
    "NUMBA_THREADING_LAYER": "the threads that kernels run on",
    "NUMBA_DISABLE_JIT": "nothing is compiled, unless it is 0",
    "NUMBA_CPU_NAME": "kernels are compiled for this processor",
    "NUMBA_CPU_FEATURES": "kernels are compiled for these instructions",
    "OMP_NUM_THREADS": "the number of threads of OpenMP, and of many BLAS libraries",
    "OMP_WAIT_POLICY": "whether idle threads of OpenMP spin or sleep",
    "OMP_PROC_BIND": "whether threads of OpenMP stay on their cores",
    "GOMP_CPU_AFFINITY": "the cores of GNU's OpenMP",
    "KMP_AFFINITY": "the cores of Intel's OpenMP",
    "OPENBLAS_NUM_THREADS": "the number of threads of OpenBLAS, for NumPy",
    "MKL_NUM_THREADS": "the number of threads of MKL, for NumPy",
    "VECLIB_MAXIMUM_THREADS": "the number of threads of Accelerate, for NumPy",
}


def describe() -> dict[str, Any]:
    """Return processor, cores, memory, system and versions of the parts that every command uses."""
    return {
        "processor": processor(),
        "cores": os.cpu_count() or 1,
        "usable_cores": usable_cores(),
        "cpu_limit": cpu_limit(),
        "memory_bytes": memory(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "executable": sys.executable,
        "tinycnn": tinycnn.__version__,
        "folder": str(Path(tinycnn.__file__).parent),
        "numpy": np.__version__,
    }


def usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_limit(root: Path = CGROUP) -> float | None:
    """Return the number of cores that the control group allows, as of a container; None without a limit."""
    for quota_file, period_file in (("cpu.max", ""), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        numbers = " ".join(lines(root / quota_file)).split()
        if period_file:
            numbers += " ".join(lines(root / period_file)).split()
        if len(numbers) == 2 and all(number.isdigit() for number in numbers) and int(numbers[1]):
            return int(numbers[0]) / int(numbers[1])
    return None


def load() -> float | None:
    """Return the mean number of processes that wanted to run in the last minute; None if unknown."""
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):  # Windows has none
        return None


def memory(root: Path = CGROUP) -> int | None:
    """Return the bytes of memory of the machine, or of the control group if that allows less."""
    sizes = [
        int(line.split()[1]) * 1024 for line in lines(Path("/proc/meminfo")) if line.startswith("MemTotal:")
    ]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        sizes += [int(line) for line in lines(root / name) if line.strip().isdigit()]
    return min(sizes, default=None)


def packages() -> list[dict[str, Any]]:
    """Return name, version (None if it is missing), whether it is required, purpose and cure."""
    found = [_package(name, True, "", f"pip install {name}") for name in REQUIRED]
    return found + [_package(name, False, *words) for name, words in OPTIONAL.items()]


def _package(name: str, required: bool, purpose: str, cure: str) -> dict[str, Any]:
    return {"name": name, "version": version(name), "required": required, "purpose": purpose, "cure": cure}


def variables() -> dict[str, str]:
    """Return the environment variables that change what runs, as far as they are set."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def free_bytes(folder: Path) -> int | None:
    """Return the free space of the file system that a folder is on or will be on."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
