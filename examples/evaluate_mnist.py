"""Evaluation on the test set: the command `tinycnn evaluate` as a program, with the same options.

::

    mnist_cnn.h5, ... -> predictions -> accuracy, interval, halves, confusion matrix -> errors.csv, errors.png

The code is in tinycnn/cli/evaluate.py. This program writes errors.csv and errors.png into the current folder,
unless `--out` names another. The command writes them only with `--out`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from tinycnn.cli import evaluate
from tinycnn.cli.program import run_alone


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures, and write errors.csv and errors.png."""
    run_alone(evaluate.add_options, evaluate.run, arguments, out=Path("."))


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
