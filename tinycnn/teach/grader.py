"""Grading: a function of a notebook in this process, or a file in a process of its own.

::

    grade(conv2d_forward) -> call, compare, hints -> Report
    grade_file("solution.py") -> child process -> Received of each exercise -> compare, hints -> Report
"""

from collections.abc import Sequence
from os import PathLike
from typing import Any

from tinycnn.support import checks
from tinycnn.teach import child, hints
from tinycnn.teach.calling import Received, call_all
from tinycnn.teach.comparing import difference
from tinycnn.teach.exercises import EXERCISES, Exercise
from tinycnn.teach.report import RIGHT, UNWRITTEN, WRONG, Check, Report, Result

SECONDS = 10.0


def grade(function: Any, exercise: str | None = None) -> Report:
    """Grade one function, in this process.

    A loop that does not end has to be interrupted; `grade_file` has a time limit.

    Parameters
    ----------
    function : callable
    exercise : str, optional
        The name of the exercise; by default that of the function.

    Returns
    -------
    report : Report
        It prints the first difference and a hint. `passed` and `score` are for tests.

    Raises
    ------
    ValueError
        When there is no exercise of this name.

    Examples
    --------
    >>> import numpy as np
    >>> from tinycnn.teach import grade
    >>> def softmax_cross_entropy(logits, labels):
    ...     rows, p = np.arange(len(labels)), np.exp(logits)
    ...     p /= p.sum(axis=1, keepdims=True)
    ...     loss = -np.log(p[rows, labels]).mean()
    ...     p[rows, labels] -= 1
    ...     return loss, p / len(labels)
    >>> report = grade(softmax_cross_entropy)
    >>> report.passed, report.hints
    (False, ['overflow of the exponential'])
    """
    name = exercise if exercise is not None else getattr(function, "__name__", "")
    found = EXERCISES[checks.choice("exercise", name, EXERCISES)]
    return Report([judge(found, call_all(function, found))])


def grade_file(
    path: str | PathLike[str], exercises: Sequence[str] | None = None, seconds: float = SECONDS
) -> Report:
    """Grade the functions of a Python file, in a process of its own.

    Parameters
    ----------
    path : path
    exercises : sequence of str, optional
        Names; by default all.
    seconds : float
        Most time for each exercise, and for loading the file.

    Returns
    -------
    report : Report

    Raises
    ------
    OSError
        When the file cannot be read.
    ValueError
        When there is no exercise of a name, or the time limit is not positive.
    """
    limit = checks.real("seconds", seconds, 0.001)
    names = list(dict.fromkeys(checks.choice("exercise", name, EXERCISES) for name in exercises or EXERCISES))
    received, problem = child.run(path, names, limit)
    if problem:
        return Report(
            [Result(name, WRONG, EXERCISES[name].points, problem=problem) for name in names], problem
        )
    return Report([_result(EXERCISES[name], received[name]) for name in names])


def _result(exercise: Exercise, received: list[Received] | str | None) -> Result:
    """Return the result of what the child process sent: calls, a problem in words, or no function."""
    if received is None:
        return Result(exercise.name, UNWRITTEN, exercise.points)
    if isinstance(received, str):
        return Result(exercise.name, WRONG, exercise.points, problem=received)
    return judge(exercise, received)


def judge(exercise: Exercise, received: list[Received]) -> Result:
    """Compare the results of all cases with what is expected, and look for a hint."""
    if all(r.unwritten for r in received):
        return Result(exercise.name, UNWRITTEN, exercise.points)
    differences = [difference(exercise, number, r) for number, r in enumerate(received)]
    found = [Check(case.label, d) for case, d in zip(exercise.cases, differences, strict=True)]
    if all(check.passed for check in found):
        return Result(exercise.name, RIGHT, exercise.points, found)
    return Result(exercise.name, WRONG, exercise.points, found, hints.find(exercise, received))
