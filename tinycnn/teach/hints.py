"""Hints: the typical mistake whose results are the student's, in every case.

::

    results of the student, results of each mistake -> the mistakes that explain what is wrong

A mistake changes some of the results: dw, say, or the caller's arguments. It is named if the student's
results are equal to it in all that it changes, over all cases, within the tolerance. So a mistake in dw and
another in db are both named, and one that is not in the catalogue is not taken for one that is.
"""

from collections.abc import Sequence
from functools import cache

from tinycnn.teach.calling import Received, call_all
from tinycnn.teach.comparing import close
from tinycnn.teach.exercises import EXERCISES, SCALARS, Exercise
from tinycnn.teach.mistakes import MISTAKES, Hint, Mistake

ARGUMENTS = "arguments"  # in the place of a result: which arguments were changed


def find(exercise: Exercise, received: Sequence[Received]) -> list[Hint]:
    """Return the mistakes that a student's results show; none if a call failed."""
    if any(r.error for r in received):
        return []
    matching = [
        (changes, mistake)
        for mistake, results, changes in _catalogue(exercise.name)
        if changes and all(_equal(exercise, name, received, results) for name in changes)
    ]
    named: list[Hint] = []
    explained: set[str] = set()
    for changes, mistake in sorted(matching, key=lambda pair: -len(pair[0])):
        if not set(changes) <= explained:
            explained.update(changes)
            named.append(Hint(mistake.name, mistake.hint, changes))
    return named


@cache
def _catalogue(name: str) -> list[tuple[Mistake, list[Received], tuple[str, ...]]]:
    """Return each form of each mistake: its results, and the names of those that are wrong."""
    exercise = EXERCISES[name]
    right = call_all(exercise.reference, exercise)
    found = []
    for mistake in MISTAKES[name]:
        for function in mistake.functions:
            results = call_all(function, exercise)
            names = (*exercise.outputs, ARGUMENTS)
            changes = tuple(name for name in names if not _equal(exercise, name, results, right))
            found.append((mistake, results, changes))
    return found


def _equal(exercise: Exercise, name: str, a: Sequence[Received], b: Sequence[Received]) -> bool:
    """Return whether a result, or what became of the arguments, is the same in all cases."""
    if name == ARGUMENTS:
        return all(x.changed == y.changed for x, y in zip(a, b, strict=True))
    return all(_equal_in_case(exercise, number, name, a[number], b[number]) for number in range(len(a)))


def _equal_in_case(exercise: Exercise, number: int, name: str, a: Received, b: Received) -> bool:
    """Return whether a result is the same in shape, dtype and values."""
    if a.error or b.error:
        return False
    output = exercise.outputs.index(name)
    x, y = a.outputs[output], b.outputs[output]
    if x.shape != y.shape or (x.dtype != y.dtype and name not in SCALARS):
        return False
    return bool(close(exercise, number, x, y, exercise.expected[number][output]).all())
