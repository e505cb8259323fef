"""The arguments that each exercise is tried with, from the simplest condition to the hardest.

::

    conv2d_forward() -> [Case("one image, one channel, one filter", (x, w, b, ...)), ...]

Sizes differ and images are not square, so that no axis can stand for another by chance. The last case is the
first again: a function that remembers something from one call to the next shows there. Numbers are the same
in every process: each exercise has a generator with its own seed.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinycnn.support.checks import Pair

Arguments = tuple[Any, ...]
Shape = tuple[int, ...]


class Case(NamedTuple):
    """A condition in words, and the arguments of the call, in the order of the parameters."""

    label: str
    arguments: Arguments


def conv2d_forward() -> list[Case]:
    """Return x, w, b, strides and padding."""
    rng = np.random.default_rng(1)
    cases = [
        Case(label, (numbers(rng, x), numbers(rng, w), numbers(rng, w[-1:]), strides, padding))
        for label, x, w, strides, padding in CONVOLUTIONS
    ]
    return [*cases, *_in_float32(cases[-2:]), _again(cases[0])]


def conv2d_backward() -> list[Case]:
    """Return dy, x, w, strides and padding."""
    rng = np.random.default_rng(2)
    cases = []
    for label, x, w, strides, padding in CONVOLUTIONS:
        padded = (x[1] + 2 * padding[0], x[2] + 2 * padding[1])
        dy = (x[0], *_windows(padded, w[:2], strides), w[-1])
        cases.append(Case(label, (numbers(rng, dy), numbers(rng, x), numbers(rng, w), strides, padding)))
    return [*cases, *_in_float32(cases[-2:]), _again(cases[0])]


ONE, SEVERAL = ((1, 3, 4, 1), (2, 3, 1, 1)), ((2, 7, 9, 3), (4, 5, 3, 10))
LARGER = (2, 9, 17, 5), (3, 4, 5, 8)
#: Label, shape of x, shape of w, strides, padding.
CONVOLUTIONS: list[tuple[str, Shape, Shape, Pair, Pair]] = [
    ("one image, one channel, one filter", *ONE, (1, 1), (0, 0)),
    ("several images, channels and filters", *SEVERAL, (1, 1), (0, 0)),
    ("strides (2, 3)", *LARGER, (2, 3), (0, 0)),
    ("padding (1, 2)", *SEVERAL, (1, 1), (1, 2)),
    ("padding (2, 0)", *SEVERAL, (1, 1), (2, 0)),
    ("strides (3, 2) and padding (2, 1)", (3, 11, 10, 2), (4, 3, 2, 7), (3, 2), (2, 1)),
    ("strides (2, 3) and padding (1, 2)", *LARGER, (2, 3), (1, 2)),
]


def maxpool_backward() -> list[Case]:
    """Return dy, x, pool_size and strides."""
    rng = np.random.default_rng(3)
    pools: list[tuple[str, Shape, Pair, Pair]] = [
        ("one image, one channel", (1, 4, 6, 1), (2, 3), (2, 3)),
        ("several images and channels", (2, 9, 8, 5), (3, 2), (3, 2)),
        ("rows and columns in no window", (2, 13, 19, 3), (3, 2), (3, 4)),
        ("windows that overlap", (2, 9, 8, 3), (3, 2), (2, 1)),
    ]
    cases = [
        Case(label, (numbers(rng, _pooled(x, size, strides)), distinct(rng, x), size, strides))
        for label, x, size, strides in pools
    ]
    dy, x, size, strides = cases[1].arguments
    cases += [
        Case("only negative pixels", (dy, x - x.max() - 1, size, strides)),
        Case("equal maxima, as after a ReLU", (dy, np.maximum(x - np.quantile(x, 0.75), 0), size, strides)),
    ]
    dy, x, size, strides = cases[3].arguments
    cases.append(Case("windows that overlap, with equal maxima", (dy, np.round(x / 12), size, strides)))
    return [*cases, *_in_float32(cases[-2:]), _again(cases[0])]


def softmax_cross_entropy() -> list[Case]:
    """Return logits and labels."""
    rng = np.random.default_rng(4)
    large = numbers(rng, (4, 6)) * np.array([[1.0], [2000], [-2000], [500]])
    cases = [
        Case("one row", (numbers(rng, (1, 3)), np.array([1]))),
        Case("several rows", (numbers(rng, (5, 4)), rng.integers(0, 4, 5))),
        Case("more classes than rows", (numbers(rng, (3, 7)), rng.integers(0, 7, 3))),
        Case("improbable labels", (numbers(rng, (4, 3)) * 8, np.array([0, 2, 1, 0]))),
        Case(
            "logits up to 10,000", (large, np.where([0, 1, 0, 0], large.argmax(axis=1), large.argmin(axis=1)))
        ),
        Case("logits near 10,000 in one row, near -10,000 in another", (_far_apart(rng), np.array([2, 0]))),
    ]
    return [*cases, *_in_float32([cases[1], cases[4]]), _again(cases[0])]


def dropout() -> list[Case]:
    """Return x, dy, rate, rng and training."""
    rng = np.random.default_rng(5)
    calls: list[tuple[str, Shape, float, bool]] = [
        ("training, a vector", (9,), 0.25, True),
        ("training, rate 0.25", (7, 5), 0.25, True),
        ("training, rate 0.625, images", (3, 4, 5, 2), 0.625, True),
        ("training, rate 0", (4, 3), 0.0, True),
        ("inference, rate 0.25", (4, 3), 0.25, False),
        ("inference, rate 0.625", (3, 4, 5, 2), 0.625, False),
    ]
    cases = [
        Case(label, (*_two_without_zeros(rng, shape), rate, np.random.default_rng(n), training))
        for n, (label, shape, rate, training) in enumerate(calls)
    ]
    return [*cases, *_in_float32([cases[2], cases[-1]]), _again(cases[0])]


def batchnorm_backward() -> list[Case]:
    """Return dy, x, gamma and epsilon."""
    rng = np.random.default_rng(6)
    calls: list[tuple[str, Shape, float]] = [
        ("vectors (N, C)", (5, 3), 0.001),
        ("vectors, a large epsilon", (7, 4), 2.0),
        ("images (N, H, W, C)", (2, 4, 5, 3), 0.5),
        ("more channels than images", (2, 3, 4, 7), 0.25),
    ]
    cases = [
        Case(label, (numbers(rng, shape), numbers(rng, shape) + 3, numbers(rng, shape[-1:]), epsilon))
        for label, shape, epsilon in calls
    ]
    return [*cases, *_in_float32(cases[1:3]), _again(cases[0])]


def adam_step() -> list[Case]:
    """Return p, g, m, v, t, rate, beta_1, beta_2 and epsilon."""
    rng = np.random.default_rng(7)
    calls: list[tuple[str, Shape, int, tuple[float, ...]]] = [
        ("the first step", (5,), 1, (0.5, 0.9, 0.999, 0.01)),
        ("the second step", (5,), 2, (0.5, 0.9, 0.999, 0.01)),
        ("step 7, a matrix", (3, 4), 7, (0.25, 0.8, 0.95, 0.5)),
        ("step 1,000", (6,), 1000, (0.125, 0.9, 0.99, 0.25)),
        ("the usual constants", (4, 5), 3, (0.001, 0.9, 0.999, 1e-8)),
    ]
    cases = []
    for label, shape, t, settings in calls:
        p, g, m, v = (numbers(rng, shape) for _ in range(4))
        begun = t > 1  # before the first step the moments are 0 (+ 0.0: and not -0)
        cases.append(Case(label, (p, g, m * begun + 0.0, np.square(v) * begun, t, *settings)))
    return [*cases, *_in_float32(cases[1:3]), _again(cases[0])]


def numbers(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Return multiples of 1/8 from -5 to 5: readable, and exact in float32."""
    return rng.integers(-40, 41, tuple(shape)) / 8


def distinct(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Return multiples of 1/8, no two equal, half of them negative."""
    size = int(np.prod(shape))
    return (rng.permutation(size).reshape(shape) - size // 2) / 8


def _two_without_zeros(rng: np.random.Generator, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    return numbers(rng, shape) + 1 / 16, numbers(rng, shape) + 1 / 16


def _far_apart(rng: np.random.Generator) -> np.ndarray:
    return numbers(rng, (2, 5)) + np.array([[1e4], [-1e4]])


def _windows(size: Sequence[int], kernel: Sequence[int], strides: Pair) -> Pair:
    (H, W), (KH, KW), (SH, SW) = size, kernel, strides
    return (H - KH) // SH + 1, (W - KW) // SW + 1


def _pooled(x: Shape, pool_size: Pair, strides: Pair) -> Shape:
    return (x[0], *_windows(x[1:3], pool_size, strides), x[3])


def _in_float32(cases: Sequence[Case]) -> list[Case]:
    """Return the cases with their floats in float32."""

    def converted(value: Any) -> Any:
        is_float = isinstance(value, np.ndarray) and value.dtype == np.float64
        return value.astype(np.float32) if is_float else value

    return [Case(f"{label}, float32", tuple(map(converted, arguments))) for label, arguments in cases]


def _again(case: Case) -> Case:
    return Case(f"{case.label}, once more", case.arguments)
