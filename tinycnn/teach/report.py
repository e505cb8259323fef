"""Reports: what was right, the first difference, the hint; as text, and as JSON for autograders.

::

    Result of each exercise -> Report -> str(report), report.as_dict()

The JSON has the fields of Gradescope's results.json (score, output, tests with name, score, max_score, status
and output). What is beyond them is in `extra_data`, which Gradescope keeps and does not read.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinycnn.teach.comparing import Difference
from tinycnn.teach.mistakes import Hint

RIGHT, WRONG, UNWRITTEN = "right", "wrong", "not written yet"
WIDTH = 100


@dataclass(frozen=True)
class Check:
    """One case: its condition, and the first difference, None if it passed."""

    case: str
    difference: Difference | None

    @property
    def passed(self) -> bool:
        """Whether the results of this case are right."""
        return self.difference is None


@dataclass(frozen=True)
class Result:
    """What became of one exercise.

    Attributes
    ----------
    exercise : str
    state : str
        "right", "wrong" or "not written yet".
    points : float
        What the exercise counts.
    checks : sequence of Check
    hints : sequence of Hint
    problem : str
        Why there are no checks, such as a time limit.
    """

    exercise: str
    state: str
    points: float
    checks: Sequence[Check] = ()
    hints: Sequence[Hint] = ()
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether all is right."""
        return self.state == RIGHT

    @property
    def score(self) -> float:
        """The points of the share of cases that passed, rounded down to hundredths."""
        share = sum(check.passed for check in self.checks) / max(len(self.checks), 1)
        return self.points if self.passed else math.floor(100 * self.points * share) / 100

    def __str__(self) -> str:
        count = f", {sum(c.passed for c in self.checks)} of {len(self.checks)} cases" if self.checks else ""
        lines = [f"{self.exercise}: {self.state}{count}, {self.score:g} of {self.points:g} points"]
        return "\n".join([*lines, *(_indented(text) for text in self.details())])

    def details(self) -> list[str]:
        """Return the lines below the first: the difference, the cases, the hints."""
        if self.problem:
            return [self.problem]
        wrong = [check for check in self.checks if not check.passed]
        if not wrong or self.state != WRONG:
            return []
        found = wrong[0].difference
        lines = [f"first difference, in the case: {wrong[0].case}", f"  {found.message}"]  # type: ignore[union-attr]
        lines += [f"  {name}: {text}" for name, text in _rest(found)]
        right = [check.case for check in self.checks if check.passed]
        lines += [f"right: {'; '.join(right)}", f"wrong: {'; '.join(c.case for c in wrong)}"] if right else []
        lines += list(map(str, self.hints))
        number = self.checks.index(wrong[0])
        return [*lines, f'try it: tinycnn.teach.EXERCISES["{self.exercise}"].arguments({number})']

    def as_dict(self) -> dict[str, Any]:
        """Return it as one of Gradescope's tests."""
        return {
            "name": self.exercise,
            "score": self.score,
            "max_score": self.points,
            "status": "passed" if self.passed else "failed",
            "output": str(self),
            "extra_data": {
                "state": self.state,
                "problem": self.problem,
                "hints": [hint._asdict() for hint in self.hints],
                "checks": [
                    {
                        "case": check.case,
                        "passed": check.passed,
                        "difference": check.difference.as_dict() if check.difference else None,
                    }
                    for check in self.checks
                ],
            },
        }


@dataclass(frozen=True, repr=False)
class Report:
    """The results of one exercise or of several.

    Attributes
    ----------
    results : sequence of Result
    problem : str
        Why nothing could be graded, such as a syntax error.
    """

    results: Sequence[Result]
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether all exercises are right."""
        return all(result.passed for result in self.results)

    @property
    def score(self) -> float:
        """The points, of all exercises."""
        return round(sum(result.score for result in self.results), 2)

    @property
    def max_score(self) -> float:
        """The points of a solution that is right."""
        return sum(result.points for result in self.results)

    @property
    def hints(self) -> list[str]:
        """The names of the mistakes that were recognised."""
        return [hint.mistake for result in self.results for hint in result.hints]

    def __str__(self) -> str:
        texts = [self.problem] if self.problem else [str(result) for result in self.results]
        total = (
            [f"score: {self.score:g} of {self.max_score:g}"] if len(self.results) != 1 or self.problem else []
        )
        return "\n".join([*texts, *total])

    __repr__ = __str__

    def as_dict(self) -> dict[str, Any]:
        """Return it in the form of Gradescope's results.json."""
        return {
            "score": self.score,
            "output": self.problem or f"score: {self.score:g} of {self.max_score:g}",
            "tests": [result.as_dict() for result in self.results],
            "extra_data": {"max_score": self.max_score, "passed": self.passed, "problem": self.problem},
        }


def _rest(found: Difference | None) -> list[tuple[str, str]]:
    """Return what there is beside the message."""
    if found is None:
        return []
    pairs = [("input", found.input), ("note", found.note), ("also wrong", ", ".join(found.also))]
    return [(name, text) for name, text in pairs if text]


def _indented(text: str) -> str:
    """Return text in lines that fit, four spaces in; a line that goes on is six in."""
    lead = " " * (len(text) - len(text.lstrip()))
    return textwrap.fill(
        text.strip(),
        WIDTH,
        initial_indent=f"    {lead}",
        subsequent_indent=f"      {lead}",
        break_long_words=False,
        break_on_hyphens=False,
    )
