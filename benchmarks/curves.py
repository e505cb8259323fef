"""Plot of validation errors by epoch, for several runs.

::

    classic-0.csv, fast-0.csv, fast-1.csv, ... -> a line for each, a colour for each recipe -> curves.png

The files are those that `train_mnist.py` and `CSVLogger` write. The part of a name before the last hyphen is
the recipe.
"""

import argparse
import csv
import sys
from pathlib import Path

COLOURS = ["#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#666666"]


def errors(path: Path) -> list[float]:
    """Return the percentage of misclassified validation images after each epoch of a history."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not rows[0].get("val_accuracy"):
        raise ValueError(f"{path}: expected a history with val_accuracy")
    return [100 * (1 - float(row["val_accuracy"])) for row in rows]


def draw(histories: dict[str, list[list[float]]], out: Path) -> None:
    """Plot the errors of the runs of each recipe, on a logarithmic axis."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator, StrMethodFormatter

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    for index, (recipe, runs) in enumerate(histories.items()):
        for seed, values in enumerate(runs):
            told = {} if seed else {"label": f"{recipe} ({len(runs)})"}
            colour = COLOURS[index % len(COLOURS)]
            style = {"color": colour, "alpha": 0.7, "linewidth": 1, "marker": ".", "markersize": 3}
            axes.plot(range(1, len(values) + 1), values, **style, **told)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.yaxis.set_minor_locator(LogLocator(subs=()))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g} %"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_title("Errors on validation images")
    axes.grid(alpha=0.3)
    axes.legend(title="recipe (runs)")
    figure.savefig(out, dpi=120)


def main(arguments: list[str] | None = None) -> None:
    """Read the histories and plot them."""
    parser = argparse.ArgumentParser(description="Plot the validation errors of runs.")
    parser.add_argument("histories", type=Path, nargs="+", help="CSV files named RECIPE-SEED.csv")
    parser.add_argument("--out", type=Path, default=Path("curves.png"), help="(default: curves.png)")
    options = parser.parse_args(arguments)
    histories: dict[str, list[list[float]]] = {}
    for path in options.histories:
        histories.setdefault(path.stem.rpartition("-")[0] or path.stem, []).append(errors(path))
    draw(histories, options.out)
    print(f"Wrote {options.out}.")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
