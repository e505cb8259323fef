"""Benchmark of the convolution algorithms on the layers of `mnist_cnn`, with a roofline plot.

::

    python benchmarks/conv.py --peers torch,onnxruntime --roofline conv.png
    python benchmarks/conv.py --layers depthwise1,depthwise2,depthwise3,depthwise4 --peers torch
    python benchmarks/conv.py --mine my_kernel.py

    peaks of the machine -> for each layer and pass: check all, then time the correct ones, in turn

README.md in this folder says how each figure is counted.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import arguments
import contestants
import machine
import mine
import roofline
from cases import LAYERS, NETWORK, PASSES
from checking import LIMIT, judge
from contestants import Contestant, Problem
from reporting import Column, Table, time_columns, write_json
from timing import interleaved, summary

from tinycnn.kernels import ALGORITHMS

COLUMNS = [
    Column("layer", 10),
    Column("pass", 15),
    Column("who", 20),
    Column("error", 8, ".1e"),
    *time_columns(),
    Column("GFLOP/s", 8, ".1f"),
    Column("GB/s", 6, ".1f"),
    Column("of FMA", 7, ".0%"),
    Column("of memory", 9, ".0%"),
]
NOTES = [
    "error: relative rms difference from float64. GFLOP/s: arithmetic of the definition.",
    "GB/s: every operand and the result once. of FMA, of memory: shares of the machine's measured peaks;",
    "above 100 % of FMA, multiplications were saved.",
]
POOLED_NOTE = (
    "sparse: the gradients of a convolution followed by ReLU, max-pool and dropout, over non-zeros only: "
    f"{contestants.POOLED_DENSITY / 4:.0%}."
)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the options; end the program if one is wrong."""
    parser = arguments.parser("Time the convolution algorithms on the layers of mnist_cnn.")
    usual = ",".join(name for name in ALGORITHMS if name != "naive")
    text = f"names of {', '.join(ALGORITHMS)} (naive takes hours at these sizes), or none"
    parser.add_argument(
        "--algorithms", type=arguments.names(ALGORITHMS), default=usual, help=text, metavar="NAMES"
    )
    for option, choices, chosen in (("--layers", LAYERS, NETWORK), ("--passes", PASSES, PASSES)):
        parser.add_argument(
            option,
            type=arguments.names(choices),
            default=",".join(chosen),
            help=f"names of {', '.join(choices)}",
            metavar="NAMES",
        )
    parser.add_argument("--batch-size", type=arguments.whole, default=128, help="images in a batch")
    parser.add_argument(
        "--peers",
        type=arguments.names(contestants.PEERS),
        default="",
        help=f"names of {', '.join(contestants.PEERS)}",
        metavar="NAMES",
    )
    parser.add_argument("--mine", type=Path, help="a Python file with a kernel of your own", metavar="FILE")
    parser.add_argument(
        "--roofline", type=arguments.new_file, help="picture to draw, such as conv.png", metavar="FILE"
    )
    parser.add_argument(
        "--json",
        type=arguments.new_file,
        default="conv.json",
        help="where to write the figures",
        metavar="FILE",
    )
    options = parser.parse_args(argv)
    options.functions = {}
    if options.mine is not None:
        try:
            options.functions = mine.load(options.mine)
        except ValueError as error:
            parser.error(f"--mine: {error}")
    needed = [(f"--peers {name}", package) for name in options.peers for package in contestants.PEERS[name]]
    for what, package in needed + [("--roofline", "matplotlib")] * (options.roofline is not None):
        if find_spec(package) is None:
            parser.error(f'{what}: {package} is not installed; pip install "tinycnn[bench,peers]"')
    return options


def all_contestants(problem: Problem, options: argparse.Namespace) -> Iterator[Contestant]:
    """Yield the requested contestants, as far as they have this pass."""
    for name in options.algorithms:
        yield contestants.algorithm(name, problem)
    if options.algorithms and problem.conv.pooled and problem.function != "conv2d":
        yield contestants.sparse(problem)
    if problem.operation in options.functions:
        yield contestants.from_function(options.mine.name[:20], options.functions[problem.operation], problem)
    yield from contestants.peers(options.peers, problem, options.threads)


def checked(problem: Problem, options: argparse.Namespace) -> Iterator[tuple[Contestant, float | None, str]]:
    """Yield each contestant with its error, and the reason not to time it, or an empty string."""
    for contestant in all_contestants(problem, options):

        def answered(entry: Contestant = contestant, **given: Any) -> Any:
            return entry.answer(entry.call(**given))

        kind, error, reason = judge(answered, contestant.arguments, contestant.expected)
        yield contestant, error, "" if kind == "right" else f"{kind}: {reason}"


def measure(problem: Problem, options: argparse.Namespace, peaks: dict[str, float]) -> list[dict[str, Any]]:
    """Return the rows of one layer and pass: the correct ones with their times, then the others."""
    right, rows = [], []
    for contestant, error, reason in checked(problem, options):
        row = {"layer": problem.layer, "pass": problem.title, "who": contestant.who, "error": error}
        if reason:
            rows.append(row | {"reason": reason})
        else:
            right.append((contestant, row))
    calls: list[Callable[[], object]] = [
        lambda entry=contestant: entry.call(**entry.arguments)  # type: ignore[misc]
        for contestant, _ in right
    ]
    timed = []
    for (contestant, row), seconds in zip(right, interleaved(calls, options.rounds), strict=True):
        times = summary(seconds)
        flops, traffic = problem.flops / times["ms"] / 1e6, contestant.traffic / times["ms"] / 1e6
        rates = {"GFLOP/s": flops, "GB/s": traffic, "FLOP/byte": problem.flops / contestant.traffic}
        shares = {"of FMA": flops / peaks["GFLOP/s"], "of memory": traffic / peaks["GB/s"]}
        timed.append(row | times | rates | shares)
    return better_format(timed) + rows


def better_format(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows without the slower of PyTorch's two memory formats."""
    formats = [row for row in rows if row["who"] in contestants.TORCH]
    slower = sorted(formats, key=lambda row: row["ms"])[1:]
    return [row for row in rows if row not in slower]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return 1 if a result was wrong, else 0."""
    options = parse_arguments(argv)
    with machine.pinned(options.threads):
        return run(options, argv)


def run(options: argparse.Namespace, argv: list[str] | None) -> int:
    """Measure, print, write and draw as requested; return the exit status."""
    packages = [package for name in options.peers for package in contestants.PEERS[name]]
    described = machine.describe(options.threads, packages)
    print(machine.one_line(described))
    peaks = {"GFLOP/s": machine.fma_peak(options.threads), "GB/s": machine.bandwidth(options.threads)}
    print(f"measured peaks: {peaks['GFLOP/s']:.0f} GFLOP/s in registers, {peaks['GB/s']:.1f} GB/s of memory")
    verdicts = mine.report(options.mine, options.functions) if options.functions else []
    title = f"Convolutions, batch {options.batch_size}, {options.rounds} rounds"
    table = Table(title, COLUMNS, notes=[*NOTES])
    table.start()
    for layer in options.layers:
        arrays = LAYERS[layer].arrays(options.batch_size)
        for word in options.passes:
            problem = Problem(layer, LAYERS[layer], word, options.batch_size, arrays)
            for row in measure(problem, options, peaks):
                table.add(row)
                if "reason" in row:
                    print(f"      {row['reason']}")
    if any(row["who"] == "sparse" for row in table.rows):
        table.notes.append(POOLED_NOTE)
    if any(verdict["wrong"] for verdict in verdicts):
        table.notes.append(f"{options.mine.name}: WRONG at some shapes, see above; do not trust its times.")
    table.finish()
    write_json(options.json, "conv", argv, described, [table], peaks=peaks, limit=LIMIT, mine=verdicts)
    if options.roofline is not None:
        roofline.draw(options.roofline, table.rows, peaks, table.title)
        print(f"Wrote {options.roofline}.")
    wrong = [row for row in table.rows if row.get("reason", "").startswith("wrong")]
    return int(bool(wrong) or any(verdict["wrong"] for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
