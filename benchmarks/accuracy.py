"""How accurate is a recipe? One training after the other, with seeds 0, 1, 2, ..., and what they came to.

::

    train_mnist.py --recipe fast --seed 0, 1, ... -> errors on the test set -> mean, sd, least, most

Days of processor time need not be spent at once: each training has a checkpoint, and each result is a line in
`RECIPE.csv`; the same command goes on after a stop. Seeds are those from 0 on, and none is left out.
"""

import argparse
import csv
import datetime
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from arguments import whole

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

COLUMNS = ["seed", "val_errors", "test_errors", "first_half", "second_half", "seconds", "date", "commit"]


def train(recipe: str, seed: int, folder: Path, more: list[str]) -> float:
    """Train with one seed, or go on with it; return the seconds that this took."""
    program = str(Path(__file__).parents[1] / "examples" / "train_mnist.py")
    begun = (folder / "run" / "settings.json").exists()
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
    start = time.perf_counter()
    with open(folder / "log.txt", "a", encoding="utf-8") as log:
        done = subprocess.run([sys.executable, program, *arguments], stdout=log, stderr=log, check=False)
    if done.returncode or not (folder / "model.h5").exists():
        raise SystemExit(f"{folder / 'log.txt'}: the training of seed {seed} failed")
    return time.perf_counter() - start


def result(seed: int, folder: Path, data: Path | None, seconds: float) -> dict[str, object]:
    """Return the line of a trained model."""
    from evaluate_mnist import commit
    from train_mnist import VALIDATION_IMAGES

    import tinycnn
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
        "seconds": round(seconds),
        "date": f"{datetime.date.today()}",
        "commit": commit(),
    }


def summary(errors: list[int], images: int) -> str:
    """Return mean, standard deviation, least and most of the accuracies, in percent."""
    accuracies = 100 * (1 - np.array(errors) / images)
    spread = statistics.stdev(accuracies) if len(errors) > 1 else 0.0
    return (
        f"{len(errors)} seeds: mean {accuracies.mean():.3f} %, sd {spread:.3f}, "
        f"least {accuracies.min():.2f}, most {accuracies.max():.2f}"
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the trainings that are not done yet."""
    parser = argparse.ArgumentParser(description="Train a recipe with several seeds.")
    parser.add_argument("--recipe", default="fast", help="of examples/recipes.py (default: fast)")
    parser.add_argument("--seeds", type=whole, default=5, help="how many, from 0 on (default: 5)")
    parser.add_argument("--data", type=Path, help="a folder with four IDX files (default: MNIST)")
    parser.add_argument("--epochs", type=whole, help="instead of the recipe's")
    parser.add_argument("--limit", type=whole, help="train on so many images only")
    parser.add_argument("--work", type=Path, default=Path("trainings"), help="for models and checkpoints")
    parser.add_argument("--out", type=Path, default=Path("."), help="the folder of RECIPE.csv (default: .)")
    options = parser.parse_args(arguments)
    more = [
        text
        for name in ("data", "epochs", "limit")
        if (value := getattr(options, name)) is not None
        for text in (f"--{name}", str(value))
    ]
    path = options.out / f"{options.recipe}.csv"
    rows: list[dict[str, object]] = []
    if path.exists():
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    for seed in range(len(rows), options.seeds):
        folder = options.work / f"{options.recipe}-{seed}"
        rows.append(result(seed, folder, options.data, train(options.recipe, seed, folder, more)))
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if seed == 0:
                writer.writeheader()
            writer.writerow(rows[-1])
        print("  ".join(f"{name} {rows[-1][name]}" for name in COLUMNS), flush=True)
    from tinycnn.datasets import load_mnist

    print(summary([int(str(row["test_errors"])) for row in rows], len(load_mnist(options.data)[1][1])))


if __name__ == "__main__":
    main()
