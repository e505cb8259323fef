"""Benchmark of a training step of `mnist_cnn` compared with other libraries: throughput and memory.

::

    python benchmarks/training.py --peers torch,keras
    python benchmarks/training.py --peers torch,keras --batch-size 32,128,256 --image-size 64x64x3 --memory

    same weights for all -> must predict the same -> steps, in turn
    each in a process of its own -> memory

A step is complete: forward, loss, backward, Adam. All libraries are pinned to the same number of threads.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import arguments
import machine
import numpy as np
from memory import in_own_process
from networks import MNIST, images_and_labels, resized_mnist_cnn
from peers import PACKAGES, TRAINING, assemble, check_same
from reporting import Column, Table, time_columns, write_json
from timing import interleaved, summary

COLUMNS = [
    Column("library", 34),
    Column("batch", 6, "d"),
    *time_columns(9),
    Column("images/s", 9, ".0f"),
    Column("ratio", 6, ".2f"),
]
MEMORY_COLUMNS = [
    Column("library", 34),
    Column("before MiB", 11, ".0f"),
    Column("peak MiB", 9, ".0f"),
    Column("growth MiB", 11, ".0f"),
]
MEMORY_NOTES = [
    "before: resident memory with the library imported and the model built.",
    "peak: largest resident memory until the end of the last step.",
]


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the options; end the program if one is wrong."""
    parser = arguments.parser("Time training steps of mnist_cnn.")
    text = f"names of {', '.join(TRAINING)}, comma-separated"
    parser.add_argument("--peers", type=arguments.names(TRAINING), default="", help=text, metavar="NAMES")
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
    parser.add_argument("--memory", action="store_true", help="also measure the memory that training takes")
    parser.add_argument(
        "--memory-steps", type=arguments.whole, default=10, help="training steps before memory is read"
    )
    parser.add_argument(
        "--json",
        type=arguments.new_file,
        default="training.json",
        help="where to write the figures",
        metavar="FILE",
    )
    return parser.parse_args(argv)


def steps(libraries: Sequence[Any], batch: int, options: argparse.Namespace, table: Table) -> None:
    """Add a row for each library, for steps of one batch size."""
    x, y = images_and_labels(batch, options.image_size)
    seconds = interleaved([lambda lib=library: lib.step(x, y) for library in libraries], options.rounds)
    own = np.median(seconds[0])
    for library, times in zip(libraries, seconds, strict=True):
        median = np.median(times)
        rates = {"images/s": batch / median, "ratio": median / own}
        table.add({"library": library.version, "batch": batch} | summary(times) | rates)


def memory(options: argparse.Namespace, table: Table) -> None:
    """Add a row for each library, for the memory of steps of the largest batch size."""
    classes = ["Tinycnn", *(peer.__name__ for name in options.peers for peer in TRAINING[name])]
    for name in classes:
        figures = in_own_process(
            name, max(options.batch_size), options.image_size, options.memory_steps, options.threads
        )
        growth = figures["peak"] - figures["before"]
        table.add(
            {
                "library": figures["library"],
                "before MiB": figures["before"],
                "peak MiB": figures["peak"],
                "growth MiB": growth,
            }
        )


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
    note = "ratio: median time relative to tinycnn."
    tables = [Table(f"Training step, images of {size}", COLUMNS, notes=[note])]
    tables[0].start()
    for batch in options.batch_size:
        steps(libraries, batch, options, tables[0])
    tables[0].finish()
    if options.memory:
        title = f"Memory of {options.memory_steps} training steps, batch {max(options.batch_size)}, {size}"
        tables.append(Table(title, MEMORY_COLUMNS, notes=MEMORY_NOTES))
        tables[1].start()
        memory(options, tables[1])
        tables[1].finish()
    write_json(options.json, "training", argv, described, tables)


if __name__ == "__main__":
    main()
