"""Calls of a student's function: whatever it does becomes a value.

::

    function, exercise -> one Received for each case: arrays, or what went wrong in words

What it prints goes nowhere, and its warnings are silent.
"""

import inspect
import os
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinycnn.teach.cases import Arguments, Case
from tinycnn.teach.exercises import SCALARS, Arrays, Exercise, Function, fresh

LARGEST = 10**6  # values of a result; the right ones have hundreds


@dataclass(frozen=True)
class Received:
    """What a call made.

    Attributes
    ----------
    outputs : tuple of ndarray
        Empty if there is an error.
    error : str
        What went wrong, in words.
    changed : tuple of str
        Names of the arguments that were changed in place.
    unwritten : bool
        Whether the function raised NotImplementedError.
    """

    outputs: Arrays = ()
    error: str = ""
    changed: tuple[str, ...] = ()
    unwritten: bool = False


def call_all(function: Any, exercise: Exercise) -> list[Received]:
    """Call a function with the arguments of each case."""
    error = wrong_signature(function, exercise)
    if error:
        return [Received(error=error) for _ in exercise.cases]
    return [call(function, exercise, case) for case in exercise.cases]


def wrong_signature(function: Any, exercise: Exercise) -> str:
    """Return what is wrong with the parameters of a function; an empty string if nothing is."""
    if not callable(function):
        return f"expected a function {exercise.signature}, received {_type_name(function)}"
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):  # of a function that is not written in Python
        return ""
    complaint = f"expected the signature {exercise.signature}, received {exercise.name}{signature}"
    names = list(signature.parameters)
    if names != list(exercise.parameters) and sorted(names) == sorted(exercise.parameters):
        return f"{complaint}: the parameters are in another order"
    try:
        signature.bind(*exercise.parameters)
    except TypeError:
        return complaint
    return ""


def call(function: Function, exercise: Exercise, case: Case) -> Received:
    """Call a function with copies of the arguments of a case."""
    arguments = fresh(case)
    try:
        with _silence():
            returned = function(*arguments)
    except NotImplementedError as error:
        return Received(error=_sentence(error, function), unwritten=True)
    except (Exception, SystemExit) as error:
        return Received(error=_sentence(error, function))
    changed = _changed(arguments, case, exercise.parameters)
    try:
        return Received(_outputs(returned, exercise.outputs), changed=changed)
    except ValueError as error:
        return Received(error=str(error), changed=changed)


@contextmanager
def _silence() -> Iterator[None]:
    """Send what is printed nowhere, inside a with-block; a loop that prints fills no memory."""
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
        warnings.catch_warnings(),
        np.errstate(all="ignore"),
    ):
        warnings.simplefilter("ignore")
        yield


def _outputs(returned: Any, names: Sequence[str]) -> Arrays:
    """Return the results as arrays of their own; raise ValueError if there are other than `names`."""
    if len(names) == 1:
        return (_array(names[0], returned),)
    expected = f"a tuple of {len(names)}, ({', '.join(names)})"
    if not isinstance(returned, tuple | list):
        raise ValueError(f"expected {expected}, received {_type_name(returned)}{_advice(returned)}")
    if len(returned) != len(names):
        raise ValueError(f"expected {expected}, received a {type(returned).__name__} of {len(returned)}")
    return tuple(map(_array, names, returned))


def _array(name: str, value: Any) -> np.ndarray:
    """Return a copy of a result; numbers may be Python's where one number is expected."""
    number = isinstance(value, float | int) and not isinstance(value, bool)
    if not isinstance(value, np.ndarray | np.generic) and not (name in SCALARS and number):
        kind = "a number" if name in SCALARS else "a NumPy array"
        raise ValueError(f"{name}: expected {kind}, received {_type_name(value)}{_advice(value)}")
    if isinstance(value, np.ma.MaskedArray):  # whose mask would be lost
        raise ValueError(f"{name}: expected a NumPy array, received a masked array: return its data")
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise ValueError(f"{name}: expected an array of floats, received dtype {array.dtype}")
    if array.size > LARGEST:  # before it is copied: a view of one number may have any shape
        raise ValueError(f"{name}: expected a small array, received shape {array.shape}")
    return np.array(array)


def _type_name(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _advice(value: Any) -> str:
    return ": is `return` missing?" if value is None else ""


def _changed(arguments: Arguments, case: Case, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the arrays that are no longer what they were."""
    triples = zip(names, arguments, case.arguments, strict=True)
    return tuple(
        name
        for name, after, before in triples
        if isinstance(before, np.ndarray)
        and not (after.shape == before.shape and np.array_equal(after, before, equal_nan=True))
    )


def _sentence(error: BaseException, function: Function) -> str:
    """Return an exception with the line of the student's code where it arose."""
    said = f"raised {type(error).__name__}: {_text(error)}".rstrip(": ")
    own = inspect.unwrap(function).__code__.co_filename if hasattr(function, "__code__") else ""
    lines = [line for line in traceback.extract_tb(error.__traceback__) if line.filename == own]
    return printable(f"{said} (line {lines[-1].lineno}: {lines[-1].line})" if lines else said)


def printable(text: str) -> str:
    """Return text with control characters as escapes: a terminal would obey them."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _text(error: BaseException) -> str:
    try:
        return " ".join(str(error).split())
    except Exception:  # its own __str__ may fail
        return "(no text)"
