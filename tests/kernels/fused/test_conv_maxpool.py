"""Winograd's convolution with what follows it, in one kernel: as the two one after the other, to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.cases import (
    COMPILED_DTYPES,
    assert_same_bits_on_one_thread,
    every_other,
    fill_free_memory_with_nan,
    reversed_view,
)
from tinycnn.kernels.conv import im2col, winograd
from tinycnn.kernels.fused.conv_maxpool import NO_DROPOUT, Mask, conv2d_maxpool, maxpool
from tinycnn.kernels.pool import im2col as im2col_pool
from tinycnn.support.randomness import philox_key

DROPOUT = Mask(philox_key(1, "dropout", 2), 20000, 1 / 0.7)
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
        patch.setattr(winograd, "fits_in_cache", lambda *sizes: False)
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


@pytest.mark.parametrize("mask", [NO_DROPOUT, DROPOUT], ids=["all", "some"])
@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize(("case", "pool"), EVERY, ids=str)
def test_without_bias_it_is_the_two_kernels_to_the_bit(case, pool, dtype, mask):
    x, w, _ = example(case, dtype)
    ours = conv2d_maxpool(x, w, None, case[-1], *pool, mask)
    theirs = maxpool(winograd.conv2d(x, w, None, padding=case[-1]), *pool, mask)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize(("case", "pool"), EVERY, ids=str)
def test_with_bias_the_outputs_are_the_same_to_the_bit(case, pool, dtype):
    """Adding b before or after the maximum rounds alike, since rounding keeps the order of numbers; but what
    differed before may be equal after, and then the first wins: there argmax may differ."""
    x, w, b = example(case, dtype)
    z = winograd.conv2d(x, w, b, padding=case[-1])
    y, argmax = conv2d_maxpool(x, w, b, case[-1], *pool, DROPOUT)
    expected, first = maxpool(z, *pool, DROPOUT)
    np.testing.assert_array_equal(y, expected)
    (QH, QW), (SH, SW) = pool
    for n, ph, pw, f in np.argwhere(argmax != first):
        window = z[n, ph * SH : ph * SH + QH, pw * SW : pw * SW + QW, f].ravel()
        assert window[argmax[n, ph, pw, f]] == window[first[n, ph, pw, f]]
    assert (argmax != first).sum() <= 1e-3 * argmax.size


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_against_the_definition(case, dtype):
    """In float64 and by other means: the sum of patches, ReLU before the maximum."""
    x, w, b = example(case, dtype)
    z = im2col.conv2d(*(a.astype(np.float64) for a in (x, w, b)), padding=case[-1], relu=True)
    expected, _ = im2col_pool.maxpool2d(z, (1, 1), (2, 1))
    y, argmax = conv2d_maxpool(x, w, b, case[-1], (1, 1), (2, 1))
    scale = max(np.abs(expected).max(initial=0), 1)
    np.testing.assert_allclose(y, expected, rtol=0, atol=scale * (1e-5 if dtype is np.float32 else 1e-13))
    np.testing.assert_array_equal(argmax, np.where(y > 0, 0, 1))


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
    ours = conv2d_maxpool(x, w, None, case[-1], size, strides, DROPOUT)
    theirs = maxpool(winograd.conv2d(x, w, None, padding=case[-1]), size, strides, DROPOUT)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("layout", [np.asfortranarray, every_other, reversed_view])
def test_any_layout_and_read_only(layout):
    arrays = example(CASES[1], np.float32)
    before = [a.copy() for a in arrays]
    how = CASES[1][-1], (2, 2), (2, 2), DROPOUT
    expected = conv2d_maxpool(*arrays, *how)
    views = [layout(a) for a in arrays]
    for a in views:
        a.flags.writeable = False
    for ours, theirs in zip(conv2d_maxpool(*views, *how), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.flags.writeable
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_image_does_not_see_its_neighbours():
    """Nor what the memory held: each image alone gives the same bits as in its batch."""
    case = CASES[6]
    x, w, b = example(case, np.float32)
    how = case[-1], (2, 2), (1, 1)
    y, argmax = conv2d_maxpool(x, w, b, *how)
    for n in (1, 17, 36):
        x[n - 1] = np.nan
        again, first = conv2d_maxpool(x, w, b, *how)
        np.testing.assert_array_equal(again[n], y[n])
        np.testing.assert_array_equal(first[n], argmax[n])
        assert np.isnan(again[n - 1]).all()
        alone, first = conv2d_maxpool(x[n : n + 1], w, b, *how)
        np.testing.assert_array_equal(alone[0], y[n])
        np.testing.assert_array_equal(first[0], argmax[n])


def test_outputs_do_not_depend_on_what_memory_held():
    """Kernels take memory that is not cleared: here it holds NaN, as a run that diverged leaves it."""
    case = (9, (24, 24), 17, 33, 3, ((0, 0), (0, 0)))
    x, w, b = example(case, np.float32)

    def compute():
        y = winograd.conv2d(x, w, b)
        dx, dw = winograd.conv2d_grad_input(y, w, x.shape), winograd.conv2d_grad_filter(x, y, w.shape)
        return y, dx, dw, *conv2d_maxpool(x, w, b, case[-1], (2, 2), (2, 2), DROPOUT)

    usual = compute()
    fill_free_memory_with_nan()
    for ours, theirs in zip(compute(), usual, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_number_of_threads_changes_no_bit():
    case = CASES[6]
    arrays = example(case, np.float32)
    assert_same_bits_on_one_thread(lambda: conv2d_maxpool(*arrays, case[-1], (2, 2), (1, 1), DROPOUT))
