"""Comparison of what was received with what was expected: the first difference, in words and figures.

::

    Received, expected arrays, case -> Difference or None

In this order: an error, a shape, a dtype, a value, an argument that was changed.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from tinycnn.teach.calling import Received
from tinycnn.teach.cases import Shape
from tinycnn.teach.exercises import SCALARS, Arrays, Exercise

#: Of the largest expected value. Rounding in the order of the sums is far below it; a mistake is far above.
TOLERANCES = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 3e-5}
#: Float64 results may be computed in float32. For hints `TOLERANCES` hold: mistakes may differ by 1e-7.
COMPUTED_IN_FLOAT32 = 1e-6


@dataclass(frozen=True)
class Difference:
    """The first difference in a case.

    Attributes
    ----------
    kind : str
        "error", "shape", "dtype", "value" or "argument".
    message : str
        Expected and received.
    output : str
        The name of the result, or of the argument that was changed.
    index : tuple of int
        Of the first wrong value, in row-major order.
    expected, received : str
    input : str
        What the wrong value depends on, as far as it can be named.
    note : str
        What is true of all values of this result in this case.
    also : tuple of str
        The other results that are wrong in this case.
    """

    kind: str
    message: str
    output: str = ""
    index: tuple[int, ...] = ()
    expected: str = ""
    received: str = ""
    input: str = ""
    note: str = ""
    also: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {**asdict(self), "index": list(self.index), "also": list(self.also)}


def difference(exercise: Exercise, number: int, received: Received) -> Difference | None:
    """Return the first difference between a case's expected and received results; None if there is none."""
    if received.error:
        return Difference("error", received.error)
    expected = exercise.expected[number]
    for find in (_shape, _dtype, _value):
        found = find(exercise, number, received.outputs, expected)
        if found:
            return replace(found, also=_others(exercise, number, received.outputs, found.output))
    if received.changed:
        name = received.changed[0]
        text = f"{name}: expected the argument as it was, received it changed in place: work on a copy"
        return Difference("argument", text, name)
    return None


def _others(exercise: Exercise, number: int, received: Arrays, output: str) -> tuple[str, ...]:
    """Return the names of the other results that are wrong."""
    triples = zip(exercise.outputs, received, exercise.expected[number], strict=True)
    wrong = (
        name
        for name, r, e in triples
        if name != output and (r.shape != e.shape or not right(exercise, number, r, e).all())
    )
    return tuple(wrong)


def right(exercise: Exercise, number: int, received: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return where a result is what is expected, even if it was computed in float32."""
    return close(exercise, number, received, expected, expected, COMPUTED_IN_FLOAT32)


def close(
    exercise: Exercise,
    number: int,
    a: np.ndarray,
    b: np.ndarray,
    expected: np.ndarray,
    least: float = 0.0,
) -> np.ndarray:
    """Return where arrays of the shape of `expected` are equal, within the tolerance of a case or `least`."""
    tolerance = max(TOLERANCES[exercise.dtype(number)], least)
    scale = float(np.abs(expected).max(initial=0.0))
    a, b = (z.astype(np.complex128 if z.dtype.kind == "c" else np.float64) for z in (a, b))
    with np.errstate(all="ignore"):
        near = np.abs(a - b) <= tolerance * (scale + np.minimum(np.abs(b), np.finfo(np.float64).max))
    return near | (a == b) | (np.isnan(a) & np.isnan(b))


def _shape(exercise: Exercise, number: int, received: Arrays, expected: Arrays) -> Difference | None:
    shapes = {name: e.shape for name, e in zip(exercise.outputs, expected, strict=True)}
    for name, r in zip(exercise.outputs, received, strict=True):
        if r.shape != shapes[name]:
            text = f"{name}: expected shape {shapes[name]}, received {r.shape}"
            note = _note_of_shape(name, r.shape, shapes, exercise.outputs)
            return Difference("shape", text, name, (), str(shapes[name]), str(r.shape), note=note)
    return None


def _note_of_shape(name: str, shape: Shape, shapes: dict[str, Shape], names: tuple[str, ...]) -> str:
    others = [other for other in names if other != name and shapes[other] == shape]
    if others:
        return f"this is the shape of {others[0]}; the order is {', '.join(names)}"
    if sorted(shape) == sorted(shapes[name]):
        return "these are the right sizes, on other axes"
    if len(shape) != len(shapes[name]):
        return f"expected {len(shapes[name])} axes, received {len(shape)}"
    return ""


def _dtype(exercise: Exercise, number: int, received: Arrays, expected: Arrays) -> Difference | None:
    wanted = exercise.dtype(number)
    for name, r in zip(exercise.outputs, received, strict=True):
        if r.dtype != wanted and not (name in SCALARS and r.dtype.kind == "f"):
            text = f"{name}: expected dtype {wanted}, received {r.dtype}"
            return Difference("dtype", text, name, (), str(wanted), str(r.dtype), note=_note_of_dtype(r))
    return None


def _note_of_dtype(received: np.ndarray) -> str:
    if received.dtype.kind in "biu":
        return "an array of integers cuts off fractions"
    return "np.zeros(shape) is float64 unless it is given a dtype" if received.dtype == np.float64 else ""


def _value(exercise: Exercise, number: int, received: Arrays, expected: Arrays) -> Difference | None:
    for name, r, e in zip(exercise.outputs, received, expected, strict=True):
        wrong = ~right(exercise, number, r, e)
        if wrong.any():
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            at = f"{name}[{', '.join(map(str, index))}]" if index else name
            texts = f"{e[index]:.10g}", f"{r[index]:.10g}"
            count = f" ({wrong.sum()} of {wrong.size} values differ)" if index else ""
            return Difference(
                "value",
                f"{at}: expected {texts[0]}, received {texts[1]}{count}",
                name,
                index,
                *texts,
                _input(exercise, number, e.shape, index),
                _note_of_values(exercise, number, r, e),
            )
    return None


def _note_of_values(exercise: Exercise, number: int, received: np.ndarray, expected: np.ndarray) -> str:
    """Return what holds at every index, such as a common factor; an empty string if nothing is found."""
    finite = np.isfinite(received)
    if not finite.all():
        return f"{(~finite).sum()} of {finite.size} received values are NaN or infinite"
    if not received.any():
        return "all received values are 0"
    if expected.size < 3:
        return ""
    at = np.unravel_index(np.abs(expected).argmax(), expected.shape)
    ratio, offset = float(received[at] / expected[at]), float(received[at] - expected[at])
    if close(exercise, number, received, expected * ratio, expected * ratio).all():
        return f"received = {ratio:.6g} * expected, at every index"
    if close(exercise, number, received, expected + offset, expected).all():
        return f"received = expected + {offset:.6g}, at every index"
    return ""


def _input(exercise: Exercise, number: int, shape: Shape, index: Shape) -> str:
    """Return the arguments of a case: shapes and settings, and the values that belong to an index."""
    parts = []
    for parameter, value in exercise.arguments(number).items():
        if not isinstance(value, np.ndarray):
            parts.append(f"{parameter} = {value if not isinstance(value, np.random.Generator) else 'seeded'}")
            continue
        at = _belongs(value.shape, shape, index)
        if at is not None:
            parts.append(f"{parameter}[{', '.join(map(str, at))}] = {value[at]:.10g}")
        else:
            parts.append(f"{parameter} of shape {value.shape}")
    window = exercise.window(exercise.arguments(number), index) if exercise.window and index else ""
    return ", ".join(parts) + (f"; it reads {window}" if window else "")


def _belongs(shape: Shape, whole: Shape, index: Shape) -> Shape | None:
    """Return where an argument is read for an index of a result: at it, or along its last or first axis."""
    if not index or shape == whole:
        return index or None
    if shape == whole[-1:]:
        return index[-1:]
    return index[:1] if shape == whole[:1] else None
