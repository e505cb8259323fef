"""What follows the sums of one image: bias, ReLU, max-pool and dropout, against NumPy, to the bit."""

import numpy as np
import pytest

from tests.kernels.cases import COMPILED_DTYPES
from tests.kernels.fused.maxpool_twin import GEOMETRIES, NAME, NAN, images, twin
from tinycnn.kernels.primitives import epilogue
from tinycnn.kernels.runtime.jit import jit
from tinycnn.support.randomness import generator


@jit
def call_rectify(z, b, relu, y, first):
    """Call the kernel, which has no wrapper for Python."""
    epilogue.bias_relu(z, b, relu, y, first)


@jit
def call_pool_filters(z, b, relu, y, first, size, strides):
    """Call the kernel, which has no wrapper for Python."""
    epilogue.pool_filters(z, b, relu, y, first, size, strides)


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("F", [1, 3, 17, 33])
def test_pool_image_adds_the_bias_after_the_maximum(F, dtype):
    """As if it had been added before; z goes on beyond the channels and the rows, with what is never read."""
    rng = np.random.default_rng(F)
    z = np.full((8, 9, F + 5), NAN, dtype)
    z[:7, :8, :F] = rng.standard_normal((7, 8, F))
    b = np.full(F + 5, NAN, dtype)
    b[:F] = rng.standard_normal(F)
    y, argmax = np.empty((3, 4, F), dtype), np.empty((3, 4, F), np.uint8)
    bits = np.zeros(y.size + 40, np.uint16)
    first = 7
    bits[first : first + y.size] = np.frombuffer(generator(*NAME).bytes(2 * y.size), "<u2")
    epilogue.pool_image(z, b, y, argmax, (2, 2), (2, 2), bits[first:], 30000, dtype(1.5))
    expected = twin(z[None, :7, :8, :F], (2, 2), (2, 2), 30000, 1.5, b[:F])
    np.testing.assert_array_equal(y, expected[0][0])
    np.testing.assert_array_equal(argmax, expected[1][0])


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("F", [1, 3, 17, 33])
def test_rectify_image(F, relu, dtype):
    """z + b, cut at zero; z is larger at its ends, NaN stays, -inf is no special case. From any filter on."""
    z = images(1, 6, 7, F + 3, dtype)[0]
    for first in (0, 5):
        b = np.zeros(first + F + 3, dtype)
        b[: first + F] = np.random.default_rng(F).integers(-2, 3, first + F)
        y = np.full((5, 4, first + F), 7, dtype)
        call_rectify(np.ascontiguousarray(z), b, relu, y, first)
        expected = z[:5, :4, :F] + b[first : first + F]
        np.testing.assert_array_equal(y[..., first:], np.maximum(expected, 0) if relu else expected)
        assert (y[..., :first] == 7).all()


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
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
    call_pool_filters(z[0], b, relu, y, first, size, strides)
    expected = best[..., :count] + b[first : first + count]
    np.testing.assert_array_equal(y[..., first:], np.maximum(expected, 0) if relu else expected)
    assert (y[..., :first] == 7).all()
