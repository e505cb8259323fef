"""Random numbers named by their purpose, independent of when they are drawn.

::

    (seed, purpose, index, index, ...) -> SHA-256 -> key of a Philox generator -> numbers

Philox (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) is counter-based: number i is a
function of (key, i). A dropout mask is named by its layer and step, a shuffle by its epoch. Neither the order
of work nor other draws can change them.
"""

import hashlib
import math
import secrets
from typing import Any

import numpy as np

from tinycnn.support import checks

PER_BLOCK = 16  # numbers of 16 bits in a block of Philox


def generator(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """Return the random generator of one purpose.

    Parameters
    ----------
    seed : int
        At least 0.
    purpose : str
        The use of the numbers, such as "weights", "dropout" or "shuffle".
    *indices : int
        Numbers of the layer, the epoch or the step.

    Returns
    -------
    numpy.random.Generator
        The same for the same arguments on every machine, and independent of all others.
    """
    return np.random.Generator(np.random.Philox(key=philox_key(seed, purpose, *indices)))


def philox_key(seed: int, purpose: str, *indices: int) -> np.ndarray:
    """Return the key of `generator`, (2,) of uint64; `kernels.primitives.philox` draws the same numbers."""
    name = repr((int(seed), str(purpose), *map(int, indices)))
    return np.frombuffer(hashlib.sha256(name.encode()).digest()[:16], dtype="<u8").astype(np.uint64)


def dropout_mask(seed: int, index: int, rate: float) -> tuple[np.ndarray, int, float]:
    """Return (key, threshold, scale), from which dropout mask number `index` follows.

    Value i is dropped if number i of the key's 16-bit stream is below the threshold; the others are
    multiplied by the scale, 1 / (1 - rate). So a rate is exact to 1 / 65536.
    """
    threshold = min(round(rate * 2**16), 2**16 - 1)  # it must fit the 16 bits itself
    return philox_key(seed, "dropout", index), threshold, 2**16 / (2**16 - threshold)


def draw_mask(
    shape: tuple[int, ...],
    dtype: np.dtype,
    key: np.ndarray,
    threshold: int,
    scale: float,
    first_row: int = 0,
) -> np.ndarray:
    """Return the factors (N, ...), 0 or `scale`, of a mask that `dropout_mask` describes, from a row on."""
    blocks, rest = divmod(first_row * math.prod(shape[1:]), PER_BLOCK)
    stream = np.random.Philox(key=key)
    if blocks:
        stream.advance(blocks)
    numbers = np.frombuffer(np.random.Generator(stream).bytes(2 * (rest + math.prod(shape))), "<u2")
    return (numbers[rest:].reshape(shape) >= threshold) * dtype.type(scale)


def resolve_seed(seed: Any) -> int:
    """Return `seed`, checked; draw one, below 2**32, when it is None."""
    return secrets.randbits(32) if seed is None else checks.whole("seed", seed, minimum=0)
