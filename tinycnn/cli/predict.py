"""Prediction of one's own digits: pictures in, digits out.

::

    photo.png -> prepare_digit -> (28, 28, 1), as in MNIST -> model -> digit, probability, choices, warnings

A convolutional network compiles kernels before its first image. For a few images NumPy is done long before
that, so it computes here, unless TINYCNN_ALGORITHM asks for something else.
"""

import argparse
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

import tinycnn
from tinycnn import datasets
from tinycnn.cli import models, output
from tinycnn.cli.output import UsageError, say
from tinycnn.inspection import plots
from tinycnn.kernels.selection import requested, use_algorithm

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
INPUT = (28, 28, 1)
WIDEST_NAME = 48
FUNCTION = "tinycnn.datasets.prepare_digits"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("images", nargs="+", type=Path, metavar="IMAGE", help="a picture of a digit, or a folder of pictures")
    models.add_option(parser, "--model")
    add("--top", type=int, default=2, help="how many choices to print (default: 2)")
    add("--several", action="store_true", help="each picture shows several digits in a row")
    add("--steps", type=Path, metavar="PNG", help="draw each step from the picture to the network's input")


def run(options: argparse.Namespace) -> int:
    """Print the digit in each picture, its probability, and the second choice."""
    paths = list(pictures(options.images))
    check(options, paths)
    model = models.load(options.model)
    if model.input_shape != INPUT:
        raise ValueError(
            f"{options.model}: expected a model for images {INPUT}, received {model.input_shape}"
        )
    if not options.json:
        say(row("image", "digit", "probability", ["then"], paths))
    found = []
    for path in paths:
        entry = predicted(model, path, options)
        found.append(entry)
        if not options.json:
            say_entry(entry, paths)
    if options.steps is not None and "error" not in found[0]:
        plots.plot_digit_steps(datasets.digit_steps(paths[0]), options.steps)
        output.note(f"wrote {options.steps}")
    if options.json:
        output.say_json({"model": options.model, "images": found})
    return int(any("error" in entry for entry in found))


def pictures(paths: list[Path]) -> Iterator[Path]:
    """Yield the paths, and the pictures in a folder in the place of the folder, by name."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        if not inside:
            raise FileNotFoundError(f"{path}: expected pictures in this folder ({', '.join(SUFFIXES)})")
        yield from inside


def check(options: argparse.Namespace, paths: list[Path]) -> None:
    """Raise UsageError for options that do not fit together."""
    if options.top < 1:
        raise UsageError(f"--top: expected a whole number >= 1, received {options.top}")
    if options.steps is None:
        return
    if len(paths) != 1:
        raise UsageError(f"--steps: expected one picture, received {len(paths)}")
    if options.several:
        raise UsageError("--steps: expected a picture of one digit, received --several")
    if not options.steps.absolute().parent.is_dir():
        raise UsageError(f"--steps: the folder does not exist: {options.steps.absolute().parent}")


def predicted(model: tinycnn.Sequential, path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return what a picture shows: {"file", "digits": [...]}, or {"file", "error"}."""
    try:
        x = datasets.prepare_digits(path) if options.several else datasets.prepare_digit(path)[np.newaxis]
    except (OSError, ValueError, MemoryError) as error:
        # what the library says to a program, said to the user of the command
        return {"file": str(path), "error": output.sentence(error).replace(FUNCTION, "--several")}
    with use_algorithm("im2col") if requested().algorithm == "auto" else nullcontext():
        outputs = model.predict(x)
    return {
        "file": str(path),
        "digits": [choices(y, image, options.top) for y, image in zip(outputs, x, strict=True)],
    }


def choices(probabilities: np.ndarray, image: np.ndarray, top: int) -> dict[str, Any]:
    """Return the most probable classes of one image, and in what it is unlike MNIST."""
    order = np.argsort(-probabilities, kind="stable")[:top].tolist()
    return {
        "digit": order[0],
        "probability": float(probabilities[order[0]]),
        "choices": [{"digit": i, "probability": float(probabilities[i])} for i in order],
        "warnings": list(datasets.unlike_mnist(image)),
    }


def say_entry(entry: dict[str, Any], paths: list[Path]) -> None:
    """Print one line for each digit of a picture; its error and its warnings go to stderr."""
    if "error" in entry:
        error = entry["error"]
        output.error(error if error.startswith(entry["file"]) else f"{entry['file']}: {error}")
        return
    for digit in entry["digits"]:
        others = [f"{c['digit']} ({c['probability']:.1%})" for c in digit["choices"][1:]]
        say(row(entry["file"], str(digit["digit"]), f"{digit['probability']:.1%}", others, paths))
        for warning in digit["warnings"]:
            output.note(f"warning: {entry['file']}: {warning}")


def row(name: str, digit: str, probability: str, others: list[str], paths: list[Path]) -> str:
    """Return one line of the table; names are padded to the longest, and never cut."""
    longest = min(WIDEST_NAME, max(len(output.printable(str(path))) for path in paths))
    name = output.one_line(name).ljust(max(longest, len("image")))
    return f"{name}  {digit:<5}  {probability:<11}  {', '.join(others)}".rstrip()
