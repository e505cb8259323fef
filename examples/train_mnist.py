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
from tinycnn.datasets import load_mnist, scale_images
from tinycnn.inspection.plots import plot_history
from tinycnn.optimizers import Adam
from tinycnn.randomness import generator
from tinycnn.training import StopOnInterrupt

VALIDATION_IMAGES = 5_000


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the documented network on MNIST.")
    parser.add_argument("--epochs", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=128, help="default: %(default)s")
    parser.add_argument("--learning-rate", type=float, default=0.001, help="of Adam; default: %(default)s")
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same run; default: %(default)s"
    )
    parser.add_argument(
        "--data", type=Path, help="a folder with four IDX files; default: the MNIST of the package"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("mnist_cnn.h5"), help="default: %(default)s; .npz works too"
    )
    parser.add_argument("--limit", type=int, help="train on so many images, drawn by the seed")
    parser.add_argument(
        "--algorithm",
        choices=["auto", *tinycnn.kernels.ALGORITHMS],
        default="auto",
        help="of the convolutions",
    )
    parser.add_argument(
        "--verbose", choices=["auto", "0", "1", "2"], default="auto", help="0: silent, 1: bar, 2: lines"
    )
    options = parser.parse_args(arguments)
    if not options.out.absolute().parent.is_dir():
        parser.error(f"--out: the folder does not exist: {options.out.absolute().parent}")
    if options.out.suffix not in tinycnn.saving.FORMATS:
        parser.error(
            f"--out: expected a name ending in {', '.join(tinycnn.saving.FORMATS)}, received {options.out}"
        )
    return options


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


def draw(history: tinycnn.training.History, path: Path) -> None:
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
