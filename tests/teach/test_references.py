"""The expected values against the loops of the kernels, and the gradients against finite differences."""

import numpy as np
import pytest

from tinycnn.kernels.conv import naive
from tinycnn.kernels.pool import naive as pools
from tinycnn.optimizers import Adam
from tinycnn.teach import EXERCISES, references

pytestmark = pytest.mark.smoke


def cases(name):
    """Return the numbers of an exercise's cases, with their labels."""
    labels = [case.label for case in EXERCISES[name].cases]
    return pytest.mark.parametrize("number", range(len(labels)), ids=labels)


def as_pads(padding):
    """Return (PH, PW) as the kernels have it."""
    return tuple((size, size) for size in padding)


def slope(function, array, direction, step=1e-6):
    """Return the derivative of a number along a direction, by central differences."""
    return (function(array + step * direction) - function(array - step * direction)) / (2 * step)


@cases("conv2d_forward")
def test_conv2d_forward(number):
    exercise = EXERCISES["conv2d_forward"]
    x, w, b, strides, padding = exercise.cases[number].arguments
    y = naive.conv2d(x, w, b, strides, as_pads(padding))
    np.testing.assert_allclose(exercise.expected[number][0], y, rtol=1e-5, atol=1e-4)


@cases("conv2d_backward")
def test_conv2d_backward(number):
    exercise = EXERCISES["conv2d_backward"]
    dy, x, w, strides, padding = exercise.cases[number].arguments
    how = strides, as_pads(padding)
    dx, dw, db = exercise.expected[number]
    np.testing.assert_allclose(dx, naive.conv2d_grad_input(dy, w, x.shape, *how), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(dw, naive.conv2d_grad_filter(x, dy, w.shape, *how), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(db, dy.sum(axis=(0, 1, 2)), rtol=1e-5)


@cases("maxpool_backward")
def test_maxpool_backward(number):
    exercise = EXERCISES["maxpool_backward"]
    dy, x, size, strides = exercise.cases[number].arguments
    _, argmax = pools.maxpool2d(x, size, strides)
    dx = pools.maxpool2d_grad_input(dy, argmax, x.shape, size, strides)
    np.testing.assert_array_equal(exercise.expected[number][0], dx)


def test_softmax_cross_entropy_by_hand():
    """p = (1/4, 3/4) and (1/2, 1/2); the loss is -(log 3/4 + log 1/2) / 2."""
    logits = np.array([[0, np.log(3)], [5.0, 5]])
    loss, dlogits = references.softmax_cross_entropy(logits, np.array([1, 0]))
    assert loss == pytest.approx(-(np.log(0.75) + np.log(0.5)) / 2)
    np.testing.assert_allclose(dlogits, [[0.125, -0.125], [-0.25, 0.25]])


@pytest.mark.parametrize("number", range(4))
def test_the_gradient_of_the_loss(number):
    logits, labels = EXERCISES["softmax_cross_entropy"].cases[number].arguments
    direction = np.random.default_rng(number).normal(size=logits.shape)
    found = slope(lambda z: references.softmax_cross_entropy(z, labels)[0], logits, direction)
    _, dlogits = references.softmax_cross_entropy(logits, labels)
    assert (dlogits * direction).sum() == pytest.approx(found, rel=1e-6, abs=1e-9)


def normalized(x, gamma, beta, epsilon):
    """Return batch normalisation in training."""
    axes = tuple(range(x.ndim - 1))
    return gamma * (x - x.mean(axis=axes)) / np.sqrt(x.var(axis=axes) + epsilon) + beta


@pytest.mark.parametrize("number", range(4))
def test_batchnorm_backward(number):
    """The gradient with respect to x, gamma and beta, each along a random direction."""
    dy, x, gamma, epsilon = EXERCISES["batchnorm_backward"].cases[number].arguments
    rng = np.random.default_rng(number)
    gradients = references.batchnorm_backward(dy, x, gamma, epsilon)
    arguments = [x, gamma, np.zeros_like(gamma)]
    for i, gradient in enumerate(gradients):
        direction = rng.normal(size=gradient.shape)

        def loss(array, i=i):
            changed = [*arguments[:i], array, *arguments[i + 1 :]]
            return (dy * normalized(*changed, epsilon)).sum()

        assert (gradient * direction).sum() == pytest.approx(slope(loss, arguments[i], direction), rel=1e-6)


def test_dropout_drops_as_often_as_the_rate_says():
    """10,000 values: within 5 standard deviations; y and dx have one mask, and the mean stays."""
    x, dy = np.ones((100, 100)), np.full((100, 100), 2.0)
    y, dx = references.dropout(x, dy, 0.2, np.random.default_rng(3), True)
    assert abs((y == 0).mean() - 0.2) < 5 * 0.004
    np.testing.assert_array_equal(np.unique(y), [0, 1.25])
    np.testing.assert_array_equal(dx, 2 * y)
    assert references.dropout(x, dy, 0.2, np.random.default_rng(3), False)[0].tolist() == x.tolist()


def test_adam_step_against_the_optimizer():
    """Three steps with an epsilon of 0, where both forms of Adam are the same."""
    rng = np.random.default_rng(8)
    p, (m, v) = rng.normal(size=7), np.zeros((2, 7))
    theirs, optimizer = p.copy(), Adam(0.1, epsilon=0)
    for t in (1, 2, 3):
        g = rng.normal(size=7)
        p, m, v = references.adam_step(p, g, m, v, t, 0.1, 0.9, 0.999, 0.0)
        optimizer.step(theirs, g.copy())
        np.testing.assert_allclose(p, theirs, rtol=1e-12)


def test_adam_has_its_epsilon_beside_the_root():
    """First step: m_hat = g, v_hat = g**2, so the step is rate * g / (|g| + epsilon)."""
    p, m, v = references.adam_step(np.zeros(1), np.array([4.0]), np.zeros(1), np.zeros(1), 1, 1, 0.5, 0.75, 4)
    assert (p[0], m[0], v[0]) == (-0.5, 2, 4)


@pytest.mark.parametrize("name", EXERCISES)
def test_cases_have_sizes_that_differ_and_both_dtypes(name):
    """An axis cannot stand for another."""
    exercise = EXERCISES[name]
    assert {str(exercise.dtype(n)) for n in range(len(exercise.cases))} == {"float32", "float64"}
    labels = [case.label for case in exercise.cases]
    assert len(set(labels)) == len(labels)
    for case in exercise.cases[1:-1]:
        for array in case.arguments[:2]:
            if isinstance(array, np.ndarray) and name != "adam_step":
                assert len(set(array.shape)) == array.ndim, (case.label, array.shape)
