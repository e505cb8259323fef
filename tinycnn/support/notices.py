"""Notices: single lines on stderr, each printed once.

::

    notice("compiling ...") -> stderr, unless TINYCNN_QUIET=1
    status("3 of 15") -> the same line of a terminal again and again

A notice is not a warning: nothing is wrong, and a kernel must run even where warnings are errors. It is not a
log message: a user who waits must see why, without setting up logging.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

from tinycnn.support.streams import is_terminal, write_line

_muted = False


@cache
def notice(text: str) -> None:
    """Print a line to stderr, once in a process; never raise.

    In a terminal the line starts at the left edge and fills the width, so that it overwrites a progress bar,
    which is then drawn again below.

    Parameters
    ----------
    text : str
        Printed after "tinycnn: ". The same text is printed once only.
    """
    stream = sys.stderr
    if _is_quiet():
        return
    line = f"tinycnn: {text}"
    with suppress(OSError, ValueError):  # a closed pipe or stream
        if is_terminal(stream):
            line = "\r" + line.ljust(shutil.get_terminal_size().columns - 1)
        write_line(stream, line)


def status(text: str) -> None:
    """Draw a line on stderr in the place of the last one, to show how far work is; never raise.

    Only a terminal shows it. The next `notice`, or `status("")`, takes its place.

    Parameters
    ----------
    text : str
        Cut to the width of the terminal.
    """
    if _is_quiet() or not is_terminal(sys.stderr):
        return
    width = shutil.get_terminal_size().columns - 1
    line = f"tinycnn: {text}" if text else ""
    with suppress(OSError, ValueError):
        sys.stderr.write("\r" + line[:width].ljust(width) + ("" if text else "\r"))
        sys.stderr.flush()


@contextmanager
def muted() -> Iterator[None]:
    """Print nothing in a block, as in processes of a job of which one prints."""
    global _muted
    before, _muted = _muted, True
    try:
        yield
    finally:
        _muted = before


def _is_quiet() -> bool:
    return _muted or sys.stderr is None or os.environ.get("TINYCNN_QUIET", "0") not in ("", "0")
