"""Benchmark of scaling with threads, batches, images and channels.

::

    python benchmarks/scaling.py --plot scaling.png

    steps     training steps by batch size           images    training steps by size of the images
    channels  one convolution by its channels        crossing  one convolution by the amount of work

Every part runs on 1, 2, ... threads, in turn. The crossing is the amount of work from which more threads pay.
The headline is the end of the first table: the speed-up of all threads over one, for a training step of
`mnist_cnn` with the last of the batch sizes.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import arguments
import machine
import numba
import numpy as np
from cases import Conv
from networks import images_and_labels, resized_mnist_cnn
from reporting import Column, Table, time_columns, write_json
from timing import interleaved, summary

from tinycnn import kernels

TURN = 2e-3  # seconds of a turn of a short function, so that the cost of the clock is negligible
PAYS = 1.05  # speed-up from which more threads pay
#: (outputs, channels, filters, batch) of 3x3 convolutions, from very little work to that of a real layer.
WORK = (
    *((4, 4, 8, 1), (4, 16, 16, 1), (6, 16, 32, 1), (8, 32, 32, 1), (12, 32, 32, 1)),
    *((12, 32, 64, 1), (24, 32, 64, 1), (24, 32, 64, 2), (24, 32, 64, 4), (24, 32, 64, 16)),
)
CHANNELS = (1, 3, 8, 16, 17, 32, 64, 128)
#: The algorithms that run on Numba's threads; "im2col" runs on those of BLAS, "naive" on one.
THREADED = [name for name in kernels.ALGORITHMS if name not in ("naive", "im2col")]
PARTS = ("steps", "images", "channels", "crossing")


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the options; end the program if one is wrong."""
    parser = arguments.parser("Time training steps and convolutions on 1 to --threads threads.")
    parser.add_argument(
        "--parts",
        type=arguments.names(PARTS),
        default=",".join(PARTS),
        help=f"names of {', '.join(PARTS)}",
        metavar="NAMES",
    )
    parser.add_argument(
        "--batch-size", type=arguments.wholes, default="1,8,32,128", help="of the steps; comma-separated"
    )
    parser.add_argument(
        "--image-size",
        type=arguments.image_sizes,
        default="28x28x1,28x28x3,64x64x3",
        help="HxWxC of the images, comma-separated",
        metavar="SIZES",
    )
    parser.add_argument("--image-batch", type=arguments.whole, default=32, help="images in a batch of these")
    parser.add_argument("--algorithm", choices=THREADED, default="direct", help="of the single convolutions")
    parser.add_argument(
        "--plot", type=arguments.new_file, help="picture of the crossing, such as scaling.png", metavar="FILE"
    )
    parser.add_argument(
        "--json",
        type=arguments.new_file,
        default="scaling.json",
        help="where to write the figures",
        metavar="FILE",
    )
    return parser.parse_args(argv)


def on_threads(
    function: Callable[[], object], counts: Sequence[int], rounds: int, calls: int
) -> list[dict[str, float]]:
    """Return the summary of the times of a function on each number of threads, in turn.

    The number is set before each call, which takes less than a microsecond.
    """

    def on(count: int) -> Callable[[], object]:
        def call() -> object:
            numba.set_num_threads(count)
            return function()

        return call

    return [summary(times) for times in interleaved([on(count) for count in counts], rounds, calls)]


def step_table(title: str, work: Sequence[tuple[tuple[int, int, int], int]], options: Any) -> Table:
    """Return the table of training steps for each (image size, batch) and each number of threads."""
    columns = [Column("images of", 10), Column("batch", 6, "d"), Column("threads", 8, "d"), *time_columns(9)]
    columns += [Column("images/s", 9, ".0f"), Column("speed-up", 9, ".2f")]
    table = Table(title, columns, notes=["speed-up: median time on one thread, divided by this one."])
    table.start()
    counts = range(1, options.threads + 1)
    for image_size, batch in work:
        model = resized_mnist_cnn(image_size)
        model.compile("adam", "sparse_categorical_crossentropy")
        x, y = images_and_labels(batch, image_size)
        times = on_threads(lambda m=model, x=x, y=y: m.train_on_batch(x, y), counts, options.rounds, 3)
        for count, row in zip(counts, times, strict=True):
            sizes = {"images of": arguments.size_text(image_size), "batch": batch, "threads": count}
            rates = {"images/s": 1e3 * batch / row["ms"], "speed-up": times[0]["ms"] / row["ms"]}
            table.add(sizes | row | rates)
    table.finish()
    return table


def convolution(conv: Conv, batch: int, algorithm: str) -> Callable[[], np.ndarray]:
    """Return the forward pass of a convolution as a function without arguments."""
    given = conv.arguments("conv2d", conv.arrays(batch))
    return lambda: kernels.conv2d(**given, algorithm=algorithm)


def channel_table(options: Any) -> Table:
    """Return the table of a 3x3 convolution to 24x24x64 by channels and number of threads."""
    columns = [Column("channels", 9, "d"), Column("threads", 8, "d"), *time_columns(9)]
    columns += [Column("GFLOP/s", 9, ".1f"), Column("speed-up", 9, ".2f")]
    title = f"Channels: {options.algorithm} conv2d, 3x3, to 24x24x64, batch {options.image_batch}"
    table = Table(title, columns, notes=["GFLOP/s: arithmetic of the definition."])
    table.start()
    counts = range(1, options.threads + 1)
    for channels in CHANNELS:
        conv = Conv((24, 24), channels, 64, (3, 3))
        run = convolution(conv, options.image_batch, options.algorithm)
        times = on_threads(run, counts, options.rounds, 3)
        for count, row in zip(counts, times, strict=True):
            rate = conv.flops(options.image_batch) / row["ms"] / 1e6
            faster = times[0]["ms"] / row["ms"]
            table.add({"channels": channels, "threads": count} | row | {"GFLOP/s": rate, "speed-up": faster})
    table.finish()
    return table


def crossing_table(options: Any) -> Table:
    """Return the table of one convolution by the amount of work, on one thread and on all."""
    columns = [Column("batch", 6, "d"), Column("output", 10), Column("channels", 9, "d")]
    columns += [Column("MFLOP", 9, ".2f"), Column("us, 1 thread", 13, ".1f"), Column("us, all", 9, ".1f")]
    columns += [Column("speed-up", 9, ".2f")]
    table = Table(f"Crossing: {options.algorithm} conv2d, 3x3, 1 and {options.threads} threads", columns)
    table.start()
    for out, channels, filters, batch in WORK:
        conv = Conv((out, out), channels, filters, (3, 3))
        run = convolution(conv, batch, options.algorithm)
        run()  # compiles if necessary
        (first,) = on_threads(run, [1], 1, 3)
        calls = max(3, min(1000, int(1e3 * TURN / first["ms"])))
        one, all_of_them = on_threads(run, [1, options.threads], options.rounds, calls)
        sizes = {"batch": batch, "output": f"{out}x{out}x{filters}", "channels": channels}
        times = {"us, 1 thread": 1e3 * one["ms"], "us, all": 1e3 * all_of_them["ms"]}
        faster = one["ms"] / all_of_them["ms"]
        table.add(sizes | {"MFLOP": conv.flops(batch) / 1e6} | times | {"speed-up": faster})
    table.notes.append(crossing_sentence(table.rows))
    table.finish()
    return table


def crossing_sentence(rows: list[dict[str, Any]]) -> str:
    """Return a sentence: the least work from which all threads are faster, there and for all larger work."""
    rows = sorted(rows, key=lambda row: row["MFLOP"])
    paying = []
    for row in reversed(rows):
        if row["speed-up"] < PAYS:
            break
        paying.append(row)
    if not paying:
        return "More threads pay at none of these sizes."
    return f"More threads pay from {paying[-1]['MFLOP']:.2f} MFLOP on (a speed-up of {PAYS} or more)."


def draw(path: Path, table: Table) -> None:
    """Plot the times of the crossing over the work."""
    from matplotlib.figure import Figure

    rows = sorted(table.rows, key=lambda row: row["MFLOP"])
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    work = [row["MFLOP"] for row in rows]
    for key, label, style in (("us, 1 thread", "1 thread", "o-"), ("us, all", "all threads", "s-")):
        axes.loglog(work, [row[key] for row in rows], style, label=label)
    axes.set_xlabel("work, MFLOP")
    axes.set_ylabel("time, microseconds")
    axes.set_title(table.title, fontsize=10)
    axes.grid(which="both", alpha=0.2)
    axes.legend()
    figure.savefig(path, dpi=120)


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = parse_arguments(argv)
    described = machine.describe(options.threads)
    print(machine.one_line(described))
    tables = []
    if "steps" in options.parts:
        work = [((28, 28, 1), batch) for batch in options.batch_size]
        tables.append(step_table("Training step of mnist_cnn", work, options))
        last = tables[-1].rows[-1]
        speed_up = f"{last['speed-up']:.2f} times as fast"
        print(f"{last['threads']} threads / 1 thread, batch {last['batch']}: {speed_up}")
    if "images" in options.parts:
        work = [(size, options.image_batch) for size in options.image_size]
        tables.append(step_table("Training step by size of the images", work, options))
    if "channels" in options.parts:
        tables.append(channel_table(options))
    if "crossing" in options.parts:
        tables.append(crossing_table(options))
        if options.plot is not None:
            draw(options.plot, tables[-1])
            print(f"Wrote {options.plot}.")
    write_json(options.json, "scaling", argv, described, tables)


if __name__ == "__main__":
    main()
