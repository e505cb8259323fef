"""Memory for kernels: on cache lines, and used again instead of given back.

::

    shape, dtype -> aligned_empty, aligned_zeros -> array        array dies -> its memory waits for the next

A training step makes the same arrays as the one before. Memory fresh from the system costs a page fault for
every 4 KB, and which of a process's old memory serves a new array is left to chance. So large pieces are kept
when the last array on them dies, and the next array of about that size gets them: after the first steps
nothing large is allocated, and training takes a third less memory. No caller has to know: an array that is
still held is never reused.
"""

import math
from collections import defaultdict
from typing import Any

import numpy as np

CACHE_LINE = 64
# Smaller pieces are left to NumPy, whose allocator reuses them anyhow.
SMALLEST_KEPT = 2**16
# Bytes that may wait for use; what dies beyond goes back to the system.
MOST_WAITING = 2**28

_waiting: dict[int, list[np.ndarray]] = defaultdict(list)
_bytes = 0  # of all that wait, counted along: to add them up for each array would cost more than the array


class _Piece:
    """Raw memory under an array; when the array and all its views are gone, the memory waits in the pool."""

    _raw: np.ndarray | None = None

    def __init__(self, size: int) -> None:
        global _bytes
        try:
            self._raw = _waiting[size].pop()
            _bytes -= self._raw.nbytes
        except IndexError:
            try:
                self._raw = np.empty(size + CACHE_LINE, np.uint8)
            except MemoryError:
                release()
                self._raw = np.empty(size + CACHE_LINE, np.uint8)
        address = self._raw.ctypes.data
        # NumPy's protocol for memory that somebody else owns: the array made of it holds on to this object
        self.__array_interface__ = {
            "version": 3,
            "data": (address + -address % CACHE_LINE, False),
            "shape": (size,),
            "typestr": "|u1",
        }

    def __del__(self) -> None:
        global _bytes
        if self._raw is None:
            return
        if _bytes + self._raw.nbytes > MOST_WAITING:
            _bytes = bytes_waiting()  # threads may have counted at the same time, since no lock is taken here
        if _bytes + self._raw.nbytes <= MOST_WAITING:
            _waiting[self._raw.nbytes - CACHE_LINE].append(self._raw)
            _bytes += self._raw.nbytes


def bytes_waiting() -> int:
    """Return how much memory the pool holds that no array uses."""
    return sum((size + CACHE_LINE) * len(pieces) for size, pieces in list(_waiting.items()))


def release() -> None:
    """Give the memory that no array uses back to the system."""
    global _bytes
    _waiting.clear()
    _bytes = 0


def aligned_empty(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an array of any content that begins on a cache line; NumPy promises 16 bytes only.

    A load of 64 bytes from elsewhere touches two lines and takes twice as long.
    """
    shape = (shape,) if isinstance(shape, int) else shape
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < SMALLEST_KEPT:
        raw = np.empty(size + CACHE_LINE, np.uint8)
        start = -raw.ctypes.data % CACHE_LINE
        return raw[start : start + size].view(dtype).reshape(shape)
    return np.asarray(_Piece(_size_class(size)))[:size].view(dtype).reshape(shape)


def aligned_zeros(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return zeros that begin on a cache line."""
    array = aligned_empty(shape, dtype)
    array[...] = 0
    return array


def contiguous(array: np.ndarray) -> np.ndarray:
    """Return an array as kernels take it: contiguous, and writable, though they will not write.

    Numba compiles anew for an array that is read-only, such as a file in memory.
    """
    return np.require(array, requirements=["C", "W"])


def whole_vectors(array: np.ndarray, lanes: int) -> np.ndarray:
    """Return an array as `contiguous` does, its last axis filled up with zeros to whole vectors."""
    size = array.shape[-1]
    if size % lanes == 0:
        return contiguous(array)
    padded = aligned_zeros((*array.shape[:-1], rounded_up(size, lanes)), array.dtype)
    padded[..., :size] = array
    return padded


def rounded_up(size: int, multiple: int) -> int:
    """Return the smallest multiple that is not below `size`."""
    return -(-size // multiple) * multiple


def _size_class(size: int) -> int:
    """Return the size of the piece for so many bytes: steps of an eighth, so that similar ones meet."""
    return rounded_up(size, 1 << (size.bit_length() - 4))
