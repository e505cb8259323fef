"""Which algorithm computes: the layer's own, then the context, then the environment, then "auto"."""

import asyncio
import doctest
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import numpy as np
import pytest

from tests.kernels.cases import FUNCTIONS
from tinycnn import kernels
from tinycnn.kernels import (
    ALGORITHMS,
    check_algorithm,
    choose,
    conv,
    depthwise,
    pool,
    selection,
    use_algorithm,
)
from tinycnn.kernels.selection import CONVOLUTIONS, DEPTHWISE, POOL_ALGORITHMS, POOLS

pytestmark = pytest.mark.smoke

VARIABLE = "TINYCNN_ALGORITHM"


def select(*arguments):
    return choose(*arguments).algorithm


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """No request, and a compiler, whether this machine has one or not."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(selection, "obstacle", lambda: "")
    selection.automatic_matmul.cache_clear()
    yield
    selection.automatic_matmul.cache_clear()


AUTO = "direct"  # what "auto" stands for when nothing is known of the shapes


@pytest.mark.parametrize(
    ("w_shape", "strides", "dilation", "expected"),
    [
        ((3, 3, 32, 64), (1, 1), (1, 1), "winograd"),
        ((3, 3, 16, 32), (1, 1), (1, 1), "winograd"),
        ((2, 2, 64, 32), (1, 1), (1, 1), "winograd"),
        ((2, 2, 64, 1), (1, 1), (1, 1), "direct"),
        ((3, 3, 1, 32), (1, 1), (1, 1), "direct"),
        ((3, 2, 32, 64), (1, 1), (1, 1), "direct"),
        ((5, 5, 32, 64), (1, 1), (1, 1), "direct"),
        ((3, 3, 32, 64), (1, 2), (1, 1), "direct"),
        ((3, 3, 32, 64), (1, 1), (2, 1), "direct"),
    ],
)
def test_auto_looks_at_the_shape(w_shape, strides, dilation, expected):
    for function in FUNCTIONS[:3]:
        assert select(function, "auto", w_shape, strides, dilation) == expected
        assert select(function, "im2col", w_shape, strides, dilation) == "im2col"


@pytest.mark.parametrize(
    ("w_shape", "expected"),
    [
        ((3, 3, 4, 32), ["winograd", "winograd", "direct"]),
        ((3, 3, 64, 12), ["winograd"] * 3),
        ((3, 3, 64, 11), ["winograd", "winograd", "direct"]),
        ((3, 3, 3, 64), ["direct"] * 3),
        ((2, 2, 32, 16), ["winograd", "winograd", "direct"]),
        ((2, 2, 32, 32), ["winograd"] * 3),
        ((2, 2, 16, 16), ["direct"] * 3),
    ],
)
def test_auto_looks_at_the_pass(w_shape, expected):
    """Forward, input gradient, filter gradient: on both sides of each limit."""
    assert [select(function, "auto", w_shape) for function in FUNCTIONS[:3]] == expected


@pytest.mark.parametrize(
    ("pixels", "images", "expected"),
    [
        (63, 1, ["direct", "direct", "direct"]),
        (64, 1, ["winograd", "winograd", "direct"]),
        (127, 1, ["winograd", "winograd", "direct"]),
        (128, 1, ["winograd"] * 3),
        (63, 2, ["direct"] * 3),
        (64, 2, ["winograd"] * 3),
        (5, 25, ["direct"] * 3),
        (5, 26, ["winograd"] * 3),
    ],
)
def test_auto_looks_at_the_outputs(pixels, images, expected):
    """Of a single image, which has a kernel of its own except for the filter gradient, and of batches."""
    geometry = (3, 3, 64, 64), (1, 1), (1, 1), pixels, images
    assert [select(function, "auto", *geometry) for function in FUNCTIONS[:3]] == expected


@pytest.mark.parametrize(
    ("geometry", "cause"),
    [
        (((3, 2, 32, 64),), "unsupported"),
        (((3, 3, 32, 64), (1, 2)), "unsupported"),
        (((3, 3, 1, 32),), "channels"),
        (((3, 3, 64, 64), (1, 1), (1, 1), 127, 1), "outputs"),
        (((3, 3, 64, 64), (1, 1), (1, 1), 128, 1), "winograd"),
    ],
)
def test_a_choice_has_its_cause_and_its_figures(geometry, cause):
    choice = choose("conv2d_grad_filter", "auto", *geometry)
    assert choice.cause == cause
    assert choice.channels == geometry[0][2:]
    assert bool(choice.refusal) == (cause == "unsupported")
    assert not choice.refused
    if cause == "outputs":
        assert (choice.outputs, choice.least_outputs) == (127, 128)


@pytest.mark.parametrize("operation", CONVOLUTIONS)
@pytest.mark.parametrize(
    ("geometry", "refusal"),
    [
        (((3, 2, 4, 5), (1, 1), (1, 1)), "expected a square filter of 2 or 3, received 3x2"),
        (((4, 4, 4, 5), (1, 1), (1, 1)), "expected a square filter of 2 or 3, received 4x4"),
        (((1, 1, 4, 5), (1, 1), (1, 1)), "expected a square filter of 2 or 3, received 1x1"),
        (((3, 3, 4, 5), (1, 2), (1, 1)), "expected strides of 1, received (1, 2)"),
        (((3, 3, 4, 5), (1, 1), (2, 1)), "expected dilation of 1, received (2, 1)"),
    ],
)
def test_winograd_is_obeyed_or_refused_never_replaced(operation, geometry, refusal):
    choice = choose(operation, "winograd", *geometry)
    assert (choice.algorithm, choice.refused, choice.refusal) == ("winograd", True, refusal)
    with pytest.raises(ValueError, match=re.escape(f"algorithm 'winograd': {refusal}")):
        conv.implementation(choice)
    with use_algorithm("winograd"):
        assert choose(operation, "auto", *geometry) == choice._replace(request=("winograd", "context"))


@pytest.mark.parametrize("operation", POOLS)
def test_a_pool_has_no_winograd(operation):
    """Asked for by name it is refused; a block or a process that asks for it means convolutions."""
    choice = choose(operation, "winograd")
    assert (choice.refused, choice.refusal) == (True, "a pool has naive, im2col, direct")
    with pytest.raises(ValueError, match=f"'winograd' for {operation}: a pool has naive, im2col, direct"):
        pool.implementation(operation, "winograd")
    with use_algorithm("winograd"):
        choice = choose(operation)
    assert (choice.algorithm, choice.cause, choice.refused) == ("direct", "not for pools", False)


@pytest.mark.parametrize("operation", DEPTHWISE)
def test_a_depthwise_convolution_has_no_winograd(operation):
    """As for a pool."""
    choice = choose(operation, "winograd")
    assert (choice.refused, choice.refusal) == (True, "a depthwise convolution has naive, im2col, direct")
    with pytest.raises(
        ValueError, match=f"'winograd' for {operation}: a depthwise convolution has naive, im2"
    ):
        depthwise.implementation(operation, "winograd")
    with use_algorithm("winograd"):
        choice = choose(operation)
    assert (choice.algorithm, choice.cause, choice.refused) == ("direct", "not for depthwise", False)
    assert choose(operation).cause == "channels apart"


def test_a_matrix_product_is_numpys_while_it_is_small():
    limit = selection.NUMPY_MULTIPLICATIONS
    causes = [selection.choose_matmul(n)[:2] for n in (0, limit, limit + 1)]
    assert causes == [("numpy", "small product")] * 2 + [("blocked", "blocks")]
    for name, expected in (
        ("naive", "numpy"),
        ("im2col", "numpy"),
        ("direct", "blocked"),
        ("winograd", "blocked"),
    ):
        with use_algorithm(name):
            assert selection.choose_matmul(limit + 1).algorithm == expected


def test_the_tile_with_the_fewest_multiplications_is_taken():
    """For `mnist_cnn`: 24 = 6 * 4, 10 = 2 * 5, 11 = 3 * 4 - 1."""
    assert selection.tile_size(3, 24, 24) == 4
    assert selection.tile_size(2, 10, 10) == 5
    assert selection.tile_size(2, 11, 11) == 4
    assert selection.tile_size(3, 2, 1) == 2
    assert selection.tile_size(2, 10, 10, images=1) == 2  # the filter's transform, used once, has to pay too
    assert selection.tile_size(2, 11, 11, images=1) == 3


@pytest.mark.parametrize("function", FUNCTIONS)
def test_auto_stands_for_an_algorithm(function):
    assert select(function, "auto") == AUTO


def test_the_layer_comes_before_the_context_before_the_environment(monkeypatch):
    monkeypatch.setenv(VARIABLE, "naive")
    assert select("maxpool2d", "auto") == "naive"
    with use_algorithm("im2col"):
        assert select("maxpool2d", "auto") == "im2col"
        assert select("maxpool2d", "direct") == "direct"
    assert select("maxpool2d", "direct") == "direct"
    assert select("maxpool2d", "auto") == "naive"


@pytest.mark.parametrize("value", ["", "auto"])
def test_an_environment_that_asks_for_nothing(monkeypatch, value):
    monkeypatch.setenv(VARIABLE, value)
    assert select("conv2d", "auto") == AUTO


@pytest.mark.parametrize("algorithm", POOL_ALGORITHMS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_request_is_obeyed_whichever_way_it_is_made(monkeypatch, function, algorithm):
    """And the choice says who made it."""

    def requested(*arguments):
        choice = choose(function, *arguments)
        assert (choice.algorithm, choice.cause, choice.refused) == (algorithm, "requested", False)
        return choice.request

    assert requested(algorithm) == (algorithm, "layer")
    with use_algorithm(algorithm):
        assert requested() == (algorithm, "context")
    monkeypatch.setenv(VARIABLE, algorithm)
    assert requested() == (algorithm, "environment")


def test_contexts_nest():
    with use_algorithm("naive"):
        with use_algorithm("direct"):
            assert select("conv2d", "auto") == "direct"
            with use_algorithm("auto"):
                assert select("conv2d", "auto") == AUTO
            assert select("conv2d", "auto") == "direct"
        assert select("conv2d", "auto") == "naive"
    assert select("conv2d", "auto") == AUTO


def fail_inside(name):
    with use_algorithm(name):
        raise KeyError(name)


def test_an_exception_restores_the_context_around_it():
    with use_algorithm("direct"):
        with pytest.raises(KeyError):
            fail_inside("naive")
        assert select("conv2d", "auto") == "direct"
    with pytest.raises(KeyError):
        fail_inside("naive")
    assert select("conv2d", "auto") == AUTO


def test_a_context_can_decorate_a_function():
    @use_algorithm("naive")
    def chosen():
        return select("conv2d", "auto")

    assert [chosen(), chosen()] == ["naive", "naive"]
    assert select("conv2d", "auto") == AUTO


def test_threads_do_not_see_each_other():
    meeting, seen = threading.Barrier(3, timeout=30), {}

    def work(name):
        with use_algorithm(name):
            meeting.wait()  # both threads are inside their contexts
            seen[name] = select("conv2d", "auto")
            meeting.wait()

    threads = [threading.Thread(target=work, args=[name]) for name in ("naive", "direct")]
    for thread in threads:
        thread.start()
    meeting.wait()
    outside = select("conv2d", "auto")
    meeting.wait()
    for thread in threads:
        thread.join()
    assert seen == {"naive": "naive", "direct": "direct"}
    assert outside == AUTO


def test_a_context_is_for_its_own_thread_and_can_be_carried_over(monkeypatch):
    """As the docstring of `use_algorithm` says; the environment is for every thread."""
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(select, "conv2d").result() == AUTO  # now its thread is there, and inherits nothing
        with use_algorithm("im2col"):
            assert pool.submit(select, "conv2d", "auto", (3, 3, 32, 32)).result() == "winograd"
            carried = pool.submit(copy_context().run, select, "conv2d", "auto", (3, 3, 32, 32))
            assert carried.result() == "im2col"
            assert pool.submit(select, "conv2d").result() == AUTO  # nothing stays with the thread
        monkeypatch.setenv(VARIABLE, "naive")
        assert pool.submit(select, "conv2d").result() == "naive"
    for word in ("thread", "copy_context", VARIABLE):
        assert word in use_algorithm.__doc__


def test_a_context_is_for_its_own_task():
    """Two tasks that take turns in one thread; `asyncio.to_thread` carries the context over by itself."""

    async def work(name):
        with use_algorithm(name):
            await asyncio.sleep(0)
            return select("conv2d"), await asyncio.to_thread(select, "conv2d")

    async def both():
        return await asyncio.gather(work("naive"), work("im2col"))

    assert asyncio.run(both()) == [("naive", "naive"), ("im2col", "im2col")]


@pytest.mark.parametrize("name", ["winograd9", "Naive", "", None, 3])
def test_unknown_algorithms_are_told_the_known_ones(name):
    names = ", ".join(map(repr, sorted(["auto", *ALGORITHMS])))
    expected = f"^algorithm: expected one of {names}, received {name!r}$"
    with pytest.raises(ValueError, match=expected):
        check_algorithm(name)
    with pytest.raises(ValueError, match=expected):
        select("conv2d", name)
    with pytest.raises(ValueError, match=expected), use_algorithm(name):
        pass
    assert select("conv2d", "auto") == AUTO


def test_an_unknown_name_in_the_environment_is_no_silent_auto(monkeypatch):
    monkeypatch.setenv(VARIABLE, "cudnn")
    with pytest.raises(ValueError, match=r"^TINYCNN_ALGORITHM: expected one of .+, received 'cudnn'$"):
        choose("conv2d", "auto")


def test_unknown_operations():
    with pytest.raises(ValueError, match=r"^operation: expected one of .*'conv2d'.*, received 'conv3d'$"):
        choose("conv3d", "auto")


def test_known_names_are_returned():
    assert [check_algorithm(name) for name in ["auto", *ALGORITHMS]] == ["auto", *ALGORITHMS]


def test_the_examples_in_the_docstrings():
    results = doctest.testmod(selection)
    assert results.attempted > 0
    assert results.failed == 0


def test_find_is_deprecated_and_still_works():
    with pytest.warns(DeprecationWarning, match=r"call kernels\.maxpool2d\(\.\.\., algorithm='naive'\)"):
        function = kernels.find("maxpool2d", "naive")
    y, argmax = function(np.ones((1, 2, 2, 1), np.float32), (2, 2), (2, 2))
    assert (y.item(), argmax.item()) == (1, 0)
