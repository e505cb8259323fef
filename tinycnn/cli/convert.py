"""The command `convert`: a model from one file format to another, checked by reading it back.

::

    IN -> load_model -> model -> save -> OUT -> load_model -> predictions of both on the same random images
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import tinycnn
from tinycnn import saving
from tinycnn.cli import models, output
from tinycnn.cli.output import UsageError, say

IMAGES = 4  # random ones, by which the two models are compared
AGREEMENT = 1e-4  # largest difference of their outputs; another order of sums changes the last digits


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `convert`."""
    parser.add_argument("model", metavar="MODEL", help=models.HELP)
    parser.add_argument("out", metavar="OUT", help="the file to write; its suffix is the format")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.add_argument("--no-optimizer", action="store_true", help="leave out the optimizer's state")
    parser.add_argument(
        "--data-format",
        choices=("channels_last", "channels_first"),
        help="of an ONNX model's images: (N, H, W, C), the default, or (N, C, H, W)",
    )


def run(options: argparse.Namespace) -> int:
    """Write a model in another format, read it back, and compare the predictions of both."""
    out = Path(options.out)
    if out.exists() and not options.overwrite:
        raise UsageError(f"{out}: expected a new file, found one; --overwrite replaces it")
    if options.data_format is not None and out.suffix.lower() != ".onnx":
        raise UsageError(f"--data-format: expected a file OUT that ends in .onnx, received {out}")
    model = models.load(options.model)
    if options.data_format is not None:
        model.export(out, data_format=options.data_format)
        again = tinycnn.load_model(out)
    elif saving.holds_weights_alone(out):
        model.save_weights(out)
        again = tinycnn.Sequential.from_config(model.get_config())
        again.load_weights(out)
    else:
        model.save(out, include_optimizer=not options.no_optimizer)
        again = tinycnn.load_model(out)
    difference = largest_difference(model, again)
    facts = {"file": str(out), "bytes": out.stat().st_size, "difference": difference}
    if not difference <= AGREEMENT:
        raise ValueError(
            f"{out}: expected the predictions of {options.model}, they differ by {difference:.1e}"
        )
    if options.json:
        output.say_json(facts)
    else:
        say(output.table(rows(options.model, facts)))
    return 0


def largest_difference(model: tinycnn.Sequential, other: tinycnn.Sequential) -> float:
    """Return how far the outputs of two models differ for random images, relative to the largest output."""
    x = np.random.default_rng(0).random((IMAGES, *(model.input_shape or ()))).astype(model.dtype)
    expected, received = model.predict(x, verbose=0), other.predict(x.astype(other.dtype), verbose=0)
    if expected.shape != received.shape:
        return float("inf")
    scale = max(float(np.abs(expected).max(initial=0.0)), 1.0)
    return float(np.abs(expected - received).max(initial=0.0)) / scale


def rows(source: str, facts: dict[str, Any]) -> list[tuple[str, object]]:
    """Return the table of the result."""
    return [
        ("From", source),
        ("To", f"{facts['file']}, {output.size(facts['bytes'])}"),
        ("Read back", f"predictions differ by {facts['difference']:.1e} at most"),
    ]
