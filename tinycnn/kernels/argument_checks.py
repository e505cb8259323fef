"""Checks of the arguments of kernels, made once, at the public door: compiled code trusts shapes.

::

    kernels.conv2d(...) -> check_conv -> (OH, OW), or ValueError with name, expected and received
"""

import numpy as np

from tinycnn.kernels.geometry import NO_PADDING, Shape, window_output
from tinycnn.support import checks
from tinycnn.support.checks import Pads, Pair


def check_window(size: Shape, kernel: Shape, strides: Pair, padding: Pads, dilation: Pair = (1, 1)) -> Pair:
    """Check windows of (KH, KW) `kernel` that slide over an (H, W) `size`; return (OH, OW)."""
    for name, values in (("strides", strides), ("dilation", dilation), ("kernel size", kernel)):
        _check_pair(name, values, 1)
    if padding is not NO_PADDING:
        rows, columns = _two("padding", padding)
        _check_pair("padding of the height", rows, 0)
        _check_pair("padding of the width", columns, 0)
        padding = tuple(rows), tuple(columns)
    return window_output(tuple(size), tuple(kernel), tuple(strides), padding, tuple(dilation))


def _check_pair(name: str, values: object, minimum: int) -> None:
    """Raise unless `values` are two whole numbers; one alone, which layers take, is not enough here."""
    for value in _two(name, values):
        if type(value) is not int or value < minimum:  # the usual case without another call
            checks.whole(name, value, minimum)


def _two(name: str, values: object) -> tuple:
    if not isinstance(values, tuple | list) or len(values) != 2:
        raise ValueError(f"{name}: expected a pair (height, width), received {values!r}")
    return tuple(values)


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
    depthwise: bool = False,
) -> Pair:
    """Check the arguments of a convolution or of one of its gradients; return (OH, OW).

    Parameters
    ----------
    x_shape, w_shape : (N, H, W, C), (KH, KW, C, F)
        Of a depthwise convolution, the last axis of w is M.
    strides, padding, dilation
        As in `conv.naive.conv2d`.
    x, w, b, dy : ndarray, optional
        Those of the arrays that the operation has.
    depthwise : bool
        Whether each channel has M filters of its own, and there are C * M output channels.

    Raises
    ------
    ValueError
        When ranks, sizes, channels or dtypes do not fit, or a filter is larger than the padded image.
    """
    letter = "M" if depthwise else "F"
    for name, shape, axes in (("x", x_shape, "(N, H, W, C)"), ("w", w_shape, f"(KH, KW, C, {letter})")):
        if len(shape) != 4:
            raise ValueError(f"{name}: expected 4 axes {axes}, received shape {tuple(shape)}")
    for axis, size in zip(("KH", "KW", "C", letter), w_shape, strict=True):
        if type(size) is not int or size < 1:
            checks.whole(f"w: {axis}", size, 1)
    if x_shape[3] != w_shape[2]:
        raise ValueError(f"x: expected {w_shape[2]} channels as in w {tuple(w_shape)}, received {x_shape[3]}")
    OH, OW = check_window(x_shape[1:3], w_shape[:2], strides, padding, dilation)
    check_same_dtype(x=x, w=w, b=b, dy=dy)
    channels = w_shape[2] * w_shape[3] if depthwise else w_shape[3]
    if b is not None and b.shape != (channels,):
        checks.shape("b", b.shape, (channels,))
    if dy is not None and dy.shape != (x_shape[0], OH, OW, channels):
        checks.shape("dy", dy.shape, (x_shape[0], OH, OW, channels))
    return OH, OW


def check_pool(
    x_shape: Shape,
    pool_size: Pair,
    strides: Pair,
    padding: Pads,
    x: np.ndarray | None = None,
    dy: np.ndarray | None = None,
    argmax: np.ndarray | None = None,
) -> Pair:
    """Check the arguments of a pool or of its gradient; return (OH, OW).

    Parameters
    ----------
    x_shape : (N, H, W, C)
    pool_size, strides, padding
        As in `pool.naive.maxpool2d`: no window may lie in the padding alone.
    x, dy, argmax : ndarray, optional
        Those of the arrays that the operation has.

    Raises
    ------
    ValueError
        When sizes or dtypes do not fit, or `argmax` names a pixel outside of its window.
    """
    if len(x_shape) != 4:
        raise ValueError(f"x: expected 4 axes (N, H, W, C), received shape {tuple(x_shape)}")
    for letter, size in zip("HW", x_shape[1:3], strict=True):
        checks.whole(f"x: {letter}", size, 1)
    OH, OW = check_window(x_shape[1:3], pool_size, strides, padding)
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
    """Raise unless the arrays are all float32 or all float64; None stands for an array that is not there."""
    dtype = None
    for name, array in arrays.items():
        if array is None:
            continue
        if not isinstance(array, np.ndarray) or array.dtype not in checks.FLOATS:
            checks.float_array(name, array)
        if dtype is not None and array.dtype != dtype:
            received = ", ".join(f"{n} {a.dtype}" for n, a in arrays.items() if a is not None)
            raise ValueError(f"dtype: expected one for all arrays, received {received}")
        dtype = array.dtype
