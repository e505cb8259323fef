"""Streams that a program has put in the place of stdout or stderr: they may lack methods, or be None.

::

    sys.stdout -> is_terminal, redraws, write_line

A graphical program has no stdout (it is None), and an object that logs may have `write` alone.
"""

from typing import Any


def is_terminal(stream: Any) -> bool:
    """Return whether a stream is a terminal; one that cannot be asked is none."""
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty())


def redraws(stream: Any) -> bool:
    """Return whether a line can be drawn again in its place: in a terminal, and in a notebook's cell."""
    return is_terminal(stream) or type(stream).__module__.startswith("ipykernel")


def write_line(stream: Any, text: str) -> None:
    """Write a line to a stream, if there is one, and flush it if it can be flushed."""
    if stream is not None:
        print(text, file=stream, flush=hasattr(stream, "flush"))
