"""The seven exercises: what the student reads, what is tried, and what is expected.

::

    references.conv2d_forward, cases.conv2d_forward -> EXERCISES["conv2d_forward"]

No exercise needs another: each is handed all that it works on.
"""

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from tinycnn.teach import cases, references
from tinycnn.teach.cases import Arguments, Case

Function = Callable[..., Any]
Arrays = tuple[np.ndarray, ...]

#: Results that are one number; all others are arrays.
SCALARS = ("loss",)


@dataclass(frozen=True)
class Exercise:
    """A function to write.

    Attributes
    ----------
    reference : callable
        The function, written: its name, parameters and docstring are the text of the exercise.
    outputs : tuple of str
        Names of what it returns.
    make_cases : callable
    points : float
        What the exercise counts.
    window : callable, optional
        From the arguments by name and the index of a result to the pixels that it reads, in words.
    """

    reference: Function
    outputs: tuple[str, ...]
    make_cases: Callable[[], list[Case]]
    points: float = 10.0
    window: Callable[[dict[str, Any], tuple[int, ...]], str] | None = None

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.reference.__name__

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of its parameters."""
        return tuple(inspect.signature(self.reference).parameters)

    @property
    def signature(self) -> str:
        """The function as it is called, such as "adam_step(p, g, ...)"."""
        return f"{self.name}({', '.join(self.parameters)})"

    @property
    def template(self) -> str:
        """The function as the student finds it: signature, docstring, NotImplementedError."""
        lines = inspect.getdoc(self.reference).splitlines()  # type: ignore[union-attr]  # each has one
        body = "\n".join(f"    {line}".rstrip() for line in ['"""' + lines[0], *lines[1:], '"""'])
        return f"def {self.signature}:\n{body}\n    raise NotImplementedError\n"

    @cached_property
    def cases(self) -> list[Case]:
        """The conditions, with their arguments; `arguments` has copies to call a function with."""
        return self.make_cases()

    @cached_property
    def expected(self) -> list[Arrays]:
        """The results of each case, computed in float64."""
        return [as_arrays(self.reference(*map(_in_float64, fresh(case)))) for case in self.cases]

    def arguments(self, number: int) -> dict[str, Any]:
        """Return copies of the arguments of a case, by name, for a call `f(**exercise.arguments(0))`."""
        return dict(zip(self.parameters, fresh(self.cases[number]), strict=True))

    def dtype(self, number: int) -> np.dtype[Any]:
        """Return the dtype of a case, that of its first argument."""
        return self.cases[number].arguments[0].dtype


def fresh(case: Case) -> Arguments:
    """Return copies of the arguments of a case: arrays that may be written to, generators at their start."""
    return copy.deepcopy(case.arguments)


def as_arrays(returned: Any) -> Arrays:
    """Return what a function returned, one result or a tuple of them, as a tuple of arrays."""
    return tuple(map(np.asarray, returned if isinstance(returned, tuple) else (returned,)))


def _window(arguments: dict[str, Any], index: tuple[int, ...]) -> str:
    """Return the pixels of x and the filter that y[n, oh, ow, f] is the sum over."""
    n, oh, ow, f = index
    (KH, KW), (SH, SW), (PH, PW) = arguments["w"].shape[:2], arguments["strides"], arguments["padding"]
    top, left = oh * SH - PH, ow * SW - PW
    outside = " (0 outside of the image)" if PH or PW else ""
    pixels = f"rows {top} to {top + KH - 1} and columns {left} to {left + KW - 1} of x[{n}]"
    return f"{pixels}{outside}, and w[..., {f}]"


def _in_float64(value: Any) -> Any:
    return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


#: The exercises by the name of the function to write.
EXERCISES: Mapping[str, Exercise] = MappingProxyType(
    {
        exercise.name: exercise
        for exercise in (
            Exercise(references.conv2d_forward, ("y",), cases.conv2d_forward, window=_window),
            Exercise(references.conv2d_backward, ("dx", "dw", "db"), cases.conv2d_backward),
            Exercise(references.maxpool_backward, ("dx",), cases.maxpool_backward),
            Exercise(references.softmax_cross_entropy, ("loss", "dlogits"), cases.softmax_cross_entropy),
            Exercise(references.dropout, ("y", "dx"), cases.dropout),
            Exercise(references.batchnorm_backward, ("dx", "dgamma", "dbeta"), cases.batchnorm_backward),
            Exercise(references.adam_step, ("p", "m", "v"), cases.adam_step),
        )
    }
)


@cache
def template() -> str:
    """Return a file for the student: every exercise, not written yet."""
    head = (
        '"""Exercises of tinycnn. `python -m tinycnn.teach grade FILE` grades this file.\n\n'
        "Replace each `raise NotImplementedError`. The order is free: no exercise needs another.\n"
        '"""\n\nimport numpy as np\n'
    )
    return "\n\n".join([head, *(exercise.template for exercise in EXERCISES.values())])
