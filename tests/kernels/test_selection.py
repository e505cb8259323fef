"""Which algorithm computes: the layer's own, then the context, then the environment, then "auto"."""

import doctest
import subprocess
import sys
import threading

import pytest
from kernel_cases import FUNCTIONS, every_algorithm, module

from tinycnn import kernels
from tinycnn.kernels import ALGORITHMS, check_algorithm, find, select, use_algorithm

VARIABLE = "TINYCNN_ALGORITHM"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


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
    assert find("conv2d", "auto", w_shape, strides, dilation) is module(expected).conv2d


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
    ("places", "images", "expected"),
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
def test_auto_looks_at_the_outputs(places, images, expected):
    """Of a single image, which has a kernel of its own, but for the filter gradient, and of batches."""
    geometry = (3, 3, 64, 64), (1, 1), (1, 1), places, images
    assert [select(function, "auto", *geometry) for function in FUNCTIONS[:3]] == expected


def test_every_algorithm_offers_every_function():
    assert {"naive", "im2col", "direct"} <= set(ALGORITHMS)
    assert len(FUNCTIONS) == 7
    for algorithm in ALGORITHMS:
        assert all(callable(getattr(module(algorithm), function)) for function in FUNCTIONS)


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


@pytest.mark.parametrize("algorithm", every_algorithm())
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_request_is_obeyed_whichever_way_it_is_made(monkeypatch, function, algorithm):
    expected = getattr(module(algorithm), function)
    assert find(function, algorithm) is expected
    with use_algorithm(algorithm):
        assert find(function, "auto") is expected
    monkeypatch.setenv(VARIABLE, algorithm)
    assert find(function, "auto") is expected


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
    with pytest.raises(ValueError, match=r"^algorithm: expected one of .+, received 'cudnn'$"):
        find("conv2d", "auto")


def test_unknown_operations():
    with pytest.raises(ValueError, match=r"^operation: expected one of .*'conv2d'.*, received 'conv3d'$"):
        find("conv3d", "auto")


def test_known_names_are_returned():
    assert [check_algorithm(name) for name in ["auto", *ALGORITHMS]] == ["auto", *ALGORITHMS]


def test_the_examples_in_the_docstrings():
    results = doctest.testmod(kernels)
    assert results.attempted > 0
    assert results.failed == 0


def test_importing_the_package_does_not_import_numba():
    code = "import sys, tinycnn; print('numba' in sys.modules, 'llvmlite' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"
