"""Description of the machine, and its measured peaks.

::

    describe() -> processor, cores, memory, system, versions
    fma_peak(threads) -> GFLOP/s of multiply-adds in registers;   bandwidth(threads) -> GB/s from memory

Both peaks are measured, since no data sheet gives the clock of a virtual machine and its share of the memory
channels. The peak of arithmetic is measured with twelve chains of fused multiply-adds of whole vectors, which
use no memory. The bandwidth is measured with STREAM's triad, a = b + s * c (McCalpin 1995), over arrays far
larger than the caches. As in STREAM, the two arrays read and the one written count. A processor may also have
to read what it is about to overwrite; this is left out, here and in the traffic of a convolution.
"""

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import get_num_threads, njit, prange, set_num_threads, types
from numba.core import cgutils
from numba.extending import intrinsic

try:
    from threadpoolctl import threadpool_limits
except ImportError:
    raise SystemExit('benchmarks: expected threadpoolctl; run pip install -e ".[bench]"') from None

# Chains of independent multiply-adds: more than are in flight at a time (two a cycle, four cycles each),
# fewer than the registers of any processor.
CHAINS = 12
STEPS = 2_000_000  # steps of each chain in one measurement: about 7 ms
TRIAD = 2**25  # float32 elements of each of three arrays, 128 MiB
REPEATS = 15  # measurements; the best counts, since a peak is what nothing disturbed
BUSY = 0.15  # cores that other processes may use before a table warns


def lanes() -> int:
    """Return the number of float32 in the widest vectors of this processor."""
    features = binding.get_host_cpu_features()
    return 16 if features.get("avx512f") else 8 if features.get("avx2") else 4


LANES = lanes()


@intrinsic
def _fma_chains(typingctx: Any, steps: Any, factor: Any, addend: Any) -> Any:
    """Return the sum of all lanes after `steps` of chain = chain * factor + addend, for every chain."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        steps, factor, addend = args
        vector = ir.VectorType(ir.FloatType(), LANES)
        fma_type = ir.FunctionType(vector, [vector] * 3)
        fma = cgutils.get_or_insert_function(builder.module, fma_type, f"llvm.fma.v{LANES}f32")

        def spread(value: Any) -> Any:
            whole = ir.Constant(vector, ir.Undefined)
            for lane in range(LANES):
                whole = builder.insert_element(whole, value, ir.Constant(ir.IntType(32), lane))
            return whole

        factors, addends = spread(factor), spread(addend)
        chains = [cgutils.alloca_once(builder, vector) for _ in range(CHAINS)]
        for number, chain in enumerate(chains):  # different start values: equal chains would be merged
            builder.store(spread(ir.Constant(ir.FloatType(), 1.0 + number)), chain)
        with cgutils.for_range(builder, steps):
            for chain in chains:
                builder.store(builder.call(fma, [builder.load(chain), factors, addends]), chain)
        total = ir.Constant(ir.FloatType(), 0.0)
        for chain in chains:
            value = builder.load(chain)
            for lane in range(LANES):
                total = builder.fadd(total, builder.extract_element(value, ir.Constant(ir.IntType(32), lane)))
        return total

    return types.float32(types.int64, types.float32, types.float32), codegen


@njit(parallel=True)
def _multiply_add(threads, steps, factor, addend, out):
    for thread in prange(threads):
        out[thread] = _fma_chains(steps, factor, addend)


@njit(parallel=True)
def _triad(a, b, c, scale):
    for i in prange(a.size):
        a[i] = b[i] + scale * c[i]


def _best(call: Callable[[], object]) -> float:
    """Return the seconds of the fastest of several calls, after one that compiles."""
    call()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def fma_peak(threads: int) -> float:
    """Return the GFLOP/s of float32 multiply-adds in registers, each counted as two, on `threads` threads."""
    out = np.zeros(threads, np.float32)
    factor, addend = np.float32(0.999), np.float32(0.001)  # converges to 1: never a slow denormal
    with pinned(threads):
        seconds = _best(lambda: _multiply_add(threads, STEPS, factor, addend, out))
    return 2 * CHAINS * LANES * STEPS * threads / seconds / 1e9


def bandwidth(threads: int, elements: int = TRIAD) -> float:
    """Return the GB/s of STREAM's triad on `threads` threads: two arrays read, one written."""
    a, b, c = (np.full(elements, value, np.float32) for value in (0, 1, 2))
    with pinned(threads):
        seconds = _best(lambda: _triad(a, b, c, np.float32(0.5)))
    return 3 * a.nbytes / seconds / 1e9


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Set the number of threads of Numba, and of BLAS in NumPy, inside a with-block."""
    before = get_num_threads()
    set_num_threads(threads)
    try:
        with threadpool_limits(threads, user_api="blas"):
            yield
    finally:
        set_num_threads(before)


def processor() -> str:
    """Return the name of the processor, as far as the system knows it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def busy(seconds: float = 0.5) -> float | None:
    """Return the number of cores that other processes keep busy, or None if the system does not say.

    Measured while this process sleeps. Time stolen by a hypervisor counts.
    """
    stat = Path("/proc/stat")
    if not stat.exists():
        return None

    def ticks() -> np.ndarray:
        return np.array(stat.read_text(encoding="ascii").splitlines()[0].split()[1:9], np.int64)

    before = ticks()
    time.sleep(seconds)
    spent = ticks() - before  # user, nice, system, idle, waiting, interrupts, soft interrupts, stolen
    share = 1 - (spent[3] + spent[4]) / max(spent.sum(), 1)
    return round(float(share) * (os.cpu_count() or 1), 2)


def describe(threads: int, packages: Iterable[str] = ()) -> dict[str, Any]:
    """Return the context of a figure: machine, system, versions and date, JSON-serialisable.

    Parameters
    ----------
    threads : int
        The number of threads of every library.
    packages : iterable of str
        Names of distributions besides tinycnn, NumPy and Numba. Missing ones are left out.
    """
    import tinycnn

    versions = {"python": platform.python_version(), "tinycnn": tinycnn.__version__}
    for name in ("numpy", "numba", *packages):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "vector": f"{4 * LANES} bytes",
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
        "date": date.today().isoformat(),
        "busy": busy(),
    }


def one_line(machine: dict[str, Any]) -> str:
    """Return the description as text, for the top of a table."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    cores = f"{machine['cores']} cores, {machine['threads']} threads, vectors of {machine['vector']}"
    text = f"{machine['processor']}, {cores}; {machine['system']}; {machine['date']}\n{versions}"
    if (machine["busy"] or 0) > BUSY:
        text += f"\nSomething else keeps {machine['busy']:.1f} cores busy: do not trust the times."
    return text
