"""Mistakes in dropout."""

import numpy as np

from tinycnn.teach.exercises import Function
from tinycnn.teach.mistakes.catalogue import mistake

Pair = tuple[np.ndarray, np.ndarray]
Scale = Function  # from the rate to a factor


def one(rate: float) -> float:
    """Return 1."""
    return 1.0


def kept(rate: float) -> float:
    """Return the factor of inverted dropout, 1 / (1 - rate)."""
    return 1 / (1 - rate)


def dropping(
    scale_y: Scale = kept,
    scale_dx: Scale = kept,
    keep: Function = np.greater_equal,
    draws: int = 1,
    at_inference: Function | None = None,
) -> Function:
    """Return dropout with other parts.

    Parameters
    ----------
    scale_y, scale_dx : callable
        From the rate to the factor of what is kept.
    keep : callable
        From u and the rate to what is kept.
    draws : int
        1 if the backward pass has the mask of the forward pass, 2 if it draws its own.
    at_inference : callable, optional
        From (x, dy, rate) to (y, dx); by default x and dy.
    """

    def function(
        x: np.ndarray, dy: np.ndarray, rate: float, rng: np.random.Generator, training: bool
    ) -> Pair:
        if not training and at_inference is not None:
            return at_inference(x, dy, rate)
        if not training:
            return x.copy(), dy.copy()
        masks = [keep(rng.random(x.shape), rate) for _ in range(draws)]
        return (
            (x * masks[0] * scale_y(rate)).astype(x.dtype),
            (dy * masks[-1] * scale_dx(rate)).astype(x.dtype),
        )

    return function


def at_inference_too(
    x: np.ndarray, dy: np.ndarray, rate: float, rng: np.random.Generator, training: bool
) -> Pair:
    """Drop whatever `training` says."""
    return dropping()(x, dy, rate, rng, True)


def one_mask_for_all(axis: int) -> Function:
    """Return dropout with a mask that lacks an axis of x: the first or the last."""

    def function(
        x: np.ndarray, dy: np.ndarray, rate: float, rng: np.random.Generator, training: bool
    ) -> Pair:
        if not training:
            return x.copy(), dy.copy()
        shape = x.shape[1:] if axis == 0 else (*x.shape[:-1], 1)
        mask = ((rng.random(shape) >= rate) * kept(rate)).astype(x.dtype)
        return x * mask, dy * mask

    return function


def dx_from(gradient: Function) -> Function:
    """Return dropout whose dx in training is a function of (y, dy, rate)."""

    def function(
        x: np.ndarray, dy: np.ndarray, rate: float, rng: np.random.Generator, training: bool
    ) -> Pair:
        y, dx = dropping()(x, dy, rate, rng, training)
        return y, (gradient(y, dy, rate).astype(dy.dtype) if training else dx)

    return function


def dropped_in_place(
    x: np.ndarray, dy: np.ndarray, rate: float, rng: np.random.Generator, training: bool
) -> Pair:
    """Write 0 into the caller's x."""
    if not training:
        return x, dy
    dropped = rng.random(x.shape) < rate
    x[dropped] = 0
    return (x * kept(rate)).astype(x.dtype), (dy * ~dropped * kept(rate)).astype(x.dtype)


DROPOUT = (
    mistake(
        "mask of the wrong pass",
        "dx has a mask of its own. Draw the mask once, and use that of the forward pass in the backward "
        "pass.",
        dropping(draws=2),
    ),
    mistake(
        "scaling forgotten",
        "what is kept is not multiplied by 1 / (1 - rate).",
        dropping(one, one),
    ),
    mistake(
        "scaling of y forgotten",
        "y is not multiplied by 1 / (1 - rate); dx is.",
        dropping(scale_y=one),
    ),
    mistake(
        "scaling of dx forgotten",
        "dx is not multiplied by 1 / (1 - rate). The mask of the backward pass is that of y, with its "
        "factor.",
        dropping(scale_dx=one),
    ),
    mistake(
        "scaling twice in dx",
        "dx is multiplied by 1 / (1 - rate) twice.",
        dropping(scale_dx=lambda rate: kept(rate) ** 2),
    ),
    mistake(
        "scaling twice",
        "y and dx are multiplied by 1 / (1 - rate) twice: the mask has the factor already.",
        dropping(lambda rate: kept(rate) ** 2, lambda rate: kept(rate) ** 2),
    ),
    mistake(
        "multiplied by the share that is kept",
        "what is kept is multiplied by 1 - rate in training, and should be divided by it.",
        dropping(lambda rate: 1 - rate, lambda rate: 1 - rate),
    ),
    mistake(
        "divided by the rate",
        "what is kept is divided by rate, and should be divided by 1 - rate.",
        dropping(
            lambda rate: 1 / np.float64(rate),
            lambda rate: 1 / np.float64(rate),
        ),
    ),
    mistake(
        "scaling at inference",
        "at inference values are multiplied by 1 - rate, as in dropout that is not inverted. Inverted "
        "dropout scales in training, and inference is the identity.",
        dropping(one, one, at_inference=lambda x, dy, rate: (x * (1 - rate), dy * (1 - rate))),
        dropping(one, one, at_inference=lambda x, dy, rate: (x * (1 - rate), dy.copy())),
        dropping(at_inference=lambda x, dy, rate: (x * (1 - rate), dy * (1 - rate))),
        dropping(at_inference=lambda x, dy, rate: (x * (1 - rate), dy.copy())),
        dropping(at_inference=lambda x, dy, rate: (x * kept(rate), dy * kept(rate))),
        dropping(at_inference=lambda x, dy, rate: (x * kept(rate), dy.copy())),
    ),
    mistake(
        "dropped at inference",
        "values are dropped at inference too: look at `training`.",
        at_inference_too,
    ),
    mistake(
        "rate and its complement exchanged",
        "values are kept with the probability `rate`, and should be dropped with it: keep where u >= rate.",
        dropping(keep=np.less),
        dropping(lambda rate: 1 / np.float64(rate), lambda rate: 1 / np.float64(rate), np.less),
        dropping(one, one, np.less),
    ),
    mistake(
        "mask from the other end",
        "the mask keeps where u < 1 - rate. This drops as often, and other values: the exercise says u >= "
        "rate.",
        dropping(keep=lambda u, rate: u < 1 - rate),
        dropping(keep=lambda u, rate: u <= 1 - rate),
    ),
    mistake(
        "one mask for all images",
        "the mask lacks the first axis, and broadcasting gives all images the same: draw "
        "rng.random(x.shape).",
        one_mask_for_all(0),
    ),
    mistake(
        "one mask for all channels",
        "the mask lacks the last axis, and broadcasting gives all channels the same: draw "
        "rng.random(x.shape).",
        one_mask_for_all(-1),
    ),
    mistake(
        "dx without the mask",
        "dx has no mask: where y was dropped, dx is 0.",
        dx_from(lambda y, dy, rate: dy),
        dx_from(lambda y, dy, rate: dy * kept(rate)),
    ),
    mistake(
        "dx from y",
        "dx contains y: the derivative of a masked value is the mask, whatever the value.",
        dx_from(lambda y, dy, rate: dy * y),
    ),
    mistake(
        "mask of positive outputs",
        "dx is masked where y is not positive, as in a ReLU. The mask of dropout is where y was kept.",
        dx_from(lambda y, dy, rate: dy * (y > 0) * kept(rate)),
        dx_from(lambda y, dy, rate: dy * (y > 0)),
    ),
    mistake(
        "x changed in place",
        "zeros are written into the caller's x: multiply by a mask, or work on a copy.",
        dropped_in_place,
    ),
)
