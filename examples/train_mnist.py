"""Training of `mnist_cnn` on MNIST: trains, tests, and writes mnist_cnn.h5.

::

    images -> mnist_cnn -> a recipe -> mnist_cnn.h5, mnist_cnn.csv, mnist_cnn.png

The data are in the package; `--data` reads any set in the same format, such as Fashion-MNIST. 5,000 training
images are kept for validation, the same ones for every seed. The 10,000 test images are used once, at the
end. With `--checkpoint run` the run can be stopped at any moment, by Ctrl-C or worse. Then `--resume run`
continues it, and it ends with the same bits.
"""

import argparse
import dataclasses
import json
import math
import sys
from pathlib import Path

import recipes
from recipes import RECIPES

import tinycnn
from tinycnn import kernels
from tinycnn.datasets import load_mnist, scale_images
from tinycnn.inspection.plots import plot_history
from tinycnn.saving import FORMATS
from tinycnn.support.files import atomic_path
from tinycnn.support.randomness import generator
from tinycnn.training import History, StopOnInterrupt
from tinycnn.training.batches import split
from tinycnn.training.checkpoint import NAME as CHECKPOINT

VALIDATION_IMAGES, VALIDATION_SEED = 5_000, 0
SETTINGS = "settings.json"  # in the folder of a checkpoint: the options of the run
INTERRUPTED = 130  # exit status of a program that was ended by Ctrl-C
PATHS = ("data", "out", "checkpoint")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line; end the program if one is wrong."""
    parser = argparse.ArgumentParser(description="Train mnist_cnn on MNIST.")
    add = parser.add_argument
    add("--recipe", choices=RECIPES, default="classic", help="how to train (default: classic)")
    add("--epochs", type=int, help="passes over the training images (default: the recipe's)")
    add("--batch-size", type=int, help="images in one step (default: the recipe's)")
    add("--learning-rate", type=float, help="largest rate of Adam (default: the recipe's)")
    add("--seed", type=int, default=0, help="the same seed gives the same run (default: 0)")
    add("--data", type=Path, help="a folder with four IDX files (default: the MNIST of the package)")
    add("--out", type=Path, default=Path("mnist_cnn.h5"), help="the model's file, .h5 or .npz")
    add("--limit", type=int, help="train on this many images, drawn by the seed")
    add("--algorithm", choices=["auto", *kernels.ALGORITHMS], default="auto", help="of the convolutions")
    add("--verbose", choices=["auto", "0", "1", "2"], default="auto", help="0: silent, 1: a bar, 2: lines")
    add("--checkpoint", type=Path, help="a new folder for the state of the run")
    add(
        "--resume",
        type=Path,
        help="continue the run of such a folder, with its options",
    )
    options = parser.parse_args(arguments)
    if options.resume is not None:
        # parse again, into a namespace in which an option that is not given stays None
        unset = argparse.Namespace(**dict.fromkeys(vars(options)))
        given = vars(parser.parse_args(arguments, unset)).items()
        if {name for name, value in given if value is not None} != {"resume"}:
            parser.error("--resume: expected no other options, since the run keeps its own")
        options = resumed(parser, options.resume)
    check(parser, options)
    return options


def resumed(parser: argparse.ArgumentParser, folder: Path) -> argparse.Namespace:
    """Return the options of the run in a checkpoint folder."""
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        paths = {name: Path(settings[name]) for name in PATHS if settings[name] is not None}
        recipe = settings["recipe"]
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        recipe = None
    if recipe not in RECIPES:
        parser.error(f"--resume: expected a folder that --checkpoint made, received {folder}")
    return argparse.Namespace(**{**settings, **paths, "checkpoint": folder, "resume": folder})


def check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse options that would fail after training, or would make training useless."""
    if options.data is None and RECIPES[options.recipe].augmentation.get("flip"):
        parser.error(
            f"--recipe {options.recipe}: expected --data with the folder of Fashion-MNIST, since this recipe "
            "mirrors images and the package has digits"
        )
    if not options.out.absolute().parent.is_dir():
        parser.error(f"--out: the folder does not exist: {options.out.absolute().parent}")
    if options.out.suffix not in FORMATS:
        parser.error(f"--out: expected a name ending in {', '.join(FORMATS)}, received {options.out}")
    for name, least in (("--epochs", 0), ("--batch-size", 1), ("--limit", 10)):
        value = getattr(options, name[2:].replace("-", "_"))
        if value is not None and value < least:
            parser.error(f"{name}: expected a whole number >= {least}, received {value}")
    if options.checkpoint is not None and options.resume is None:
        if (options.checkpoint / CHECKPOINT).exists():
            parser.error(f"--checkpoint: {options.checkpoint} has a run already; use --resume to continue it")
        if not options.checkpoint.absolute().parent.is_dir():
            parser.error(f"--checkpoint: the folder does not exist: {options.checkpoint.absolute().parent}")


def main(arguments: list[str] | None = None) -> None:
    """Train, write the model, its history and its curves, and test once."""
    options = parse_arguments(arguments)
    (x_train, y_train), (x_test, y_test) = load_mnist(options.data)
    x_train = scale_images(x_train)
    # split first, so that the validation images are the same for every seed and limit
    rows, kept = split(y_train, min(VALIDATION_IMAGES / len(x_train), 0.1), VALIDATION_SEED)
    if options.limit is not None:
        rows = generator(options.seed, "limit").permutation(rows)[: options.limit]

    given = {name: getattr(options, name) for name in ("epochs", "learning_rate", "batch_size")}
    given = {name: value for name, value in given.items() if value is not None}
    recipe = dataclasses.replace(RECIPES[options.recipe], **given)
    steps_per_epoch = math.ceil(len(rows) / recipe.batch_size)
    steps = recipe.epochs * steps_per_epoch
    model = recipes.network(recipe, options.seed, options.algorithm)
    model.summary()
    model.compile(recipes.optimizer(recipe, steps), "sparse_categorical_crossentropy", ["accuracy"])
    if options.algorithm == "auto":
        tinycnn.warmup(training_only=True)  # on a new machine: on all cores, sooner than step by step
    if options.checkpoint is not None:
        keep(options)
    interrupt = StopOnInterrupt()
    history = model.fit(
        x_train[rows],
        y_train[rows],
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        validation_data=(x_train[kept], y_train[kept]),
        callbacks=[*recipes.callbacks(recipe), interrupt],
        verbose=options.verbose if options.verbose == "auto" else int(options.verbose),
        augment=recipes.augmentation(recipe, steps, steps_per_epoch),
        checkpoint=options.checkpoint,
    )
    if interrupt.interrupted:
        print(f"Stopped after {model.steps_trained} steps; the model so far is saved.")
        if options.checkpoint is not None:
            print(f"--resume {options.checkpoint} continues from here.")
    model.save(options.out)
    history.to_csv(options.out.with_suffix(".csv"))
    print(f"Wrote {options.out} and {options.out.with_suffix('.csv')}.")
    draw(history, options.out.with_suffix(".png"))
    if interrupt.interrupted:
        sys.exit(INTERRUPTED)  # the test set is used once, at the end
    loss, accuracy = model.evaluate(scale_images(x_test), y_test)
    errors = round((1 - accuracy) * len(x_test))
    print(f"Test accuracy {accuracy:.2%} ({errors} errors in {len(x_test)} images), loss {loss:.4f}.")


def keep(options: argparse.Namespace) -> None:
    """Write the options into the folder of the checkpoint, for `--resume` from any current folder."""
    options.checkpoint.mkdir(exist_ok=True)
    settings = {**vars(options), "resume": None}
    settings |= {name: str(settings[name].absolute()) for name in PATHS if settings[name] is not None}
    with atomic_path(options.checkpoint / SETTINGS) as temporary:
        temporary.write_text(json.dumps(settings, indent=1), encoding="utf-8")


def draw(history: History, path: Path) -> None:
    """Plot the history, if Matplotlib is installed."""
    if not history.epoch:
        return
    try:
        plot_history(history, path, "mnist_cnn")
    except ImportError as error:
        print(f"No picture: {error}.")
    else:
        print(f"Wrote {path}.")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
