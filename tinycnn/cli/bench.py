"""Timing of `mnist_cnn` on this machine, in less than a minute.

::

    MNIST images -> train_step, predict -> seconds of each call -> median -> images/s, GFLOP/s

It answers whether this machine computes as fast as it should. For figures to be reported, benchmarks/ times
several libraries in turn, on an idle machine.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import tinycnn
from tinycnn.cli import machine, output
from tinycnn.cli.output import UsageError, say
from tinycnn.datasets import load_mnist, scale_images

SECONDS = 5.0
MOST_SECONDS = 15.0
LEAST_CALLS = 3
BUSY = 0.5  # of the cores, by the load of the last minute
HINT = "For full benchmarks, beside other libraries: benchmarks/ in the repository."


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--batch-size", type=int, default=128, help="images in a batch (default: 128)")
    add(
        "--seconds",
        type=float,
        default=SECONDS,
        help=f"of each measurement (default: {SECONDS:g})",
    )


def run(options: argparse.Namespace) -> int:
    """Time a training step and inference of mnist_cnn on this machine, in less than a minute."""
    if not 1 <= options.batch_size <= 10_000:
        raise UsageError(f"--batch-size: expected 1 to 10000 images, received {options.batch_size}")
    if not 0 < options.seconds <= MOST_SECONDS:
        raise UsageError(
            f"--seconds: expected a number above 0, at most {MOST_SECONDS:g}, received {options.seconds}"
        )
    _, (images, labels) = load_mnist()
    x, y = scale_images(images[: options.batch_size]), labels[: options.batch_size]
    model = tinycnn.mnist_cnn(seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    forward, step = operations(model)
    results: dict[str, Any] = {"batch_size": options.batch_size, "machine": machine.describe(), "results": []}
    results["load"] = machine.load()
    if (results["load"] or 0) > BUSY * results["machine"]["usable_cores"]:
        output.note(f"warning: other processes are busy (load {results['load']}), so do not trust the times")
    measurements: list[tuple[str, Callable[[], Any], int, float]] = [
        ("training", lambda: model.train_step(x, y), len(x), step),
        ("inference", lambda: model.predict(x), len(x), forward),
        ("one image", lambda: model.predict(x[:1]), 1, forward),
    ]
    for name, call, count, flop in measurements:
        seconds = measured(call, name, options.seconds)
        results["results"].append(
            {
                "what": name,
                "images": count,
                "calls": len(seconds),
                "milliseconds": 1e3 * statistics.median(seconds),
                "images_per_second": count / statistics.median(seconds),
                "gflops": flop * count / statistics.median(seconds) / 1e9,
            }
        )
    if options.json:
        output.say_json(results)
    else:
        say(text(results))
    return 0


def operations(model: tinycnn.Sequential) -> tuple[float, float]:
    """Return the floating-point operations of the definition for one image, forward and in a step.

    A multiplication and an addition for each weight and output, in convolutions and dense layers. The
    backward pass has two products of the same size, for the filters and for the input; the first layer has
    one.
    """
    shape, counts = tuple(model.input_shape or ()), []
    for layer in model:
        shape = layer.compute_output_shape(shape)
        weights = sum(array.size for name, array in layer.params.items() if name.endswith("kernel"))
        if weights:
            pixels = shape[0] * shape[1] if len(shape) == 3 else 1
            counts.append(2.0 * weights * pixels)
    return sum(counts), 3 * sum(counts) - counts[0]


def measured(call: Callable[[], Any], name: str, seconds: float) -> list[float]:
    """Return the seconds of each call, after one that compiles and one that fills the caches."""
    times: list[float] = []
    with output.bar(name) as show:
        show(0.0)
        call()
        call()
        start = now = time.perf_counter()
        while len(times) < LEAST_CALLS or now - start < seconds:
            before = now
            call()
            now = time.perf_counter()
            times.append(now - before)
            show((now - start) / seconds)
    return times


def text(results: dict[str, Any]) -> str:
    """Return the results as text."""
    rows: list[tuple[object, ...]] = [("mnist_cnn", "images", "calls", "ms (median)", "images/s", "GFLOP/s")]
    for result in results["results"]:
        figures = (
            f"{result['milliseconds']:.2f}",
            f"{result['images_per_second']:,.0f}",
            f"{result['gflops']:.0f}",
        )
        rows.append((result["what"], result["images"], result["calls"], *figures))
    about = results["machine"]
    return "\n".join(
        [
            f"{about['processor']}, {about['usable_cores']} of {about['cores']} cores; {about['system']}",
            "",
            output.table(rows),
            "",
            "GFLOP/s counts the operations of the definition. Winograd's algorithm needs fewer.",
            HINT,
        ]
    )
