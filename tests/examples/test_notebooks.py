"""Each lesson has the form of the others, and runs with its solutions."""

import copy

import pytest

from tests.examples import lessons

each_lesson = pytest.mark.parametrize("path", lessons.LESSONS, ids=lambda path: path.stem)
quiet = pytest.mark.filterwarnings(r"ignore:::(jupyter_client|jupyter_core|nbclient|nbformat|tornado|zmq)\b")


@pytest.mark.smoke
def test_there_are_lessons():
    """And no two have one number."""
    numbers = [path.stem.split("_")[0] for path in lessons.LESSONS]
    assert numbers
    assert len(set(numbers)) == len(numbers)


@pytest.mark.smoke
@each_lesson
def test_form(path):
    notebook = lessons.read(path)
    assert lessons.form_faults(notebook, path.stem.split("_")[0], path == lessons.LESSONS[-1]) == []


@pytest.mark.smoke
@each_lesson
def test_how_it_is_stored(path):
    """As `json.dumps` writes it, so that a change of one line is a change of one line in the file."""
    notebook = lessons.read(path)
    assert path.read_text(encoding="utf-8") == lessons.text(notebook)
    for cell in notebook["cells"]:
        assert cell["source"] == lessons.source(cell).splitlines(keepends=True), cell["id"]


@quiet
@pytest.mark.slow
@each_lesson
def test_it_runs_with_its_solutions(path, tmp_path, monkeypatch):
    """Without an error, a warning or a file that stays behind. The build of the site runs it as it is."""
    notebook = lessons.solved(lessons.read(path))
    assert lessons.run(notebook, tmp_path, monkeypatch, 2 * lessons.SECONDS) == []


def markdown(name, *lines):
    """Return a cell of text."""
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": list(lines)}


def code(name, *lines):
    """Return a cell of code."""
    return {"cell_type": "code", "id": name, "metadata": {}, "source": list(lines)} | {
        "outputs": [],
        "execution_count": None,
    }


def lesson(*cells):
    """Return a lesson of the right form, with these cells in the middle."""
    return {
        "cells": [
            markdown("start", "# 3. Title\n", "You will see."),
            *cells,
            markdown("end", "## What you have seen\n", "## Next\n"),
        ],
        "metadata": copy.deepcopy(lessons.METADATA),
        "nbformat": 4,
        "nbformat_minor": 5,
    }


SOLUTION = "<details><summary>Solution</summary>\n\n```python\n{}\n```\n\n</details>"


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        (code("ok", "import tinycnn\n", "from tinycnn.layers import Conv2D"), None),
        (markdown("ok", SOLUTION.format("x = 1")), None),
        (code("3f2a9c1e", "x = 1"), "cell 3f2a9c1e: expected an id of words"),
        (code("Two Words", "x = 1"), "cell Two Words: expected an id of words"),
        (code("start", "x = 1"), "two cells have one id"),
        (code("run", "x") | {"execution_count": 1}, "cell run: expected no outputs and no execution count"),
        (code("run", "x") | {"outputs": [1]}, "cell run: expected no outputs and no execution count"),
        (code("long", *["x = 1\n"] * 26), "cell long: expected at most 25 lines, received 26"),
        (code("bad", "x = "), "cell bad: syntax: invalid syntax, line 1"),
        (
            code("private", "from tinycnn.layers.conv import _check_padding"),
            "cell private: imports tinycnn.layers.conv._check_padding, a private name",
        ),
        (code("private", "import tinycnn._x as x"), "cell private: imports tinycnn._x, a private name"),
        (
            markdown("s", "**Exercise.** " + SOLUTION.format("x = 1")),
            "cell s: expected a solution in a cell of its own",
        ),
        (markdown("s", SOLUTION.format("x = ")), "cell s: syntax: invalid syntax, line 1"),
        (
            markdown("s", SOLUTION.format("x = 1").replace("```python", "```")),
            "cell s: expected code between ```python and ```",
        ),
    ],
)
def test_faults_of_a_cell_are_found(cell, fault):
    assert lessons.form_faults(lesson(cell), "3", False) == ([] if fault is None else [fault])


@pytest.mark.smoke
def test_missing_parts_are_found():
    notebook = lesson(code("a", "x = 1"))
    assert lessons.form_faults(notebook, "4", False) == ["expected a first cell that begins with '# 4. '"]
    notebook["cells"][0]["source"] = ["# 3. Title\n"]
    notebook["cells"][-1]["source"] = ["This is the last lesson."]
    missing = ["expected 'You will' in the first cell", "expected 'What you have seen'"]
    assert lessons.form_faults(notebook, "3", True) == missing
    assert lessons.form_faults(notebook, "3", False) == [*missing, "expected 'Next' at the end"]
    notebook["metadata"]["language_info"]["version"] = "3.11"
    assert lessons.form_faults(notebook, "3", True)[0].startswith("expected format 4.5")


@quiet
@pytest.mark.slow
@pytest.mark.parametrize(
    ("lines", "faults"),
    [
        (("import tinycnn\n", "print(tinycnn.__version__)"), []),
        (("1 / 0",), ["cell middle: ZeroDivisionError: division by zero"]),
        (
            ("import sys\n", "print('tinycnn: compiling kernels ...', file=sys.stderr)\n", "print('no')"),
            [],
        ),
        (
            ("import sys\n", "print('look out', file=sys.stderr)"),
            ["cell middle, stderr: look out"],
        ),
        (("open('a.txt', 'w').close()",), ["left behind: a.txt"]),
    ],
)
def test_faults_of_a_run_are_found(lines, faults, tmp_path, monkeypatch):
    assert lessons.run(lesson(code("middle", *lines)), tmp_path, monkeypatch) == faults


@quiet
@pytest.mark.slow
def test_a_lesson_that_takes_too_long_is_stopped(tmp_path, monkeypatch):
    notebook = lesson(code("middle", "import time\n", "time.sleep(600)"))
    expected = ["cell middle: the lesson takes more than 1 s"]
    assert lessons.run(notebook, tmp_path, monkeypatch, seconds=1) == expected


@pytest.mark.smoke
def test_solutions_are_run_where_they_stand():
    notebook = lessons.solved(lesson(markdown("s", SOLUTION.format("x = 1")), code("after", "x = 2")))
    assert [cell["id"] for cell in notebook["cells"]] == ["start", "s", "s-0", "after", "end"]
    assert lessons.source(notebook["cells"][2]) == "x = 1\n"
