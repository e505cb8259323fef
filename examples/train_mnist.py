"""Train the documented network on MNIST, test it, and write mnist_cnn.h5.

::

    images -> mnist_cnn -> Adam -> mnist_cnn.h5, mnist_cnn.csv, mnist_cnn.png

The data are in the package; `--data` reads any set in the same format, such as Fashion-MNIST. 5,000 images
are kept from the training for validation, and the 10,000 test images are looked at once, at the end.
"""

import argparse
import sys
from pathlib import Path

import tinycnn
from tinycnn import kernels
from tinycnn.datasets import load_mnist, scale_images
from tinycnn.inspection.plots import plot_history
from tinycnn.optimizers import Adam
from tinycnn.randomness import generator
from tinycnn.saving import FORMATS
from tinycnn.training import History, StopOnInterrupt

VALIDATION_IMAGES = 5_000


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Train the documented network on MNIST.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--epochs", type=int, default=4, help="passes over the training images")
    add("--batch-size", type=int, default=128, help="images in one step")
    add("--learning-rate", type=float, default=0.001, help="of Adam")
    add("--seed", type=int, default=0, help="the same seed gives the same run")
    add("--data", type=Path, help="a folder with four IDX files; none: the MNIST of the package")
    add("--out", type=Path, default=Path("mnist_cnn.h5"), help="the model's file, .h5 or .npz")
    add("--limit", type=int, help="train on so many images, drawn by the seed")
    add("--algorithm", choices=["auto", *kernels.ALGORITHMS], default="auto", help="of the convolutions")
    add("--verbose", choices=["auto", "0", "1", "2"], default="auto", help="0: silent, 1: a bar, 2: lines")
    options = parser.parse_args(arguments)
    check(parser, options)
    return options


def check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse what would otherwise fail after the training."""
    if not options.out.absolute().parent.is_dir():
        parser.error(f"--out: the folder does not exist: {options.out.absolute().parent}")
    if options.out.suffix not in FORMATS:
        parser.error(f"--out: expected a name ending in {', '.join(FORMATS)}, received {options.out}")
    for name, least in (("--epochs", 0), ("--batch-size", 1), ("--limit", 10)):
        value = getattr(options, name[2:].replace("-", "_"))
        if value is not None and value < least:
            parser.error(f"{name}: expected a whole number >= {least}, received {value}")


def main(arguments: list[str] | None = None) -> None:
    options = parse_arguments(arguments)
    (x_train, y_train), (x_test, y_test) = load_mnist(options.data)
    rows = generator(options.seed, "limit").permutation(len(x_train))[: options.limit]
    x_train, y_train = scale_images(x_train[rows]), y_train[rows]

    model = tinycnn.mnist_cnn(seed=options.seed, algorithm=options.algorithm)
    model.summary()
    model.compile(Adam(options.learning_rate), "sparse_categorical_crossentropy", ["accuracy"])
    interrupt = StopOnInterrupt()
    history = model.fit(
        x_train,
        y_train,
        batch_size=options.batch_size,
        epochs=options.epochs,
        validation_split=min(VALIDATION_IMAGES / len(x_train), 0.1),
        callbacks=[interrupt],
        verbose=options.verbose if options.verbose == "auto" else int(options.verbose),
    )
    if interrupt.interrupted:
        print(f"Stopped after {model.steps_trained} steps; the model so far is kept.")
    model.save(options.out)
    history.to_csv(options.out.with_suffix(".csv"))
    print(f"Wrote {options.out} and {options.out.with_suffix('.csv')}.")
    draw(history, options.out.with_suffix(".png"))

    loss, accuracy = model.evaluate(scale_images(x_test), y_test)
    errors = round((1 - accuracy) * len(x_test))
    print(f"Test accuracy {accuracy:.2%} ({errors} errors in {len(x_test)} images), loss {loss:.4f}.")


def draw(history: History, path: Path) -> None:
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
