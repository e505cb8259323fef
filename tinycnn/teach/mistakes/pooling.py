"""Mistakes in the gradient of a max-pool."""

from collections.abc import Callable

import numpy as np

from tinycnn.support.checks import Pair
from tinycnn.teach.exercises import Function
from tinycnn.teach.mistakes.catalogue import mistake
from tinycnn.teach.references import maxpool_backward as backward

Weights = Callable[[np.ndarray], np.ndarray]


def each_window(weights: Weights, add: bool = True) -> Function:
    """Return a function that gives each pixel of a window a share of dy.

    Parameters
    ----------
    weights : callable
        From the windows (N, KH, KW, C) at one place to the shares, an array of the same shape.
    add : bool
        Whether a window adds to dx or overwrites it.
    """

    def function(dy: np.ndarray, x: np.ndarray, pool_size: Pair, strides: Pair) -> np.ndarray:
        dx = np.zeros(x.shape, dy.dtype)
        for oh, ow in np.ndindex(dy.shape[1:3]):
            rows = slice(oh * strides[0], oh * strides[0] + pool_size[0])
            columns = slice(ow * strides[1], ow * strides[1] + pool_size[1])
            share = weights(x[:, rows, columns]).astype(dy.dtype) * dy[:, oh, ow][:, None, None]
            dx[:, rows, columns] = share + (dx[:, rows, columns] if add else 0)
        return dx

    return function


def assigned(dy: np.ndarray, x: np.ndarray, pool_size: Pair, strides: Pair) -> np.ndarray:
    """Write dy to each maximum instead of adding it."""
    dx = np.zeros(x.shape, dy.dtype)
    for oh, ow in np.ndindex(dy.shape[1:3]):
        rows = slice(oh * strides[0], oh * strides[0] + pool_size[0])
        columns = slice(ow * strides[1], ow * strides[1] + pool_size[1])
        at = first(x[:, rows, columns])
        dx[:, rows, columns] = np.where(at, dy[:, oh, ow][:, None, None], dx[:, rows, columns])
    return dx


def maxima(window: np.ndarray) -> np.ndarray:
    """Return where a window (N, KH, KW, C) has its maximum."""
    return window == window.max(axis=(1, 2), keepdims=True)


def first(window: np.ndarray) -> np.ndarray:
    """Return the same for the first maximum only."""
    N, KH, KW, C = window.shape
    found = window.reshape(N, KH * KW, C).argmax(axis=1)[:, None]  # (N, 1, C)
    return (np.arange(KH * KW)[:, None] == found).reshape(window.shape)


def last(window: np.ndarray) -> np.ndarray:
    """Return the same for the last maximum."""
    return first(window[:, ::-1, ::-1])[:, ::-1, ::-1]


def first_by_columns(window: np.ndarray) -> np.ndarray:
    """Return the same for the first maximum when columns are read before rows."""
    return first(window.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)


def mean_of_maxima(window: np.ndarray) -> np.ndarray:
    """Return equal shares of the maxima of a window."""
    return maxima(window) / maxima(window).sum(axis=(1, 2), keepdims=True)


def corner(window: np.ndarray) -> np.ndarray:
    """Return where the first pixel of a window is."""
    return np.broadcast_to((np.indices(window.shape[1:3]).sum(axis=0) == 0)[:, :, None], window.shape)


def begins_at_zero(window: np.ndarray) -> np.ndarray:
    """Return the maximum of a window that was searched from 0: the first pixel where none is positive."""
    positive = window.max(axis=(1, 2), keepdims=True) > 0
    return np.where(positive, first(window), corner(window))


MAXPOOL = (
    mistake(
        "all of equal maxima",
        "where a window has several equal maxima, each of them gets all of dy. Only the first does.",
        each_window(maxima),
    ),
    mistake(
        "shared among equal maxima",
        "where a window has several equal maxima, they share dy. The first of them gets all of it.",
        each_window(mean_of_maxima),
    ),
    mistake(
        "last of equal maxima",
        "of several equal maxima the last gets dy, and not the first: compare with > and not with >=.",
        each_window(last),
    ),
    mistake(
        "equal maxima by columns",
        "of several equal maxima the first by columns gets dy. Row-major order goes along the rows.",
        each_window(first_by_columns),
    ),
    mistake(
        "windows overwrite each other",
        "where windows overlap, dx has what the last of them left there. Add to it: dx[...] += ...",
        each_window(first, add=False),
        each_window(maxima, add=False),
    ),
    mistake(
        "the last window only",
        "where windows overlap and share their maximum, dx has dy of the last window only. Add them: dx[...] "
        "+= in a loop, or np.add.at(dx, index, dy). With arrays of indices, dx[index] += dy adds only once.",
        assigned,
    ),
    mistake(
        "search begins at 0",
        "windows without a positive pixel are treated as if 0 were their maximum: begin with the first "
        "pixel, or with -inf.",
        each_window(begins_at_zero),
        each_window(lambda window: first(window) & (window > 0)),
        each_window(lambda window: first(window) & (window >= 0)),
    ),
    mistake(
        "maximum over the channels too",
        "the maximum is taken over rows, columns and channels; broadcasting hides it. Each channel has a "
        "maximum of its own.",
        each_window(lambda window: window == window.max(axis=(1, 2, 3), keepdims=True)),
    ),
    mistake(
        "maximum over the batch too",
        "the maximum is taken over rows, columns and images; broadcasting hides it. Each image has a "
        "maximum of its own.",
        each_window(lambda window: window == window.max(axis=(0, 1, 2), keepdims=True)),
    ),
    mistake(
        "gradient of an average pool",
        "all pixels of a window share dy, as in an average pool. Only the maximum gets it.",
        each_window(lambda window: np.full(window.shape, 1 / (window.shape[1] * window.shape[2]))),
    ),
    mistake(
        "every pixel gets dy",
        "all pixels of a window get dy. Only the maximum does.",
        each_window(np.ones_like),
    ),
    mistake(
        "minimum against maximum",
        "the minimum of each window gets dy.",
        each_window(lambda window: first(-window)),
    ),
    mistake(
        "maximum of absolute values",
        "the pixel of the largest absolute value gets dy, and not the largest pixel.",
        each_window(lambda window: first(np.abs(window))),
    ),
    mistake(
        "maximum times gradient",
        "dx is dy times the maximum. The derivative of the maximum with respect to its pixel is 1.",
        each_window(lambda window: first(window) * window),
    ),
    mistake(
        "array of integers",
        "dx is an array of integers, which cuts off fractions: give np.zeros the dtype of dy.",
        lambda dy, x, size, strides: backward(np.trunc(dy), x, size, strides).astype(np.int64),
        lambda dy, x, size, strides: backward(dy, x, size, strides).astype(np.int64),
    ),
)
