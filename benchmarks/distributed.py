"""Benchmark of data parallelism: several processes train one network over MPI, measured and computed.

::

    python benchmarks/distributed.py --peers torch --plot distributed.png
    python benchmarks/distributed.py --ranks 1 2 4 8 16

    jobs of mpiexec, in turn -> steps, curves, Allreduces -> fitted constants -> expected beside measured
    constants, curves, steps by batch -> up to 1,024 ranks, computed

Each number of ranks runs with one thread a rank, and with the cores (`--threads`) shared out among the ranks.
The arithmetic is in `distributed_model.py`.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import arguments
import distributed_batches as batches
import distributed_computed as computed
import distributed_tables as tables
import machine
from distributed_jobs import Job, TorchJob, in_turn, starter
from distributed_model import fit
from reporting import Table, read_tables, write_json

RANK_PARTS = ("steps", "shards", "normalised", "curve", "allreduce", "overlap")
PARTS = (*RANK_PARTS, "batches")
SIZES = [8 * 4**power for power in range(11)] + [2**24]  # bytes


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the options; end the program if one is wrong."""
    parser = arguments.parser("Time training by several processes, and compute it for more.")
    parser.set_defaults(rounds=5)
    add = parser.add_argument
    add("--ranks", type=arguments.whole, nargs="+", default=[1, 2], help="numbers of processes")
    names = f"names of {', '.join(PARTS)}"
    add("--parts", type=arguments.names(PARTS), default=",".join(PARTS), help=names, metavar="NAMES")
    add("--peers", type=arguments.names(["torch"]), default="", help="torch, or none", metavar="NAMES")
    add("--peer-python", default=sys.executable, help="the Python that has the peers", metavar="FILE")
    add("--mpiexec", help="starter of MPI programs, with options; by default that of PATH", metavar="COMMAND")
    add("--batch-size", type=arguments.wholes, default="32,128,512", help="of all ranks together")
    add(
        "--batch", type=arguments.whole, default=128, help="of the experiments, and of a rank in weak scaling"
    )
    add(
        "--images",
        type=arguments.wholes,
        default="1,2,4,8,16,32,64,128,256,512",
        help="of a rank, for the curve",
    )
    add("--steps", type=arguments.whole, default=10, help="timed steps of a job, for each batch size")
    add("--sizes", type=arguments.wholes, default=SIZES, help="bytes of an Allreduce")
    add("--points", type=arguments.wholes, default=list(batches.POINTS), help="steps before a noise scale")
    add("--runs", type=Path, help="file of an earlier run of the part batches, instead of it", metavar="FILE")
    add("--target", type=float, default=0.98, help="validation accuracy of the runs by batch size")
    add("--target-batches", type=arguments.wholes, default="32,64,128,256,512,1024", help="of these runs")
    add("--seeds", type=arguments.whole, default=3, help="of these runs")
    add("--limit", type=arguments.whole, default=10_000, help="training images of these runs")
    add("--epochs", type=arguments.whole, default=20, help="of these runs, at most")
    add("--seconds", type=float, default=math.inf, help="no round of jobs begins that would end later")
    add("--plot", type=arguments.new_file, help="picture; not of `steps` alone", metavar="FILE")
    add("--json", type=arguments.new_file, default="distributed.json", help="where to write the figures")
    return parser.parse_args(argv)


def jobs(options: argparse.Namespace) -> list[Job]:
    """Return the jobs: each number of ranks with one thread a rank, then with all threads shared out."""
    shapes = [(ranks, 1) for ranks in options.ranks]
    shapes += [(ranks, options.threads // ranks) for ranks in options.ranks if options.threads // ranks > 1]
    mpiexec = starter(options.mpiexec)
    found = []
    for ranks, threads in shapes:
        sizes = sorted({*options.batch_size, options.batch * ranks})
        plan = {name: getattr(options, name) for name in ("batch", "steps", "images", "sizes")}
        plan |= {"parts": options.parts, "batches": sizes, "shards": max(options.ranks)}
        found.append(Job(ranks, threads, plan, mpiexec))
    return found


def torch_jobs(options: argparse.Namespace) -> list[TorchJob]:
    """Return the jobs of PyTorch in both memory formats: the most ranks, with all threads shared out."""
    if "torch" not in options.peers:
        return []
    ranks = max(options.ranks)
    threads = max(1, options.threads // ranks)
    sizes = sorted({*options.batch_size, options.batch * ranks})
    return [
        TorchJob(ranks, threads, sizes, options.steps, options.peer_python, channels_last)
        for channels_last in (False, True)
    ]


def measure(options: argparse.Namespace) -> tuple[tables.Measured, tables.Measured]:
    """Return what tinycnn's jobs and what PyTorch's jobs measured; the kernels are compiled before."""
    own, theirs = jobs(options), torch_jobs(options)
    first = {**own[0].plan, "steps": 1, "batches": [options.batch], "sizes": [8], "images": [1, 128]}
    Job(1, options.threads, first, own[0].starter).run()
    found = list(zip([*own, *theirs], in_turn([*own, *theirs], options.rounds, options.seconds), strict=True))
    return found[: len(own)], found[len(own) :]


def measured_tables(
    options: argparse.Namespace, own: tables.Measured, theirs: tables.Measured
) -> dict[str, Table]:
    """Return the tables of what was measured."""
    found = {"steps": tables.step_table(own), "curve": tables.curve_table(own)}
    if theirs:
        found["torch"] = tables.torch_table(found["steps"], theirs)
    if "overlap" in options.parts:
        found["overlap"] = tables.overlap_table(own, options.batch)
    return {name: table for name, table in found.items() if table.rows}


def model_tables(found: dict[str, Table], own: tables.Measured) -> dict[str, Table]:
    """Return the tables of the model, beside the measured points.

    Parameters
    ----------
    found : dict of Table
        Of `measured_tables` and `distributed_batches`, by name.
    own : tables.Measured
    """
    points, shapes = tables.exchanges(own), tables.curves(own)
    if not points or (1, 1) not in shapes:
        return {}
    fewest = min(ranks for ranks, _, _ in points)
    link, residual = fit("shared memory", [point for point in points if point[0] == fewest])
    size = own[0][1][0]["bytes"]
    addition = min(one["addition"] for _, rounds in own for one in rounds) / size
    settings = computed.settings(link, addition, shapes)
    result = {"allreduce": tables.allreduce_table(points, link, residual)}
    if "steps" in found:
        result["check"] = tables.check_table(found["steps"], shapes, link, size)
    result["computed allreduce"] = computed.computed_allreduce(settings, size)
    result["weak"] = computed.weak_table(settings, size)
    result["strong"] = computed.strong_table(settings, size)
    reached = (
        [row for row in found["batches"].rows if row["reached"] == row["runs"]] if "batches" in found else []
    )
    if reached:
        steps = {row["batch"]: row["steps measured"] for row in reached}
        result["target"] = computed.target_table(settings, size, steps)
    return result


def earlier(path: Path) -> dict[str, Table]:
    """Return the tables of the part "batches" in a file of an earlier run.

    Raises
    ------
    SystemExit
        When the file does not have them.
    """
    try:
        tables = read_tables(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(f"--runs: {path}: {error}") from None
    names = {"noise scale": "noise", "steps measured": "batches"}
    found = {names[column.key]: table for table in tables for column in table.columns if column.key in names}
    if len(found) < 2:
        raise SystemExit(f"--runs: expected a file with the part batches, received {path}")
    return found


def show(table: Table) -> None:
    """Print a table that is complete."""
    table.start()
    for row in table.rows:
        print(table.line(row))
    table.finish()


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = parse_arguments(argv)
    described = machine.describe(options.threads, ["mpi4py", "mpich"])
    print(machine.one_line(described))
    found: dict[str, Table] = {}
    own: tables.Measured = []
    if set(options.parts) & set(RANK_PARTS):
        own, theirs = measure(options)
        found = measured_tables(options, own, theirs)
    if options.runs is not None:
        found |= earlier(options.runs)
    elif "batches" in options.parts:
        found |= {"noise": batches.noise_table(options), "batches": batches.steps_table(options)}
    if own:
        found |= model_tables(found, own)
    shown = [table for table in found.values() if table.rows]
    for table in shown:
        show(table)
    if options.plot is not None:
        from distributed_plot import draw

        drawn = draw(options.plot, found)
        print(f"Wrote {options.plot}." if drawn else "No picture: none of these tables has a panel in it.")
    write_json(options.json, "distributed", argv, described, shown)


if __name__ == "__main__":
    main()
