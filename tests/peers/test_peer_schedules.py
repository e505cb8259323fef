"""Schedules are those of Keras and PyTorch, step by step."""

import pytest

from tinycnn.optimizers import schedules

SCHEDULES = [
    ("PiecewiseConstantDecay", {"boundaries": [2, 5], "values": [0.5, 0.25, 0.125]}),
    ("ExponentialDecay", {"initial_learning_rate": 0.4, "decay_steps": 3, "decay_rate": 0.5}),
    (
        "ExponentialDecay",
        {"initial_learning_rate": 0.4, "decay_steps": 3, "decay_rate": 0.5, "staircase": True},
    ),
    ("CosineDecay", {"initial_learning_rate": 0.4, "decay_steps": 7, "alpha": 0.1}),
    (
        "CosineDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 6, "warmup_target": 0.7, "warmup_steps": 4},
    ),
]


@pytest.mark.parametrize(("name", "arguments"), SCHEDULES)
def test_keras(keras, name, arguments):
    """Also past the end."""
    ours, theirs = (
        getattr(schedules, name)(**arguments),
        getattr(keras.optimizers.schedules, name)(**arguments),
    )
    for step in range(12):
        assert ours(step) == pytest.approx(float(theirs(step)), rel=1e-6)


@pytest.mark.parametrize(("total", "share"), [(20, 0.3), (7, 0.5), (50, 0.1)])
def test_one_cycle_is_pytorchs(torch, total, share):
    """With its defaults for the first and the last rate."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.3, total, pct_start=share, cycle_momentum=False)
    ours = schedules.OneCycle(0.3, total, share)
    for step in range(total):
        assert ours(step) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9, abs=1e-12)
        optimizer.step()
        if step + 1 < total:
            theirs.step()
