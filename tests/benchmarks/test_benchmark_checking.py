"""The check before the clock: planted mistakes are refused, and named."""

from collections import Counter

import numpy as np
import pytest
from cases import LAYERS, reference
from checking import LIMIT, check_everywhere, judge
from mine import load, report

from tinycnn.kernels.conv import im2col


def flipped(x, w, b=None, *how, **names):
    return im2col.conv2d(x, np.ascontiguousarray(w[::-1, ::-1]), b, *how, **names)


def without_padding(x, w, b=None, strides=(1, 1), padding=None, dilation=(1, 1)):
    return im2col.conv2d(x, w, b, strides, ((0, 0), (0, 0)), dilation)


def padding_at_the_wrong_end(x, w, b=None, strides=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1)):
    turned = tuple(tuple(reversed(pair)) for pair in padding)
    return im2col.conv2d(x, w, b, strides, turned, dilation)


def wrong_at_17_channels(x, w, b=None, *how, **names):
    y = im2col.conv2d(x, w, b, *how, **names)
    if x.shape[3] == 17:
        y[-1, -1, -1, -1] += 0.1
    return y


def with_a_nan(x, w, b=None, *how, **names):
    y = im2col.conv2d(x, w, b, *how, **names)
    y[0, 0, 0, 0] = np.nan
    return y


def in_float64(x, w, b=None, *how, **names):
    return im2col.conv2d(x, w, b, *how, **names).astype(np.float64)


def writing_to_x(x, w, b=None, *how, **names):
    y = im2col.conv2d(x, w, b, *how, **names)
    x[0, 0, 0, 0] += 1
    return y


def forgetting_the_bias(x, w, b=None, *how, **names):
    return im2col.conv2d(x, w, None, *how, **names)


def falling_over(x, w, b=None, *how, **names):
    raise IndexError("list index out of range\nwith more lines")


def returning_nothing(x, w, b=None, *how, **names):
    return None


def in_half_precision(x, w, b=None, *how, **names):
    return im2col.conv2d(x.astype(np.float16).astype(np.float32), w, b, *how, **names)


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [
        (flipped, "relative error"),
        (without_padding, "returns shape"),
        (padding_at_the_wrong_end, "relative error"),
        (wrong_at_17_channels, "relative error"),
        (with_a_nan, "values are NaN or infinite"),
        (in_float64, "returns float64 for float32"),
        (writing_to_x, "writes to its input x"),
        (forgetting_the_bias, "relative error"),
        (falling_over, "raises IndexError: list index out of range"),
        (returning_nothing, "returns NoneType, expected an ndarray"),
        (in_half_precision, "relative error"),
    ],
)
def test_a_planted_mistake_is_found(kernel, reason):
    """At one of the adversarial shapes at least, and with its reason in one line."""
    wrong = [verdict for _, verdict in check_everywhere(kernel, "conv2d") if verdict.kind == "wrong"]
    assert wrong
    assert all(reason in verdict.reason and "\n" not in verdict.reason for verdict in wrong)


def test_a_mistake_at_17_channels_is_found_there_only():
    """The shapes that are named are the ones to look at."""
    for shape, verdict in check_everywhere(wrong_at_17_channels, "conv2d"):
        assert (verdict.kind == "wrong") == ("x17 -> " in shape)


@pytest.mark.parametrize("function", ["conv2d", "conv2d_grad_input", "conv2d_grad_filter"])
def test_a_correct_kernel_passes_everywhere(function):
    """And with errors far below the limit."""
    verdicts = [verdict for _, verdict in check_everywhere(getattr(im2col, function), function)]
    assert {verdict.kind for verdict in verdicts} == {"right"}
    assert max(verdict.error for verdict in verdicts) < LIMIT / 10


def test_a_kernel_may_refuse():
    """ValueError and NotImplementedError are answers."""

    def picky(x, w, b=None, strides=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1)):
        if strides != (1, 1):
            raise NotImplementedError("strides of 1 only")
        if dilation != (1, 1):
            raise ValueError("dilation of 1 only")
        return im2col.conv2d(x, w, b, strides, padding, dilation)

    kinds = Counter(verdict.kind for _, verdict in check_everywhere(picky, "conv2d"))
    assert kinds["wrong"] == 0
    assert kinds["refused"] > 0
    assert kinds["right"] > kinds["refused"]


def test_inputs_that_were_written_to_are_put_right_again():
    """The next one in the table computes on the same arrays."""
    conv = LAYERS["conv1"]
    arrays = conv.arrays(2)
    before = arrays["x"].copy()
    verdict = judge(writing_to_x, conv.arguments("conv2d", arrays), reference(conv, "conv2d", arrays))
    assert verdict.kind == "wrong"
    np.testing.assert_array_equal(arrays["x"], before)


def test_the_report_says_where_and_by_how_much(tmp_path, capsys):
    """A file with a right function and a wrong one."""
    path = tmp_path / "kernel.py"
    path.write_text(
        "from tinycnn.kernels.conv.im2col import conv2d_grad_input\n"
        "from tinycnn.kernels.conv import im2col\n"
        "def conv2d(x, w, b=None, *how, **names):\n"
        "    y = im2col.conv2d(x, w, b, *how, **names)\n"
        "    return y + (x.shape[3] == 33)\n"
    )
    found = report(path, load(path))
    printed = capsys.readouterr().out
    assert [(entry["function"], entry["wrong"] > 0) for entry in found] == [
        ("conv2d", True),
        ("conv2d_grad_input", False),
    ]
    assert "conv2d_grad_filter: not defined" in printed
    assert "WRONG at batch" in printed
    assert "instead of" in printed
    assert all("x33 -> " in shape for shape in found[0]["wrong at"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected a Python file"),
        ("x = 1\n", "to define one of conv2d, conv2d_grad_input, conv2d_grad_filter, received none"),
        ("def conv2d(:\n", "raises SyntaxError"),
        ("import nowhere_to_be_found\n", "raises ModuleNotFoundError"),
    ],
)
def test_a_file_that_is_no_kernel_is_refused_in_a_line(tmp_path, content, message):
    """Missing, without a function, or broken."""
    path = tmp_path / "kernel.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)
