"""Right solutions of other kinds get all points, and results that are no arrays are refused in words."""

import functools
import math
from collections import namedtuple

import numpy as np
import pytest

from tinycnn.teach import EXERCISES, grade

pytestmark = pytest.mark.smoke

right = {name: exercise.reference for name, exercise in EXERCISES.items()}


def by_strides(x, w, b, strides, padding):
    x = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    (KH, KW), (SH, SW) = w.shape[:2], strides
    sizes = (x.shape[1] - KH) // SH + 1, (x.shape[2] - KW) // SW + 1
    n, h, v, c = x.strides
    shape = len(x), *sizes, KH, KW, x.shape[3]
    windows = np.lib.stride_tricks.as_strided(x, shape, (n, h * SH, v * SW, h, v, c), writeable=False)
    return np.tensordot(windows, w, 3) + b


def by_lists(x, w, b, strides, padding):
    x = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    (KH, KW, _, F), (SH, SW) = w.shape, strides
    rows, columns = range(0, x.shape[1] - KH + 1, SH), range(0, x.shape[2] - KW + 1, SW)
    return np.array(
        [
            [
                [
                    [(image[r : r + KH, c : c + KW] * w[..., f]).sum() + b[f] for f in range(F)]
                    for c in columns
                ]
                for r in rows
            ]
            for image in x
        ],
        x.dtype,
    )


def channels_first_inside(x, w, b, strides, padding):
    y = right["conv2d_forward"](x, w, b, strides, padding)
    return np.ascontiguousarray(y.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)


def named(dy, x, w, strides, padding):
    return namedtuple("Gradients", "dx dw db")(*right["conv2d_backward"](dy, x, w, strides, padding))


def by_python_floats(logits, labels):
    loss, rows = 0.0, []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        log_sum = max(row) + math.log(sum(math.exp(z - max(row)) for z in row))
        loss += (log_sum - row[label]) / len(labels)
        rows.append([(math.exp(z - log_sum) - (k == label)) / len(labels) for k, z in enumerate(row)])
    return loss, np.array(rows, logits.dtype)


def by_logaddexp(logits, labels):
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    hot = np.eye(logits.shape[1], dtype=logits.dtype)[labels]
    return -(log_p * hot).sum(axis=1).mean(), (np.exp(log_p) - hot) / len(labels)


def the_arguments_at_inference(x, dy, rate, rng, training):
    return right["dropout"](x, dy, rate, rng, True) if training else (x, dy)


def by_the_chain_rule(dy, x, gamma, epsilon):
    axes, count = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    centred, deviation = x - x.mean(axis=axes), np.sqrt(x.var(axis=axes) + x.dtype.type(epsilon))
    d_hat = dy * gamma
    d_variance = -(d_hat * centred).sum(axis=axes) / (2 * deviation**3)
    d_mean = -(d_hat / deviation).sum(axis=axes)
    dx = d_hat / deviation + (2 * d_variance * centred + d_mean) / x.dtype.type(count)
    return dx, (dy * centred / deviation).sum(axis=axes), dy.sum(axis=axes)


def with_the_correction_in_the_rate(p, g, m, v, t, rate, beta_1, beta_2, epsilon):
    m, v, root = m + (1 - beta_1) * (g - m), v + (1 - beta_2) * (g * g - v), math.sqrt(1 - beta_2**t)
    return p - rate * root / (1 - beta_1**t) * m / (np.sqrt(v) + epsilon * root), m, v


UNUSUAL = [
    (by_strides, "conv2d_forward"),
    (by_lists, "conv2d_forward"),
    (channels_first_inside, "conv2d_forward"),
    (named, "conv2d_backward"),
    (by_python_floats, "softmax_cross_entropy"),
    (by_logaddexp, "softmax_cross_entropy"),
    (the_arguments_at_inference, "dropout"),
    (by_the_chain_rule, "batchnorm_backward"),
    (with_the_correction_in_the_rate, "adam_step"),
]


@pytest.mark.parametrize(("function", "name"), UNUSUAL, ids=[f.__name__ for f, _ in UNUSUAL])
def test_an_unusual_solution_gets_all_points(function, name):
    report = grade(function, name)
    assert report.passed, report
    assert report.hints == []


@pytest.mark.parametrize("name", EXERCISES)
def test_a_solution_that_computes_in_float32_gets_all_points(name):
    @functools.wraps(right[name])
    def function(*arguments):
        results = right[name](*(_in(np.float32, a) for a in arguments))
        dtype = arguments[0].dtype
        return tuple(_in(dtype, r) for r in results) if isinstance(results, tuple) else _in(dtype, results)

    report = grade(function)
    assert report.passed, report


def _in(dtype, value):
    is_float = isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "f"
    return value.astype(dtype) if is_float else value


@pytest.mark.parametrize("factor", [1 + 4e-6, 1 - 4e-6])
def test_what_is_further_off_than_float32_is_wrong(factor):
    """In float64 by a few millionths."""

    def adam_step(p, g, m, v, t, rate, beta_1, beta_2, epsilon):
        p, m, v = right["adam_step"](p, g, m, v, t, rate, beta_1, beta_2, epsilon)
        return p, m, v * factor

    report = grade(adam_step)
    assert not report.passed
    assert report.results[0].checks[0].difference.output == "v"


NO_ARRAYS = {
    "masked": (
        lambda y: np.ma.masked_array(y, mask=True),
        "y: expected a NumPy array, received a masked array",
    ),
    "a view of one number": (
        lambda y: np.broadcast_to(np.float64(1), (10**7, 10**7)),
        "y: expected a small array, received shape (10000000, 10000000)",
    ),
    "a list": (lambda y: y.tolist(), "y: expected a NumPy array, received list"),
    "objects": (lambda y: y.astype(object), "y: expected an array of floats, received dtype object"),
    "a generator": (lambda y: (row for row in y), "y: expected a NumPy array, received generator"),
    "text": (lambda y: np.array(str(y)), "y: expected an array of floats, received dtype <U"),
}


@pytest.mark.parametrize("kind", NO_ARRAYS)
def test_a_result_that_is_no_plain_array(kind):
    """The view would take 800 TB as an array of its own."""
    change, message = NO_ARRAYS[kind]

    def conv2d_forward(x, w, b, strides, padding):
        return change(right["conv2d_forward"](x, w, b, strides, padding))

    report = grade(conv2d_forward)
    assert report.score == 0
    assert report.results[0].checks[0].difference.message.startswith(message)
