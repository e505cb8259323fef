"""Right solutions get all points; each form of each mistake in the catalogue is named, and no other."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.teach.solutions import solutions
from tinycnn.teach import EXERCISES, grade
from tinycnn.teach.mistakes import MISTAKES

pytestmark = pytest.mark.smoke

FORMS = [
    pytest.param(name, mistake, function, id=f"{name}: {mistake.name} {i}")
    for name, mistakes in MISTAKES.items()
    for mistake in mistakes
    for i, function in enumerate(mistake.functions)
]


@pytest.mark.parametrize("name", EXERCISES)
def test_a_right_solution_gets_all_points(name):
    for function in (solutions()[name], EXERCISES[name].reference):
        report = grade(function)
        assert report.passed, report
        assert (report.score, report.max_score, report.hints) == (10, 10, [])
        assert str(report).endswith("10 of 10 points")


@pytest.mark.parametrize(("name", "mistake", "function"), FORMS)
def test_each_mistake_is_named(name, mistake, function):
    report = grade(function, name)
    assert not report.passed
    assert report.score < report.max_score
    assert report.hints == [mistake.name]
    assert mistake.hint.split()[-1] in str(report)


def test_the_catalogue_has_all_exercises():
    """With five mistakes or more for each, whose names differ."""
    assert list(MISTAKES) == list(EXERCISES)
    for mistakes in MISTAKES.values():
        names = [mistake.name for mistake in mistakes]
        assert len(names) >= 5
        assert len(set(names)) == len(names)


def test_two_mistakes_are_both_named():
    """One in dw, one in db; dx is right."""

    def conv2d_backward(dy, x, w, strides, padding):
        dx, dw, db = EXERCISES["conv2d_backward"].reference(dy, x, w, strides, padding)
        return dx, dw / len(x), db / len(x)

    report = grade(conv2d_backward)
    assert report.hints == ["mean against sum in dw", "mean against sum in db"]
    assert "hint for dw (mean against sum in dw)" in str(report)


def test_a_mistake_in_all_but_one_case_is_not_named():
    """Flipped where filters have several channels."""

    def conv2d_forward(x, w, b, strides, padding):
        used = w if x.shape[3] == 1 else w[::-1, ::-1]
        return EXERCISES["conv2d_forward"].reference(x, used, b, strides, padding)

    report = grade(conv2d_forward)
    assert not report.passed
    assert report.hints == []


def test_a_mistake_in_float64_only_is_not_named():
    def conv2d_forward(x, w, b, strides, padding):
        used = w if x.dtype == np.float32 else w[::-1, ::-1]
        return EXERCISES["conv2d_forward"].reference(x, used, b, strides, padding)

    assert grade(conv2d_forward).hints == []


def test_the_catalogue_stays_away_when_a_call_fails():
    def conv2d_forward(x, w, b, strides, padding):
        if strides != (1, 1):
            raise RuntimeError("strides")
        return EXERCISES["conv2d_forward"].reference(x, w[::-1, ::-1], b, strides, padding)

    report = grade(conv2d_forward)
    assert report.hints == []
    assert report.results[0].checks[2].difference.message.startswith("raised RuntimeError: strides (line ")


def test_the_report_in_the_guide():
    """Is the one that its code makes."""
    guide = (Path(__file__).parents[2] / "docs" / "teach.md").read_text(encoding="utf-8")
    namespace = {}
    exec(re.search(r"^```python\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)[1], namespace)
    assert f"```text\n{namespace['report']}\n```" in guide
