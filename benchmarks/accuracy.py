"""Accuracy of a recipe over several seeds: 0, 1, 2, ...

::

    train_mnist.py --recipe fast --seed 0, 1, ... -> errors on the test set -> mean, sd, min, max

A full run may take days, and can be stopped: each training has a checkpoint, and each result is a line in
`RECIPE.csv`. The same command continues after a stop; a command with other options is refused. Seeds count
from 0, and none is left out.
"""

import argparse
import csv
import datetime
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from arguments import whole

from tinycnn.training.checkpoint_files import NAME as CHECKPOINT

COLUMNS = [
    "seed",
    "val_errors",
    "test_errors",
    "first_half",
    "second_half",
    "seconds",
    "date",
    "commit",
    "options",
]


def train(recipe: str, seed: int, folder: Path, more: list[str]) -> str:
    """Train with one seed, or resume; return the seconds it took, or "" for a resumed run."""
    program = str(Path(__file__).parents[1] / "examples" / "train_mnist.py")
    told = folder / "options.json"
    begun = (folder / "run" / CHECKPOINT).exists()
    if begun and json.loads(told.read_text(encoding="utf-8")) != more:
        raise SystemExit(f"{folder} has a run with other options: give another --work")
    given = [
        "--recipe",
        recipe,
        "--seed",
        str(seed),
        "--out",
        str(folder / "model.h5"),
        "--verbose",
        "2",
        *more,
    ]
    arguments = ["--resume", str(folder / "run")] if begun else ["--checkpoint", str(folder / "run"), *given]
    folder.mkdir(parents=True, exist_ok=True)
    told.write_text(json.dumps(more), encoding="utf-8")
    start = time.perf_counter()
    with open(folder / "log.txt", "a", encoding="utf-8") as log:
        done = subprocess.run([sys.executable, program, *arguments], stdout=log, stderr=log, check=False)
    if done.returncode or not (folder / "model.h5").exists():
        raise SystemExit(f"{folder / 'log.txt'}: the run with seed {seed} failed")
    return "" if begun else f"{time.perf_counter() - start:.0f}"


def result(seed: int, folder: Path, data: Path | None) -> dict[str, object]:
    """Return the result of one trained model, a line of `RECIPE.csv`."""
    import tinycnn
    from tinycnn.cli.evaluate import commit
    from tinycnn.cli.train import VALIDATION_IMAGES
    from tinycnn.datasets import load_mnist, scale_images

    (_, y_train), (x, y) = load_mnist(data)
    kept = round(min(VALIDATION_IMAGES, len(y_train) * 0.1))
    wrong = tinycnn.load_model(folder / "model.h5").predict(scale_images(x)).argmax(axis=1) != y
    with open(folder / "model.csv", newline="", encoding="utf-8") as file:
        last = list(csv.DictReader(file))[-1]
    return {
        "seed": seed,
        "val_errors": round((1 - float(last["val_accuracy"])) * kept),
        "test_errors": int(wrong.sum()),
        "first_half": int(wrong[: len(y) // 2].sum()),
        "second_half": int(wrong[len(y) // 2 :].sum()),
        "date": f"{datetime.date.today()}",
        "commit": commit(),
    }


def summary(errors: list[int], images: int) -> str:
    """Return mean, standard deviation, minimum and maximum of the accuracies, in percent, as text."""
    accuracies = 100 * (1 - np.array(errors) / images)
    spread = statistics.stdev(accuracies) if len(errors) > 1 else 0.0
    return (
        f"{len(errors)} seeds: mean {accuracies.mean():.3f} %, sd {spread:.3f}, "
        f"min {accuracies.min():.2f}, max {accuracies.max():.2f}"
    )


def main(arguments: list[str] | None = None) -> None:
    """Train with the seeds that are not done yet."""
    parser = argparse.ArgumentParser(description="Train a recipe with several seeds.")
    parser.add_argument("--recipe", default="fast", help="of tinycnn/recipes.py (default: fast)")
    parser.add_argument("--seeds", type=whole, default=5, help="how many, from 0 on (default: 5)")
    parser.add_argument("--data", type=Path, help="a folder with four IDX files (default: MNIST)")
    parser.add_argument("--epochs", type=whole, help="instead of the recipe's")
    parser.add_argument("--limit", type=whole, help="train on this many images only")
    parser.add_argument("--work", type=Path, default=Path("trainings"), help="models and checkpoints")
    parser.add_argument("--out", type=Path, default=Path("."), help="the folder of RECIPE.csv (default: .)")
    options = parser.parse_args(arguments)
    if not options.out.is_dir():
        parser.error(f"--out: the folder does not exist: {options.out}")
    given = {name: getattr(options, name) for name in ("data", "epochs", "limit")}
    given = {f"--{name}": value for name, value in given.items() if value is not None}
    more = [text for name, value in given.items() for text in (name, str(value))]
    told = " ".join(
        f"{name} {getattr(value, 'name', value)}" for name, value in given.items()
    )  # file names, without folders
    path = options.out / f"{options.recipe}.csv"
    rows: list[dict[str, object]] = []
    if path.exists():
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    if any(row.get("options") != told for row in rows):
        raise SystemExit(f"{path} has runs with other options: give another --out")
    for seed in range(len(rows), options.seeds):
        folder = options.work / f"{options.recipe}-{seed}"
        seconds = train(options.recipe, seed, folder, more)
        rows.append({**result(seed, folder, options.data), "seconds": seconds, "options": told})
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if seed == 0:
                writer.writeheader()
            writer.writerow(rows[-1])
        print("  ".join(f"{name} {rows[-1][name]}" for name in COLUMNS), flush=True)
    from tinycnn.datasets import load_mnist

    commits = {row["commit"] for row in rows}
    if len(commits) > 1:
        print(f"Several commits, {', '.join(map(str, commits))}: was the recipe the same in all of them?")
    print(summary([int(str(row["test_errors"])) for row in rows], len(load_mnist(options.data)[1][1])))


if __name__ == "__main__":
    main()
