"""Kernels: computation of the heavy operations, arrays in and arrays out, without layers.

::

    layers/conv.py -> kernels.conv2d -> selection.choose -> conv/direct.py -> arrays

Read in this order:

1. `geometry` (output sizes, padding) and `conv/naive`, the definition of a convolution and its gradients;
2. `conv/im2col`, `conv/direct`, `conv/winograd`: three faster ways to the same numbers;
   `depthwise/`, `pool/`, `dense/`: other operations;
3. `primitives/`: the innermost loops, on vector registers; `fused/`: several operations in one pass;
4. `selection`: which algorithm runs, with every threshold; `explanation` prints the
   plan of a model;
5. `runtime/`: how kernels are compiled, cached, run on threads and given memory.

Letters, here and in every loop of this folder:

=======  =======================================  =======  ==================================
N        images in the batch                      KH, KW   height and width of the filter
H, W     height and width of the input            SH, SW   strides
C        input channels                           DH, DW   dilation
F        filters, the output channels             PT, PL   padding at the top and at the left
OH, OW   height and width of the output           dy       gradient of the loss w.r.t. y
M        filters of each channel, if depthwise
=======  =======================================  =======  ==================================

Images are (N, H, W, C), filters (KH, KW, C, F), as in Keras: the channel axis is contiguous. Filters of a
depthwise convolution are (KH, KW, C, M), and its output channels c * M + m. `padding` is
((top, bottom), (left, right)). float32 and float64; results have the dtype of the arguments.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from tinycnn.kernels.conv import conv2d, conv2d_grad_filter, conv2d_grad_input
from tinycnn.kernels.dense import matmul
from tinycnn.kernels.depthwise import (
    depthwise_conv2d,
    depthwise_conv2d_grad_filter,
    depthwise_conv2d_grad_input,
)
from tinycnn.kernels.explanation import explain
from tinycnn.kernels.pool import averagepool2d, averagepool2d_grad_input, maxpool2d, maxpool2d_grad_input
from tinycnn.kernels.selection import ALGORITHMS, OPERATIONS, Choice, check_algorithm, choose, use_algorithm

__all__ = [
    "ALGORITHMS",
    "OPERATIONS",
    "Choice",
    "averagepool2d",
    "averagepool2d_grad_input",
    "check_algorithm",
    "choose",
    "conv2d",
    "conv2d_grad_filter",
    "conv2d_grad_input",
    "depthwise_conv2d",
    "depthwise_conv2d_grad_filter",
    "depthwise_conv2d_grad_input",
    "explain",
    "matmul",
    "maxpool2d",
    "maxpool2d_grad_input",
    "use_algorithm",
]


def find(operation: str, algorithm: str = "auto") -> Callable[..., Any]:
    """Return an operation bound to an algorithm. Deprecated: call the operation with `algorithm=`."""
    warnings.warn(
        f"kernels.find is deprecated: call kernels.{operation}(..., algorithm={algorithm!r})",
        DeprecationWarning,
        stacklevel=2,
    )
    choose(operation, algorithm)
    functions = (
        *(conv2d, conv2d_grad_input, conv2d_grad_filter, maxpool2d, maxpool2d_grad_input),
        *(averagepool2d, averagepool2d_grad_input),
        *(depthwise_conv2d, depthwise_conv2d_grad_input, depthwise_conv2d_grad_filter),
    )
    return partial({f.__name__: f for f in functions}[operation], algorithm=algorithm)
