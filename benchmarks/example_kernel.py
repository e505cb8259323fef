"""Example of your own convolution, for `python benchmarks/conv.py --mine benchmarks/example_kernel.py`.

::

    x (N, H, W, C), w (KH, KW, C, F) -> for each tap (kh, kw): pixels under it @ w[kh, kw] -> y (N, OH, OW, F)

Define any of conv2d, conv2d_grad_input and conv2d_grad_filter, with the arguments of
`tinycnn/kernels/conv/naive.py` except `relu`. The arrays are float32, and the result must be float32. Raise
ValueError for shapes that you do not support. This kernel, KH * KW matrix products, is correct for every
shape and far from fast: start here.
"""

import numpy as np


def conv2d(x, w, b=None, strides=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1)):
    """Return y (N, OH, OW, F), the sum over the taps of the filter."""
    (SH, SW), (DH, DW), (KH, KW, _, F) = strides, dilation, w.shape
    xp = np.pad(x, ((0, 0), *padding, (0, 0)))
    OH = (xp.shape[1] - (KH - 1) * DH - 1) // SH + 1
    OW = (xp.shape[2] - (KW - 1) * DW - 1) // SW + 1
    y = np.zeros((x.shape[0], OH, OW, F), x.dtype)
    for kh, kw in np.ndindex(KH, KW):
        rows = slice(kh * DH, kh * DH + OH * SH, SH)
        columns = slice(kw * DW, kw * DW + OW * SW, SW)
        y += xp[:, rows, columns] @ w[kh, kw]  # (N, OH, OW, C) @ (C, F)
    return y if b is None else y + b
