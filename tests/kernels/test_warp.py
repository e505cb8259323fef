"""Sampling of images: the kernel against the definition, movements whose result is known, random numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.cases import COMPILED_DTYPES
from tinycnn.kernels import moving_average, warp
from tinycnn.support.randomness import philox_key

TOLERANCE = {np.float32: 2e-6, np.float64: 1e-14}


def case(N, H, W, C, dtype, seed=0, bent=True):
    """Images, random maps that also lead far out of them, noise for every second image."""
    rng = np.random.default_rng(seed)
    x = rng.random((N, H, W, C)).astype(dtype)
    maps = np.zeros((N, 2, 3))
    maps[:, 0, 0] = maps[:, 1, 1] = 1
    maps[:, :, :2] += rng.uniform(-0.6, 0.6, (N, 2, 2))
    maps[:, :, 2] = rng.uniform(-H, H, (N, 2))
    amplitudes = np.where(np.arange(N) % 2, 0.0, 3.0) * bent
    smoothing = tuple(rng.random((size, size)).astype(dtype) / size for size in (H, W))
    starts = 16 * rng.integers(0, 2**40, N)
    return x, maps, amplitudes, smoothing, philox_key(seed, "warp"), starts


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("shape", [(3, 7, 5, 2), (2, 1, 1, 1), (4, 1, 9, 3), (1, 28, 28, 1)])
def test_warp_is_its_definition(shape, dtype):
    """All sizes different, images with noise and without."""
    arguments = case(*shape, dtype)
    before = arguments[0].copy()
    y = warp.warp(*arguments)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, warp.naive_warp(*arguments), rtol=0, atol=400 * TOLERANCE[dtype])
    np.testing.assert_array_equal(arguments[0], before)
    assert (y != 0).any()


@settings(deadline=None, max_examples=40)
@given(H=st.integers(1, 6), W=st.integers(1, 6), seed=st.integers(0, 1000))
def test_any_map_of_any_size(H, W, seed):
    """Also maps to far away, where everything is 0."""
    arguments = case(2, H, W, 2, np.float32, seed)
    np.testing.assert_allclose(warp.warp(*arguments), warp.naive_warp(*arguments), rtol=0, atol=1e-3)


def test_whole_shifts_copy_pixels():
    """To the bit; what comes from outside is 0."""
    x, maps, amplitudes, *rest = case(2, 6, 5, 3, np.float32, bent=False)
    maps[:] = [[1, 0, 2], [0, 1, -1]]
    y = warp.warp(x, maps, amplitudes, *rest)
    expected = np.zeros_like(x)
    expected[:, :4, 1:] = x[:, 2:, :4]
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("far", [1e9, -1e9, 1e300])
def test_far_away_is_zero(far):
    """No index beyond the frame, however far a map leads."""
    x, maps, amplitudes, *rest = case(1, 4, 5, 1, np.float32, bent=False)
    maps[:, 0, 2] = far
    np.testing.assert_array_equal(warp.warp(x, maps, amplitudes, *rest), 0)


def test_the_numbers_are_the_generators():
    """Each row from its own place in the stream."""
    key, starts = philox_key(3, "rows"), np.array([0, 48, 16, 1600])
    for row, start in zip(warp.draw(key, starts, 21), starts, strict=True):
        bits = np.random.Generator(np.random.Philox(key=key, counter=int(start) // 16)).bytes(42)
        np.testing.assert_array_equal(row, np.frombuffer(bits, "<u2"))


@pytest.mark.parametrize(
    "size", [1, moving_average.PIECE - 1, moving_average.PIECE, 3 * moving_average.PIECE + 5]
)
@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
def test_average_is_its_formula(size, dtype):
    """In place, at sizes around the pieces."""
    rng = np.random.default_rng(size)
    mean, values = rng.random(size).astype(dtype), rng.random(size).astype(dtype)
    expected = mean + 0.3 * (values - mean)
    before = values.copy()
    moving_average.update(mean, values, 0.3)
    np.testing.assert_allclose(mean, expected, rtol=TOLERANCE[dtype])
    np.testing.assert_array_equal(values, before)
