"""Wrong solutions that are not in the catalogue: the right first difference, and no hint."""

import functools

import numpy as np
import pytest

from tests.teach.solutions import solutions
from tinycnn.teach import EXERCISES, grade

pytestmark = pytest.mark.smoke

right = {name: exercise.reference for name, exercise in EXERCISES.items()}


def images_averaged(x, w, b, strides, padding):
    """Every image gets the mean of all results."""
    y = right["conv2d_forward"](x, w, b, strides, padding)
    return np.broadcast_to(y.mean(axis=0), y.shape).copy()


def bias_subtracted(x, w, b, strides, padding):
    return right["conv2d_forward"](x, w, -b, strides, padding)


def filters_reversed(x, w, b, strides, padding):
    return right["conv2d_forward"](x, w[..., ::-1], b, strides, padding)


def relu_added(x, w, b, strides, padding):
    return np.maximum(right["conv2d_forward"](x, w, b, strides, padding), 0)


def first_row_of_zeros(x, w, b, strides, padding):
    y = right["conv2d_forward"](x, w, b, strides, padding)
    y[:, 0] = 0
    return y


def padding_too_wide_by_one(x, w, b, strides, padding):
    return right["conv2d_forward"](x, w, b, strides, (padding[0] + 1, padding[1] + 1))


def bias_in_dx(dy, x, w, strides, padding):
    dx, dw, db = right["conv2d_backward"](dy, x, w, strides, padding)
    return dx + db.mean(), dw, db


def negative_dw(dy, x, w, strides, padding):
    dx, dw, db = right["conv2d_backward"](dy, x, w, strides, padding)
    return dx, -dw, db


def gradients_in_another_order(dy, x, w, strides, padding):
    dx, dw, db = right["conv2d_backward"](dy, x, w, strides, padding)
    return dw, dx, db


def no_gradient_at_the_border(dy, x, pool_size, strides):
    dx = right["maxpool_backward"](dy, x, pool_size, strides)
    dx[:, -1] = 0
    return dx


def second_image_from_the_first(dy, x, pool_size, strides):
    return right["maxpool_backward"](dy, np.broadcast_to(x[:1], x.shape), pool_size, strides)


def loss_plus_entropy(logits, labels):
    loss, dlogits = right["softmax_cross_entropy"](logits, labels)
    return loss + 0.5, dlogits


def gradient_of_the_first_row_everywhere(logits, labels):
    loss, dlogits = right["softmax_cross_entropy"](logits, labels)
    return loss, np.broadcast_to(dlogits[0], dlogits.shape).copy()


def temperature(logits, labels):
    return right["softmax_cross_entropy"](logits / 2, labels)


def sign_of_dy(x, dy, rate, rng, training):
    y, dx = right["dropout"](x, dy, rate, rng, training)
    return y, -dx


def keeps_at_most_half(x, dy, rate, rng, training):
    return right["dropout"](x, dy, min(rate, 0.5), rng, training)


def global_random_numbers(x, dy, rate, rng, training):
    return right["dropout"](x, dy, rate, np.random.default_rng(99), training)


def gamma_squared(dy, x, gamma, epsilon):
    return right["batchnorm_backward"](dy, x, np.square(gamma), epsilon)


def median_for_mean(dy, x, gamma, epsilon):
    dx, dgamma, _ = right["batchnorm_backward"](dy, x, gamma, epsilon)
    return dx, dgamma, np.median(dy, axis=tuple(range(dy.ndim - 1)))


def infinity_norm(p, g, m, v, t, rate, beta_1, beta_2, epsilon):
    """AdaMax, another method."""
    m, v = beta_1 * m + (1 - beta_1) * g, np.maximum(beta_2 * v, np.abs(g))
    return p - rate / (1 - beta_1**t) * m / (v + epsilon), m, v


def weight_decay(p, g, m, v, t, rate, beta_1, beta_2, epsilon):
    return right["adam_step"](p, g + 0.01 * p, m, v, t, rate, beta_1, beta_2, epsilon)


def remembers(p, g, m, v, t, rate, beta_1, beta_2, epsilon, calls=[]):  # noqa: B006
    """Right once; afterwards it counts its own calls."""
    calls.append(t)
    return right["adam_step"](p, g, m, v, t + len(calls) // 8, rate, beta_1, beta_2, epsilon)


ONE = "one image, one channel, one filter"
WRONG = [
    # function, exercise, case of the first difference, what its message begins with
    (images_averaged, "conv2d_forward", "several images, channels and filters", "y[0, 0, 0, 0]"),
    (bias_subtracted, "conv2d_forward", ONE, "y[0, 0, 0, 0]"),
    (filters_reversed, "conv2d_forward", "several images, channels and filters", "y[0, 0, 0, 0]"),
    (relu_added, "conv2d_forward", ONE, "y[0, 0, 0, 0]: expected -9.484375, received 0"),
    (first_row_of_zeros, "conv2d_forward", ONE, "y[0, 0, 0, 0]"),
    (padding_too_wide_by_one, "conv2d_forward", ONE, "y: expected shape (1, 2, 2, 1), received (1, 4, 4, 1)"),
    (bias_in_dx, "conv2d_backward", ONE, "dx[0, 0, 0, 0]"),
    (negative_dw, "conv2d_backward", ONE, "dw[0, 0, 0, 0]"),
    (
        gradients_in_another_order,
        "conv2d_backward",
        ONE,
        "dx: expected shape (1, 3, 4, 1), received (2, 3, 1, 1)",
    ),
    (no_gradient_at_the_border, "maxpool_backward", "one image, one channel", "dx[0, 3, "),
    (second_image_from_the_first, "maxpool_backward", "several images and channels", "dx[1, "),
    (loss_plus_entropy, "softmax_cross_entropy", "one row", "loss: expected"),
    (gradient_of_the_first_row_everywhere, "softmax_cross_entropy", "several rows", "dlogits[1, 0]"),
    (temperature, "softmax_cross_entropy", "one row", "loss: expected"),
    (sign_of_dy, "dropout", "training, a vector", "dx["),
    (keeps_at_most_half, "dropout", "training, rate 0.625, images", "y["),
    (global_random_numbers, "dropout", "training, a vector", "y["),
    (gamma_squared, "batchnorm_backward", "vectors (N, C)", "dx[0, 0]"),
    (median_for_mean, "batchnorm_backward", "vectors (N, C)", "dbeta["),
    (infinity_norm, "adam_step", "the first step", "v[0]"),
    (weight_decay, "adam_step", "the first step", "p[0]"),
    (remembers, "adam_step", "the first step, once more", "p[0]"),
]


@pytest.mark.parametrize(("function", "name", "case", "begins"), WRONG, ids=[w[0].__name__ for w in WRONG])
def test_a_mistake_that_is_not_in_the_catalogue(function, name, case, begins):
    report = grade(function, name)
    assert not report.passed
    assert report.score < report.max_score
    assert report.hints == []
    first = next(check for check in report.results[0].checks if not check.passed)
    assert first.case == case
    assert first.difference.message.startswith(begins), first.difference
    assert first.difference.message in " ".join(str(report).split())


@pytest.mark.parametrize("name", EXERCISES)
def test_the_first_difference_is_the_first(name):
    """One value is wrong, in each result in turn: the message has its index, and both values."""
    exercise = EXERCISES[name]
    for number, output in enumerate(exercise.outputs):

        def function(*arguments, number=number):
            results = right[name](*arguments)
            results = list(results) if isinstance(results, tuple) else [results]
            results[number] = np.array(results[number])
            results[number].flat[-1] += 7
            return tuple(results) if len(results) > 1 else results[0]

        found = grade(renamed(function, name)).results[0].checks[1].difference
        expected = exercise.expected[1][number]
        index = tuple(size - 1 for size in expected.shape)
        assert (found.kind, found.output, found.index) == ("value", output, index)
        assert found.expected == f"{expected[index]:.10g}"
        assert float(found.received) == pytest.approx(expected[index] + 7)


def renamed(function, name):
    """Return a function that takes the arguments of an exercise, whatever its own are called."""

    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)

    wrapper.__name__ = name
    del wrapper.__wrapped__
    return wrapper


def test_the_input_of_a_wrong_value_is_named():
    """Settings, the values of the arguments at the index, and the window that is read."""
    found = grade(padded_wrongly).results[0].checks[5].difference
    assert found.index == (0, 0, 0, 0)
    assert "strides = (3, 2), padding = (2, 1)" in found.input
    assert "it reads rows -2 to 1 and columns -1 to 1 of x[0] (0 outside of the image)" in found.input
    p, g = (EXERCISES["adam_step"].arguments(0)[name] for name in "pg")
    found = grade(weight_decay, "adam_step").results[0].checks[0].difference
    assert f"p[0] = {p[0]}, g[0] = {g[0]}" in found.input


def padded_wrongly(x, w, b, strides, padding):
    """Return a value that is wrong in the first row of padded images."""
    y = right["conv2d_forward"](x, w, b, strides, padding)
    if any(padding):
        y[:, 0] += 1
    return y


padded_wrongly.__name__ = "conv2d_forward"


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda y: y * 3, "received = 3 * expected, at every index"),
        (lambda y: -y, "received = -1 * expected, at every index"),
        (lambda y: y + 2, "received = expected + 2, at every index"),
        (lambda y: y * 0, "all received values are 0"),
        (lambda y: y * np.nan, "4 of 4 received values are NaN or infinite"),
        (lambda y: y.transpose(0, 3, 1, 2), "these are the right sizes, on other axes"),
        (lambda y: y[0], "expected 4 axes, received 3"),
        (lambda y: y.astype(np.float32), ""),
        (lambda y: y.astype(np.int16), "an array of integers cuts off fractions"),
    ],
)
def test_what_holds_at_every_index_is_noted(change, note):
    def conv2d_forward(x, w, b, strides, padding):
        return change(right["conv2d_forward"](x, w, b, strides, padding))

    assert grade(conv2d_forward).results[0].checks[0].difference.note == note


def test_what_else_is_wrong_is_named():
    """In the report and in the JSON."""

    def conv2d_backward(dy, x, w, strides, padding):
        dx, dw, db = right["conv2d_backward"](dy, x, w, strides, padding)
        return dx, dw + 1, db[None]

    report = grade(conv2d_backward)
    assert report.results[0].checks[0].difference.also == ("dw",)
    assert "db: expected shape (1,), received (1, 1)" in str(report)
    assert "      also wrong: dw\n" in str(report)
    assert report.as_dict()["tests"][0]["extra_data"]["checks"][0]["difference"]["also"] == ["dw"]


def test_float64_for_float32_is_a_wrong_dtype():
    """And all cases of float64 are right."""

    def adam_step(*arguments):
        return tuple(array.astype(np.float64) for array in right["adam_step"](*arguments))

    result = grade(adam_step).results[0]
    wrong = [check for check in result.checks if not check.passed]
    assert [check.case for check in wrong] == [
        c.label for c in EXERCISES["adam_step"].cases if "float32" in c.label
    ]
    assert wrong[0].difference.message == "p: expected dtype float32, received float64"
    assert "np.zeros(shape) is float64" in wrong[0].difference.note


def test_an_argument_that_is_changed_is_wrong():
    def dropout(x, dy, rate, rng, training):
        result = right["dropout"](x, dy, rate, rng, training)
        dy *= 2
        return result

    found = grade(dropout).results[0].checks[0].difference
    assert (found.kind, found.output) == ("argument", "dy")
    assert "changed in place" in found.message


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "expected a tuple of 3, (dx, dw, db), received None: is `return` missing?"),
        (np.zeros(3), "expected a tuple of 3, (dx, dw, db), received ndarray"),
        ((np.zeros(3),) * 2, "expected a tuple of 3, (dx, dw, db), received a tuple of 2"),
        (([0.0], [0.0], [0.0]), "dx: expected a NumPy array, received list"),
        ((np.array(["a"]),) * 3, "dx: expected an array of floats, received dtype <U1"),
        ((np.zeros(3, object),) * 3, "dx: expected an array of floats, received dtype object"),
        ((np.zeros((2000, 1000)),) * 3, "dx: expected a small array, received shape (2000, 1000)"),
    ],
)
def test_results_of_another_type(returned, message):
    def conv2d_backward(dy, x, w, strides, padding):
        return returned

    report = grade(conv2d_backward)
    assert report.results[0].checks[0].difference.message == message
    assert report.score == 0


def test_parameters_may_have_other_names_and_not_another_order():
    def conv2d_forward(images, filters, bias, step, border=(0, 0)):
        return right["conv2d_forward"](images, filters, bias, step, border)

    assert grade(conv2d_forward).passed

    def dropout(dy, x, rate, rng, training):
        return right["dropout"](x, dy, rate, rng, training)

    found = grade(dropout).results[0].checks[0].difference
    assert found.message == (
        "expected the signature dropout(x, dy, rate, rng, training), received dropout(dy, x, rate, rng, "
        "training): the parameters are in another order"
    )
    found = grade(lambda x: x, "adam_step").results[0].checks[0].difference
    assert found.message.endswith("received adam_step(x)")
    assert grade(17, "dropout").results[0].checks[0].difference.message.endswith("received int")


def test_what_is_not_written_is_no_error():
    def dropout(x, dy, rate, rng, training):
        raise NotImplementedError

    report = grade(dropout)
    assert str(report) == "dropout: not written yet, 0 of 10 points"
    assert not report.passed


def test_a_part_that_is_not_written_is_wrong():
    def dropout(x, dy, rate, rng, training):
        if not training:
            raise NotImplementedError("inference")
        return solutions()["dropout"](x, dy, rate, rng, training)

    report = grade(dropout)
    assert report.results[0].state == "wrong"
    assert "raised NotImplementedError: inference" in str(report)
    assert report.score == 6.66


def test_scores_count_the_cases_that_pass():
    """2 of 9 cases, rounded down."""

    def softmax_cross_entropy(logits, labels):
        loss, dlogits = right["softmax_cross_entropy"](logits, labels)
        return loss * len(logits), dlogits

    assert grade(softmax_cross_entropy).score == 2.22


def test_an_exercise_that_does_not_exist():
    with pytest.raises(ValueError, match=r"exercise: expected one of 'adam_step'.*received 'conv3d'"):
        grade(lambda x: x, "conv3d")
    with pytest.raises(ValueError, match="received 'renamed'"):
        grade(renamed)
