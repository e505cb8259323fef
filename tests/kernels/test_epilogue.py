"""What follows a convolution: bias, ReLU, max-pool and dropout in one pass, against NumPy, to the bit."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernel_arrays import every_other, reversed_view

from tinycnn.kernels import epilogue
from tinycnn.kernels.buffers import aligned_empty
from tinycnn.randomness import generator, philox_key

DTYPES = [np.float32, np.float64]
NAN, INF = np.nan, np.inf
NAME = 3, "dropout", 1
KEY = philox_key(*NAME)
ALL = 2**16 - 1  # the largest number that may be dropped below
GEOMETRIES = [  # OH, OW, pool size, strides
    (4, 6, (2, 2), (2, 2)),
    (5, 7, (2, 2), (2, 2)),  # pixels that no window reaches
    (7, 5, (3, 2), (1, 2)),  # windows that overlap
    (9, 8, (2, 3), (4, 4)),  # and that leave gaps
    (3, 4, (1, 1), (1, 1)),
    (3, 5, (3, 5), (1, 1)),  # a window as large as the image
    (20, 18, (16, 16), (2, 1)),  # `nobody` is 256: more than a byte holds
    (17, 15, (17, 15), (1, 1)),  # and 255: a byte just holds it
]


def twin(z, size, strides, dropped, scale, b=None):
    """y and winner of `epilogue.pool` in NumPy: windows, the first NaN or the first largest, and so on."""
    windows = np.lib.stride_tricks.sliding_window_view(z, size, axis=(1, 2))[:, :: strides[0], :: strides[1]]
    windows = windows.reshape(*windows.shape[:4], size[0] * size[1])
    winner = windows.argmax(axis=-1)  # the first of equals, and of NaNs
    best = np.take_along_axis(windows, winner[..., None], -1)[..., 0]
    best = best if b is None else best + b
    drawn = np.frombuffer(generator(*NAME).bytes(2 * best.size), "<u2").reshape(best.shape)
    passes = (best > 0) & (drawn >= dropped)
    zero = best.dtype.type(0)
    with np.errstate(over="ignore", invalid="ignore"):
        y = np.where(passes, best * best.dtype.type(scale), np.where(np.isnan(best), best, zero))
    return y, np.where(passes, winner, size[0] * size[1])


def check(z, size, strides, dropped=0, scale=1.0):
    y, winner = epilogue.pool(z, size, strides, KEY, dropped, scale)
    expected, expected_winner = twin(z, size, strides, dropped, scale)
    assert y.dtype == z.dtype
    assert winner.dtype == np.min_scalar_type(size[0] * size[1])
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(winner, expected_winner)
    assert not np.signbit(y[y == 0]).any()
    return y, winner


def images(batch, OH, OW, F, dtype, seed=0):
    """Few values, so that most windows have ties, with every special number among them."""
    values = [-2, -1, 0, 1, 2, 0.5, -0.0, 3, 3, 3, NAN, INF, -INF]
    chances = np.array([6] * 10 + [1] * 3)
    return (
        np.random.default_rng(seed)
        .choice(values, (batch, OH, OW, F), p=chances / chances.sum())
        .astype(dtype)
    )


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("F", [1, 3, 17, 33])
@pytest.mark.parametrize("dtype", DTYPES)
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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("window", "y", "winner"),
    [
        ([1, 1, 1, 1], 1, 0),  # the first of equals
        ([0, 2, 2, 1], 2, 1),
        ([1, 2, 3, 4], 4, 3),
        ([-1, -2, -3, -4], 0, 4),  # off: nobody
        ([0, 0, 0, 0], 0, 4),  # also at 0
        ([-0.0, 0.0, -0.0, 0.0], 0, 4),
        ([5, NAN, INF, NAN], NAN, 4),  # NaN stays in y, and has no gradient
        ([NAN, 5, 5, 5], NAN, 4),
        ([-INF, -INF, -INF, -INF], 0, 4),
        ([-INF, INF, 3, INF], INF, 1),
        ([-INF, 1e-40, 0, -1], 1e-40, 1),  # subnormal in float32, and still above 0
    ],
)
def test_one_window_by_hand(window, y, winner, dtype):
    """The same in every channel, so also where the loop over channels has its remainders."""
    z = np.array(window, dtype).reshape(1, 2, 2, 1) * np.ones(19, dtype)
    ours, won = epilogue.pool(z, (2, 2), (2, 2), KEY, 0, 1.0)
    np.testing.assert_array_equal(ours, np.full((1, 1, 1, 19), y, dtype))
    np.testing.assert_array_equal(won, winner)


@pytest.mark.parametrize("dropped", [1, 2**15, ALL])
def test_nobody_wins_exactly_where_the_relu_is_off_or_dropped(dropped):
    z = np.random.default_rng(0).standard_normal((3, 9, 11, 17)).astype(np.float32)
    y, winner = epilogue.pool(z, (2, 2), (2, 2), KEY, dropped, 4.0)
    plain, argmax = epilogue.pool(z, (2, 2), (2, 2), KEY, 0, 1.0)
    drawn = np.frombuffer(generator(*NAME).bytes(2 * y.size), "<u2").reshape(y.shape)
    off = plain <= 0
    assert off.any()
    assert not off.all()
    np.testing.assert_array_equal(argmax == 4, off)
    np.testing.assert_array_equal(winner == 4, off | (drawn < dropped))
    kept = winner != 4
    np.testing.assert_array_equal(winner[kept], argmax[kept])
    np.testing.assert_array_equal(y, np.where(kept, 4 * plain, 0))


def test_a_number_that_is_the_threshold_is_kept():
    """Dropped is what is below it."""
    z = np.ones((2, 8, 6, 17), np.float32)
    drawn = np.frombuffer(generator(*NAME).bytes(2 * 2 * 4 * 3 * 17), "<u2")
    for dropped in np.sort(drawn)[[1, 100, -1]]:
        y, _ = check(z, (2, 2), (2, 2), int(dropped))
        assert (y == 0).sum() == (drawn < dropped).sum()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", [np.asfortranarray, every_other, reversed_view])
def test_pool_takes_any_layout(layout, dtype):
    z = images(2, 5, 6, 3, dtype)
    view = layout(z)
    assert not view.flags.c_contiguous
    for a, b in zip(check(view, (2, 3), (1, 2)), check(z, (2, 3), (1, 2)), strict=True):
        np.testing.assert_array_equal(a, b)
    z.flags.writeable = False
    check(z, (2, 3), (1, 2))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("F", [1, 3, 17, 33])
def test_pool_image_adds_the_bias_after_the_maximum(F, dtype):
    """As if it had been added before; z goes on beyond the channels and the rows, with what is never read."""
    rng = np.random.default_rng(F)
    z = np.full((8, 9, F + 5), NAN, dtype)
    z[:7, :8, :F] = rng.standard_normal((7, 8, F))
    b = np.full(F + 5, NAN, dtype)
    b[:F] = rng.standard_normal(F)
    y, winner = np.empty((3, 4, F), dtype), np.empty((3, 4, F), np.uint8)
    bits = np.zeros(y.size + 40, np.uint16)
    first = 7
    bits[first : first + y.size] = np.frombuffer(generator(*NAME).bytes(2 * y.size), "<u2")
    epilogue.pool_image(z, b, y, winner, 2, 2, 2, 2, bits, first, 30000, dtype(1.5))
    expected = twin(z[None, :7, :8, :F], (2, 2), (2, 2), 30000, 1.5, b[:F])
    np.testing.assert_array_equal(y, expected[0][0])
    np.testing.assert_array_equal(winner, expected[1][0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("F", [1, 3, 17, 33])
def test_rectify_image(F, relu, dtype):
    """z + b, cut at zero; z is larger at its ends, NaN stays, -inf is no special case. From any filter on."""
    z = images(1, 6, 7, F + 3, dtype)[0]
    for first in (0, 5):
        b = np.zeros(first + F + 3, dtype)
        b[: first + F] = np.random.default_rng(F).integers(-2, 3, first + F)
        y = np.full((5, 4, first + F), 7, dtype)
        epilogue.rectify_image(z, b, relu, y, first)
        expected = z[:5, :4, :F] + b[first : first + F]
        np.testing.assert_array_equal(y[..., first:], np.maximum(expected, 0) if relu else expected)
        assert (y[..., :first] == 7).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_pool_filters(geometry, relu, dtype):
    """The maxima of z + b, cut at zero, for some of the filters; the others stay as they are."""
    OH, OW, size, strides = geometry
    first, count = 16, 17
    z = images(1, OH, OW, count + 3, dtype)
    b = np.random.default_rng(OH).integers(-2, 3, first + count + 3).astype(dtype)
    window = (slice(None), slice(None, None, strides[0]), slice(None, None, strides[1]))
    best = np.lib.stride_tricks.sliding_window_view(z, size, axis=(1, 2))[window].max(axis=(-2, -1))[0]
    y = np.full((*best.shape[:2], first + count), 7, dtype)
    epilogue.pool_filters(z[0], b, relu, y, first, *size, *strides)
    expected = best[..., :count] + b[first : first + count]
    np.testing.assert_array_equal(y[..., first:], np.maximum(expected, 0) if relu else expected)
    assert (y[..., :first] == 7).all()


@pytest.mark.parametrize("shape", [(3, 4, 5, 1), (2, 7, 3, 3), (5, 4, 4, 17), (1, 1, 1, 33), (37, 2, 3, 7)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_relu_gradient(dtype, shape):
    """dz is dy where y > 0, to the bit, and db its sum, within the rounding of a sum."""
    rng = np.random.default_rng(0)
    y, dy = rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape).astype(dtype)
    y.flat[::5] = 0
    y.flat[1::7] = -0.0
    y.flat[2::11] = NAN
    before = y.copy(), dy.copy()
    dz, db = epilogue.relu_gradient(y, dy)
    expected = np.where(y > 0, dy, 0).astype(np.float64)
    np.testing.assert_array_equal(dz, expected)
    assert (dz.dtype, db.dtype, db.shape) == (dtype, dtype, shape[-1:])
    axes = tuple(range(dy.ndim - 1))
    bound = np.finfo(dtype).eps * np.prod(shape[:-1]) * np.abs(expected).max()
    np.testing.assert_allclose(db, expected.sum(axis=axes), rtol=0, atol=bound)
    for a, b in zip((y, dy), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_relu_gradient_of_views_and_of_nothing():
    y, dy = images(2, 5, 4, 3, np.float32), np.random.default_rng(0).random((2, 5, 4, 3), np.float32)
    expected = epilogue.relu_gradient(y, dy)
    for layout in (np.asfortranarray, every_other, reversed_view):
        for ours, theirs in zip(epilogue.relu_gradient(layout(y), layout(dy)), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    dz, db = epilogue.relu_gradient(y[:0], dy[:0])
    assert dz.shape == (0, 5, 4, 3)
    np.testing.assert_array_equal(db, np.zeros(3))


def test_a_gradient_that_is_not_finite_ends_where_the_relu_is_off():
    """And is passed on where it is on: a training that diverges must be seen."""
    y = np.array([[1, 0, 1, 0, 2, NAN]], np.float32)
    dz, db = epilogue.relu_gradient(y, np.array([[NAN, NAN, INF, INF, -INF, 1]], np.float32))
    np.testing.assert_array_equal(dz, [[NAN, 0, INF, 0, -INF, 0]])
    np.testing.assert_array_equal(db, dz[0])


def test_the_sum_of_the_bias_gradient_is_accurate():
    """As many rows as the first layer of the documented network has for 64 images."""
    rng = np.random.default_rng(0)
    y = np.ones((64 * 26 * 26, 2), np.float32)
    dy = rng.random(y.shape, np.float32)  # all of one sign: the worst for a sum that runs along
    _, db = epilogue.relu_gradient(y, dy)
    np.testing.assert_allclose(db, dy.sum(axis=0, dtype=np.float64), rtol=2e-5)


def test_the_number_of_threads_changes_no_bit():
    z = images(37, 7, 6, 17, np.float32)
    z[~np.isfinite(z)] = 1
    dy, threads = (
        np.random.default_rng(0).standard_normal(z.shape).astype(np.float32),
        numba.get_num_threads(),
    )

    def compute():
        return *epilogue.pool(z, (2, 2), (2, 2), KEY, 20000, 1.5), *epilogue.relu_gradient(z, dy)

    usual = compute()
    numba.set_num_threads(1)
    try:
        alone = compute()
    finally:
        numba.set_num_threads(threads)
    for a, b in zip(usual, alone, strict=True):
        np.testing.assert_array_equal(a, b)


def test_outputs_do_not_depend_on_what_memory_held():
    """Fresh arrays come from memory that was used before, here for NaN."""
    z = np.random.default_rng(0).standard_normal((9, 32, 30, 17)).astype(np.float32)
    usual = epilogue.pool(z, (2, 2), (2, 2), KEY, 20000, 1.5), epilogue.relu_gradient(z, z)
    for _ in range(2):
        dirt = [aligned_empty(a.shape, a.dtype) for pair in usual for a in pair]
        for a in dirt:
            a.view(np.uint8)[...] = 0xFF
        del a, dirt
        again = epilogue.pool(z, (2, 2), (2, 2), KEY, 20000, 1.5), epilogue.relu_gradient(z, z)
        for ours, theirs in zip(sum(again, ()), sum(usual, ()), strict=True):
            np.testing.assert_array_equal(ours, theirs)
