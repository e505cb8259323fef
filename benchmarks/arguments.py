"""Command-line arguments of the benchmarks, checked.

::

    "32,128" -> wholes -> [32, 128]        "64x64x3" -> image_size -> (64, 64, 3)

Each function is a `type` for argparse, or makes one. Its error says what was expected, and argparse prints
the name of the option before it.
"""

import argparse
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numba


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has: --rounds and --threads."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    result.add_argument("--rounds", type=whole, default=10, help="turns of each library or algorithm")
    result.add_argument(
        "--threads", type=threads, default=numba.config.NUMBA_NUM_THREADS, help="the same for all"
    )
    return result


def whole(text: str) -> int:
    """Return a whole number of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number >= 1, received {text!r}")
    return int(text)


def wholes(text: str) -> list[int]:
    """Return the numbers of a comma-separated list."""
    return [whole(part) for part in text.split(",")]


def threads(text: str) -> int:
    """Return a number of threads that Numba can use."""
    most = numba.config.NUMBA_NUM_THREADS
    if (count := whole(text)) > most:
        raise argparse.ArgumentTypeError(
            f"expected at most {most}, the cores of this machine, received {count}"
        )
    return count


def image_size(text: str) -> tuple[int, int, int]:
    """Return (H, W, C) of HxWxC."""
    parts = text.lower().split("x")
    if len(parts) != 3:
        raise argparse.ArgumentTypeError(f"expected HxWxC, such as 28x28x1, received {text!r}")
    height, width, channels = map(whole, parts)
    return height, width, channels


def image_sizes(text: str) -> list[tuple[int, int, int]]:
    """Return the sizes of a comma-separated list."""
    return [image_size(part) for part in text.split(",")]


def size_text(shape: Iterable[int]) -> str:
    """Return (H, W, C) as HxWxC."""
    return "x".join(map(str, shape))


def names(choices: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a type for a comma-separated list of names out of `choices`; the list may be empty."""
    known = list(choices)

    def parse(text: str) -> list[str]:
        given = [part for part in text.split(",") if part]
        for name in given:
            if name not in known:
                raise argparse.ArgumentTypeError(f"expected names of {', '.join(known)}, received {name!r}")
        return given

    return parse


def new_file(text: str) -> Path:
    """Return a path to write to, after checking its folder."""
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(
            f"expected a folder that exists, received {os.fspath(path.parent)!r}"
        )
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"expected a file, received the folder {text!r}")
    return path
