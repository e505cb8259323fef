"""A caching allocator for kernels: memory on cache lines, used again instead of given back.

::

    (shape, dtype), ... -> allocate -> arrays          the arrays die -> their memory serves the next

A training step makes the same arrays as the one before. Memory fresh from the system costs a page fault for
every 4 KB, and which of a process's old memory serves a new array is left to chance. So large blocks are kept
when the last array on them dies, and the next array of about that size gets them: after the first steps
nothing large is allocated, and training takes a third less memory. No caller has to know: an array that is
still held is never reused.
"""

import math
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import numpy as np

CACHE_LINE = 64
# Smaller blocks are left to NumPy, whose allocator reuses them anyhow.
SMALLEST_KEPT = 2**16
# Bytes that are kept for use at most; what dies beyond goes back to the system.
MAX_CACHED_BYTES = 2**28

_free_blocks: dict[int, list[np.ndarray]] = defaultdict(list)
_bytes = 0  # of all free blocks, counted along: to add them up for each array would cost more than the array


class _Block(SimpleNamespace):
    """Block of raw memory under arrays; it returns to the cache when they and all their views are gone.

    `__array_interface__` is NumPy's protocol for memory that another object owns: the arrays hold on to this
    one.
    """

    raw: np.ndarray
    __array_interface__: dict[str, Any]

    def __del__(self) -> None:
        global _bytes
        if _bytes + self.raw.nbytes > MAX_CACHED_BYTES:
            _bytes = cached_bytes()  # threads may have counted at the same time, since no lock is taken here
        if _bytes + self.raw.nbytes <= MAX_CACHED_BYTES:
            _free_blocks[self.raw.nbytes - CACHE_LINE].append(self.raw)
            _bytes += self.raw.nbytes


def cached_bytes() -> int:
    """Return how many bytes the allocator holds that no array uses."""
    return sum((size + CACHE_LINE) * len(pieces) for size, pieces in list(_free_blocks.items()))


def release() -> None:
    """Give the memory that no array uses back to the system."""
    global _bytes
    _free_blocks.clear()
    _bytes = 0


def allocate(*arrays: tuple[int | tuple[int, ...], Any]) -> list[np.ndarray]:
    """Return arrays of any content, each beginning on a cache line, all on one block of memory.

    The block is reused when none of them is alive. NumPy aligns to 16 bytes only, and a load of 64 bytes that
    crosses a cache line takes twice as long.

    Parameters
    ----------
    arrays : (shape, dtype), ...
        Of each array.
    """
    global _bytes
    size, starts = 0, []
    for shape, dtype in arrays:
        starts.append(size + -size % CACHE_LINE)
        count = shape if isinstance(shape, int) else math.prod(shape)
        size = starts[-1] + count * np.dtype(dtype).itemsize
    if size < SMALLEST_KEPT:
        memory = np.empty(size + CACHE_LINE, np.uint8)
        first = -memory.__array_interface__["data"][0] % CACHE_LINE
    else:
        eighth = 1 << (size.bit_length() - 4)  # sizes are rounded up a little, so that similar ones meet
        kept = size + -size % eighth
        try:
            raw = _free_blocks[kept].pop()
            _bytes -= raw.nbytes
        except IndexError:
            raw = _fresh(kept + CACHE_LINE)
        address = raw.__array_interface__["data"][0]
        interface = {
            "version": 3,
            "data": (address + -address % CACHE_LINE, False),
            "shape": (kept,),
            "typestr": "|u1",
        }
        memory, first = np.asarray(_Block(raw=raw, __array_interface__=interface)), 0
    made = []
    for (shape, dtype), start in zip(arrays, starts, strict=True):
        made.append(np.ndarray(shape, dtype, memory, first + start))
    return made


def _fresh(size: int) -> np.ndarray:
    """Return new memory; if the system has none left, after giving back the free blocks."""
    try:
        return np.empty(size, np.uint8)
    except MemoryError:
        release()
        return np.empty(size, np.uint8)


def aligned_empty(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return one array as `allocate` does."""
    return allocate((shape, dtype))[0]


def contiguous(array: np.ndarray) -> np.ndarray:
    """Return an array as kernels take it: contiguous, and writable, though they will not write.

    Numba compiles anew for an array that is read-only, such as a file in memory.
    """
    if array.flags.c_contiguous and array.flags.writeable:
        return array
    return np.require(array, requirements=["C", "W"])


def whole_vectors(array: np.ndarray, lanes: int) -> np.ndarray:
    """Return an array as `contiguous` does, its last axis filled up with zeros to whole vectors."""
    size = array.shape[-1]
    if size % lanes == 0:
        return contiguous(array)
    (padded,) = allocate(((*array.shape[:-1], size + -size % lanes), array.dtype))
    padded[..., :size] = array
    padded[..., size:] = 0
    return padded
