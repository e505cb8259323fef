"""Sampling of images: the kernel and its twin against the definition, known movements, random numbers."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.cases import COMPILED_DTYPES
from tinycnn.kernels import moving_average, warp, warp_numpy
from tinycnn.support.randomness import philox_key

TOLERANCE = {np.float32: 2e-6, np.float64: 1e-14}
both = pytest.mark.parametrize("kernel", [warp, warp_numpy], ids=["compiled", "numpy"])


def warp_by_definition(x, maps, amplitudes, smoothing, key, starts):
    """Return the sum of the four pixels around each place that a map leads to, pixel by pixel."""
    N, H, W, _ = x.shape
    y = np.zeros_like(x)
    for n in range(N):
        numbers = np.random.Generator(np.random.Philox(key=key, counter=int(starts[n]) // 16))
        noise = np.frombuffer(numbers.bytes(4 * H * W), "<u2").reshape(2, H, W) / 2**15 - 1
        field = [amplitudes[n] * (smoothing[0] @ noise[axis] @ smoothing[1]) for axis in range(2)]
        for i, j in np.ndindex(H, W):
            h, w = (maps[n, axis] @ (i, j, 1) + field[axis][i, j] for axis in range(2))
            for row, column in itertools.product(
                (math.floor(h), math.floor(h) + 1), (math.floor(w), math.floor(w) + 1)
            ):
                if 0 <= row < H and 0 <= column < W:
                    y[n, i, j] += x[n, row, column] * (1 - abs(h - row)) * (1 - abs(w - column))
    return y


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


@both
@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("shape", [(3, 7, 5, 2), (2, 1, 1, 1), (4, 1, 9, 3), (1, 28, 28, 1)])
def test_warp_is_its_definition(shape, dtype, kernel):
    """All sizes different, images with noise and without."""
    arguments = case(*shape, dtype)
    before = arguments[0].copy()
    y = kernel.warp(*arguments)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, warp_by_definition(*arguments), rtol=0, atol=400 * TOLERANCE[dtype])
    np.testing.assert_array_equal(arguments[0], before)
    assert (y != 0).any()


@settings(deadline=None, max_examples=40)
@given(H=st.integers(1, 6), W=st.integers(1, 6), seed=st.integers(0, 1000))
def test_any_map_of_any_size(H, W, seed):
    """Also maps to far away, where everything is 0."""
    arguments = case(2, H, W, 2, np.float32, seed)
    expected = warp_by_definition(*arguments)
    for kernel in (warp, warp_numpy):
        np.testing.assert_allclose(kernel.warp(*arguments), expected, rtol=0, atol=1e-3)


@both
def test_whole_shifts_copy_pixels(kernel):
    """To the bit; what comes from outside is 0."""
    x, maps, amplitudes, *rest = case(2, 6, 5, 3, np.float32, bent=False)
    maps[:] = [[1, 0, 2], [0, 1, -1]]
    y = kernel.warp(x, maps, amplitudes, *rest)
    expected = np.zeros_like(x)
    expected[:, :4, 1:] = x[:, 2:, :4]
    np.testing.assert_array_equal(y, expected)


@both
@pytest.mark.parametrize("far", [1e9, -1e9, 1e300])
def test_far_away_is_zero(far, kernel):
    """No index beyond the frame, however far a map leads."""
    x, maps, amplitudes, *rest = case(1, 4, 5, 1, np.float32, bent=False)
    maps[:, 0, 2] = far
    np.testing.assert_array_equal(kernel.warp(x, maps, amplitudes, *rest), 0)


@both
@pytest.mark.parametrize("x", [np.zeros((2, 3, 4), np.float32), np.zeros((2, 3, 4, 1), np.uint8)])
def test_other_arrays_are_refused(x, kernel):
    _, *rest = case(2, 3, 4, 1, np.float32)
    with pytest.raises(ValueError, match=r"^x: expected "):
        kernel.warp(x, *rest)


@pytest.mark.parametrize("starts", [[0, 5], [16, 37, 1600 + 15], []])
def test_both_draw_the_same_bits(starts):
    """Also from the middle of a block, and for no image at all."""
    key, starts = philox_key(4, "both"), np.array(starts, np.int64)
    ours, theirs = (kernel.draw(key, starts, 45) for kernel in (warp, warp_numpy))
    assert ours.dtype == theirs.dtype == np.uint16
    np.testing.assert_array_equal(ours, theirs)


@both
def test_the_numbers_are_the_generators(kernel):
    """Each row from its own place in the stream."""
    key, starts = philox_key(3, "rows"), np.array([0, 48, 16, 1600])
    for row, start in zip(kernel.draw(key, starts, 21), starts, strict=True):
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
