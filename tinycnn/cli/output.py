"""Output of the command: text or one JSON object on stdout, everything else on stderr.

::

    say, table, say_json -> stdout          note, warn, error, progress -> stderr

Text from outside, such as the name of a file or of a layer, may hold characters that the stream cannot encode
or that a terminal would obey. Both are printed as escapes.
"""

import io
import json
import math
import os
import shutil
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

from tinycnn.support.plain import plain
from tinycnn.support.streams import is_terminal, write_line

PROGRAM = "tinycnn"
BAR = 20  # characters
SECONDS_BETWEEN = 0.1  # of two drawings of the bar


class UsageError(ValueError):
    """Wrong options: the command ends with status 2 and names its `--help`."""


def say(text: str = "") -> None:
    """Print text to stdout."""
    write_line(sys.stdout, printable(text))


def note(text: str) -> None:
    """Print one line to stderr."""
    write_line(sys.stderr, f"{PROGRAM}: {one_line(text)}")


def error(text: str) -> None:
    """Print an error in one line to stderr."""
    note(f"error: {text}")


def say_json(value: dict[str, Any]) -> None:
    """Print one JSON object to stdout, in one line of ASCII; NaN and infinities become null."""
    write_line(sys.stdout, json.dumps(plain(value), allow_nan=False))


def printable(text: str) -> str:
    """Return text with control characters as escapes; ends of lines stay."""
    return "".join(c if c == "\n" or c.isprintable() else repr(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """Return text in one line, with control characters as escapes."""
    return printable("; ".join(line.strip() for line in text.splitlines() if line.strip()))


def table(rows: Sequence[Sequence[object]], least: int = 20) -> str:
    """Return rows as text with aligned columns; on a terminal the last column is wrapped to its width.

    Parameters
    ----------
    rows : sequence of sequence
        Of equal lengths; cells become text.
    least : int
        The width of the last column in a terminal that has no room.
    """
    texts = [[printable(str(cell)).replace("\n", " ") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    room = max(least, width(10**6) - sum(widths[:-1]) - 2 * len(widths[:-1]))
    lines = []
    for *cells, last in texts:
        left = "".join(c.ljust(w + 2) for c, w in zip(cells, widths, strict=False))
        first, *more = textwrap.wrap(last, room) if len(last) > room else [last]
        lines += [(left + first).rstrip(), *(" " * len(left) + line for line in more)]
    return "\n".join(lines)


def sentence(error: Exception) -> str:
    """Return what an exception says, for a reader who does not know the code."""
    if isinstance(error, OSError) and error.strerror:
        named = error.filename is not None and not isinstance(error.filename, int)
        return f"{os.fsdecode(error.filename)}: {error.strerror}" if named else error.strerror
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}".rstrip(": ")
    told = FloatingPointError | OSError | ValueError | ImportError | RuntimeError | Warning
    if isinstance(error, told) and str(error):
        return str(error)
    return f"unexpected {type(error).__name__}: {error}; --traceback shows where it came from"


def size(count: float) -> str:
    """Return a number of bytes as text, as in "4.1 MB"."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count:.0f} bytes"


def width(most: int, least: int = 40) -> int:
    """Return the columns to fill: those of the terminal, within bounds; `most` where there is none."""
    if not is_terminal(sys.stdout):
        return most
    return max(least, min(most, shutil.get_terminal_size().columns))


def progress(items: Iterable[Any], total: int, label: str) -> Iterator[Any]:
    """Yield the items, with a bar on stderr."""
    with bar(label) as show:
        for number, item in enumerate(items):
            show(number / total)
            yield item


@contextmanager
def bar(label: str) -> Iterator[Callable[[float], None]]:
    """Yield a function that draws a share of the work, from 0 to 1; the bar is removed at the end.

    Where stderr is no terminal, nothing is drawn.
    """
    shown, drawn = is_terminal(sys.stderr), -math.inf

    def show(share: float) -> None:
        nonlocal drawn
        if shown and time.monotonic() - drawn > SECONDS_BETWEEN:
            full = round(BAR * min(max(share, 0.0), 1.0))
            _overwrite(f"{PROGRAM}: [{'#' * full}{'.' * (BAR - full)}] {label}")
            drawn = time.monotonic()

    try:
        yield show
    finally:
        if drawn > -math.inf:
            _overwrite("")


def _overwrite(text: str) -> None:
    columns = shutil.get_terminal_size().columns - 1
    with suppress(OSError, ValueError):  # a closed stream
        sys.stderr.write("\r" + text[:columns].ljust(columns) + ("" if text else "\r"))
        sys.stderr.flush()


def quietly(call: Callable[[], Any]) -> Any:
    """Return what a call returns, without what it prints to stdout."""
    with redirect_stdout(io.StringIO()):
        return call()


@contextmanager
def prepared_streams() -> Iterator[None]:
    """Make stdout and stderr take any text, and warnings single lines, inside a with-block."""

    def show(message: Any, *_: Any, **__: Any) -> None:
        note(f"warning: {message}")

    before = [
        (stream, stream.errors) for stream in (sys.stdout, sys.stderr) if hasattr(stream, "reconfigure")
    ]
    for stream, _ in before:
        stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield
    finally:
        for stream, errors in before:
            with suppress(OSError, ValueError):  # a closed pipe: flushing fails
                stream.reconfigure(errors=errors)


def flush() -> None:
    """Write what is still in the buffer of stdout, so that an error shows now and not after the end."""
    if sys.stdout is not None and hasattr(sys.stdout, "flush"):
        sys.stdout.flush()


def abandon() -> None:
    """Send what is left for stdout nowhere, so that the interpreter does not fail on it at its end."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
