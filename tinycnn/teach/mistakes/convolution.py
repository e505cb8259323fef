"""Mistakes in a convolution and in its gradients, most of them as the right function with wrong arguments."""

from functools import partial
from typing import Any

import numpy as np

from tinycnn.support.checks import Pair
from tinycnn.teach.mistakes.catalogue import mistake, replaced
from tinycnn.teach.references import conv2d_backward as backward
from tinycnn.teach.references import conv2d_forward as forward


def taps(w: np.ndarray) -> int:
    """Return over how many products an output is a sum."""
    return w.shape[0] * w.shape[1] * w.shape[2]


def axes_mixed_up(w: np.ndarray, *order: int) -> np.ndarray:
    """Return filters whose values were read as if the axes KH, KW, C came in another order."""
    shuffled = w.reshape(*(w.shape[axis] for axis in order), w.shape[3])
    return shuffled.transpose(*np.argsort(order), 3)


def padded(x: np.ndarray, before: Pair, after: Pair, mode: Any = "constant") -> np.ndarray:
    """Return images with rows and columns before and after them."""
    pads = ((0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0))
    return np.pad(x, pads, mode=mode)


NONE = (0, 0)

FORWARD = (
    mistake(
        "flipped kernel",
        "the filter is flipped. The exercise, like all libraries, computes a cross-correlation: w[0, 0] "
        "meets the first pixel of the window.",
        lambda x, w, b, s, p: forward(x, w[::-1, ::-1], b, s, p),
    ),
    mistake(
        "bias forgotten",
        "b is not added.",
        lambda x, w, b, s, p: forward(x, w, np.zeros_like(b), s, p),
    ),
    mistake(
        "bias added too often",
        "b is added for each element of the filter and not once for each output: take it out of the inner "
        "loop.",
        lambda x, w, b, s, p: forward(x, w, b * (w.shape[0] * w.shape[1]), s, p),
        lambda x, w, b, s, p: forward(x, w, b * taps(w), s, p),
        lambda x, w, b, s, p: forward(x, w, b * w.shape[2], s, p),
    ),
    mistake(
        "mean against sum",
        "the products are averaged, and should be added.",
        lambda x, w, b, s, p: forward(x, w / np.array(taps(w), w.dtype), b, s, p),
    ),
    mistake(
        "patches flattened in another order",
        "the patches and w are flattened in different orders. w.reshape(-1, F) has its rows in the order "
        "KH, KW, C.",
        lambda x, w, b, s, p: forward(x, axes_mixed_up(w, 2, 0, 1), b, s, p),
        lambda x, w, b, s, p: forward(x, axes_mixed_up(w, 1, 0, 2), b, s, p),
        lambda x, w, b, s, p: forward(x, axes_mixed_up(w, 2, 1, 0), b, s, p),
    ),
    mistake(
        "strides exchanged",
        "the strides of rows and columns are exchanged: strides is (SH, SW).",
        lambda x, w, b, s, p: forward(x, w, b, s[::-1], p),
    ),
    mistake(
        "strides ignored",
        "the filter moves one pixel at a time, whatever `strides` says.",
        lambda x, w, b, s, p: forward(x, w, b, (1, 1), p),
    ),
    mistake(
        "one stride for both axes",
        "the stride of one axis is used for both.",
        lambda x, w, b, s, p: forward(x, w, b, (s[0], s[0]), p),
        lambda x, w, b, s, p: forward(x, w, b, (s[1], s[1]), p),
    ),
    mistake(
        "padding ignored",
        "x is not padded.",
        lambda x, w, b, s, p: forward(x, w, b, s, NONE),
    ),
    mistake(
        "padding exchanged",
        "the padding of rows and columns is exchanged: padding is (PH, PW).",
        lambda x, w, b, s, p: forward(x, w, b, s, p[::-1]),
    ),
    mistake(
        "padding on one side",
        "x is padded on one side only, or the output size counts the padding once: PH rows belong above and "
        "PH below, PW columns on the left and PW on the right.",
        lambda x, w, b, s, p: forward(padded(x, p, NONE), w, b, s, NONE),
        lambda x, w, b, s, p: forward(padded(x, NONE, p), w, b, s, NONE),
        lambda x, w, b, s, p: forward(padded(x, (2 * p[0], 2 * p[1]), NONE), w, b, s, NONE),
        lambda x, w, b, s, p: forward(padded(x, NONE, (2 * p[0], 2 * p[1])), w, b, s, NONE),
    ),
    mistake(
        "padding with pixels of the edge",
        "the padding repeats or mirrors pixels of the image; it should be zeros.",
        lambda x, w, b, s, p: forward(padded(x, p, p, "edge"), w, b, s, NONE),
        lambda x, w, b, s, p: forward(padded(x, p, p, "reflect"), w, b, s, NONE),
        lambda x, w, b, s, p: forward(padded(x, p, p, "wrap"), w, b, s, NONE),
        lambda x, w, b, s, p: forward(padded(x, p, p, "symmetric"), w, b, s, NONE),
    ),
    mistake(
        "last row and column missing",
        "the last row and the last column are missing: OH = (H + 2 * PH - KH) // SH + 1, with the + 1.",
        lambda x, w, b, s, p: forward(x, w, b, s, p)[:, :-1, :-1],
    ),
    mistake(
        "first image only",
        "all results are those of the first image.",
        lambda x, w, b, s, p: np.repeat(forward(x[:1], w, b, s, p), len(x), axis=0),
    ),
    mistake(
        "array of integers",
        "y is an array of integers, which cuts off fractions: give np.zeros the dtype of x.",
        lambda x, w, b, s, p: forward(x, w, b, s, p).astype(np.int64),
        lambda x, w, b, s, p: forward(x, w, b, s, p).astype(np.int32),
    ),
)


def overwritten(dy: np.ndarray, x: np.ndarray, w: np.ndarray, strides: Pair, padding: Pair) -> np.ndarray:
    """Return dx where each window overwrites what windows before it have left, in row-major order."""
    (SH, SW), (PH, PW), (KH, KW) = strides, padding, w.shape[:2]
    dxp = np.zeros_like(padded(x, padding, padding))
    for oh, ow in np.ndindex(dy.shape[1:3]):
        patch = np.einsum("nf,hwcf->nhwc", dy[:, oh, ow], w)
        dxp[:, oh * SH : oh * SH + KH, ow * SW : ow * SW + KW] = patch
    return dxp[:, PH : PH + x.shape[1], PW : PW + x.shape[2]]


def overwritten_by_taps(
    dy: np.ndarray, x: np.ndarray, w: np.ndarray, strides: Pair, padding: Pair
) -> np.ndarray:
    """Return dx where each element of the filter overwrites what those before it have left."""
    (SH, SW), (PH, PW), (_, OH, OW, _) = strides, padding, dy.shape
    dxp = np.zeros_like(padded(x, padding, padding))
    for kh, kw in np.ndindex(w.shape[:2]):
        dxp[:, kh : kh + SH * OH : SH, kw : kw + SW * OW : SW][:, :OH, :OW] = dy @ w[kh, kw].T
    return dxp[:, PH : PH + x.shape[1], PW : PW + x.shape[2]]


def not_cropped(dy: np.ndarray, x: np.ndarray, w: np.ndarray, strides: Pair, padding: Pair) -> np.ndarray:
    """Return the gradient of the padded images."""
    return backward(dy, padded(x, padding, padding), w, strides, NONE)[0]


dx = partial(replaced, backward, 0)
dw = partial(replaced, backward, 1)
db = partial(replaced, backward, 2)

BACKWARD = (
    mistake(
        "flipped kernel in dx",
        "dx is computed with a flipped filter. Where dy is spread over the windows of dx, w is not flipped; "
        "where windows of a padded dy are taken, it is.",
        dx(lambda dy, x, w, s, p: backward(dy, x, w[::-1, ::-1], s, p)[0]),
    ),
    mistake(
        "flipped kernel in dw",
        "dw is flipped.",
        dw(lambda dy, x, w, s, p: backward(dy, x, w, s, p)[1][::-1, ::-1]),
    ),
    mistake(
        "windows overwrite each other",
        "where windows overlap, dx has what one of them left there. Add to it: dx[...] += ...",
        dx(overwritten),
        dx(overwritten_by_taps),
    ),
    mistake(
        "dx not cropped",
        "dx still has the padding: cut PH rows and PW columns off each side.",
        dx(not_cropped),
    ),
    mistake(
        "dx cropped at the wrong place",
        "dx is cut out of the padded gradient at the wrong place: it begins at row PH and column PW.",
        dx(lambda dy, x, w, s, p: not_cropped(dy, x, w, s, p)[:, : x.shape[1], : x.shape[2]]),
        dx(lambda dy, x, w, s, p: not_cropped(dy, x, w, s, p)[:, -x.shape[1] :, -x.shape[2] :]),
    ),
    mistake(
        "cropped with -0",
        "dx is empty without padding: dx[:, PH:-PH] has no rows where PH is 0. Write dx[:, PH : PH + H].",
        dx(lambda dy, x, w, s, p: not_cropped(dy, x, w, s, p)[:, p[0] : -p[0], p[1] : -p[1]]),
    ),
    mistake(
        "transposed col2im",
        "in dx, the gradient of the patches is folded back in another order than KH, KW, C.",
        dx(lambda dy, x, w, s, p: backward(dy, x, axes_mixed_up(w, 2, 0, 1), s, p)[0]),
        dx(lambda dy, x, w, s, p: backward(dy, x, axes_mixed_up(w, 1, 0, 2), s, p)[0]),
        dx(lambda dy, x, w, s, p: backward(dy, x, axes_mixed_up(w, 2, 1, 0), s, p)[0]),
    ),
    mistake(
        "patches of dw in another order",
        "dw was computed from patches that are not flattened in the order KH, KW, C, and reshaped as if "
        "they were.",
        dw(lambda dy, x, w, s, p: backward(dy, x, w, s, p)[1].transpose(2, 0, 1, 3).reshape(w.shape)),
        dw(lambda dy, x, w, s, p: backward(dy, x, w, s, p)[1].transpose(1, 0, 2, 3).reshape(w.shape)),
        dw(lambda dy, x, w, s, p: backward(dy, x, w, s, p)[1].transpose(2, 1, 0, 3).reshape(w.shape)),
    ),
    mistake(
        "dw transposed",
        "dw has its channels and its filters exchanged: its shape is (KH, KW, C, F).",
        dw(lambda dy, x, w, s, p: backward(dy, x, w, s, p)[1].transpose(0, 1, 3, 2)),
    ),
    mistake(
        "dw of one image",
        "dw is that of one image: add over the batch.",
        dw(lambda dy, x, w, s, p: backward(dy[-1:], x[-1:], w, s, p)[1]),
        dw(lambda dy, x, w, s, p: backward(dy[:1], x[:1], w, s, p)[1]),
    ),
    mistake(
        "mean against sum in dw",
        "dw is divided by the number of images. The loss has that division already: add over the batch.",
        dw(lambda dy, x, w, s, p: backward(dy, x, w, s, p)[1] / len(x)),
    ),
    mistake(
        "mean against sum in db",
        "db is a mean, and should be the sum over images, rows and columns.",
        db(lambda dy, x, w, s, p: dy.mean(axis=(0, 1, 2))),
        db(lambda dy, x, w, s, p: dy.sum(axis=(1, 2)).mean(axis=0)),
    ),
    mistake(
        "batch sum missing in db",
        "db is not added over the batch: sum over images, rows and columns, the axes 0, 1 and 2.",
        db(lambda dy, x, w, s, p: dy.sum(axis=(1, 2))),
        db(lambda dy, x, w, s, p: dy[0].sum(axis=(0, 1))),
        db(lambda dy, x, w, s, p: dy[-1].sum(axis=(0, 1))),
    ),
    mistake(
        "db added over the batch only",
        "db is added over the batch only: sum over images, rows and columns, the axes 0, 1 and 2.",
        db(lambda dy, x, w, s, p: dy.sum(axis=0)),
    ),
    mistake(
        "mean against sum in dx",
        "dx is divided by the number of images. The loss has that division already.",
        dx(lambda dy, x, w, s, p: backward(dy, x, w, s, p)[0] / len(x)),
    ),
)
