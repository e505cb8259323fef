"""Explanations: which algorithms compute a model, and what a model makes of a picture.

::

    MODEL               -> plan -> a row for each pass of each layer: algorithm, reason
    digit.png -o x.html -> trace -> one HTML file with every array: `tinycnn.serve.explainer`
"""

import argparse
from pathlib import Path
from typing import Any

from tinycnn import kernels
from tinycnn.cli import models, output
from tinycnn.cli.output import UsageError, say
from tinycnn.cli.predict import SUFFIXES
from tinycnn.kernels.explanation import WIDTH, Row

PASS = ("layer", "pass", "algorithm", "why")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    help_ = f"{models.HELP} (default: {models.PRETRAINED}); or a picture, to be explained in a page"
    add("what", nargs="?", default=models.PRETRAINED, metavar="MODEL", help=help_)
    add("--batch-size", type=int, default=128, help="images in a batch (default: 128)")
    add(
        "--layer-by-layer", action="store_true", help="for a model that is not compiled, without fused layers"
    )
    add("-o", "--out", type=Path, metavar="HTML", help="of a picture: the page, one file without a server")
    add("--model", metavar="MODEL", help=f"of a picture: the model (default: {models.PRETRAINED})")
    add("--as-drawn", action="store_true", help="of a picture: do not prepare it like MNIST's images")


def run(options: argparse.Namespace) -> int:
    """Print which algorithm computes each pass of a model, and why; or write a page about a picture."""
    if Path(options.what).suffix.lower() in SUFFIXES:
        return explain_picture(options)
    for given, name in ((options.out, "--out"), (options.model, "--model"), (options.as_drawn, "--as-drawn")):
        if given:
            raise UsageError(f"{name}: expected a picture to explain, received {options.what}")
    if options.batch_size < 1:
        raise UsageError(f"--batch-size: expected a whole number >= 1, received {options.batch_size}")
    model = models.load(options.what)
    if model.optimizer is None or options.layer_by_layer:
        model.compile(fuse=not options.layer_by_layer)  # what a training step runs
    rows = model.plan(options.batch_size).rows()
    if options.json:
        plain = [dict(zip(PASS, pass_of(row), strict=True)) for row in rows]
        output.say_json({"name": model.name, "batch_size": options.batch_size, "rows": plain})
    elif output.width(WIDTH) < WIDTH:
        say(output.table([PASS, *map(pass_of, rows)]))
    else:
        say(output.quietly(lambda: kernels.explain(model, options.batch_size)))
    return 0


def explain_picture(options: argparse.Namespace) -> int:
    """Write the page that explains a picture."""
    from tinycnn.serve.explainer import write_page

    if options.out is None:
        raise UsageError(f"{options.what}: expected -o with the name of the page, such as -o page.html")
    picture = Path(options.what).read_bytes()
    model = models.load(options.model or models.PRETRAINED)
    try:
        found = write_page(model, picture, options.out, options.as_drawn)
    except ValueError as error:
        raise ValueError(f"{options.what}: {error}") from error
    if options.json:
        output.say_json({"file": str(options.out), **found})
    else:
        say(f"{said(found, model.output_shape[-1])}. Wrote {options.out}; open it in a browser.")
    return 0


def said(found: dict[str, Any], outputs: int) -> str:
    """Return the largest output in words; percent are for probabilities alone."""
    if found["probability"] is not None:
        return f"{found['class']}, with {found['probability']:.1%}"
    if outputs == 1:
        return f"The output is {found['output']:.4g}"
    return f"{found['class']}, with an output of {found['output']:.4g}"


def pass_of(row: Row) -> tuple[str, ...]:
    """Return one pass of one layer, as `PASS` names it."""
    return str(row.layer), row.direction, row.algorithm, row.reason
