"""Wrong arguments of the public functions, found before an algorithm is chosen: name, expected, received."""

import numpy as np
import pytest

from tests.kernels.cases import FUNCTIONS, Case, all_arguments
from tinycnn import kernels
from tinycnn.kernels import ALGORITHMS

pytestmark = pytest.mark.smoke

# x (2, 6, 5, 3), w (3, 2, 3, 4), y (2, 3, 5, 4); and of the pools y (2, 3, 5, 3)
CONV = Case(2, (6, 5), 3, 4, (3, 2), (2, 1), ((1, 0), (0, 2)), (1, 2))
POOL = Case(2, (6, 5), 3, 0, (3, 2), (2, 1), ((1, 0), (0, 1)))

CONVOLUTIONS = ["conv2d", "conv2d_grad_input", "conv2d_grad_filter"]
CONVOLUTIONS += [f"depthwise_{name}" for name in CONVOLUTIONS]
POOLS = ["maxpool2d", "maxpool2d_grad_input", "averagepool2d", "averagepool2d_grad_input"]
NEGATIVE, ABOVE = ((-1, 0), (0, 0)), ((0, 0), (0, -2))


def array(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


# functions, name in the message, wrong argument, its value
WRONG_ARGMAX = [
    np.full((2, 3, 5, 3), 200, np.uint8),
    np.full((2, 3, 5, 3), -1, np.int8),
    np.zeros((2, 3, 5, 3), np.float32),
    np.zeros((2, 3, 5, 4), np.uint8),
]
WRONG = [
    ("conv2d", "x", "x", array(6, 5, 3)),
    ("conv2d", "x", "x", array(2, 6, 5, 3, 1)),
    ("conv2d", "x", "x", array(2, 6, 5, 4)),
    ("conv2d", "w", "w", array(3, 2, 3)),
    ("conv2d", "x", "w", array(3, 2, 5, 4)),
    ("conv2d", "b", "b", array(3)),
    ("conv2d", "b", "b", array(1, 4)),
    ("conv2d", "b", "b", array(4, dtype=np.int32)),
    ("conv2d", "dtype", "b", array(4, dtype=np.float64)),
    ("conv2d conv2d_grad_input", "w: KH", "w", array(0, 2, 3, 4)),
    ("conv2d conv2d_grad_input", "height", "w", array(8, 2, 3, 4)),
    ("conv2d conv2d_grad_input", "width", "w", array(3, 5, 3, 4)),
    ("conv2d conv2d_grad_input", "w", "w", array(3, 2, 3, 4, dtype=np.float16)),
    ("conv2d conv2d_grad_input", "dtype", "w", array(3, 2, 3, 4, dtype=np.float64)),
    ("conv2d conv2d_grad_filter maxpool2d averagepool2d", "x", "x", array(2, 6, 5, 3, dtype=np.float16)),
    ("conv2d conv2d_grad_filter maxpool2d averagepool2d", "x", "x", array(2, 6, 5, 3, dtype=np.int64)),
    ("conv2d conv2d_grad_filter maxpool2d averagepool2d", "x", "x", array(2, 6, 5, 3, dtype=">f4")),
    ("conv2d conv2d_grad_filter maxpool2d averagepool2d", "x", "x", array(2, 6, 5, 3, dtype=complex)),
    ("conv2d conv2d_grad_filter", "dtype", "x", array(2, 6, 5, 3, dtype=np.float64)),
    ("conv2d_grad_input", "dy", "dy", array(2, 3, 5, 3)),
    ("conv2d_grad_input conv2d_grad_filter", "dy", "dy", array(2, 5, 3, 4)),
    ("conv2d_grad_input conv2d_grad_filter", "dy", "dy", array(3, 3, 5, 4)),
    ("conv2d_grad_input conv2d_grad_filter", "dy", "dy", array(3, 5, 4)),
    ("conv2d_grad_input conv2d_grad_filter", "dy", "dy", array(2, 3, 5, 4, dtype=np.float16)),
    ("conv2d_grad_input conv2d_grad_filter", "dtype", "dy", array(2, 3, 5, 4, dtype=np.float64)),
    ("conv2d_grad_input", "x", "x_shape", (6, 5, 3)),
    ("conv2d_grad_input", "x", "x_shape", (2, 6, 5, 4)),
    ("conv2d_grad_input", "dy", "x_shape", (-2, 6, 5, 3)),
    ("conv2d_grad_input", "height", "x_shape", (2, -6, 5, 3)),
    ("conv2d_grad_input", "dy", "x_shape", (2, 9, 5, 3)),
    ("conv2d_grad_filter", "w", "w_shape", (3, 2, 3)),
    ("conv2d_grad_filter", "x", "w_shape", (3, 2, 4, 3)),
    ("conv2d_grad_filter", "w: KH", "w_shape", (-3, 2, 3, 4)),
    ("conv2d_grad_filter", "height", "w_shape", (8, 2, 3, 4)),
    ("conv2d_grad_filter", "w: F", "w_shape", (3, 2, 3, -4)),
    ("depthwise_conv2d", "x", "x", array(6, 5, 3)),
    ("depthwise_conv2d", "x", "x", array(2, 6, 5, 4)),
    ("depthwise_conv2d", "w", "w", array(3, 2, 3)),
    ("depthwise_conv2d", "x", "w", array(3, 2, 5, 4)),
    ("depthwise_conv2d", "b", "b", array(4)),
    ("depthwise_conv2d", "b", "b", array(3, 4)),
    ("depthwise_conv2d", "dtype", "b", array(12, dtype=np.float64)),
    ("depthwise_conv2d depthwise_conv2d_grad_input", "w: M", "w", array(3, 2, 3, 0)),
    ("depthwise_conv2d depthwise_conv2d_grad_input", "height", "w", array(8, 2, 3, 4)),
    ("depthwise_conv2d depthwise_conv2d_grad_input", "dtype", "w", array(3, 2, 3, 4, dtype=np.float64)),
    ("depthwise_conv2d depthwise_conv2d_grad_filter", "x", "x", array(2, 6, 5, 3, dtype=np.int64)),
    ("depthwise_conv2d_grad_input depthwise_conv2d_grad_filter", "dy", "dy", array(2, 3, 5, 4)),
    ("depthwise_conv2d_grad_input depthwise_conv2d_grad_filter", "dy", "dy", array(2, 3, 5, 3, 4)),
    ("depthwise_conv2d_grad_input", "x", "x_shape", (2, 6, 5, 4)),
    ("depthwise_conv2d_grad_filter", "w", "w_shape", (3, 2, 3)),
    ("depthwise_conv2d_grad_filter", "w: M", "w_shape", (3, 2, 3, -4)),
    ("maxpool2d averagepool2d", "x", "x", array(6, 5, 3)),
    ("maxpool2d averagepool2d", "height", "x", array(2, 1, 5, 3)),
    ("maxpool2d_grad_input averagepool2d_grad_input", "x", "x_shape", (6, 5, 3)),
    ("maxpool2d_grad_input averagepool2d_grad_input", "x: W", "x_shape", (2, 6, -5, 3)),
    ("maxpool2d_grad_input averagepool2d_grad_input", "dy", "x_shape", (2, 6, 5, 4)),
    ("maxpool2d_grad_input averagepool2d_grad_input", "dy", "dy", array(2, 3, 4, 3)),
    ("maxpool2d_grad_input averagepool2d_grad_input", "dy", "dy", array(2, 3, 5, 3, dtype=np.int32)),
]
WRONG += [(" ".join(CONVOLUTIONS), "dilation", "dilation", value) for value in [(0, 1), (1, -1), (1, 0.5)]]
WRONG += [(" ".join(CONVOLUTIONS), "width", "dilation", (1, 7))]
WRONG += [
    (" ".join(FUNCTIONS), "strides", "strides", value) for value in [(0, 1), (1, -1), (2.0, 1), (1,), 2]
]
WRONG += [(" ".join(FUNCTIONS), "padding", "padding", 1)]
WRONG += [("conv2d", "w: C", "w", array(3, 2, 0, 4)), ("maxpool2d", "x: H", "x", array(2, 0, 5, 3))]
WRONG += [("maxpool2d_grad_input", "argmax", "argmax", a) for a in WRONG_ARGMAX]
WRONG += [(" ".join(FUNCTIONS), "padding of the height", "padding", NEGATIVE)]
WRONG += [(" ".join(FUNCTIONS), "padding of the width", "padding", ABOVE)]
WRONG += [(" ".join(POOLS), "padding of the height", "padding", ((0, 3), (0, 0)))]
WRONG += [(" ".join(POOLS), "padding of the width", "padding", ((0, 0), (2, 0)))]
WRONG += [(" ".join(POOLS), "kernel size", "pool_size", value) for value in [(0, 2), (3, -2), (1.5, 2)]]
WRONG += [(" ".join(POOLS), "height", "pool_size", (8, 2)), (" ".join(POOLS), "width", "pool_size", (3, 7))]
EVERY_WRONG = [(function, *row[1:]) for row in WRONG for function in row[0].split()]


def describe(value):
    return f"{value.dtype}{value.shape}" if isinstance(value, np.ndarray) else str(value).replace(" ", "")


def call(function, **change):
    arguments = all_arguments(CONV, POOL, np.float32)[function]
    assert set(change) <= set(arguments)
    return getattr(kernels, function)(**arguments | change, algorithm="im2col")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_arguments_are_right_before_one_is_changed(function):
    call(function)


@pytest.mark.parametrize(("function", "name", "argument", "value"), EVERY_WRONG, ids=describe)
def test_wrong_arguments(function, name, argument, value):
    with pytest.raises(ValueError, match=f"^{name}: expected .+, received .+"):
        call(function, **{argument: value})


def test_mixed_dtypes_are_all_named():
    message = "^dtype: expected one for all arrays, received x float32, w float64, b float32$"
    with pytest.raises(ValueError, match=message):
        call("conv2d", w=array(3, 2, 3, 4, dtype=np.float64))


def test_an_argmax_of_another_shape():
    with pytest.raises(ValueError, match=r"^argmax: expected .+, received .+"):
        call("maxpool2d_grad_input", argmax=np.full((2, 3, 5, 4), 2, np.uint8))


@pytest.mark.parametrize("function", ["maxpool2d", "averagepool2d"])
def test_pools_of_empty_images(function):
    with pytest.raises(ValueError, match=r"^.+: expected .+, received .+"):
        getattr(kernels, function)(array(1, 0, 1, 1), (3, 1), (1, 1), ((2, 2), (0, 0)))


@pytest.mark.parametrize("algorithm", ["auto", *ALGORITHMS])
def test_they_are_refused_before_a_choice_is_made(monkeypatch, algorithm):
    """So compiled code, which trusts shapes, never sees them."""
    monkeypatch.setattr(kernels.conv, "choose", lambda *_: pytest.fail("an algorithm was chosen"))
    arguments = all_arguments(CONV, POOL, np.float32)
    for function in ("conv2d", "conv2d_grad_input"):
        with pytest.raises(ValueError, match=r"^w: KH: expected .+, received"):
            getattr(kernels, function)(**arguments[function] | {"w": array(0, 2, 3, 4)}, algorithm=algorithm)
    wrong = arguments["conv2d_grad_filter"] | {"w_shape": (0, 2, 3, 4)}
    with pytest.raises(ValueError, match=r"^w: KH: expected .+, received"):
        kernels.conv2d_grad_filter(**wrong, algorithm=algorithm)
