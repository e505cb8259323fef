"""A mistake: its name, what to tell the student, and the functions that make it."""

from typing import Any, NamedTuple

from tinycnn.teach.exercises import Function


class Mistake(NamedTuple):
    """A typical mistake.

    Attributes
    ----------
    name : str
    hint : str
        What the student's results look like, and what to look for.
    functions : tuple of callable
        With the parameters of the exercise; more than one where the mistake has several forms.
    """

    name: str
    hint: str
    functions: tuple[Function, ...]


class Hint(NamedTuple):
    """A mistake that was recognised, and the results that it explains."""

    mistake: str
    text: str
    explains: tuple[str, ...]

    def __str__(self) -> str:
        return f"hint for {', '.join(self.explains)} ({self.mistake}): {self.text}"


def mistake(name: str, hint: str, *functions: Function) -> Mistake:
    """Return a mistake with one function or several."""
    return Mistake(name, hint, functions)


def replaced(reference: Function, number: int, make: Function) -> Function:
    """Return a function like `reference`, with one of its results made by another function."""

    def function(*arguments: Any) -> tuple[Any, ...]:
        results = list(reference(*arguments))
        results[number] = make(*arguments)
        return tuple(results)

    return function
