"""Instructions of a single-image program: what the compiled interpreter of `single_image` reads.

::

    Instruction, Instruction, ... -> pack -> table (structured array) -> single_image.Interpreter
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

#: What an instruction computes.
DIRECT, WINOGRAD, MAXPOOL, DENSE = range(4)
LINEAR, RELU, SOFTMAX = range(3)
#: Activations by name; softmax is for dense layers.
ACTIVATIONS = {None: LINEAR, "linear": LINEAR, "relu": RELU, "softmax": SOFTMAX}


class Instruction(NamedTuple):
    """One instruction of a program: the operation, the offsets of its weights, and the geometry.

    Attributes
    ----------
    kind : int
        DIRECT, WINOGRAD, MAXPOOL or DENSE.
    kernel, bias : int
        Where the weights begin in the vector of parameters; a bias of -1 is none.
    activation : int
        LINEAR, RELU or SOFTMAX.
    H, W, C, KH, KW, F, OH, OW, SH, SW, DH, DW, PT, PL : int
        The letters of `tinycnn.kernels`. A dense layer turns one pixel of C channels into one of F.
    m, pool_height, pool_width : int
        Of WINOGRAD only: the output tile of F(m, r), and the window of the max-pool that follows. SH, SW are
        the strides of that pool then, and OH, OW its output size.
    """

    kind: int
    kernel: int = -1
    bias: int = -1
    activation: int = LINEAR
    H: int = 1
    W: int = 1
    C: int = 1
    KH: int = 1
    KW: int = 1
    F: int = 1
    OH: int = 1
    OW: int = 1
    SH: int = 1
    SW: int = 1
    DH: int = 1
    DW: int = 1
    PT: int = 0
    PL: int = 0
    m: int = 0
    pool_height: int = 1
    pool_width: int = 1


def pack(instructions: Sequence[Instruction]) -> np.ndarray:
    """Return the instructions as a structured array, one row each, of int64 fields."""
    return np.array(instructions, [(name, np.int64) for name in Instruction._fields])
