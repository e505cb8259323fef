"""Initial values: bounds, variances, fans."""

import math

import numpy as np
import pytest

from tinycnn import initializers

pytestmark = pytest.mark.smoke

SHAPE = (3, 2, 40, 60)
FAN_IN, FAN_OUT = 240, 360


def test_fans():
    """Taps count on both sides."""
    assert initializers.fans(SHAPE) == (FAN_IN, FAN_OUT)
    assert initializers.fans((7, 5)) == (7, 5)
    assert initializers.fans((5,)) == (5, 5)  # a bias


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("glorot_uniform", 2 / (FAN_IN + FAN_OUT)),
        ("glorot_normal", 2 / (FAN_IN + FAN_OUT)),
        ("he_uniform", 2 / FAN_IN),
        ("he_normal", 2 / FAN_IN),
    ],
)
def test_spread(name, variance):
    """Mean 0 and the promised variance, over 14,400 values; and the bounds of each kind."""
    values = initializers.get(name)(SHAPE, np.random.default_rng(0))
    assert values.shape == SHAPE
    assert abs(values.mean()) < 5 * math.sqrt(variance / values.size)
    assert values.var() == pytest.approx(variance, rel=0.04)
    deviation = math.sqrt(variance)
    bound = math.sqrt(3) * deviation if "uniform" in name else 2 * deviation / initializers.CUT_DEVIATION
    assert 0.97 * bound < np.abs(values).max() <= bound


def test_constants_and_unknown_names():
    """Zeros, ones, and an error that lists the names."""
    rng = np.random.default_rng(0)
    assert (initializers.get("zeros")((2, 3), rng) == 0).all()
    assert (initializers.get("ones")((2, 3), rng) == 1).all()
    with pytest.raises(ValueError, match=r"initializer: expected one of 'glorot_normal'.*received 'xavier'"):
        initializers.get("xavier")
