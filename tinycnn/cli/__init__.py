"""The command `tinycnn`: training, evaluation, prediction and inspection from a shell.

::

    arguments -> options -> the function of a command -> exit status
    tinycnn.cli.program (parser, errors, status) -> train, verify, evaluate, predict, convert, describe, ...

A command is a function from its options to the exit status. It prints its result to stdout, as text or as one
JSON object, and everything else to stderr. It raises its errors; `program` prints them in one line.
"""

from tinycnn.cli.program import main

__all__ = ["main"]
