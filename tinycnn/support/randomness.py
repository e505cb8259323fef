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
WORDS = 4  # numbers of 64 bits in it


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


def draw_normal(shape: tuple[int, ...], dtype: np.dtype, key: np.ndarray, first_row: int = 0) -> np.ndarray:
    """Return numbers (N, ...) of the standard normal distribution, from a row on.

    Two uniform numbers u in (0, 1] and v in [0, 1) make two independent normal ones, r cos(2 pi v) and
    r sin(2 pi v) with r = sqrt(-2 ln u) (Box & Muller, "A note on the generation of random normal deviates",
    Annals of Mathematical Statistics 29, 1958). So numbers 2i and 2i + 1 are made of words 2i and 2i + 1 of
    the key's 64-bit stream. They are computed in float64 and rounded to `dtype`.
    """
    blocks, rest = divmod(first_row * math.prod(shape[1:]), WORDS)
    count = rest + math.prod(shape)
    words = np.random.Philox(key=key).advance(blocks).random_raw(count + count % 2).reshape(-1, 2).T
    uniform = np.ascontiguousarray(words >> np.uint64(11)) * 2.0**-53  # a double has 53 bits
    radius, angle = np.sqrt(-2 * np.log(1 - uniform[0])), 2 * np.pi * uniform[1]
    numbers = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()
    return numbers[rest:count].reshape(shape).astype(dtype)


def resolve_seed(seed: Any) -> int:
    """Return `seed`, checked; draw one, below 2**32, when it is None."""
    return secrets.randbits(32) if seed is None else checks.whole("seed", seed, minimum=0)
