"""Arithmetic of convolutions and pools: output sizes and padding.

::

    size of the input, kernel, stride, padding, dilation -> size of the output
"""

from functools import lru_cache

import numpy as np

from tinycnn.support.checks import Pads, Pair

Shape = tuple[int, ...]

NO_PADDING: Pads = ((0, 0), (0, 0))


def ceil_div(a: int, b: int) -> int:
    """Return a / b, rounded up."""
    return -(-a // b)


def round_up(size: int, multiple: int) -> int:
    """Return the smallest multiple that is not below `size`."""
    return ceil_div(size, multiple) * multiple


def output_size(size: int, kernel: int, stride: int, pads: Pair, dilation: int = 1, what: str = "") -> int:
    """Return the length of one output axis, floor((size + pads - reach) / stride) + 1.

    The reach of a filter or window is (kernel - 1) * dilation + 1. See Dumoulin & Visin, "A guide to
    convolution arithmetic for deep learning", arXiv 1603.07285, relationship 15.

    Raises
    ------
    ValueError
        When the filter or window reaches further than the padded input is long.
    """
    reach = (kernel - 1) * dilation + 1
    if reach > size + sum(pads):
        raise ValueError(
            f"{what or 'axis'}: expected a padded input of at least {reach} "
            f"(kernel {kernel}, dilation {dilation}), received {size + sum(pads)} (input {size}, pads {pads})"
        )
    return (size + sum(pads) - reach) // stride + 1


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> Pair:
    """Return the padding before and after that gives ceil(size / stride) outputs; an odd pixel goes last."""
    reach = (kernel - 1) * dilation + 1
    total = max((ceil_div(size, stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def resolve_padding(padding: str | Pads, size: Shape, kernel: Pair, strides: Pair, dilation: Pair) -> Pads:
    """Return explicit padding for "valid", "same" or padding that is explicit already."""
    if padding == "valid":
        return NO_PADDING
    if padding == "same":
        rows, columns = (same_padding(*axis) for axis in zip(size, kernel, strides, dilation, strict=True))
        return rows, columns
    return padding  # type: ignore[return-value]  # the two names were dealt with above


@lru_cache(maxsize=1024)
def window_output(size: Shape, kernel: Shape, strides: Pair, padding: Pads, dilation: Pair = (1, 1)) -> Pair:
    """Return (OH, OW) of windows of (KH, KW) `kernel` over an (H, W) `size`; see `output_size`."""
    (H, W), (KH, KW), (SH, SW), (DH, DW) = size, kernel, strides, dilation
    rows = H + sum(padding[0]) - (KH - 1) * DH - 1
    columns = W + sum(padding[1]) - (KW - 1) * DW - 1
    if rows >= 0 and columns >= 0:
        return rows // SH + 1, columns // SW + 1
    return (  # one of these raises
        output_size(H, KH, SH, padding[0], DH, "height"),
        output_size(W, KW, SW, padding[1], DW, "width"),
    )


def pad(x: np.ndarray, padding: Pads, value: float = 0.0) -> np.ndarray:
    """Return (N, H, W, C) `x` with `value` around the images; `x` itself when there is nothing to add."""
    if padding == NO_PADDING:
        return x
    return np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=value)


def crop(xp: np.ndarray, padding: Pads) -> np.ndarray:
    """Return the images inside the padding: the inverse, and the adjoint, of `pad`."""
    (top, bottom), (left, right) = padding
    return xp[:, top : xp.shape[1] - bottom, left : xp.shape[2] - right]


def window_counts(size: Shape, pool_size: Pair, strides: Pair, padding: Pads) -> np.ndarray:
    """Return (OH, OW): how many pixels of the image each window covers, the padding not counted."""
    ones = np.pad(np.ones(size, np.int64), padding)
    windows = np.lib.stride_tricks.sliding_window_view(ones, pool_size)
    return windows[:: strides[0], :: strides[1]].sum(axis=(2, 3))
