"""The gradients through a max-pool, from lists of non-zeros, against the dense ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.cases import COMPILED_DTYPES, assert_same_bits_on_one_thread
from tests.kernels.fused.grads_twin import CASES, assert_close, compute, example
from tinycnn.kernels.fused.conv_maxpool_grads import grad_filter, grad_input


@pytest.mark.parametrize("kept", [0, 0.1, 1])
@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_the_dense_gradients(case, dtype, kept):
    """From nothing to everything that a pool can leave; every remainder of vectors and of rows."""
    (x, w, dy), argmax, *expected = example(case, dtype, kept)
    for ours, theirs in zip(compute(case, x, w, dy, argmax), expected, strict=True):
        assert_close(ours, theirs, dtype)


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.tuples(*[st.integers(1, 5)] * 3),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 4)),
    pool=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    extra=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
)
def test_any_shape(sizes, kernel, pool, strides, extra, pads):
    (N, C, F), padding = sizes, (pads[:2], pads[2:])
    H, W = (k + q - 1 + e for k, q, e in zip(kernel, pool, extra, strict=True))
    case = (N, H, W, C, F, *kernel, padding, pool, strides)
    (x, w, dy), argmax, *expected = example(case, np.float32)
    for ours, theirs in zip(compute(case, x, w, dy, argmax), expected, strict=True):
        assert_close(ours, theirs, np.float32)


def test_the_number_of_threads_changes_no_bit():
    case = CASES[-1]
    (x, w, dy), argmax, *_ = example(case, np.float32)
    assert_same_bits_on_one_thread(lambda: compute(case, x, w, dy, argmax))


def test_an_argmax_that_is_no_pixel_of_its_window_is_refused():
    """Kernels write where it points."""
    (x, w, dy), argmax, *_ = example(CASES[0], np.float32)
    argmax.flat[0] = 5
    with pytest.raises(ValueError, match="argmax: expected 0 to 4, received 5"):
        grad_filter(x, dy, argmax, w.shape, *CASES[0][7:])
    with pytest.raises(ValueError, match="argmax: expected 0 to 4, received 5"):
        grad_input(dy, argmax, w, x.shape, *CASES[0][7:])


def test_offsets_that_32_bits_do_not_hold_are_refused():
    """Before anything is read: the image here is one number, repeated."""
    x = np.broadcast_to(np.float32(0), (1, 2**15, 2**14, 4))
    dy = np.broadcast_to(np.float32(0), (1, 1, 1, 1))
    with pytest.raises(ValueError, match="fewer than"):
        grad_filter(x, dy, np.zeros((1, 1, 1, 1), np.uint8), (2, 2, 4, 1), *CASES[0][7:])
