"""Runs that several processes train together: a program, started by `mpiexec` or alone.

::

    python cases.py FOLDER SHARDS NAME NAME ...  -> FOLDER/NAME.npz, with weights and figures, by rank 0

SHARDS is a number, "none" for one part a process, or "alone" for `fit` without a job.
"""

import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from tinycnn import Sequential, distributed
from tinycnn.datasets import Augmentation
from tinycnn.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    MaxPooling2D,
    Softmax,
)
from tinycnn.optimizers import SGD, AdamW
from tinycnn.support.processes import OneProcess
from tinycnn.training import Callback, EarlyStopping, WeightAverage

RNG = np.random.default_rng(4)
X, Y = RNG.random((61, 9, 8, 2), np.float32), RNG.integers(0, 3, 61)
WEIGHTS = RNG.random(61)


class Counts(Callback):
    """Counts the epochs that this process has seen end, and stops the run in rank 1 alone."""

    def __init__(self, stop_at=-1):
        self.epochs, self.stop_at = 0, stop_at

    def on_epoch_end(self, epoch, logs):
        self.epochs += 1

    def on_batch_end(self, batch, logs):
        if self.model.steps_trained == self.stop_at and JOB.rank == min(1, JOB.size - 1):
            self.model.stop_training = True


def dense(optimizer="adam", dtype="float32"):
    """A network that compiles no kernel."""
    layers = [GaussianNoise(0.2), Flatten(), Dense(11, activation="relu"), Dropout(0.3), Dense(3), Softmax()]
    model = Sequential(layers, seed=7, input_shape=X.shape[1:], dtype=dtype)
    model.compile(optimizer, metrics=["accuracy"])
    return model


def convolutional(optimizer, normalised=False, dtype="float32"):
    """Fused convolution, pool and dropout, or batch normalisation in their place; two more dropouts."""
    first = [Conv2D(6, 3, activation="relu"), MaxPooling2D(2), Dropout(0.2)]
    if normalised:
        first = [
            Conv2D(6, 3, use_bias=False),
            BatchNormalization(momentum=0.8),
            Activation("relu"),
            Dropout(0.2),
        ]
    layers = [
        *first,
        Conv2D(5, 2, activation="relu"),
        Flatten(),
        Dropout(0.3),
        Dense(3, activation="softmax"),
    ]
    model = Sequential(layers, seed=8, input_shape=X.shape[1:], dtype=dtype)
    model.compile(optimizer, metrics=["accuracy"])
    return model


def fit(model, **arguments):
    """Train on uneven batches: 48 images in batches of 13, the last of which has 9."""
    settings = {"batch_size": 13, "epochs": 3, "validation_split": 0.2, "verbose": 0}
    model.fit(X.astype(model.dtype), Y, **{**settings, **arguments})
    return model


def small_batches():
    """Batches of 3 and of 1 (49 images): with 4 processes some have none."""
    return fit(dense(SGD(0.05, momentum=0.9)), batch_size=3, epochs=1, validation_split=0.196)


def small_normalised_batches():
    """Batches of 3 or less for batch normalisation."""
    return fit(convolutional(SGD(0.02), True), batch_size=3, epochs=1)


def everything():
    """Augmentation, weights of images, weight decay, a clipped norm, an average, an early stop."""
    callbacks = [WeightAverage(0.8), EarlyStopping("val_loss", patience=1), Counts()]
    augment = Augmentation(shift=1, rotation=20, erasing=0.5)
    optimizer = AdamW(0.01, {"*/kernel": 0.1}, global_clipnorm=0.5)
    return fit(
        convolutional(optimizer), augment=augment, callbacks=callbacks, sample_weight=WEIGHTS, epochs=4
    )


def generator():
    """Batches of an iterable, with classes that count differently."""
    model = dense()
    batches = [(X[start : start + 7], Y[start : start + 7]) for start in range(0, 61, 7)]
    model.fit(batches, epochs=2, validation_data=(X[:10], Y[:10]), class_weight={1: 2.0}, verbose=0)
    return model


def stopped():
    """One process alone stops the run after step 6."""
    model, counts = dense(), Counts(stop_at=6)
    fit(model, callbacks=[counts])
    assert (model.steps_trained, counts.epochs) == (6, 1)
    return model


def wrong_masks():
    """What a part of a batch has when its dropout masks begin anew: to see that the comparison sees it."""
    Dropout.first_row = property(lambda self: 0, lambda self, value: None)
    return fit(dense())


CASES = {
    "dense": lambda: fit(dense()),
    "momentum": lambda: fit(dense(SGD(0.05, momentum=0.9))),
    "convolutional": lambda: fit(convolutional(SGD(0.05, momentum=0.9))),
    "normalised": lambda: fit(convolutional(SGD(0.05, momentum=0.9), True)),
    "double": lambda: fit(convolutional("adam", True, "float64")),
    "small_batches": small_batches,
    "small_normalised_batches": small_normalised_batches,
    "everything": everything,
    "generator": generator,
    "stopped": stopped,
    "wrong_masks": wrong_masks,
}


def save(path, model):
    """Write all that a run leaves."""
    figures = {f"history/{name}": column for name, column in model.history.history.items()}
    weights = {f"weights/{name}": array for name, array in model.named_weights()}
    slots = {f"slots/{name}": slot for name, slot in model.optimizer.slots.items()}
    np.savez(path, **figures, **weights, **slots)


if __name__ == "__main__":
    folder, shards, *names = sys.argv[1:]
    JOB = OneProcess()
    parts = int(shards) if shards.isdecimal() else None
    with nullcontext(JOB) if shards == "alone" else distributed.DataParallel(parts, timeout=20.0) as JOB:
        for name in names:
            trained = CASES[name]()
            if JOB.main:
                save(Path(folder, f"{name}.npz"), trained)
