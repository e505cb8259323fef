"""Soak test: memory, open files and threads along many steps and calls; status 1 unless they stay flat.

::

    a part: 10,000 steps -> after each, a tick -> 40 samples (MiB, files, threads) -> growth -> flat or not

A part is flat if its resident memory grows by less than 1 MiB from its second quarter to its last one, by the
medians of their samples, and if the last quarter has no more open files and no more threads. The first
quarter is left out: there kernels are loaded, and the caching allocator fills. Garbage is collected before
each sample, since what waits for the collector is no leak. `--leak BYTES` keeps as many bytes after each
step, on purpose: the program must find them.
"""

import argparse
import gc
import itertools
import mmap
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import arguments
import machine
import numba
import numpy as np
from reporting import Column, Table, write_json

from tinycnn import Sequential
from tinycnn.datasets import Augmentation
from tinycnn.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tinycnn.training import (
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
    ReduceLROnPlateau,
    WeightAverage,
)

PROCESS = Path("/proc/self")
SAMPLES = 40  # of a part
MOST_GROWTH = 1.0  # MiB, of a part that is flat
SHAPES = (12, 11, 1), (9, 8, 3), (14, 10, 2), (16, 16, 1)
SIZES = 1, 2, 7, 8, 9, 31, 64  # of batches: up to 8 images are predicted one by one
CLASSES, STEPS_PER_EPOCH, BATCH = 5, 50, 16
COLUMNS = [
    Column("part", 24),
    Column("count", 7, "d"),
    Column("MiB, early", 10, ".2f"),
    Column("MiB, late", 10, ".2f"),
    Column("growth, MiB", 11, ".2f"),
    Column("files", 6, "d"),
    Column("threads", 7, "d"),
    Column("verdict", 8),
]


class Sample(NamedTuple):
    """Resident memory in MiB, open file descriptors and threads of this process."""

    memory: float
    files: int
    threads: int


Part = Callable[[int, Callable[[], None]], None]


def sample() -> Sample:
    """Return the sample of now, after a collection of garbage."""
    gc.collect()
    pages = int((PROCESS / "statm").read_text(encoding="ascii").split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return Sample(memory, len(os.listdir(PROCESS / "fd")), len(os.listdir(PROCESS / "task")))


LEAKED: list[mmap.mmap] = []  # pages of their own: malloc may return memory that is resident already


def watch(name: str, part: Part, count: int, leak: int = 0) -> dict[str, Any]:
    """Return the row of a part: it is called with a count and a tick, which it calls after each step.

    Parameters
    ----------
    name, part : str, callable
    count : int
        Steps or calls; at least 4.
    leak : int
        Bytes that are kept after each of them.
    """
    samples: list[Sample] = []
    every, ticks = max(1, count // SAMPLES), itertools.count(1)

    def tick() -> None:
        if leak:
            LEAKED.append(mmap.mmap(-1, leak))
            LEAKED[-1].write(b"x" * leak)
        if next(ticks) % every == 0:
            samples.append(sample())

    part(count, tick)
    return {"part": name, "count": count} | judge(samples)


def judge(samples: list[Sample]) -> dict[str, Any]:
    """Return the figures of a part, and its verdict."""
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    before, after = (statistics.median(s.memory for s in some) for some in (early, late))
    files, threads = (max(s[i] for s in late) - max(s[i] for s in early) for i in (1, 2))
    flat = after - before < MOST_GROWTH and files <= 0 and threads <= 0
    return {
        "MiB, early": before,
        "MiB, late": after,
        "growth, MiB": after - before,
        "files": max(s.files for s in late),
        "threads": max(s.threads for s in late),
        "verdict": "flat" if flat else "NOT FLAT",
    }


def network(number: int) -> Sequential:
    """Return a compiled network, small and complete, for one of SHAPES."""
    layers = [
        Conv2D(8, 3, activation="relu"),
        Conv2D(17, 3, activation="relu"),
        MaxPooling2D(2),
        Dropout(0.25),
        Conv2D(9, 2),
        BatchNormalization(),
        Flatten(),
        Dense(20, activation="relu"),
        Dropout(0.5),
        Dense(CLASSES, activation="softmax"),
    ]
    model = Sequential(layers, seed=number, input_shape=SHAPES[number % len(SHAPES)])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def images(number: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images and classes for `network(number)`."""
    rng = np.random.default_rng(number)
    shape = SHAPES[number % len(SHAPES)]
    return rng.random((count, *shape), np.float32), rng.integers(0, CLASSES, count)


def one_fit(count: int, tick: Callable[[], None]) -> None:
    """Take steps in one call of `fit`, with all that it offers."""
    x, y = images(0, STEPS_PER_EPOCH * BATCH)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        callbacks = [
            EarlyStopping("loss", patience=count),
            ModelCheckpoint(str(folder / "best.h5"), save_best_only=True),
            CSVLogger(str(folder / "log.csv")),
            ReduceLROnPlateau("loss", patience=3),
            WeightAverage(),
            LambdaCallback(on_batch_end=lambda batch, logs: tick()),
        ]
        network(0).fit(
            *(x, y, BATCH, -(-count // STEPS_PER_EPOCH)),
            validation_data=(x[:100], y[:100]),
            callbacks=callbacks,
            verbose=0,
            augment=Augmentation(rotation=10, shift=1, elastic=0.5, erasing=0.5),
            checkpoint=folder / "run",
        )


def single_steps(count: int, tick: Callable[[], None]) -> None:
    """Take steps with `train_on_batch`, of batches of all sizes, augmented."""
    model, augment = network(1), Augmentation(rotation=10, shift=1)
    x, y = images(1, max(SIZES))
    for step in range(count):
        size = SIZES[step % len(SIZES)]
        model.train_on_batch(augment(x[:size], seed=0, epoch=step), y[:size])
        tick()


def fits(count: int, tick: Callable[[], None]) -> None:
    """Call `fit`, each time with a new network, of all shapes and batch sizes, and evaluate it."""
    for number in range(count):
        x, y = images(number % len(SHAPES), 64)
        size = SIZES[number % len(SIZES)]
        model = network(number)
        model.fit(x[: 3 * size], y[: 3 * size], size, validation_split=0.3 if size > 2 else 0.0, verbose=0)
        model.evaluate(x, y, verbose=0)
        tick()


def predictions(count: int, tick: Callable[[], None]) -> None:
    """Call `predict` for all shapes and batch sizes; a network in ten is new."""
    models = [network(number) for number in range(len(SHAPES))]
    for number in range(count):
        which = number % len(SHAPES)
        if number % 10 == 0:
            models[which] = network(number)
        x, _ = images(which, 64)
        models[which].predict(x[: SIZES[number % len(SIZES)]], SIZES[-1 - number % 3], verbose=0)
        tick()


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the options; end the program if one is wrong."""
    parser = argparse.ArgumentParser(
        description="Train and predict for long; status 1 unless memory, files and threads stay flat.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--steps", type=arguments.whole, default=20_000, help="training steps")
    parser.add_argument("--calls", type=arguments.whole, default=2_000, help="calls of fit, and of predict")
    parser.add_argument("--leak", type=arguments.whole, default=0, help="bytes to leak after each of them")
    parser.add_argument(
        "--json", type=arguments.new_file, default="soak.json", help="file of the figures", metavar="FILE"
    )
    options = parser.parse_args(argv)
    if options.steps < 8 or options.calls < 4:
        parser.error("expected at least 8 steps and 4 calls: four samples make a verdict")
    if not PROCESS.exists():
        parser.error("expected Linux, whose /proc/self has the figures")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run all parts; return 1 unless all are flat."""
    options = parse_arguments(argv)
    described = machine.describe(numba.get_num_threads())
    print(machine.one_line(described))
    table = Table("Memory, open files and threads along steps and calls", COLUMNS)
    table.notes.append(f"flat: grows by less than {MOST_GROWTH} MiB; no more files, no more threads.")
    table.start()
    half = options.steps // 2
    for name, part, count in (
        ("steps of one fit", one_fit, half),
        ("calls of train_on_batch", single_steps, options.steps - half),
        ("calls of fit", fits, options.calls),
        ("calls of predict", predictions, options.calls),
    ):
        table.add(watch(name, part, count, options.leak))
    table.finish()
    write_json(options.json, "soak", argv, described, [table])
    return int(any(row["verdict"] != "flat" for row in table.rows))


if __name__ == "__main__":
    sys.exit(main())
