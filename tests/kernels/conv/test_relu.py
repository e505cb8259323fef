"""The ReLU that every convolution can do on its way out: what follows the sums, and nothing else."""

import numpy as np
import pytest

from tests.kernels.cases import COMPILED_DTYPES, Case, conv_arguments, every_algorithm, module
from tinycnn import activations
from tinycnn.kernels import ALGORITHMS
from tinycnn.layers import Conv2D

NAN, INF = np.nan, np.inf
SQUARE = [  # what every algorithm can compute
    Case(2, (6, 5), 3, 1, (2, 2)),
    Case(1, (7, 9), 2, 7, (3, 3), padding=((1, 0), (0, 2))),
    Case(3, (5, 4), 1, 9, (2, 2), padding=((1, 1), (2, 1))),
    Case(0, (6, 5), 3, 4, (3, 3)),
]
OTHERS = [  # and what Winograd's refuses
    Case(2, (7, 6), 3, 5, (3, 2), (2, 1), ((1, 0), (0, 2)), (1, 2)),
    Case(2, (4, 5), 3, 9, (1, 1), (1, 3)),
]
LARGER = [  # blocks and vectors with remainders
    Case(5, (13, 9), 17, 33, (3, 3)),
    Case(2, (8, 12), 33, 17, (2, 2), padding=((0, 1), (1, 0))),
]
EVERY = [
    *((algorithm, case) for algorithm in ALGORITHMS for case in SQUARE),
    *((algorithm, case) for algorithm in every_algorithm() for case in OTHERS),
    *((algorithm, case) for algorithm in ALGORITHMS if algorithm != "naive" for case in LARGER),
]


def conv2d(algorithm, arguments, **change):
    return module(algorithm).conv2d(**arguments | change)


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("algorithm", "case"), EVERY, ids=str)
def test_it_is_the_convolution_and_then_the_maximum_with_zero(algorithm, case, bias, dtype):
    """To the bit: the sums themselves must not depend on it."""
    arguments = conv_arguments(case, dtype)["conv2d"] | ({} if bias else {"b": None})
    before = {k: v.copy() for k, v in arguments.items() if isinstance(v, np.ndarray)}
    linear = conv2d(algorithm, arguments, relu=False)
    assert not linear.size or (linear < 0).any()
    y = conv2d(algorithm, arguments, relu=True)
    np.testing.assert_array_equal(y, np.maximum(linear, 0))
    assert y.dtype == dtype
    assert y.shape == (case.batch, *case.out, case.filters)
    for name, array in before.items():
        np.testing.assert_array_equal(arguments[name], array)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_default_is_none(algorithm):
    arguments = conv_arguments(SQUARE[0], np.float32)["conv2d"]
    expected = conv2d(algorithm, arguments, relu=False)
    del arguments["relu"]
    np.testing.assert_array_equal(conv2d(algorithm, arguments), expected)


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_special_numbers(algorithm, dtype):
    """From the bias, one for each filter: NaN stays NaN, at every place among the vectors."""
    special = np.array([NAN, INF, -INF, -0.0, 0.0, -1, 1, 1e-40, -1e-40] * 4, dtype)[:35]
    x, w = np.zeros((2, 4, 5, 3), dtype), np.ones((2, 2, 3, 35), dtype)
    y = module(algorithm).conv2d(x, w, special, relu=True)
    expected = np.where(special < 0, 0, special).astype(dtype)
    np.testing.assert_array_equal(y, np.broadcast_to(expected, y.shape))
    linear = module(algorithm).conv2d(x, w, special)
    np.testing.assert_array_equal(linear, np.broadcast_to(special, y.shape))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_pixel_that_is_nan_is_seen_where_it_is_looked_at(algorithm):
    """And in no other image. Minimal filtering may spread it over a tile, not further."""
    arguments = conv_arguments(Case(3, (9, 8), 2, 5, (3, 3)), np.float32)["conv2d"]
    clean = conv2d(algorithm, arguments, relu=True)
    arguments["x"][1, 4, 3, 1] = NAN
    y = conv2d(algorithm, arguments, relu=True)
    assert np.isnan(y[1, 2:5, 1:4]).all()
    np.testing.assert_array_equal(y[[0, 2]], clean[[0, 2]])
    if algorithm != "winograd":
        y[1, 2:5, 1:4] = clean[1, 2:5, 1:4]
        np.testing.assert_array_equal(y, clean)


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_zeros_of_either_sign_have_no_gradient(algorithm, dtype):
    """A sum of -0.0 is off, as 0 is: y > 0 decides."""
    layer = Conv2D(5, 2, activation="relu", algorithm=algorithm)
    layer.build((4, 5, 3), np.random.default_rng(0), dtype)
    layer.params["bias"][:] = [-0.0, 0.0, -0.0, 1, -1]
    x = np.zeros((2, 4, 5, 3), dtype)
    y = layer.forward(x, training=True)
    np.testing.assert_array_equal(y, np.broadcast_to(np.array([0, 0, 0, 1, 0], dtype), y.shape))
    layer.backward(np.ones_like(y))
    np.testing.assert_array_equal(layer.grads["bias"], [0, 0, 0, 2 * 3 * 4, 0])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("activation", activations.ACTIVATIONS)
def test_a_layer_asks_for_it_only_when_it_is_its_activation(algorithm, activation):
    """The layer's output is its activation's of the plain sums, whatever the activation."""
    layer = Conv2D(4, 3, activation=activation, algorithm=algorithm)
    plain = Conv2D(4, 3, algorithm=algorithm)
    for each in (layer, plain):
        each.build((5, 6, 2), np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((2, 5, 6, 2)).astype(np.float32)
    expected = activations.get(activation).function(plain.forward(x))
    np.testing.assert_array_equal(layer.forward(x), expected)
