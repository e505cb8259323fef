"""The command `python -m tinycnn.teach`.

::

    list | show NAME | start FILE | grade FILE -> 0 if all is right, 1 if not, 2 for wrong usage
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tinycnn.teach.exercises import EXERCISES, template
from tinycnn.teach.grader import SECONDS, grade_file

RIGHT, NOT_ALL, WRONG_USAGE = 0, 1, 2
STDOUT = "-"


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tinycnn.teach",
        description="Homework that grades itself.",
        epilog="exit status: 0 all right, 1 not all right, 2 wrong usage",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="command")
    commands.add_parser("list", help="the exercises")
    show = commands.add_parser("show", help="the text of an exercise")
    show.add_argument("exercise", choices=EXERCISES)
    start = commands.add_parser("start", help="write a file with all exercises, not written yet")
    start.add_argument("file", type=Path)
    start.add_argument("--force", action="store_true", help="overwrite a file")
    grading = commands.add_parser("grade", help="grade a file")
    grading.add_argument("file", type=Path)
    grading.add_argument(
        "--exercise", action="append", choices=EXERCISES, help="only this one; may be repeated"
    )
    grading.add_argument(
        "--json", nargs="?", const=STDOUT, metavar="FILE", help="write JSON, to stdout or to a file"
    )
    grading.add_argument(
        "--seconds", type=float, default=SECONDS, help="most time for each exercise (default: %(default)g)"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    run = {"list": _list, "show": _show, "start": _start, "grade": _grade}[options.command]
    try:
        return run(options)
    except (OSError, ValueError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return WRONG_USAGE


def _list(options: argparse.Namespace) -> int:
    for exercise in EXERCISES.values():
        print(exercise.signature)
    return RIGHT


def _show(options: argparse.Namespace) -> int:
    exercise = EXERCISES[options.exercise]
    print(exercise.template)
    print("Cases:", *(f"  {case.label}" for case in exercise.cases), sep="\n")
    return RIGHT


def _start(options: argparse.Namespace) -> int:
    try:
        with options.file.open("w" if options.force else "x", encoding="utf-8") as file:
            file.write(template())
    except FileExistsError:
        raise ValueError(f"{options.file} exists; --force overwrites it") from None
    print(f"Wrote {options.file}. Grade it with: python -m tinycnn.teach grade {options.file}")
    return RIGHT


def _grade(options: argparse.Namespace) -> int:
    if options.json not in (None, STDOUT) and Path(options.json).resolve() == options.file.resolve():
        raise ValueError(f"--json: expected another file than {options.file}, which is graded")
    report = grade_file(options.file, options.exercise, options.seconds)
    text = json.dumps(report.as_dict(), indent=2, allow_nan=False)
    if options.json == STDOUT:
        print(text)
    else:
        print(report)
    if options.json not in (None, STDOUT):
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    return RIGHT if report.passed else NOT_ALL


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):  # a student's text may have signs that the terminal lacks
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main())
