"""Random numbers inside kernels: number i of a stream, from any thread and in any order.

::

    key, block -> philox -> 4 words of 64 bits           key, start, count -> fill_bits -> numbers of 16 bits

Philox4x64-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011: ten rounds of two
multiplications and an exchange turn a counter into noise. The stream is that of `numpy.random.Philox` with
the same key, so the readable twin of `fill_bits` is `Generator.bytes`.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinycnn.kernels.primitives.integers import ceil_div
from tinycnn.kernels.runtime.jit import jit

WORDS = 4  # in a block
PER_BLOCK = 16  # numbers of 16 bits
# Constants of the paper: the multipliers, and what is added to the key after each round.
_M0, _M1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_W0, _W1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)


@intrinsic
def _product(typingctx, a, b):
    """Return the upper and the lower 64 of the 128 bits of a product; Numba has no type that wide."""

    def codegen(context, builder, signature, args):
        wide, word = ir.IntType(128), ir.IntType(64)
        product = builder.mul(*(builder.zext(value, wide) for value in args))
        upper = builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), word)
        return context.make_tuple(builder, signature.return_type, (upper, builder.trunc(product, word)))

    return types.UniTuple(types.uint64, 2)(types.uint64, types.uint64), codegen


@jit
def philox(key, block):
    """Return the four words of a block of the stream of key (2), in NumPy's order."""
    # NumPy counts before it draws: its first block has counter 1
    c0, c1, c2, c3 = np.uint64(block + 1), np.uint64(0), np.uint64(0), np.uint64(0)
    k0, k1 = key[0], key[1]
    for _ in range(10):
        upper_0, lower_0 = _product(_M0, c0)
        upper_1, lower_1 = _product(_M1, c2)
        c0, c1, c2, c3 = upper_1 ^ c1 ^ k0, lower_1, upper_0 ^ c3 ^ k1, lower_0
        k0 += _W0
        k1 += _W1
    return c0, c1, c2, c3


@jit
def fill_bits(key, start, count, words):
    """Write the blocks with numbers start to start + count to words (room,); return the index of the first.

    Seen as numbers of 16 bits, `words` then holds them from that index on; it needs room for the two blocks
    at the ends, words_needed(count) words.
    """
    first = start // PER_BLOCK
    for block in range(first, ceil_div(start + count, PER_BLOCK)):
        at = (block - first) * WORDS
        words[at], words[at + 1], words[at + 2], words[at + 3] = philox(key, block)
    return start - first * PER_BLOCK


def words_needed(count: int) -> int:
    """Return how many words `fill_bits` needs for `count` numbers."""
    return (count // PER_BLOCK + 2) * WORDS
