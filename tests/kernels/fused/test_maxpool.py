"""Max-pool, ReLU and dropout of a whole map in one pass, against NumPy, to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.cases import COMPILED_DTYPES, every_other, reversed_view
from tests.kernels.fused.maxpool_twin import GEOMETRIES, INF, KEY, NAME, NAN, images, twin
from tinycnn.kernels.fused.conv_maxpool import Mask, maxpool
from tinycnn.support.randomness import generator

ALL = 2**16 - 1  # the largest threshold


def check(z, size, strides, dropped=0, scale=1.0):
    y, argmax = maxpool(z, size, strides, Mask(KEY, dropped, scale))
    expected, expected_argmax = twin(z, size, strides, dropped, scale)
    assert y.dtype == z.dtype
    assert argmax.dtype == np.min_scalar_type(size[0] * size[1])
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(argmax, expected_argmax)
    assert not np.signbit(y[y == 0]).any()
    return y, argmax


def each_geometry():
    """Each geometry; slow where the argmax has two bytes, which is a kernel to compile."""
    return [pytest.param(one, marks=[pytest.mark.slow] * (one[2] == (16, 16))) for one in GEOMETRIES]


@pytest.mark.parametrize("geometry", each_geometry(), ids=str)
@pytest.mark.parametrize("F", [1, 3, 17, 33])
@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
def test_pool_is_numpys_to_the_bit(dtype, F, geometry):
    OH, OW, size, strides = geometry
    for batch in (0, 1, 2, 5):
        z = images(batch, OH, OW, F, dtype)
        before = z.copy()
        for dropped, scale in ((0, 1.0), (20000, 1 / 0.7), (ALL, 2.0**16)):
            check(z, size, strides, dropped, scale)
        np.testing.assert_array_equal(z, before)


@settings(deadline=None, max_examples=80)
@given(
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    extra=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    F=st.integers(1, 40),
    batch=st.integers(0, 4),
    dropped=st.integers(0, ALL),
    seed=st.integers(0, 99),
)
def test_pool_of_any_shape(size, strides, extra, F, batch, dropped, seed):
    z = images(batch, size[0] + extra[0], size[1] + extra[1], F, np.float32, seed)
    check(z, size, strides, dropped, 1.25)


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize(
    ("window", "y", "tap"),
    [
        ([1, 1, 1, 1], 1, 0),  # the first of equals
        ([0, 2, 2, 1], 2, 1),
        ([1, 2, 3, 4], 4, 3),
        ([-1, -2, -3, -4], 0, 4),  # off
        ([0, 0, 0, 0], 0, 4),  # also at 0
        ([-0.0, 0.0, -0.0, 0.0], 0, 4),
        ([5, NAN, INF, NAN], NAN, 4),  # NaN stays in y, and has no gradient
        ([NAN, 5, 5, 5], NAN, 4),
        ([-INF, -INF, -INF, -INF], 0, 4),
        ([-INF, INF, 3, INF], INF, 1),
        ([-INF, 1e-40, 0, -1], 1e-40, 1),  # subnormal in float32, and still above 0
    ],
)
def test_one_window_by_hand(window, y, tap, dtype):
    """The same in every channel, so also where the loop over channels has its remainders."""
    z = np.array(window, dtype).reshape(1, 2, 2, 1) * np.ones(19, dtype)
    ours, argmax = maxpool(z, (2, 2), (2, 2))
    np.testing.assert_array_equal(ours, np.full((1, 1, 1, 19), y, dtype))
    np.testing.assert_array_equal(argmax, tap)


@pytest.mark.parametrize("dropped", [1, 2**15, ALL])
def test_no_gradient_passes_exactly_where_the_relu_is_off_or_dropped(dropped):
    z = np.random.default_rng(0).standard_normal((3, 9, 11, 17)).astype(np.float32)
    y, argmax = maxpool(z, (2, 2), (2, 2), Mask(KEY, dropped, 4.0))
    plain, before = maxpool(z, (2, 2), (2, 2))
    drawn = np.frombuffer(generator(*NAME).bytes(2 * y.size), "<u2").reshape(y.shape)
    off = plain <= 0
    assert off.any()
    assert not off.all()
    np.testing.assert_array_equal(before == 4, off)
    np.testing.assert_array_equal(argmax == 4, off | (drawn < dropped))
    kept = argmax != 4
    np.testing.assert_array_equal(argmax[kept], before[kept])
    np.testing.assert_array_equal(y, np.where(kept, 4 * plain, 0))


def test_a_number_that_is_the_threshold_is_kept():
    """Dropped is what is below it."""
    z = np.ones((2, 8, 6, 17), np.float32)
    drawn = np.frombuffer(generator(*NAME).bytes(2 * 2 * 4 * 3 * 17), "<u2")
    for dropped in np.sort(drawn)[[1, 100, -1]]:
        y, _ = check(z, (2, 2), (2, 2), int(dropped))
        assert (y == 0).sum() == (drawn < dropped).sum()


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("layout", [np.asfortranarray, every_other, reversed_view])
def test_pool_takes_any_layout(layout, dtype):
    z = images(2, 5, 6, 3, dtype)
    view = layout(z)
    assert not view.flags.c_contiguous
    for a, b in zip(check(view, (2, 3), (1, 2)), check(z, (2, 3), (1, 2)), strict=True):
        np.testing.assert_array_equal(a, b)
    z.flags.writeable = False
    check(z, (2, 3), (1, 2))
