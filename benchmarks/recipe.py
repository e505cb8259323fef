"""Benchmark of a recipe, from the start of the process to the final weights, compared with PyTorch.

::

    train_mnist.py --recipe fast, recipe_torch.py --recipe fast, train_mnist.py ... -> seconds, ratio

Everything counts: imports, reading the data, augmentation, validation after each epoch, writing the model.
The first run of tinycnn has an empty compilation cache and is reported separately: a new machine sees this
once.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from arguments import parser, whole
from machine import busy, describe, one_line
from reporting import Column, Table, write_json

HERE = Path(__file__).parent
COLUMNS = [
    Column("who", 26),
    Column("runs", 4, "d"),
    Column("s", 8, ".1f"),
    Column("least s", 8, ".1f"),
    Column("most s", 8, ".1f"),
    Column("times tinycnn", 13, ".2f"),
    Column("val accuracy", 12, ".4f"),
]


def run(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Return the seconds that a process took, and the last validation accuracy that it printed."""
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
    return seconds, float(done.stdout.rsplit("val_accuracy ", 1)[1].split()[0])


def row(who: str, runs: list[tuple[float, float]], base: float | None) -> dict[str, object]:
    """Return a row of the table for runs of (seconds, accuracy)."""
    seconds = [second for second, _ in runs]
    middle = statistics.median(seconds)
    times = {"times tinycnn": middle / base} if base else {}
    extremes = {"least s": min(seconds), "most s": max(seconds)}
    accuracy = statistics.fmean(value for _, value in runs)
    return {"who": who, "runs": len(runs), "s": middle, **extremes, **times, "val accuracy": accuracy}


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark."""
    options_of = parser("Time a recipe from the start of the process to the final weights.")
    options_of.set_defaults(rounds=2)
    options_of.add_argument("--recipe", default="fast", help="of tinycnn/recipes.py")
    options_of.add_argument("--epochs", type=whole, help="instead of the recipe's")
    options_of.add_argument("--limit", type=whole, help="train on this many images only")
    options_of.add_argument("--json", type=Path, default=Path("recipe.json"), help="file of the figures")
    options = options_of.parse_args(arguments)
    if (load := busy()) and load > 0.1:
        print(f"Something else keeps the cores busy ({load:.0%}).")
    machine = describe(options.threads, ["torch"])
    print(one_line(machine))
    shared = ["--recipe", options.recipe]
    for name in ("epochs", "limit"):
        shared += [f"--{name}", str(getattr(options, name))] if getattr(options, name) else []
    with tempfile.TemporaryDirectory() as name:
        table = measure(options, shared, Path(name))
    table.finish()
    write_json(options.json, "recipe", arguments, machine, [table])
    return 0


def measure(options, shared: list[str], folder: Path) -> Table:
    """Return the table. The processes run in turn, and the first run of tinycnn compiles."""
    ours = [sys.executable, str(HERE.parent / "examples" / "train_mnist.py"), *shared, "--verbose", "2"]
    theirs = [sys.executable, str(HERE / "recipe_torch.py"), *shared, "--threads", str(options.threads)]
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**dict.fromkeys(names, str(options.threads)), "NUMBA_CACHE_DIR": str(folder / "cache")}
    cold = [run(ours, folder, environment)]
    warm: list[tuple[float, float]] = []
    torch: list[tuple[float, float]] = []
    for _ in range(options.rounds):
        warm.append(run(ours, folder, environment))
        torch.append(run(theirs, folder, environment))
    table = Table(f"Recipe {options.recipe}, from start to final weights", COLUMNS)
    table.start()
    base = statistics.median(second for second, _ in warm)
    table.add(row("tinycnn", warm, None))
    table.add(row("tinycnn, compiling first", cold, base))
    table.add(row("PyTorch", torch, base))
    return table


if __name__ == "__main__":
    sys.exit(main())
