"""Training of `mnist_cnn` on MNIST: trains, tests, and writes mnist_cnn.h5.

::

    images -> mnist_cnn -> a recipe -> mnist_cnn.h5, mnist_cnn.csv, mnist_cnn.png, mnist_cnn.run.json

The data are in the package; `--data` reads any set in the same format, such as Fashion-MNIST. 5,000 training
images are kept for validation, the same ones for every seed. The 10,000 test images are used once, at the
end. With `--checkpoint run` the run can be stopped at any moment, by Ctrl-C or worse. Then `--resume run`
continues it, and it ends with the same bits. Files of an earlier run are replaced by a finished run only.
"""

import argparse
import dataclasses
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinycnn
from tinycnn import distributed, kernels, recipes, saving
from tinycnn.cli.output import UsageError, say
from tinycnn.datasets import load_mnist, scale_images
from tinycnn.inspection.plots import plot_history
from tinycnn.recipes import RECIPES, Recipe
from tinycnn.support.files import atomic_path
from tinycnn.support.processes import OneProcess
from tinycnn.support.randomness import generator
from tinycnn.training import Callback, History, ModelCheckpoint, RunReceipt, StopOnInterrupt
from tinycnn.training.batches import split
from tinycnn.training.checkpoint_files import NotSavedError, existing

VALIDATION_IMAGES, VALIDATION_SEED = 5_000, 0
SETTINGS = "settings.json"  # in the folder of a checkpoint: the options of the run
SIGNALLED = 128  # exit status of a program that a signal ended, less the number of the signal
FAILED = 1
PATHS = ("data", "out", "checkpoint")
#: The values of options that are not given; None is the recipe's.
DEFAULTS: dict[str, Any] = {
    "recipe": "classic",
    "epochs": None,
    "batch_size": None,
    "learning_rate": None,
    "seed": 0,
    "data": None,
    "out": Path("mnist_cnn.h5"),
    "limit": None,
    "algorithm": "auto",
    "verbose": "auto",
    "checkpoint": None,
    "keep_every": None,
    "shards": None,
    "timeout": 30.0,
}
#: The options that replace settings of the recipe, and all those that the weights depend on.
OF_RECIPE = ("epochs", "batch_size", "learning_rate")
REPEATED = ("recipe", *OF_RECIPE, "seed", "data", "limit", "algorithm", "shards")
RECEIPT = ".run.json"  # in the place of the suffix of the model
KEPT = "epoch_{epoch:03d}_batch_{batch:05d}.npz"  # models along the run, in the folder of a checkpoint


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; one that is not given is None, so that `--resume` can refuse the others."""
    add = parser.add_argument
    add("--recipe", choices=RECIPES, help="how to train (default: classic)")
    add("--epochs", type=int, help="passes over the training images (default: the recipe's)")
    add("--batch-size", type=int, help="images in one step (default: the recipe's)")
    add("--learning-rate", type=float, help="largest rate of Adam (default: the recipe's)")
    add("--seed", type=int, help="the same seed gives the same run (default: 0)")
    add("--data", type=Path, help="a folder with four IDX files (default: the MNIST of the package)")
    add("--out", type=Path, help=f"the model's file; its suffix is the format (default: {DEFAULTS['out']})")
    add("--limit", type=int, help="train on this many images, drawn by the seed")
    add("--algorithm", choices=["auto", *kernels.ALGORITHMS], help="of the convolutions (default: auto)")
    add("--verbose", choices=["auto", "0", "1", "2"], help="0: silent, 1: a bar, 2: lines (default: auto)")
    add("--checkpoint", type=Path, help="a new folder for the state of the run")
    add("--keep-every", type=int, metavar="STEPS", help="keep models there, for `tinycnn serve --checkpoint`")
    add("--shards", type=int, help="parts of a batch, for equal bits on any number of processes")
    add("--timeout", type=float, help="seconds to wait for a process that hangs (default: 30)")
    add("--resume", type=Path, help="continue the run of such a folder, with its options")


def run(options: argparse.Namespace) -> int:
    """Train mnist_cnn on MNIST, write the model, its history and its curves, and test it once."""
    options = distributed.from_main(lambda: complete(options))
    with distributed.launched(options.shards, options.timeout) as job:
        return train(options, job)


def train(options: argparse.Namespace, job: OneProcess) -> int:
    """Do the work of `run`, in each process of a job; the main one prints and writes files."""
    (x_train, y_train), (x_test, y_test) = load_mnist(options.data)
    model, arguments, callbacks = prepared(options, x_train, y_train)
    if job.main:
        model.summary()
    if options.algorithm == "auto":
        tinycnn.warmup(training_only=True)  # on a new machine: on all cores, sooner than step by step
    interrupt, receipt, not_saved = StopOnInterrupt(), receipt_of(options), None
    callbacks += [*along(options), receipt, interrupt]
    try:
        model.fit(
            **arguments,
            callbacks=callbacks,
            verbose=options.verbose if options.verbose == "auto" else int(options.verbose),
            checkpoint=options.checkpoint,
        )
    except NotSavedError as error:  # the model is in memory, and may have another disk to go to
        not_saved = error
    stopped = job.any(any(callback.interrupted for callback in callbacks))
    status = FAILED if interrupt.signal is None else SIGNALLED + interrupt.signal
    if not job.main:
        return status if stopped else 0
    if interrupt.interrupted:
        say(f"Stopped after {model.steps_trained} steps; the model so far is saved.")
        if options.checkpoint is not None and not_saved is None:
            say(f"--resume {options.checkpoint} continues from here.")
    out = stopped_name(options.out) if stopped else options.out
    write(model, out)
    keep_receipt(receipt, out.with_suffix(RECEIPT), options)
    if not stopped:  # the test set is used once, at the end
        tested: Any = model.evaluate(scale_images(x_test), y_test)
        loss, accuracy = tested
        errors = round((1 - accuracy) * len(x_test))
        say(f"Test accuracy {accuracy:.2%} ({errors} errors in {len(x_test)} images), loss {loss:.4f}.")
    if not_saved is not None:
        raise not_saved
    return status if stopped else 0


class Prepared(NamedTuple):
    """A compiled model, the arguments of `fit` that its weights depend on, and the recipe's callbacks."""

    model: tinycnn.Sequential
    arguments: dict[str, Any]
    callbacks: list[Callback]


def prepared(options: argparse.Namespace, x: np.ndarray, y: np.ndarray) -> Prepared:
    """Return a run on images (N, H, W) and labels (N,) of uint8, without what it shows and writes."""
    images = scale_images(x)
    # split first, so that the validation images are the same for every seed and limit
    rows, kept = split(y, min(VALIDATION_IMAGES / len(images), 0.1), VALIDATION_SEED)
    if options.limit is not None:
        rows = generator(options.seed, "limit").permutation(rows)[: options.limit]
    recipe = chosen_recipe(options)
    steps_per_epoch = math.ceil(len(rows) / recipe.batch_size)
    steps = recipe.epochs * steps_per_epoch
    model = recipes.network(recipe, options.seed, options.algorithm)
    model.compile(recipes.optimizer(recipe, steps), "sparse_categorical_crossentropy", ["accuracy"])
    arguments = {
        "x": images[rows],
        "y": y[rows],
        "batch_size": recipe.batch_size,
        "epochs": recipe.epochs,
        "validation_data": (images[kept], y[kept]),
        "augment": recipes.augmentation(recipe, steps, steps_per_epoch),
    }
    return Prepared(model, arguments, recipes.callbacks(recipe))


def stopped_name(out: Path) -> Path:
    """Return the path for half of a run, which replaces no file of a run that was finished."""
    if any(path.exists() for path in (out, out.with_suffix(".csv"), out.with_suffix(".png"))):
        return out.with_stem(f"{out.stem}_stopped")
    return out


def write(model: tinycnn.Sequential, out: Path) -> None:
    """Write a model, its history and its curves."""
    model.save(out)
    model.history.to_csv(out.with_suffix(".csv"))
    say(f"Wrote {out} and {out.with_suffix('.csv')}.")
    draw(model.history, out.with_suffix(".png"))


def complete(options: argparse.Namespace) -> argparse.Namespace:
    """Return all options of the run: those given, and the defaults or those of the run that is resumed.

    Raises
    ------
    UsageError
        For options that would fail after training, or would make training useless.
    """
    given = {name: getattr(options, name) for name in DEFAULTS if getattr(options, name) is not None}
    if options.resume is None:
        whole = argparse.Namespace(**{**DEFAULTS, **given, "resume": None})
    elif given:
        raise UsageError(
            "--resume: expected no other options, since the run keeps its own; to train it "
            "longer, load its model and call fit"
        )
    else:
        whole = resumed(options.resume)
    check(whole)
    return whole


def resumed(folder: Path) -> argparse.Namespace:
    """Return the options of the run in a checkpoint folder."""
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        kept = {name: settings[name] for name in DEFAULTS}
        kept |= {name: Path(kept[name]) for name in PATHS if kept[name] is not None}
        known = kept["recipe"] in RECIPES
    except (OSError, KeyError, TypeError, ValueError):
        known = False
    if not known:
        raise UsageError(f"--resume: expected a folder that --checkpoint made, received {folder}")
    return argparse.Namespace(**{**kept, "checkpoint": folder, "resume": folder})


def check(options: argparse.Namespace) -> None:
    """Raise UsageError for options that would fail late."""
    if options.data is None and RECIPES[options.recipe].augmentation.get("flip"):
        raise UsageError(
            f"--recipe {options.recipe}: expected --data with the folder of Fashion-MNIST, since this recipe "
            "mirrors images and the package has digits"
        )
    if not options.out.absolute().parent.is_dir():
        raise UsageError(f"--out: the folder does not exist: {options.out.absolute().parent}")
    try:
        saving.check_name(options.out)
    except (ValueError, ImportError) as error:
        raise UsageError(f"--out: {error}") from None
    if options.keep_every is not None and options.checkpoint is None:
        raise UsageError("--keep-every: expected --checkpoint with a folder to keep models in")
    for name, least in (
        ("--epochs", 0),
        ("--batch-size", 1),
        ("--limit", 10),
        ("--keep-every", 1),
        ("--shards", 1),
    ):
        value = getattr(options, name[2:].replace("-", "_"))
        if value is not None and value < least:
            raise UsageError(f"{name}: expected a whole number >= {least}, received {value}")
    if options.checkpoint is not None and options.resume is None:
        if existing(options.checkpoint) is not None:
            raise UsageError(
                f"--checkpoint: {options.checkpoint} has a run already; use --resume to continue it"
            )
        if not options.checkpoint.absolute().parent.is_dir():
            raise UsageError(
                f"--checkpoint: the folder does not exist: {options.checkpoint.absolute().parent}"
            )


def chosen_recipe(options: argparse.Namespace) -> Recipe:
    """Return the recipe, with the settings that the options replace."""
    given = {name: getattr(options, name) for name in OF_RECIPE}
    given = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(RECIPES[options.recipe], **given)


def keep(options: argparse.Namespace) -> None:
    """Write the options into the folder of the checkpoint, for `--resume` from any current folder."""
    options.checkpoint.mkdir(exist_ok=True)
    settings = {**vars(options), "resume": None}
    settings |= {name: str(settings[name].absolute()) for name in PATHS if settings[name] is not None}
    with atomic_path(options.checkpoint / SETTINGS) as temporary:
        temporary.write_text(json.dumps(settings, indent=1), encoding="utf-8")


def receipt_of(options: argparse.Namespace) -> RunReceipt:
    """Return the callback that writes the receipt during the run, to its checkpoint if there is one."""
    recipe = chosen_recipe(options)
    whole = {**vars(options), **{name: getattr(recipe, name) for name in OF_RECIPE}}
    given = [(name.replace("_", "-"), whole[name]) for name in REPEATED if whole[name] is not None]
    path = unfinished(options.out) if options.checkpoint is None else options.checkpoint / "run.json"
    return RunReceipt(path, ["tinycnn", "train", *(f"--{name}={value}" for name, value in given)])


def unfinished(out: Path) -> Path:
    """Return the file for the receipt of a run that goes on, so that it replaces none of a run that ended."""
    return out.with_suffix(f".unfinished{RECEIPT}")


def keep_receipt(receipt: RunReceipt, path: Path, options: argparse.Namespace) -> None:
    """Write the receipt of a run that has ended or was stopped, beside its model."""
    receipt.write(path)
    if options.checkpoint is None:
        unfinished(options.out).unlink(missing_ok=True)
    use = f"; tinycnn verify {path} trains it again" if receipt.content["epochs"] else ""
    say(f"Wrote {path}{use}.")


class Beginning(Callback):
    """Callback that writes into the folder of a checkpoint when it is locked, and so this run's own.

    Parameters
    ----------
    options : Namespace
        Of the run.
    """

    main_only = True

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options

    def on_train_begin(self, logs: Any = None) -> None:
        """Keep the options, and the model before its first step if models are kept along the run."""
        if self.options.resume is not None:  # they are there
            return
        keep(self.options)
        if self.options.keep_every is not None:
            first = self.options.checkpoint / KEPT.format(epoch=1, batch=0)
            self.model.save(first, include_optimizer=False)


def along(options: argparse.Namespace) -> list[Callback]:
    """Return the callbacks that write into the folder of a checkpoint."""
    if options.checkpoint is None:
        return []
    callbacks: list[Callback] = [Beginning(options)]
    if options.keep_every is not None:
        path = options.checkpoint / KEPT
        callbacks.append(ModelCheckpoint(path, save_freq=options.keep_every, include_optimizer=False))
    return callbacks


def draw(history: History, path: Path) -> None:
    """Plot the history, if Matplotlib is installed."""
    if not history.epoch:
        return
    try:
        plot_history(history, path, "mnist_cnn")
    except ImportError as error:
        say(f"No picture: {error}.")
    else:
        say(f"Wrote {path}.")
