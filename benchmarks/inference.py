"""Benchmark of inference with `mnist_cnn`: throughput of a batch, latency of a single image.

::

    python benchmarks/inference.py --peers torch,keras,onnxruntime

    same weights for all -> must predict the same -> batches, in turn;  single images, in turn

A batch is judged by the median of its times, single images also by the 99th percentile: a service is judged
by its slowest answers.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import arguments
import machine
import numpy as np
from networks import MNIST, images_and_labels, resized_mnist_cnn
from peers import INFERENCE, PACKAGES, assemble, check_same
from reporting import Column, Table, time_columns, write_json
from timing import interleaved, summary

CALLS_OF_ONE = 25  # single images in one turn, since they are short

BATCH_COLUMNS = [
    Column("library", 34),
    Column("batch", 6, "d"),
    *time_columns(9),
    Column("images/s", 9, ".0f"),
    Column("ratio", 6, ".2f"),
]
ONE_COLUMNS = [
    Column("library", 34),
    *time_columns(9),
    Column("ms 99 %", 9, ".2f"),
    Column("calls", 6, "d"),
    Column("ratio", 6, ".2f"),
]
RATIO = "ratio: median time relative to tinycnn."


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the options; end the program if one is wrong."""
    parser = arguments.parser("Time inference with mnist_cnn.")
    text = f"names of {', '.join(INFERENCE)}, comma-separated"
    parser.add_argument("--peers", type=arguments.names(INFERENCE), default="", help=text, metavar="NAMES")
    parser.add_argument(
        "--batch-size", type=arguments.wholes, default="128", help="images in a batch; several with commas"
    )
    parser.add_argument(
        "--image-size",
        type=arguments.image_size,
        default=arguments.size_text(MNIST),
        help="HxWxC",
        metavar="HxWxC",
    )
    parser.add_argument(
        "--json",
        type=arguments.new_file,
        default="inference.json",
        help="where to write the figures",
        metavar="FILE",
    )
    return parser.parse_args(argv)


def batches(libraries: Sequence[Any], x: np.ndarray, rounds: int, table: Table) -> None:
    """Add a row for each library, for the prediction of one batch."""
    seconds = interleaved([lambda library=library: library.predict(x) for library in libraries], rounds)
    own = np.median(seconds[0])
    for library, times in zip(libraries, seconds, strict=True):
        median = np.median(times)
        rates = {"images/s": len(x) / median, "ratio": median / own}
        table.add({"library": library.version, "batch": len(x)} | summary(times) | rates)


def single_images(libraries: Sequence[Any], x: np.ndarray, rounds: int, table: Table) -> None:
    """Add a row for each library, for the prediction of one image, a different one in each call."""
    images = [x[i : i + 1] for i in range(len(x))]

    def one(library: Any) -> Any:
        turn = iter(range(sys.maxsize))
        return lambda: library.predict(images[next(turn) % len(images)])

    seconds = interleaved([one(library) for library in libraries], rounds, CALLS_OF_ONE)
    own = np.median(seconds[0])
    for library, times in zip(libraries, seconds, strict=True):
        late = {"ms 99 %": 1e3 * np.percentile(times, 99), "calls": len(times)}
        table.add({"library": library.version} | summary(times) | late | {"ratio": np.median(times) / own})


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = parse_arguments(argv)
    model = resized_mnist_cnn(options.image_size)
    packages = [package for name in options.peers for package in PACKAGES[name]]
    described = machine.describe(options.threads, packages)
    print(machine.one_line(described))
    libraries = assemble(options.peers, model, options.threads)
    check_same(libraries, images_and_labels(16, options.image_size)[0])
    size = arguments.size_text(options.image_size)
    first = Table(f"Inference, images of {size}", BATCH_COLUMNS, notes=[RATIO])
    first.start()
    for batch in options.batch_size:
        batches(libraries, images_and_labels(batch, options.image_size)[0], options.rounds, first)
    first.finish()
    second = Table(f"Inference, one image of {size} at a time", ONE_COLUMNS, notes=[RATIO])
    second.start()
    single_images(libraries, images_and_labels(64, options.image_size)[0], options.rounds, second)
    second.finish()
    write_json(options.json, "inference", argv, described, [first, second])


if __name__ == "__main__":
    main()
