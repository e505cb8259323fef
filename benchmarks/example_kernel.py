"""A convolution of your own, for `python benchmarks/conv.py --mine benchmarks/example_kernel.py`.

::

    x (N, H, W, C), w (KH, KW, C, F) -> for each tap (kh, kw): pixels under it @ w[kh, kw] -> y (N, OH, OW, F)

Define any of conv2d, conv2d_grad_input and conv2d_grad_kernel, with the arguments of
`tinycnn/kernels/naive.py`; they are float32 and so must be the result. Raise ValueError for what you do not
compute. This one, KH * KW products of matrices, is correct for every shape and far from fast: begin here.
"""

import numpy as np


def conv2d(x, w, b=None, strides=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1)):
    """Return y (N, OH, OW, F), the sum over the taps of the kernel."""
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
