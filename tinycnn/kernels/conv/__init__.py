"""One operation, four ways: read `naive`, `im2col`, `direct`, `winograd`, in this order.

::

    conv2d(x, w, b, ...) -> selection.choose -> naive, im2col, direct or winograd -> y

Every algorithm is a module with the same three functions, which take the arguments below except `algorithm`.
`winograd_tiles`, `winograd_matrices` and `winograd_image` belong to `winograd`.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from tinycnn.kernels.argument_checks import check_conv
from tinycnn.kernels.geometry import NO_PADDING
from tinycnn.kernels.selection import Choice, choose
from tinycnn.support.checks import Pads, Pair


class ConvModule(Protocol):
    """Interface of the modules `naive`, `im2col`, `direct` and `winograd`, which `implementation` returns."""

    @property
    def conv2d(self) -> Callable[..., np.ndarray]:
        """See `naive.conv2d`."""

    @property
    def conv2d_grad_input(self) -> Callable[..., np.ndarray]:
        """See `naive.conv2d_grad_input`."""

    @property
    def conv2d_grad_filter(self) -> Callable[..., np.ndarray]:
        """See `naive.conv2d_grad_filter`."""


def implementation(choice: Choice) -> ConvModule:
    """Return the module that was chosen; it is imported here, so that NumPy's algorithms never load Numba.

    Raises
    ------
    ValueError
        For a request that the algorithm cannot fulfil.
    """
    if choice.refused:
        raise ValueError(f"algorithm {choice.algorithm!r}: {choice.refusal}")
    if choice.algorithm == "naive":
        from tinycnn.kernels.conv import naive

        return naive
    if choice.algorithm == "im2col":
        from tinycnn.kernels.conv import im2col

        return im2col
    if choice.algorithm == "direct":
        from tinycnn.kernels.conv import direct

        return direct
    from tinycnn.kernels.conv import winograd

    return winograd


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None = None,
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
    relu: bool = False,
    algorithm: str = "auto",
) -> np.ndarray:
    """Return y (N, OH, OW, F), the convolution of x (N, H, W, C) with the filters w (KH, KW, C, F).

    See `naive.conv2d` for the arguments; `algorithm` is "auto" or a name of `ALGORITHMS`.
    """
    OH, OW = check_conv(x.shape, w.shape, strides, padding, dilation, x=x, w=w, b=b)
    choice = choose("conv2d", algorithm, w.shape, strides, dilation, OH * OW, len(x))
    return implementation(choice).conv2d(x, w, b, strides, padding, dilation, relu)


def conv2d_grad_input(
    dy: np.ndarray,
    w: np.ndarray,
    x_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
    algorithm: str = "auto",
) -> np.ndarray:
    """Return dx of shape `x_shape`, given dy (N, OH, OW, F); see `conv2d`."""
    OH, OW = check_conv(x_shape, w.shape, strides, padding, dilation, w=w, dy=dy)
    choice = choose("conv2d_grad_input", algorithm, w.shape, strides, dilation, OH * OW, len(dy))
    return implementation(choice).conv2d_grad_input(dy, w, x_shape, strides, padding, dilation)


def conv2d_grad_filter(
    x: np.ndarray,
    dy: np.ndarray,
    w_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
    algorithm: str = "auto",
) -> np.ndarray:
    """Return dw of shape `w_shape`, given x (N, H, W, C) and dy (N, OH, OW, F); see `conv2d`."""
    OH, OW = check_conv(x.shape, w_shape, strides, padding, dilation, x=x, dy=dy)
    choice = choose("conv2d_grad_filter", algorithm, w_shape, strides, dilation, OH * OW, len(x))
    return implementation(choice).conv2d_grad_filter(x, dy, w_shape, strides, padding, dilation)
