"""A caching allocator for kernels: memory on cache lines, used again instead of given back.

::

    (shape, dtype), ... -> allocate -> arrays          the arrays die -> their memory waits for the next

A training step makes the same arrays as the one before. Memory fresh from the system costs a page fault for
every 4 KB, and which of a process's old memory serves a new array is left to chance. So large pieces are kept
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
# Smaller pieces are left to NumPy, whose allocator reuses them anyhow.
SMALLEST_KEPT = 2**16
# Bytes that may wait for use; what dies beyond goes back to the system.
MOST_WAITING = 2**28

_waiting: dict[int, list[np.ndarray]] = defaultdict(list)
_bytes = 0  # of all that wait, counted along: to add them up for each array would cost more than the array


class _Piece(SimpleNamespace):
    """Raw memory under arrays; when they and all their views are gone, the memory waits in the pool.

    `__array_interface__` is NumPy's protocol for memory that another object owns: the arrays hold on to this
    one.
    """

    raw: np.ndarray
    __array_interface__: dict[str, Any]

    def __del__(self) -> None:
        global _bytes
        if _bytes + self.raw.nbytes > MOST_WAITING:
            _bytes = bytes_waiting()  # threads may have counted at the same time, since no lock is taken here
        if _bytes + self.raw.nbytes <= MOST_WAITING:
            _waiting[self.raw.nbytes - CACHE_LINE].append(self.raw)
            _bytes += self.raw.nbytes


def bytes_waiting() -> int:
    """Return how much memory the pool holds that no array uses."""
    return sum((size + CACHE_LINE) * len(pieces) for size, pieces in list(_waiting.items()))


def release() -> None:
    """Give the memory that no array uses back to the system."""
    global _bytes
    _waiting.clear()
    _bytes = 0


def allocate(*arrays: tuple[int | tuple[int, ...], Any]) -> list[np.ndarray]:
    """Return arrays of any content, each beginning on a cache line, all on one piece of memory.

    It is used again when none of them is alive. NumPy promises 16 bytes only, and a load of 64 bytes that
    begins elsewhere touches two lines and takes twice as long.

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
        step = 1 << (size.bit_length() - 4)  # sizes in steps of an eighth, so that similar ones meet
        kept = size + -size % step
        try:
            raw = _waiting[kept].pop()
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
        memory, first = np.asarray(_Piece(raw=raw, __array_interface__=interface)), 0
    made = []
    for (shape, dtype), start in zip(arrays, starts, strict=True):
        made.append(np.ndarray(shape, dtype, memory, first + start))
    return made


def _fresh(size: int) -> np.ndarray:
    """Return new memory; if the system has none left, after giving back what waits."""
    try:
        return np.empty(size, np.uint8)
    except MemoryError:
        release()
        return np.empty(size, np.uint8)


def aligned_empty(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return one array as `allocate` does."""
    return allocate((shape, dtype))[0]


def aligned_zeros(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return zeros that begin on a cache line."""
    array = aligned_empty(shape, dtype)
    array[...] = 0
    return array


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
