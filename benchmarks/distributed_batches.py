"""How large a batch helps `mnist_cnn`: the noise scale of its gradient, and the steps to a target.

::

    weights after some steps, small batches -> |G_small|^2, |G_large|^2 -> simple noise scale, in images
    batch 32, 64, ... with a rate in proportion -> steps and images until the validation accuracy is reached

More ranks help as long as larger batches save steps. Nothing here is a time, so it may run on a busy machine.
"""

import argparse
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from distributed_model import fit_steps, noise_scale
from reporting import Column, Table

import tinycnn
from tinycnn.datasets import load_mnist, scale_images
from tinycnn.optimizers import SGD
from tinycnn.optimizers.schedules import Warmup
from tinycnn.training.batches import epoch_order, split

KEPT = 2500  # validation images
SMALL = 64  # images of a small batch
LARGE = 4096  # of a large one, which is the mean of small ones
REPEATS = 4  # large batches at each point of training
POINTS = (1, 50, 200, 800, 2000)  # steps of 128 images before a noise scale is measured
RATE = 0.01  # of a batch of 32; in proportion for others
MOMENTUM = 0.9
WARM_UP = 10_000  # images during which the rate rises
EVALUATED = 1280  # images between two evaluations, for all batch sizes


def data(seed: int, limit: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y to train on, at most `limit` images that the seed takes, and x, y of validation."""
    (x, y), _ = load_mnist()
    rows, kept = split(y, KEPT / len(y), 0)
    rows = np.random.default_rng(seed).permutation(rows)[:limit]
    return scale_images(x[rows]), y[rows].astype(int), scale_images(x[kept]), y[kept].astype(int)


def row_batches(seed: int, images: int, batch: int) -> Iterator[np.ndarray]:
    """Yield the rows of whole batches, epoch after epoch, without end."""
    for epoch in itertools.count():
        order = epoch_order(seed, epoch, images)
        for start in range(0, images - batch + 1, batch):
            yield order[start : start + batch]


def squared_norms(model: Any, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the mean |gradient|^2 of small batches, and that of their mean; the weights stay."""
    total, squares = np.zeros(model.gradients.size), []
    starts = range(0, len(x), SMALL)
    for start in starts:
        rows = slice(start, start + SMALL)
        model.compute_gradients(x[rows], y[rows], first_row=start)
        gradient = model.gradients.astype(np.float64)
        squares.append(gradient @ gradient)
        total += gradient
    total /= len(starts)
    return float(np.mean(squares)), float(total @ total)


def noise_table(options: argparse.Namespace) -> Table:
    """Return the table of the simple noise scale at some points of training with Adam."""
    columns = [Column("steps before", 12, "d"), Column("val accuracy", 12, ".4f"), Column("|G|^2", 9, ".2e")]
    columns += [Column("|g|^2 of 64", 11, ".2e"), Column("noise scale", 11, ".0f")]
    columns += [Column("least", 8, ".0f"), Column("most", 8, ".0f")]
    table = Table("Simple noise scale of the gradient of mnist_cnn, in images (measured)", columns)
    table.notes.append(
        f"From batches of {SMALL} and {LARGE} images, {REPEATS} times; steps are of 128, Adam."
    )
    table.notes.append("|G|^2: of 4,096 images. least, most: of the repeats, one by one.")
    x, y, x_kept, y_kept = data(0)
    model = tinycnn.mnist_cnn(seed=0)
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    batches = row_batches(0, len(x), 128)
    for steps in options.points:
        for rows in itertools.islice(batches, steps - model.steps_trained):
            model.train_step(x[rows], y[rows])
        accuracy = model.evaluate(x_kept, y_kept, verbose=0)[1]
        order = np.random.default_rng(steps).permutation(len(x))[: REPEATS * LARGE].reshape(REPEATS, LARGE)
        norms = np.array([squared_norms(model, x[rows], y[rows]) for rows in order])
        small, large = norms.mean(axis=0)
        scales = [noise_scale(*pair, SMALL, LARGE) for pair in norms]
        row = {"steps before": steps, "val accuracy": accuracy, "|G|^2": large, "|g|^2 of 64": small}
        spread = {"least": min(scales), "most": max(scales)}
        table.rows.append(row | {"noise scale": noise_scale(small, large, SMALL, LARGE)} | spread)
        print(f"noise scale after {steps} steps: {table.line(table.rows[-1])}", flush=True)
    return table


def steps_to(target: float, batch: int, seed: int, limit: int, epochs: int) -> int | None:
    """Return the steps of a run until its validation accuracy reaches the target, or None."""
    x, y, x_kept, y_kept = data(seed, limit)
    model = tinycnn.mnist_cnn(seed=seed)
    rate = Warmup(RATE * batch / 32, math.ceil(WARM_UP / batch))
    model.compile(SGD(rate, MOMENTUM), "sparse_categorical_crossentropy", ["accuracy"])
    every = math.ceil(EVALUATED / batch)
    for rows in itertools.islice(row_batches(seed, len(x), batch), epochs * (len(x) // batch)):
        model.train_step(x[rows], y[rows])
        if model.steps_trained % every == 0:
            loss, accuracy = model.evaluate(x_kept, y_kept, verbose=0)
            if accuracy >= target:
                return int(model.steps_trained)
            if not math.isfinite(loss):
                break
    return None


def steps_table(options: argparse.Namespace) -> Table:
    """Return the table of steps by batch size, and what two constants expect of them."""
    columns = [Column("batch", 6, "d"), Column("rate", 7, ".3f"), Column("runs", 5, "d")]
    columns += [Column("reached", 8, "d"), Column("steps measured", 15, ".0f"), Column("least", 7, "d")]
    columns += [Column("most", 7, "d"), Column("steps expected", 15, ".0f"), Column("images", 9, ".0f")]
    target = f"{options.target:.1%}"
    title = f"Steps of mnist_cnn to a validation accuracy of {target}, by batch (measured)"
    table = Table(title, columns)
    for batch in options.target_batches:
        limits = options.limit, options.epochs
        runs = [steps_to(options.target, batch, seed, *limits) for seed in range(options.seeds)]
        reached = [steps for steps in runs if steps is not None]
        row = {"batch": batch, "rate": RATE * batch / 32, "runs": len(runs), "reached": len(reached)}
        if reached:
            median = float(np.median(reached))
            row |= {"steps measured": median, "least": min(reached), "most": max(reached)}
            row |= {"images": median * batch}
        table.rows.append(row)
        print(f"batch {batch}: steps {runs}", flush=True)
    all_reached = [row for row in table.rows if row["reached"] == row["runs"]]
    if len(all_reached) < 2:
        return table
    least, images = fit_steps((row["batch"], row["steps measured"]) for row in all_reached)
    for row in table.rows:
        row["steps expected"] = least + images / row["batch"]
    table.notes += [
        f"{options.limit} images, SGD with momentum {MOMENTUM}; the rate, in proportion to the batch, rises",
        f"over the first {WARM_UP} images. expected: {least:.0f} + {images:.0f} / batch, fitted to batches",
        f"of which all runs arrive. The critical batch is {images / max(least, 1e-9):,.0f} images.",
    ]
    return table
