"""Random numbers that depend on what they are for, not on when they are drawn.

::

    (seed, purpose, index, index, ...) -> SHA-256 -> key of a Philox generator -> numbers

Philox (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) is counter-based: number i
is a function of (key, i). So a dropout mask is named by its layer and step, a shuffle by its epoch, and
neither the order of the work nor what else was drawn can change them.
"""

import hashlib
import secrets
from typing import Any

import numpy as np

from tinycnn import checks


def generator(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """Return the random generator of one purpose.

    Parameters
    ----------
    seed : int
        At least 0.
    purpose : str
        What the numbers are for, such as "weights", "dropout" or "shuffle".
    *indices : int
        Which of these: the layer, the epoch, the step.

    Returns
    -------
    numpy.random.Generator
        The same for the same arguments, on every machine; independent of every other.
    """
    return np.random.Generator(np.random.Philox(key=philox_key(seed, purpose, *indices)))


def philox_key(seed: int, purpose: str, *indices: int) -> np.ndarray:
    """Return the two numbers that `generator` begins from: `kernels.random` draws the same from them."""
    name = repr((int(seed), str(purpose), *map(int, indices)))
    return np.frombuffer(hashlib.sha256(name.encode()).digest()[:16], dtype="<u8").astype(np.uint64)


def resolve_seed(seed: Any) -> int:
    """Return the `seed` that was given, or draw one when it is None, to be recorded by the caller."""
    return secrets.randbits(32) if seed is None else checks.whole("seed", seed, minimum=0)
