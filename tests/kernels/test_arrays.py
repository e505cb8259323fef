"""What the functions do with their arrays: any layout in, a fresh contiguous array of the same dtype out."""

import numpy as np
import pytest

from tests.kernels.cases import (
    FUNCTIONS,
    Case,
    all_arguments,
    arrays_of,
    as_tuple,
    assert_same_bits_on_one_thread,
    check,
    each_dtype,
    every_algorithm,
    every_other,
    module,
    reversed_view,
    wide,
)

CONV = Case(2, (6, 5), 3, 4, (3, 2), (2, 1), ((1, 0), (0, 2)), (1, 2))
POOL = Case(2, (6, 5), 3, 0, (3, 2), (2, 1), ((1, 0), (0, 1)))
POINTWISE = Case(1, (4, 3), 2, 5, (1, 1))
EMPTY_CONV, EMPTY_POOL = CONV._replace(batch=0), POOL._replace(batch=0)


def call(algorithm, function, arguments):
    return getattr(module(algorithm), function)(**arguments)


@pytest.mark.parametrize("layout", [np.asfortranarray, every_other, reversed_view])
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("algorithm", every_algorithm())
def test_any_layout_gives_the_same_numbers(algorithm, function, layout):
    arguments = all_arguments(CONV, POOL, wide(function))[function]
    views = arguments | {name: layout(a) for name, a in arrays_of(arguments).items()}
    assert not all(a.flags.c_contiguous for a in arrays_of(views).values() if a.ndim > 1)
    check(function, call(algorithm, function, views), call("naive", function, arguments), arguments)


@pytest.mark.parametrize("case", [CONV, POINTWISE], ids=["usual", "1 x 1"])
@pytest.mark.parametrize(("algorithm", "dtype", "function"), each_dtype(every_algorithm(), FUNCTIONS))
def test_results_are_new_and_inputs_stay_as_they_are(algorithm, function, dtype, case):
    arguments = all_arguments(case, POOL if case is CONV else POINTWISE, dtype)[function]
    before = {name: a.copy() for name, a in arrays_of(arguments).items()}
    for result in as_tuple(call(algorithm, function, arguments)):
        assert result.flags.writeable
        assert result.flags.c_contiguous
        assert not any(np.shares_memory(result, a) for a in arrays_of(arguments).values())
    for name, a in before.items():
        np.testing.assert_array_equal(arguments[name], a)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("algorithm", every_algorithm())
def test_results_survive_the_next_call(algorithm, function):
    first, second = (all_arguments(CONV, POOL, wide(function), seed)[function] for seed in (0, 1))
    results = as_tuple(call(algorithm, function, first))
    before = [a.copy() for a in results]
    others = as_tuple(call(algorithm, function, second))
    for a, b, other in zip(results, before, others, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != other).any()


@pytest.mark.parametrize("algorithm", every_algorithm())
def test_a_gradient_reads_the_argmax_it_is_given_and_no_later_one(algorithm):
    first, second = (all_arguments(CONV, POOL, np.float64, seed) for seed in (0, 1))
    _, argmax = call(algorithm, "maxpool2d", first["maxpool2d"])
    call(algorithm, "maxpool2d", second["maxpool2d"])
    arguments = first["maxpool2d_grad_input"]
    expected = call("naive", "maxpool2d_grad_input", arguments)
    result = call(algorithm, "maxpool2d_grad_input", arguments | {"argmax": argmax})
    check("maxpool2d_grad_input", result, expected, arguments)


@pytest.mark.slow  # Numba compiles a read-only array's function once more
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("algorithm", every_algorithm())
def test_read_only_inputs_will_do(algorithm, function):
    arguments = all_arguments(CONV, POOL, wide(function))[function]
    expected = call("naive", function, arguments)
    for a in arrays_of(arguments).values():
        a.setflags(write=False)
    check(function, call(algorithm, function, arguments), expected, arguments)


@pytest.mark.parametrize(("function", "filters"), [("conv2d", 4), ("depthwise_conv2d", 12)])
@pytest.mark.parametrize("algorithm", every_algorithm())
def test_a_convolution_without_bias(algorithm, function, filters):
    arguments = all_arguments(CONV, POOL, wide(function))[function] | {"b": None}
    zeros = arguments | {"b": np.zeros(filters, wide(function))}
    check(function, call(algorithm, function, arguments), call("naive", function, zeros), zeros)


SMALLEST = [
    ((2, 2), np.uint8),
    ((16, 16), np.uint8),
    pytest.param((17, 16), np.uint16, marks=pytest.mark.slow),  # kernels to compile
]


@pytest.mark.parametrize(("taps", "dtype"), SMALLEST)
@pytest.mark.parametrize("algorithm", every_algorithm())
def test_argmax_has_the_smallest_dtype(algorithm, taps, dtype):
    x = np.zeros((1, *taps, 1), np.float32)
    x[0, -1, -1] = 1
    _, argmax = module(algorithm).maxpool2d(x, taps, (1, 1))
    assert argmax.dtype == dtype
    assert argmax.item() == taps[0] * taps[1] - 1
    dx = module(algorithm).maxpool2d_grad_input(x[:, -1:, -1:], argmax, x.shape, taps, (1, 1))
    np.testing.assert_array_equal(dx, x)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("algorithm", every_algorithm())
def test_a_batch_of_no_images(algorithm, function):
    arguments = all_arguments(EMPTY_CONV, EMPTY_POOL, np.float32)[function]
    check(function, call(algorithm, function, arguments), call("naive", function, arguments), arguments)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_number_of_threads_changes_no_bit(function):
    many = CONV._replace(batch=37)
    arguments = all_arguments(many, POOL._replace(batch=37), np.float32)[function]
    assert_same_bits_on_one_thread(lambda: call("direct", function, arguments))
