"""The homework notebook: cells as nbgrader wants them, the texts of the exercises, right solutions."""

import re

import pytest

from tests.teach.solutions import NOTEBOOK, cells, source
from tinycnn.teach import EXERCISES

pytestmark = pytest.mark.smoke

KEYS = {"grade", "grade_id", "locked", "schema_version", "solution", "task"}
BEGIN, END = "    ### BEGIN SOLUTION\n", "    ### END SOLUTION"


def of_kind(**wanted):
    """Return the nbgrader metadata and the cells where the metadata has these values."""
    pairs = [(cell["metadata"]["nbgrader"], cell) for cell in cells()]
    return [pair for pair in pairs if all(pair[0][key] == value for key, value in wanted.items())]


def test_each_cell_is_one_of_nbgraders_kinds():
    """Version 3 of its schema: tests are locked and have points, solutions are neither locked nor graded."""
    ids = [meta["grade_id"] for meta, _ in of_kind()]
    assert len(set(ids)) == len(ids) == len(cells())
    for meta, cell in of_kind():
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", meta["grade_id"])
        assert meta["schema_version"] == 3
        assert meta["task"] is False
        assert set(meta) == KEYS | ({"points"} if meta["grade"] else set())
        assert meta["locked"] is not meta["solution"]
        if cell["cell_type"] == "markdown":
            assert not meta["grade"]
    assert [meta["points"] for meta, _ in of_kind(grade=True)] == [10] * len(EXERCISES)


def test_the_cells_are_those_of_a_notebook():
    """Format 4.5: ids, sources as lines, no output."""
    ids = [cell["id"] for cell in cells()]
    assert len(set(ids)) == len(ids)
    for cell in cells():
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"])
        assert all(line.endswith("\n") for line in cell["source"][:-1])
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert text.endswith('"nbformat": 4,\n "nbformat_minor": 5\n}\n')


def test_a_solution_is_its_exercise_and_a_marked_region():
    """What is left when nbgrader takes the region out is the template."""
    for (_, cell), exercise in zip(of_kind(solution=True), EXERCISES.values(), strict=True):
        text = source(cell)
        head, rest = text.split(BEGIN)
        assert rest.count(END) == 1
        assert rest.endswith(END)
        assert head + "    raise NotImplementedError\n" == exercise.template


def run(change=lambda text: text):
    """Run the code cells in order, each by itself; return the ids of those that fail."""
    failed, namespace = [], {}
    for meta, cell in of_kind():
        if cell["cell_type"] == "code":
            try:
                exec(change(source(cell)), namespace)
            except AssertionError:
                failed.append(meta["grade_id"])
    return failed


def test_the_instructors_notebook_passes(capsys):
    assert run() == []
    assert capsys.readouterr().out.count(": right, ") == 7


def test_the_students_notebook_fails_in_each_test(capsys):
    """With the code that nbgrader puts in the place of a solution."""
    region = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    stub = "    # YOUR CODE HERE\n    raise NotImplementedError()"
    assert run(lambda text: region.sub(stub, text)) == [f"test_{name}" for name in EXERCISES]
    assert capsys.readouterr().out.count("not written yet") == 7


def test_no_exercise_needs_another():
    """Each passes alone."""
    imports = source(cells()[1])
    for (_, solution), (_, test) in zip(of_kind(solution=True), of_kind(grade=True), strict=True):
        exec("\n\n".join([imports, source(solution), source(test)]), {})
