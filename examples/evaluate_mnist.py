"""Evaluation on the test set: accuracy, its interval, and the misclassified images.

::

    mnist_cnn.h5, ... -> predictions -> accuracy, interval, halves, confusion matrix -> errors.csv, errors.png

Several models are an ensemble: their outputs are averaged. `--views 8` also averages over variants of each
image. Use `--on validation` to find out whether that helps: these are the 5,000 images that `train_mnist.py`
never trains on. The test set is for a figure to be reported, and no choice may depend on it. A result that is
too good to be true ends with an error.
"""

import argparse
import csv
import datetime
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
from train_mnist import VALIDATION_IMAGES, VALIDATION_SEED

import tinycnn
from tinycnn.datasets import Augmentation, load_mnist, scale_images
from tinycnn.inspection.plots import plot_images
from tinycnn.metrics import confusion_matrix, precision, recall, wilson_interval
from tinycnn.support.files import atomic_path
from tinycnn.support.randomness import generator
from tinycnn.training.batches import split

VIEWS = Augmentation(rotation=6, shift=1, zoom=(0.95, 1.05), shear=0.08)
# 15 test images have labels that most annotators do not confirm (Northcutt et al., arXiv 2103.14749), and no
# published protocol has exceeded 99.91 %. A network that does has seen test images.
TOO_GOOD = 0.9991
MOST_DRAWN = 200  # misclassified images in the picture


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line; end the program if one is wrong."""
    parser = argparse.ArgumentParser(description="Test trained networks on MNIST.")
    add = parser.add_argument
    add("models", type=Path, nargs="+", help="files of models; several are an ensemble")
    add("--on", choices=["test", "validation"], default="test", help="which images (default: test)")
    add("--views", type=int, default=0, help="average over variants of each image, this many (default: 0)")
    add("--data", type=Path, help="a folder with four IDX files (default: the MNIST of the package)")
    add("--out", type=Path, default=Path("."), help="the folder for errors.csv and errors.png (default: .)")
    options = parser.parse_args(arguments)
    if not options.out.is_dir():
        parser.error(f"--out: the folder does not exist: {options.out}")
    if options.views < 0:
        parser.error(f"--views: expected a whole number >= 0, received {options.views}")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Print the figures, and write errors.csv and errors.png."""
    options = parse_arguments(arguments)
    (x_train, y_train), (x_test, y_test) = load_mnist(options.data)
    record(options.models, (x_train, y_train, x_test, y_test))
    rows, kept = split(y_train, min(VALIDATION_IMAGES / len(x_train), 0.1), VALIDATION_SEED)
    x, y = (x_test, y_test) if options.on == "test" else (x_train[kept], y_train[kept])
    shared = shared_images(x_train[rows], x)
    print(f"Images that are in the training set too: {shared}")
    images = scale_images(x)
    outputs = np.mean(
        [predict(tinycnn.load_model(path), images, options.views) for path in options.models], 0
    )
    accuracy = report(y, outputs)
    write_errors(images, y, outputs, options.out)
    if options.data is None and (accuracy > TOO_GOOD or shared):
        sys.exit("error: suspected leak: too accurate, or images are shared with the training set")


def record(models: list[Path], arrays: tuple[np.ndarray, ...]) -> None:
    """Print what a figure must be reported with: date, code, weights and data."""
    print(f"Date      {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC")
    print(f"Version   {tinycnn.__version__}, commit {commit()}")
    for path in models:
        model = tinycnn.load_model(path)
        weights = hashlib.sha256(b"".join(array.tobytes() for array in model.get_weights())).hexdigest()
        print(f"Model     {path}: seed {model.seed}, {model.epochs_trained} epochs, weights {weights[:16]}")
    data = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
    print(f"Data      {data[:16]} (SHA-256; load_mnist compares the files of the package one by one)")


def commit() -> str:
    """Return the commit of the source; "unknown" outside of a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def shared_images(x_train: np.ndarray, x: np.ndarray) -> int:
    """Return the number of images in `x` that are also in `x_train`, pixel for pixel."""
    seen = {image.tobytes() for image in x_train}
    return sum(image.tobytes() in seen for image in x)


def predict(model: tinycnn.Sequential, images: np.ndarray, views: int) -> np.ndarray:
    """Return the outputs, averaged over the images and `views` variants of each."""
    outputs = model.predict(images)
    for view in range(views):
        outputs += model.predict(VIEWS(images, VALIDATION_SEED, view))
    return outputs / (1 + views)


def report(y: np.ndarray, outputs: np.ndarray) -> float:
    """Print the figures; return the accuracy."""
    wrong = outputs.argmax(axis=1) != y
    low, high = wilson_interval(int(wrong.sum()), len(y))
    print(f"Accuracy  {1 - wrong.mean():.2%} ({wrong.sum()} errors in {len(y)} images)")
    print(f"          95 % interval (Wilson) {low:.2%} to {high:.2%}")
    for name, half in (("first", wrong[: len(y) // 2]), ("second", wrong[len(y) // 2 :])):
        print(f"          {name} half {1 - half.mean():.2%} ({half.sum()} errors)")
    shuffled = generator(VALIDATION_SEED, "shuffled labels").permutation(y)
    print(f"          {np.mean(outputs.argmax(axis=1) == shuffled):.1%} with the labels shuffled, as a check")
    confusion = confusion_matrix(y, outputs)
    print("\nRows: the label; columns: the prediction.\n")
    print("     " + "".join(f"{name:6d}" for name in range(len(confusion))) + "  precision  recall")
    for name, row in enumerate(confusion):
        cells = "".join(f"{count:6d}" if count else "     ." for count in row)
        print(f"{name:5d}{cells}  {precision(confusion)[name]:9.2%} {recall(confusion)[name]:7.2%}")
    return float(1 - wrong.mean())


def write_errors(images: np.ndarray, y: np.ndarray, outputs: np.ndarray, folder: Path) -> None:
    """Write every misclassified image, the most confident error first."""
    taken = outputs.argmax(axis=1)
    wrong = np.flatnonzero(taken != y)
    wrong = wrong[np.argsort(-outputs[wrong, taken[wrong]], kind="stable")]
    with (
        atomic_path(folder / "errors.csv") as path,
        open(path, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["index", "label", "prediction", "probability", "probability_of_label"])
        for i in wrong:
            writer.writerow([i, y[i], taken[i], f"{outputs[i, taken[i]]:.4f}", f"{outputs[i, y[i]]:.4f}"])
    print(f"\nWrote {folder / 'errors.csv'}.")
    (folder / "errors.png").unlink(missing_ok=True)  # a picture of another model
    if not len(wrong):
        return
    if len(wrong) > MOST_DRAWN:
        print(f"The picture shows the {MOST_DRAWN} most confident errors.")
        wrong = wrong[:MOST_DRAWN]
    captions = [f"#{i}: {y[i]}, not {taken[i]}" for i in wrong]
    try:
        plot_images(images[wrong], folder / "errors.png", captions, columns=8)
    except ImportError as error:
        print(f"No picture: {error}.")
    else:
        print(f"Wrote {folder / 'errors.png'}.")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
