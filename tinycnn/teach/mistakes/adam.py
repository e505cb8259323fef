"""Mistakes in a step of Adam."""

from typing import Any

import numpy as np

from tinycnn.teach.exercises import Function
from tinycnn.teach.mistakes.catalogue import mistake
from tinycnn.teach.references import adam_step as right

Three = tuple[np.ndarray, np.ndarray, np.ndarray]


def corrected(moment: np.ndarray, beta: float, t: int) -> np.ndarray:
    """Return a moment with its bias correction."""
    return moment / np.array(1 - beta**t, moment.dtype)


def as_it_is(moment: np.ndarray, beta: float, t: int) -> np.ndarray:
    """Return a moment without the correction."""
    return moment


def without_power(moment: np.ndarray, beta: float, t: int) -> np.ndarray:
    """Return a moment divided by 1 - beta."""
    return corrected(moment, beta, 1)


def with_product(moment: np.ndarray, beta: float, t: int) -> np.ndarray:
    """Return a moment divided by 1 - beta * t."""
    return corrected(moment, beta * t, 1)


def beside(v_hat: np.ndarray, epsilon: float) -> Any:
    """Return the denominator with epsilon beside the root."""
    return np.sqrt(v_hat) + epsilon


def stepping(
    correct_m: Function = corrected,
    correct_v: Function = corrected,
    denominator: Function = beside,
    square: Function = np.square,
    late: int = 0,
) -> Function:
    """Return a step with other parts; `late` is added to t."""

    def function(
        p: Any, g: Any, m: Any, v: Any, t: int, rate: float, b1: float, b2: float, epsilon: float
    ) -> Three:
        m, v, t = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * square(g), t + late
        return p - rate * correct_m(m, b1, t) / denominator(correct_v(v, b2, t), epsilon), m, v

    return function


def with_moments(new_m: Function, new_v: Function) -> Function:
    """Return a step with other moments, from (moment, gradient, beta)."""

    def function(
        p: Any, g: Any, m: Any, v: Any, t: int, rate: float, b1: float, b2: float, epsilon: float
    ) -> Three:
        m, v = new_m(m, g, b1), new_v(v, np.square(g), b2)
        return p - rate * corrected(m, b1, t) / beside(corrected(v, b2, t), epsilon), m, v

    return function


def average(moment: np.ndarray, value: np.ndarray, beta: float) -> np.ndarray:
    """Return the moving average, as it should be."""
    return beta * moment + (1 - beta) * value


def returning(choose: Function) -> Function:
    """Return a step whose results are chosen from the arguments and the right results."""

    def function(p: Any, g: Any, m: Any, v: Any, *rest: Any) -> Three:
        return choose((p, g, m, v, *rest), right(p, g, m, v, *rest))

    return function


def outside_of_the_correction(
    p: Any, g: Any, m: Any, v: Any, t: int, rate: float, b1: float, b2: float, epsilon: float
) -> Three:
    """Add epsilon to the root of v before the correction, as Keras does."""
    return right(p, g, m, v, t, rate, b1, b2, epsilon / float(np.sqrt(1 - b2**t)))


def with_old_moments(
    p: Any, g: Any, m: Any, v: Any, t: int, rate: float, b1: float, b2: float, epsilon: float
) -> Three:
    """Compute the step from m and v as they came."""
    step = rate * corrected(m, b1, t) / beside(corrected(v, b2, t), epsilon)
    return p - step, average(m, g, b1), average(v, np.square(g), b2)


def in_place(*names: str) -> Function:
    """Return a step that also writes results into arguments."""

    def function(p: Any, g: Any, m: Any, v: Any, *rest: Any) -> Three:
        results = right(p, g, m, v, *rest)
        for name, argument, result in zip("pmv", (p, m, v), results, strict=True):
            if name in names:
                argument[...] = result
        return results

    return function


def with_epsilon(epsilon: float) -> Function:
    """Return a step with an epsilon of its own."""
    return lambda p, g, m, v, t, rate, b1, b2, _: right(p, g, m, v, t, rate, b1, b2, epsilon)


ADAM = (
    mistake(
        "bias correction forgotten",
        "m and v are used without bias correction: divide by 1 - beta**t.",
        stepping(as_it_is, as_it_is),
    ),
    mistake(
        "bias correction of m only",
        "v is used without bias correction.",
        stepping(correct_v=as_it_is),
    ),
    mistake(
        "bias correction of v only",
        "m is used without bias correction.",
        stepping(correct_m=as_it_is),
    ),
    mistake(
        "t begins with 0",
        "the bias correction has t - 1 in the place of t: the first step has t = 1.",
        stepping(late=-1),
    ),
    mistake(
        "t counted twice",
        "the bias correction has t + 1 in the place of t: t is the number of this step already.",
        stepping(late=1),
    ),
    mistake(
        "power forgotten",
        "the bias correction divides by 1 - beta, without the power: divide by 1 - beta**t.",
        stepping(without_power, without_power),
    ),
    mistake(
        "product against power",
        "the bias correction divides by 1 - beta * t, and should divide by 1 - beta**t.",
        stepping(with_product, with_product),
    ),
    mistake(
        "step with the old moments",
        "p is changed with the moments of the step before: compute the new m and v first.",
        with_old_moments,
    ),
    mistake(
        "corrected moments returned",
        "m and v are returned with the bias correction. The next step would correct them again.",
        lambda p, g, m, v, t, rate, b1, b2, epsilon: (
            right(p, g, m, v, t, rate, b1, b2, epsilon)[0],
            corrected(average(m, g, b1), b1, t),
            corrected(average(v, np.square(g), b2), b2, t),
        ),
    ),
    mistake(
        "old moments returned",
        "m and v are returned as they came: return the new ones.",
        returning(lambda given, new: (new[0], given[2].copy(), given[3].copy())),
    ),
    mistake(
        "epsilon in the root",
        "epsilon is added below the root: the denominator is sqrt(v_hat) + epsilon.",
        stepping(denominator=lambda v_hat, epsilon: np.sqrt(v_hat + epsilon)),
    ),
    mistake(
        "epsilon outside of the bias correction",
        "epsilon is added before the bias correction of v, as in the second form of the paper and in Keras. "
        "The exercise asks for algorithm 1: sqrt(v_hat) + epsilon.",
        outside_of_the_correction,
    ),
    mistake(
        "epsilon forgotten",
        "epsilon is not added.",
        stepping(denominator=lambda v_hat, epsilon: np.sqrt(v_hat)),
    ),
    mistake(
        "another epsilon",
        "epsilon is a constant, and should be the argument.",
        *map(with_epsilon, (1e-6, 1e-7, 1e-8)),
    ),
    mistake(
        "root forgotten",
        "the step is divided by v_hat, without the square root.",
        stepping(denominator=lambda v_hat, epsilon: v_hat + epsilon),
    ),
    mistake(
        "gradient not squared",
        "v is the moving average of g, and should be that of g**2.",
        stepping(square=lambda g: g),
    ),
    mistake(
        "absolute values against squares",
        "v is the moving average of |g|, and should be that of g**2.",
        stepping(square=np.abs),
    ),
    mistake(
        "betas exchanged",
        "beta_1 and beta_2 are exchanged: beta_1 belongs to m.",
        lambda p, g, m, v, t, rate, b1, b2, epsilon: right(p, g, m, v, t, rate, b2, b1, epsilon),
    ),
    mistake(
        "beta and its complement exchanged",
        "the old moment is weighted with 1 - beta and the gradient with beta: it is the other way round.",
        with_moments(
            lambda m, g, beta: average(g, m, beta), lambda v, square, beta: average(square, v, beta)
        ),
    ),
    mistake(
        "factor 1 - beta missing",
        "the new gradient is added with the factor 1, and should have the factor 1 - beta.",
        with_moments(lambda m, g, b: b * m + g, lambda v, square, b: b * v + square),
        with_moments(lambda m, g, b: b * m + g, average),
        with_moments(average, lambda v, square, b: b * v + square),
    ),
    mistake(
        "sign of the step",
        "the step goes uphill: subtract it.",
        returning(lambda given, new: (2 * given[0] - new[0], *new[1:])),
    ),
    mistake(
        "step returned",
        "p is the step alone: return the old p minus the step.",
        returning(lambda given, new: (given[0] - new[0], *new[1:])),
        returning(lambda given, new: (new[0] - given[0], *new[1:])),
    ),
    mistake(
        "moments exchanged",
        "m and v are returned in the wrong order: return (p, m, v).",
        returning(lambda given, new: (new[0], new[2], new[1])),
    ),
    mistake(
        "changed in place",
        "the caller's arrays are changed: `m *= beta_1` works in place. Write `m = beta_1 * m + ...`.",
        *(in_place(*names) for names in ("m", "v", "p", "mv", "pm", "pv", "pmv")),
    ),
)
