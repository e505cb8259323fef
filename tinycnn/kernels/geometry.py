"""Sizes of convolutions and pools, and the checks that every algorithm makes of its arguments.

::

    size of the input, kernel, stride, padding, dilation -> size of the output
"""

import numpy as np

from tinycnn import checks
from tinycnn.checks import Pads, Pair

Shape = tuple[int, ...]

NO_PADDING: Pads = ((0, 0), (0, 0))


def output_size(size: int, kernel: int, stride: int, pads: Pair, dilation: int = 1, what: str = "") -> int:
    """Return the length of one output axis, floor((size + pads - reach) / stride) + 1.

    The reach of a kernel is (kernel - 1) * dilation + 1. See Dumoulin & Visin, "A guide to convolution
    arithmetic for deep learning", arXiv 1603.07285, relationship 15.

    Raises
    ------
    ValueError
        When the kernel reaches further than the padded input is long.
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
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def resolve_padding(padding: str | Pads, size: Shape, kernel: Pair, strides: Pair, dilation: Pair) -> Pads:
    """Return explicit padding for "valid", "same" or padding that is explicit already."""
    if padding == "valid":
        return NO_PADDING
    if padding == "same":
        rows, columns = (same_padding(*axis) for axis in zip(size, kernel, strides, dilation, strict=True))
        return rows, columns
    return padding  # type: ignore[return-value]  # the two names were dealt with above


def window_output(size: Shape, kernel: Pair, strides: Pair, padding: Pads, dilation: Pair = (1, 1)) -> Pair:
    """Return (OH, OW) of windows of (KH, KW) `kernel` over an (H, W) `size`."""
    for name, values in (("strides", strides), ("dilation", dilation), ("kernel size", kernel)):
        _pair(name, values, 1)
    rows, columns = _two("padding", padding)
    _pair("padding of the height", rows, 0)
    _pair("padding of the width", columns, 0)
    return (
        output_size(size[0], kernel[0], strides[0], padding[0], dilation[0], "height"),
        output_size(size[1], kernel[1], strides[1], padding[1], dilation[1], "width"),
    )


def _two(name: str, value: object) -> tuple:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(f"{name}: expected a pair (height, width), received {value!r}")
    return tuple(value)


def _pair(name: str, value: object, minimum: int) -> None:
    """Raise unless `value` is two whole numbers; one alone, which layers take, is not enough here."""
    for size in _two(name, value):
        checks.whole(name, size, minimum)


def check_conv(
    x_shape: Shape,
    w_shape: Shape,
    strides: Pair,
    padding: Pads,
    dilation: Pair,
    x: np.ndarray | None = None,
    w: np.ndarray | None = None,
    b: np.ndarray | None = None,
    dy: np.ndarray | None = None,
) -> Pair:
    """Check the arguments of a convolution pass, as far as it has them, and return (OH, OW)."""
    for name, shape, axes in (("x", x_shape, "(N, H, W, C)"), ("w", w_shape, "(KH, KW, C, F)")):
        if len(shape) != 4:
            raise ValueError(f"{name}: expected 4 axes {axes}, received shape {tuple(shape)}")
    for letter, size in zip(("KH", "KW", "C", "F"), w_shape, strict=True):
        checks.whole(f"w: {letter}", size, 1)
    if x_shape[3] != w_shape[2]:
        raise ValueError(f"x: expected {w_shape[2]} channels as in w {tuple(w_shape)}, received {x_shape[3]}")
    OH, OW = window_output((x_shape[1], x_shape[2]), (w_shape[0], w_shape[1]), strides, padding, dilation)
    check_same_dtype(x=x, w=w, b=b, dy=dy)
    if b is not None:
        checks.shape("b", b.shape, (w_shape[3],))
    if dy is not None:
        checks.shape("dy", dy.shape, (x_shape[0], OH, OW, w_shape[3]))
    return OH, OW


def winograd_refuses(w_shape: Shape, strides: Pair, dilation: Pair) -> str:
    """Return why minimal filtering cannot compute a convolution, or nothing when it can.

    It is here, and not in `kernels.winograd`, so that a choice can be made without loading a compiler.
    """
    KH, KW = w_shape[:2]
    if KH != KW or KH not in (2, 3):
        return f"expected a square filter of 2 or 3, received {KH}x{KW}"
    for name, values in (("strides", strides), ("dilation", dilation)):
        if tuple(values) != (1, 1):
            return f"expected {name} of 1, received {tuple(values)}"
    return ""


def check_pool(
    x_shape: Shape,
    pool_size: Pair,
    strides: Pair,
    padding: Pads,
    x: np.ndarray | None = None,
    dy: np.ndarray | None = None,
    argmax: np.ndarray | None = None,
) -> Pair:
    """Check the arguments of a pooling pass and return (OH, OW). No window may lie in the padding alone."""
    if len(x_shape) != 4:
        raise ValueError(f"x: expected 4 axes (N, H, W, C), received shape {tuple(x_shape)}")
    for letter, size in zip("HW", x_shape[1:3], strict=True):
        checks.whole(f"x: {letter}", size, 1)
    OH, OW = window_output((x_shape[1], x_shape[2]), pool_size, strides, padding)
    for name, size, pads in zip(("height", "width"), pool_size, padding, strict=True):
        if max(pads) >= size:
            raise ValueError(
                f"padding of the {name}: expected less than the pool size {size}, received {pads}"
            )
    check_same_dtype(x=x, dy=dy)
    if dy is not None:
        checks.shape("dy", dy.shape, (x_shape[0], OH, OW, x_shape[3]))
    if argmax is not None:
        _check_argmax(argmax, (x_shape[0], OH, OW, x_shape[3]), pool_size[0] * pool_size[1])
    return OH, OW


def _check_argmax(argmax: np.ndarray, shape: Shape, taps: int) -> None:
    """Raise unless every value names a pixel of its window: kernels write where it points."""
    checks.shape("argmax", argmax.shape, shape)
    if argmax.dtype.kind not in "iu":
        raise ValueError(f"argmax: expected whole numbers, received {argmax.dtype}")
    if argmax.size and not 0 <= int(argmax.min()) <= int(argmax.max()) < taps:
        raise ValueError(f"argmax: expected 0 to {taps - 1}, received {argmax.min()} to {argmax.max()}")


def check_same_dtype(**arrays: np.ndarray | None) -> None:
    """Raise unless the arrays are all float32 or all float64."""
    given = {name: checks.float_array(name, a) for name, a in arrays.items() if a is not None}
    if len(set(given.values())) > 1:
        received = ", ".join(f"{name} {dtype}" for name, dtype in given.items())
        raise ValueError(f"dtype: expected one for all arrays, received {received}")


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
