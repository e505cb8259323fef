"""Depthwise convolution, three ways: each channel has filters of its own, and no two channels are added.

::

    depthwise_conv2d(x, w, b, ...) -> selection.choose -> naive, im2col or direct -> y

The filters of channel c give the output channels c * M to c * M + M - 1. M is the depth multiplier.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from tinycnn.kernels.argument_checks import check_conv
from tinycnn.kernels.geometry import NO_PADDING
from tinycnn.kernels.selection import choose
from tinycnn.support.checks import Pads, Pair


class DepthwiseModule(Protocol):
    """Interface of the modules `naive`, `im2col` and `direct`, which `implementation` returns."""

    @property
    def depthwise_conv2d(self) -> Callable[..., np.ndarray]:
        """See `naive.depthwise_conv2d`."""

    @property
    def depthwise_conv2d_grad_input(self) -> Callable[..., np.ndarray]:
        """See `naive.depthwise_conv2d_grad_input`."""

    @property
    def depthwise_conv2d_grad_filter(self) -> Callable[..., np.ndarray]:
        """See `naive.depthwise_conv2d_grad_filter`."""


def implementation(operation: str, algorithm: str) -> DepthwiseModule:
    """Return the module that computes an operation; "direct", and Numba with it, is imported when first used.

    Raises
    ------
    ValueError
        For an algorithm that depthwise convolutions do not have.
    """
    choice = choose(operation, algorithm)
    if choice.refused:
        raise ValueError(f"algorithm {choice.algorithm!r} for {operation}: {choice.refusal}")
    if choice.algorithm == "naive":
        from tinycnn.kernels.depthwise import naive

        return naive
    if choice.algorithm == "im2col":
        from tinycnn.kernels.depthwise import im2col

        return im2col
    from tinycnn.kernels.depthwise import direct

    return direct


def depthwise_conv2d(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None = None,
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
    relu: bool = False,
    algorithm: str = "auto",
) -> np.ndarray:
    """Return y (N, OH, OW, C*M): each channel of x (N, H, W, C) with its M filters of w (KH, KW, C, M).

    See `naive.depthwise_conv2d` for the arguments; `algorithm` is "auto" or a name of
    `DEPTHWISE_ALGORITHMS`.
    """
    check_conv(x.shape, w.shape, strides, padding, dilation, x=x, w=w, b=b, depthwise=True)
    function = implementation("depthwise_conv2d", algorithm).depthwise_conv2d
    return function(x, w, b, strides, padding, dilation, relu)


def depthwise_conv2d_grad_input(
    dy: np.ndarray,
    w: np.ndarray,
    x_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
    algorithm: str = "auto",
) -> np.ndarray:
    """Return dx of shape `x_shape`, given dy (N, OH, OW, C*M); see `depthwise_conv2d`."""
    check_conv(x_shape, w.shape, strides, padding, dilation, w=w, dy=dy, depthwise=True)
    function = implementation("depthwise_conv2d_grad_input", algorithm).depthwise_conv2d_grad_input
    return function(dy, w, x_shape, strides, padding, dilation)


def depthwise_conv2d_grad_filter(
    x: np.ndarray,
    dy: np.ndarray,
    w_shape: tuple[int, int, int, int],
    strides: Pair = (1, 1),
    padding: Pads = NO_PADDING,
    dilation: Pair = (1, 1),
    algorithm: str = "auto",
) -> np.ndarray:
    """Return dw of shape `w_shape`, given x (N, H, W, C) and dy (N, OH, OW, C*M); see `depthwise_conv2d`."""
    check_conv(x.shape, w_shape, strides, padding, dilation, x=x, dy=dy, depthwise=True)
    function = implementation("depthwise_conv2d_grad_filter", algorithm).depthwise_conv2d_grad_filter
    return function(x, dy, w_shape, strides, padding, dilation)
