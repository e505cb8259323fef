"""Notices: single lines on stderr, each printed once.

::

    notice("compiling ...") -> stderr, unless TINYCNN_QUIET=1

A notice is not a warning: nothing is wrong, and a kernel must run even where warnings are errors. It is not a
log message: a user who waits must see why, without setting up logging.
"""

import os
import shutil
import sys
from contextlib import suppress
from functools import cache

from tinycnn.support.streams import is_terminal, write_line


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
    if stream is None or os.environ.get("TINYCNN_QUIET", "0") not in ("", "0"):
        return
    line = f"tinycnn: {text}"
    with suppress(OSError, ValueError):  # a closed pipe or stream
        if is_terminal(stream):
            line = "\r" + line.ljust(shutil.get_terminal_size().columns - 1)
        write_line(stream, line)
