"""Maximum and mean of windows, three ways: `naive`, `im2col`, `direct`.

::

    maxpool2d(x, ...) -> selection.choose -> naive, im2col or direct -> y, argmax
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from tinycnn.kernels.argument_checks import check_pool
from tinycnn.kernels.geometry import NO_PADDING
from tinycnn.kernels.selection import choose
from tinycnn.support.checks import Pads, Pair


class PoolModule(Protocol):
    """Interface of the modules `naive`, `im2col` and `direct`, which `implementation` returns."""

    @property
    def maxpool2d(self) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
        """See `naive.maxpool2d`."""

    @property
    def maxpool2d_grad_input(self) -> Callable[..., np.ndarray]:
        """See `naive.maxpool2d_grad_input`."""

    @property
    def averagepool2d(self) -> Callable[..., np.ndarray]:
        """See `naive.averagepool2d`."""

    @property
    def averagepool2d_grad_input(self) -> Callable[..., np.ndarray]:
        """See `naive.averagepool2d_grad_input`."""


def implementation(operation: str, algorithm: str) -> PoolModule:
    """Return the module that computes an operation; "direct", and Numba with it, is imported when first used.

    Raises
    ------
    ValueError
        For an algorithm that pools do not have.
    """
    choice = choose(operation, algorithm)
    if choice.refused:
        raise ValueError(f"algorithm {choice.algorithm!r} for {operation}: {choice.refusal}")
    if choice.algorithm == "naive":
        from tinycnn.kernels.pool import naive

        return naive
    if choice.algorithm == "im2col":
        from tinycnn.kernels.pool import im2col

        return im2col
    from tinycnn.kernels.pool import direct

    return direct


def maxpool2d(
    x: np.ndarray,
    pool_size: Pair,
    strides: Pair,
    padding: Pads = NO_PADDING,
    algorithm: str = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """Return the maximum of each window and its argmax, both (N, OH, OW, C), for x (N, H, W, C).

    See `naive.maxpool2d` for the arguments; `algorithm` is "auto" or a name of `POOL_ALGORITHMS`.
    """
    check_pool(x.shape, pool_size, strides, padding, x=x)
    return implementation("maxpool2d", algorithm).maxpool2d(x, pool_size, strides, padding)


def maxpool2d_grad_input(
    dy: np.ndarray,
    argmax: np.ndarray,
    x_shape: tuple[int, int, int, int],
    pool_size: Pair,
    strides: Pair,
    padding: Pads = NO_PADDING,
    algorithm: str = "auto",
) -> np.ndarray:
    """Return dx of shape `x_shape`, given dy and argmax (N, OH, OW, C); see `maxpool2d`."""
    check_pool(x_shape, pool_size, strides, padding, dy=dy, argmax=argmax)
    function = implementation("maxpool2d_grad_input", algorithm).maxpool2d_grad_input
    return function(dy, argmax, x_shape, pool_size, strides, padding)


def averagepool2d(
    x: np.ndarray,
    pool_size: Pair,
    strides: Pair,
    padding: Pads = NO_PADDING,
    algorithm: str = "auto",
) -> np.ndarray:
    """Return the mean of each window, (N, OH, OW, C), for x (N, H, W, C); padding is not counted."""
    check_pool(x.shape, pool_size, strides, padding, x=x)
    return implementation("averagepool2d", algorithm).averagepool2d(x, pool_size, strides, padding)


def averagepool2d_grad_input(
    dy: np.ndarray,
    x_shape: tuple[int, int, int, int],
    pool_size: Pair,
    strides: Pair,
    padding: Pads = NO_PADDING,
    algorithm: str = "auto",
) -> np.ndarray:
    """Return dx of shape `x_shape`, given dy (N, OH, OW, C); see `averagepool2d`."""
    check_pool(x_shape, pool_size, strides, padding, dy=dy)
    function = implementation("averagepool2d_grad_input", algorithm).averagepool2d_grad_input
    return function(dy, x_shape, pool_size, strides, padding)
