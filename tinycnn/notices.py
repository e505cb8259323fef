"""What the library says on its own account: one line on stderr, once.

::

    notice("compiling ...") -> stderr, unless TINYCNN_QUIET=1

Not a warning: nothing is wrong, and where warnings are errors a kernel must still run. Not a logger: someone
who waits must see why, with no logging set up.
"""

import os
import shutil
import sys
from contextlib import suppress
from functools import cache


@cache
def notice(text: str) -> None:
    """Print a line to stderr, the first time in a process; never raise for it.

    In a terminal the line begins at the left edge and is as wide as the terminal, since a progress bar may
    stand there: it is written over, and drawn again below.
    """
    stream = sys.stderr
    if stream is None or os.environ.get("TINYCNN_QUIET", "0") not in ("", "0"):
        return
    line = f"tinycnn: {text}"
    with suppress(OSError, ValueError):  # a pipe or a stream that was closed
        if stream.isatty():
            line = "\r" + line.ljust(shutil.get_terminal_size().columns - 1)
        print(line, file=stream, flush=True)
