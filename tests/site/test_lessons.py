"""The time of the lessons in the build."""

from types import SimpleNamespace

import lessons
import pytest

pytestmark = pytest.mark.smoke


def test_fast_lessons_pass():
    """Up to the limits, and without any lesson."""
    assert lessons.faults({}) == []
    assert lessons.faults({f"lessons/{i}": 120.0 for i in range(4)}) == []


def test_slow_lessons_are_named():
    """One that is too slow; all together; one that was not run."""
    (line,) = lessons.faults({"lessons/1": 120.1, "lessons/2": 3.0})
    assert line.startswith("lessons/1: expected at most 120 s, received 120.1 s")
    (line,) = lessons.faults({f"lessons/{i}": 97.0 for i in range(5)})
    assert line == "all lessons together: expected at most 480 s, received 485.0 s"
    (line,) = lessons.faults({"lessons/1": None})
    assert line.startswith("lessons/1: expected a lesson that is run")


def test_times_are_those_of_myst_nb():
    """Of the pages below lessons/, except those that are left out."""
    env = SimpleNamespace(
        found_docs={"index", "lessons/index", "lessons/1_a", "lessons/2_b"},
        nb_metadata={
            "lessons/1_a": {"exec_data": {"runtime": 2.5}},
            "index": {"exec_data": {"runtime": 9.0}},
        },
    )
    assert lessons.measured(env, {"lessons/index"}) == {"lessons/1_a": 2.5, "lessons/2_b": None}
