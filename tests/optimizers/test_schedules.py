"""Schedules: values worked by hand, ends, errors; Keras' and PyTorch's are compared in tests/peers."""

import json
import math

import pytest

from tinycnn.optimizers import SGD, Adam, schedules
from tinycnn.optimizers.schedules import (
    CosineDecay,
    ExponentialDecay,
    OneCycle,
    PiecewiseConstantDecay,
    Warmup,
)

pytestmark = pytest.mark.smoke

EVERY = [
    PiecewiseConstantDecay([2, 5], [0.5, 0.25, 0.125]),
    ExponentialDecay(0.4, 3, 0.5),
    ExponentialDecay(0.4, 3, 0.5, staircase=True),
    CosineDecay(0.2, 8, 0.1),
    CosineDecay(0.1, 6, 0.0, 0.7, 4),
    OneCycle(0.3, 12),
    Warmup(CosineDecay(0.2, 8), 5, 0.2),
    Warmup(0.25, 4),
]


def test_a_rate_for_each_stretch():
    """A boundary is the last step of its stretch."""
    schedule = PiecewiseConstantDecay([2, 5], [0.5, 0.25, 0.125])
    assert [schedule(step) for step in (0, 2, 3, 5, 6, 99)] == [0.5, 0.5, 0.25, 0.25, 0.125, 0.125]


def test_exponential_decay():
    """A half every three steps, smoothly or at once."""
    assert ExponentialDecay(0.4, 3, 0.5)(6) == pytest.approx(0.1)
    assert ExponentialDecay(0.4, 3, 0.5)(1) == pytest.approx(0.4 * 0.5 ** (1 / 3))
    assert [ExponentialDecay(0.4, 3, 0.5, staircase=True)(step) for step in (2, 3, 5)] == [0.4, 0.2, 0.2]


def test_cosine_decay():
    """Half-way between start and end in the middle; constant after the end."""
    schedule = CosineDecay(0.2, 8, 0.1)
    assert [schedule(step) for step in (0, 4, 8, 99)] == pytest.approx([0.2, 0.11, 0.02, 0.02])
    assert schedule(2) == pytest.approx(0.02 + 0.18 * 0.5 * (1 + math.cos(math.pi / 4)))
    warm = CosineDecay(0.1, 6, 0.0, 0.7, 4)
    assert [warm(step) for step in (0, 1, 4, 7, 10, 11)] == pytest.approx([0.1, 0.25, 0.7, 0.35, 0, 0])


def test_one_cycle():
    """From max / 25 up to max at the end of the rise, and down to max / 250,000 at the last step."""
    schedule = OneCycle(0.5, 20, warmup_share=0.3)
    assert [schedule(step) for step in (0, 5, 19, 20, 99)] == pytest.approx([0.02, 0.5, *[0.5 / 250_000] * 3])
    assert schedule(12) == pytest.approx((0.5 + 0.5 / 250_000) / 2)
    rates = [schedule(step) for step in range(20)]
    assert rates[:6] == sorted(rates[:6])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    for share in (0, 1):  # all the way down, all the way up
        assert all(0 <= OneCycle(0.5, 7, share)(step) <= 0.5 for step in range(10))


def test_warmup():
    """A line, and then the other schedule from its own beginning."""
    schedule = Warmup(ExponentialDecay(0.4, 2, 0.5), 4, start=0.5)
    assert [schedule(step) for step in (0, 2, 4, 6)] == pytest.approx([0.2, 0.3, 0.4, 0.2])
    assert [Warmup(0.25, 0)(0), Warmup(0.25, 2)(0), Warmup(0.25, 2)(1)] == [0.25, 0, 0.125]


@pytest.mark.parametrize("schedule", EVERY, ids=repr)
def test_a_schedule_can_be_written_and_read(schedule):
    """Through JSON: the same rates, and equal."""
    again = schedules.get("rate", json.loads(json.dumps(schedules.to_config(schedule))))
    assert again == schedule
    assert [again(step) for step in range(20)] == [schedule(step) for step in range(20)]
    assert again != EVERY[EVERY.index(schedule) - 1]


def test_an_optimizer_follows_its_schedule():
    """The first step has the rate of step 0; the rate can be asked for; it survives get_config."""
    import numpy as np

    optimizer = SGD(PiecewiseConstantDecay([1], [0.5, 0.25]))
    parameters, rates = np.zeros(1), []
    for _ in range(4):
        rates.append(optimizer.rate)
        before = parameters.copy()
        optimizer.step(parameters, np.ones(1))
        assert before - parameters == pytest.approx(rates[-1])
    assert rates == [0.5, 0.5, 0.25, 0.25]
    again = SGD(**json.loads(json.dumps(optimizer.get_config())))
    assert again.learning_rate == optimizer.learning_rate


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PiecewiseConstantDecay([5, 2], [1, 2, 3]), "boundaries: expected ascending"),
        (lambda: PiecewiseConstantDecay([5], [1]), "values: expected 2 rates, received 1"),
        (lambda: CosineDecay(-1, 5), r"initial_learning_rate: expected a number in \[0, inf\), received -1"),
        (lambda: CosineDecay(1, 0), "decay_steps: expected a whole number >= 1, received 0"),
        (lambda: OneCycle(1, 1), "total_steps: expected a whole number >= 2, received 1"),
        (lambda: Warmup("fast", 3), "learning_rate: expected a number"),
        (lambda: Adam({"class_name": "os.system", "config": {}}), "learning_rate: schedule: expected one of"),
        (lambda: Adam({"class_name": "OneCycle"}), "expected the class_name and the config of a schedule"),
    ],
)
def test_errors(call, message):
    """Name, expected, received."""
    with pytest.raises(ValueError, match=message):
        call()
