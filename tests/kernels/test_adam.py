"""Adam in one pass over memory against its twin in NumPy, through `Optimizer.step` and alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinycnn.kernels import adam, moving_average
from tinycnn.kernels.adam import PIECE
from tinycnn.kernels.selection import COMPILED_ADAM_PARAMETERS
from tinycnn.optimizers import Adam, AdamW, ParameterSpan, adaptive
from tinycnn.optimizers.base import EVERYTHING

# Roundings of the largest number involved; the kernel may fuse a product and a sum, and NumPy does not.
TOLERANCE = {np.float32: 1e-6, np.float64: 2e-15}
DTYPES = list(TOLERANCE)
NAMES = ["momentum", "velocity"]


@pytest.fixture
def kernel_calls(monkeypatch):
    """The sizes of the vectors that the kernel was called with."""
    sizes = []
    update = adam.update
    monkeypatch.setattr(adam, "update", lambda p, *rest: sizes.append(p.size) or update(p, *rest))
    return sizes


def run(optimizer, parameters, gradients, spans, smallest, monkeypatch):
    """Return the parameters and the moments after a step with each of the gradients."""
    monkeypatch.setattr(adaptive, "COMPILED_ADAM_PARAMETERS", smallest)
    parameters = parameters.copy()
    for g in gradients:
        before = g.copy()
        optimizer.step(parameters, g, spans)
        np.testing.assert_array_equal(g, before)
    assert list(optimizer.slots) == optimizer.slot_names()
    return parameters, *optimizer.slots.values()


def check(make, size, dtype, monkeypatch, kernel_calls, spans=EVERYTHING, steps=4):
    """Compare kernel and twin; return the sizes that the kernel had."""
    rng = np.random.default_rng(size)
    parameters = rng.standard_normal(size).astype(dtype)
    gradients = [(3.0**-i * rng.standard_normal(size)).astype(dtype) for i in range(steps)]
    gradients[1][::7] = 0
    results = run(make(), parameters, gradients, spans, COMPILED_ADAM_PARAMETERS, monkeypatch)
    used = list(kernel_calls)
    kernel_calls.clear()
    twins = run(make(), parameters, gradients, spans, np.inf, monkeypatch)
    assert not kernel_calls
    for ours, theirs in zip(results, twins, strict=True):
        assert ours.dtype == theirs.dtype == dtype
        np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE[dtype], atol=4 * TOLERANCE[dtype])
    assert (results[0] != parameters).any()
    return used


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", [Adam, AdamW, lambda: Adam(0.5, 0.8, 0.7, 1e-3)])
@pytest.mark.parametrize(
    "size", [*(COMPILED_ADAM_PARAMETERS + d for d in (-1, 0, 1)), 5 * PIECE - 1, 5 * PIECE + 1]
)
def test_steps_are_those_of_the_twin(make, size, dtype, monkeypatch, kernel_calls):
    used = check(make, size, dtype, monkeypatch, kernel_calls)
    assert used == ([size] * 4 if size >= COMPILED_ADAM_PARAMETERS else [])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", [Adam, AdamW, lambda: Adam(global_clipnorm=0.5)])
def test_frozen_spans_and_clipping(make, dtype, monkeypatch, kernel_calls):
    """A long span, a gap, a short span, a gap: each span by its own size, and the gaps untouched."""
    many = COMPILED_ADAM_PARAMETERS
    spans = [ParameterSpan(slice(3, 3 + many)), ParameterSpan(slice(many + 10, many + 90))]
    size = COMPILED_ADAM_PARAMETERS + 100
    used = check(make, size, dtype, monkeypatch, kernel_calls, spans)
    assert used == [COMPILED_ADAM_PARAMETERS] * 4
    parameters = np.ones(size, dtype)
    optimizer = make()
    optimizer.step(parameters, np.ones(size, dtype), spans)
    frozen = np.ones(size, bool)
    for span, _ in spans:
        frozen[span] = False
    for array, start in ((parameters, 1), *((slot, 0) for slot in optimizer.slots.values())):
        np.testing.assert_array_equal(array[frozen], start)
        assert (array[~frozen] != start).all()


def test_amsgrad_is_left_to_numpy(monkeypatch, kernel_calls):
    assert (
        check(lambda: Adam(amsgrad=True), COMPILED_ADAM_PARAMETERS, np.float32, monkeypatch, kernel_calls)
        == []
    )


def test_clipped_gradients_are_those_that_the_kernel_gets(monkeypatch, kernel_calls):
    """The norm is 1 after clipping: the first moment of the first step is a tenth of that."""
    size = COMPILED_ADAM_PARAMETERS + 5
    optimizer = Adam(global_clipnorm=1.0)
    optimizer.step(np.zeros(size, np.float32), np.full(size, 7, np.float32))
    assert kernel_calls == [size]
    assert np.linalg.norm(optimizer.slots["momentum"].astype(np.float64)) == pytest.approx(0.1, rel=1e-5)


def update_by_hand(p, g, m, v, rate, beta_1, beta_2, epsilon):
    """The formula in the dtype of the vectors, in float64 where it is wider."""
    m += (1 - beta_1) * (g - m)
    v += (1 - beta_2) * (g * g - v)
    p -= rate * m / (np.sqrt(v) + epsilon)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0, 1, 2, 17, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 33, 3 * PIECE])
def test_the_kernel_alone_at_every_remainder_of_its_pieces(size, dtype):
    rng = np.random.default_rng(size)
    room = rng.random((4, size + 8)).astype(dtype)
    expected = room.astype(np.float64)
    how = 0.01, 0.9, 0.99, 1e-7
    adam.update(*room[:, 4:-4], *how)
    update_by_hand(*expected[:, 4:-4], *how)
    np.testing.assert_allclose(room, expected, rtol=10 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps)
    edges = np.r_[0:4, size + 4 : size + 8]
    np.testing.assert_array_equal(room[:, edges], expected[:, edges].astype(dtype))
    np.testing.assert_array_equal(room[1], expected[1].astype(dtype))


@settings(deadline=None, max_examples=40)
@given(
    rate=st.floats(0, 10),
    betas=st.tuples(st.floats(0, 0.9999), st.floats(0, 0.9999)),
    epsilon=st.floats(1e-9, 1),
    scale=st.integers(-12, 12),
)
def test_the_kernel_alone_with_any_settings(rate, betas, epsilon, scale):
    vectors = 10.0**scale * np.random.default_rng(0).standard_normal((4, 100))
    vectors[3] *= vectors[3]
    expected = vectors.copy()
    adam.update(*vectors, rate, *betas, epsilon)
    update_by_hand(*expected, rate, *betas, epsilon)
    for ours, theirs in zip(vectors, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13 * np.abs(theirs).max())


@pytest.mark.parametrize("dtype", DTYPES)
def test_moments_that_die_away_are_zero_and_never_denormal(dtype):
    """As in the twin; so is a moving average of weights."""
    p, m, v, average = (np.ones(PIECE + 3, dtype) for _ in range(4))
    zeros, tiny = np.zeros_like(p), np.finfo(dtype).tiny
    for _ in range(1100):
        adam.update(p, zeros, m, v, 0.01, 0.5, 0.5, 1e-7)
        moving_average.update(average, zeros, 0.5)
        for array in (m, v, average):
            assert not ((array != 0) & (np.abs(array) < tiny)).any()
    for array in (m, v, average):
        np.testing.assert_array_equal(array, 0)
    average[3] = np.nan
    moving_average.update(average, zeros, 0.5)
    assert np.isnan(average[3])


def test_a_gradient_whose_square_overflows_takes_a_step_of_the_usual_size():
    p, m, v = (np.zeros(PIECE, np.float32) for _ in range(3))
    g = np.full(PIECE, -1e25, np.float32)
    g[1] = 1e9
    adam.update(p, g, m, v, 0.01, 0.9, 0.999, 1e-7)
    np.testing.assert_allclose(p[2:], -p[1], rtol=1e-5)
    assert np.isfinite(v).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gradient_that_is_not_finite_spoils_its_own_parameter_and_no_other(dtype):
    size = 3 * PIECE
    p, g, m, v = (np.ones(size, dtype) for _ in range(4))
    usual = p.copy(), g, m.copy(), v.copy()
    adam.update(*usual, 0.01, 0.9, 0.99, 1e-7)
    bad = [0, PIECE - 1, PIECE, size - 1]
    g = g.copy()
    g[bad] = [np.nan, np.inf, -np.inf, np.nan]
    adam.update(p, g, m, v, 0.01, 0.9, 0.99, 1e-7)
    good = np.ones(size, bool)
    good[bad] = False
    assert np.isnan(p[bad]).all()
    for ours, theirs in zip((p, m, v), (usual[0], *usual[2:]), strict=True):
        np.testing.assert_array_equal(ours[good], theirs[good])
