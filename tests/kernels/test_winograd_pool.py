"""Winograd's convolution with what follows it, in one kernel: as the two one after the other, to the bit."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernel_arrays import every_other, reversed_view

from tinycnn.kernels import epilogue, im2col, winograd
from tinycnn.kernels.buffers import aligned_empty
from tinycnn.randomness import philox_key

KEY = philox_key(1, "dropout", 2)
DTYPES = [np.float32, np.float64]
NO_DROPOUT, DROPOUT = (0, 1.0), (20000, 1 / 0.7)
POOLS = [((2, 2), (2, 2)), ((3, 2), (1, 2)), ((1, 1), (3, 2)), ((2, 1), (1, 1))]
CASES = [  # batch, outputs, channels, filters, r, padding
    (1, (1, 7), 16, 1, 3, ((0, 0), (0, 0))),
    (2, (7, 11), 17, 7, 3, ((1, 0), (0, 1))),
    (5, (11, 7), 33, 33, 3, ((1, 1), (2, 1))),
    (2, (11, 1), 16, 33, 2, ((0, 1), (1, 0))),
    (5, (7, 11), 33, 1, 2, ((0, 0), (0, 0))),
    (13, (1, 1), 17, 7, 2, ((1, 1), (1, 1))),
    (37, (2, 3), 17, 17, 2, ((0, 0), (0, 0))),  # several images in a block of tiles
    (0, (7, 11), 17, 7, 3, ((1, 0), (0, 1))),
]


@pytest.fixture(autouse=True, scope="module")
def the_kernel_of_batches():
    """Also for a batch of one, which has a kernel of its own elsewhere, with other tiles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "fits_one_thread", lambda *sizes: False)
        yield


def example(case, dtype, seed=0):
    batch, out, channels, filters, r, padding = case
    rng = np.random.default_rng(seed)
    size = (o + r - 1 - sum(p) for o, p in zip(out, padding, strict=True))
    shapes = (batch, *size, channels), (r, r, channels, filters), (filters,)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def fits(case, size):
    return all(o >= q for o, q in zip(case[1], size, strict=True))


EVERY = [(case, pool) for case in CASES for pool in POOLS if fits(case, pool[0])]


@pytest.mark.parametrize("dropout", [NO_DROPOUT, DROPOUT])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("case", "pool"), EVERY, ids=str)
def test_without_bias_it_is_the_two_kernels_to_the_bit(case, pool, dtype, dropout):
    x, w, _ = example(case, dtype)
    ours = winograd.conv2d_pool(x, w, None, case[-1], *pool, KEY, *dropout)
    theirs = epilogue.pool(winograd.conv2d(x, w, None, padding=case[-1]), *pool, KEY, *dropout)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("case", "pool"), EVERY, ids=str)
def test_with_bias_the_outputs_are_the_same_to_the_bit(case, pool, dtype):
    """Adding b before or after the maximum rounds alike, since rounding keeps the order of numbers; but what
    differed before may be equal after, and then the first wins: there the winners may differ."""
    x, w, b = example(case, dtype)
    z = winograd.conv2d(x, w, b, padding=case[-1])
    y, winner = winograd.conv2d_pool(x, w, b, case[-1], *pool, KEY, *DROPOUT)
    expected, first = epilogue.pool(z, *pool, KEY, *DROPOUT)
    np.testing.assert_array_equal(y, expected)
    (QH, QW), (SH, SW) = pool
    for n, ph, pw, f in np.argwhere(winner != first):
        window = z[n, ph * SH : ph * SH + QH, pw * SW : pw * SW + QW, f].ravel()
        assert window[winner[n, ph, pw, f]] == window[first[n, ph, pw, f]]
    assert (winner != first).sum() <= 1e-3 * winner.size


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_against_the_definition(case, dtype):
    """In float64 and by other means: the sum of patches, ReLU before the maximum."""
    x, w, b = example(case, dtype)
    z = im2col.conv2d(*(a.astype(np.float64) for a in (x, w, b)), padding=case[-1], relu=True)
    expected, _ = im2col.maxpool2d(z, (1, 1), (2, 1))
    y, winner = winograd.conv2d_pool(x, w, b, case[-1], (1, 1), (2, 1), KEY, 0, 1.0)
    scale = max(np.abs(expected).max(initial=0), 1)
    np.testing.assert_allclose(y, expected, rtol=0, atol=scale * (1e-5 if dtype is np.float32 else 1e-13))
    np.testing.assert_array_equal(winner, np.where(y > 0, 0, 1))


@settings(deadline=None, max_examples=50)
@given(
    batch=st.integers(0, 15),
    out=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    channels=st.integers(1, 20),
    filters=st.integers(1, 20),
    r=st.sampled_from((2, 3)),
    pads=st.tuples(*[st.integers(0, 1)] * 4),
    size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_any_shape(batch, out, channels, filters, r, pads, size, strides):
    out = tuple(max(o, q, 2) for o, q in zip(out, size, strict=True))
    case = batch, out, channels, filters, r, (pads[:2], pads[2:])
    x, w, _ = example(case, np.float32, seed=batch)
    ours = winograd.conv2d_pool(x, w, None, case[-1], size, strides, KEY, *DROPOUT)
    theirs = epilogue.pool(winograd.conv2d(x, w, None, padding=case[-1]), size, strides, KEY, *DROPOUT)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("layout", [np.asfortranarray, every_other, reversed_view])
def test_any_layout_and_read_only(layout):
    arrays = example(CASES[1], np.float32)
    before = [a.copy() for a in arrays]
    how = CASES[1][-1], (2, 2), (2, 2), KEY, *DROPOUT
    expected = winograd.conv2d_pool(*arrays, *how)
    views = [layout(a) for a in arrays]
    for a in views:
        a.flags.writeable = False
    for ours, theirs in zip(winograd.conv2d_pool(*views, *how), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.flags.writeable
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_image_does_not_see_its_neighbours():
    """Nor what the memory held: each image alone gives the same bits as in its batch."""
    case = CASES[6]
    x, w, b = example(case, np.float32)
    how = case[-1], (2, 2), (1, 1), KEY, 0, 1.0
    y, winner = winograd.conv2d_pool(x, w, b, *how)
    for n in (1, 17, 36):
        x[n - 1] = np.nan
        again, won = winograd.conv2d_pool(x, w, b, *how)
        np.testing.assert_array_equal(again[n], y[n])
        np.testing.assert_array_equal(won[n], winner[n])
        assert np.isnan(again[n - 1]).all()
        alone, won = winograd.conv2d_pool(x[n : n + 1], w, b, *how)
        np.testing.assert_array_equal(alone[0], y[n])
        np.testing.assert_array_equal(won[0], winner[n])


def test_outputs_do_not_depend_on_what_memory_held():
    """Kernels take memory that is not cleared: here it holds NaN, as a training that diverged leaves it."""
    case = (9, (24, 24), 17, 33, 3, ((0, 0), (0, 0)))
    x, w, b = example(case, np.float32)

    def compute():
        y = winograd.conv2d(x, w, b)
        dx, dw = winograd.conv2d_grad_input(y, w, x.shape), winograd.conv2d_grad_kernel(x, y, w.shape)
        return y, dx, dw, *winograd.conv2d_pool(x, w, b, case[-1], (2, 2), (2, 2), KEY, *DROPOUT)

    usual = compute()
    for size in range(16, 23):
        dirt = [aligned_empty(2**size // 8 * i, np.float64) for i in range(1, 9)]
        for a in dirt:
            a.fill(np.nan)
        del a, dirt
    for ours, theirs in zip(compute(), usual, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_number_of_threads_changes_no_bit():
    case = CASES[6]
    arrays, threads = example(case, np.float32), numba.get_num_threads()
    usual = winograd.conv2d_pool(*arrays, case[-1], (2, 2), (1, 1), KEY, *DROPOUT)
    numba.set_num_threads(1)
    try:
        alone = winograd.conv2d_pool(*arrays, case[-1], (2, 2), (1, 1), KEY, *DROPOUT)
    finally:
        numba.set_num_threads(threads)
    for a, b in zip(usual, alone, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_it_cannot_compute_is_refused():
    x, w = np.zeros((1, 5, 6, 3), np.float32), np.zeros((3, 2, 3, 4), np.float32)
    with pytest.raises(ValueError, match="algorithm 'winograd': expected a square filter of 2 or 3"):
        winograd.conv2d_pool(x, w, None, ((0, 0), (0, 0)), (2, 2), (2, 2), KEY, 0, 1.0)
    with pytest.raises(ValueError, match="x: expected 5 channels"):
        winograd.conv2d_pool(x, np.zeros((3, 3, 5, 4), np.float32), None, ((0, 0),) * 2, *POOLS[0], KEY, 0, 1)
