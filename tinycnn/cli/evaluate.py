"""Evaluation on the test set: accuracy, its interval, and the misclassified images.

::

    mnist_cnn.h5, ... -> predictions -> accuracy, interval, halves, confusion matrix -> errors.csv, errors.png

Several models are an ensemble: their outputs are averaged. `--views 8` also averages over variants of each
image. Use `--on validation` to find out whether that helps: these are the 5,000 images that `tinycnn train`
never trains on. The test set is for a figure to be reported, and no choice may depend on it. A result that is
too good to be true ends with an error.
"""

import argparse
import csv
import datetime
import hashlib
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

import tinycnn
from tinycnn import datasets
from tinycnn.cli import models, output
from tinycnn.cli.output import UsageError, say
from tinycnn.cli.train import VALIDATION_IMAGES, VALIDATION_SEED
from tinycnn.datasets import Augmentation, load_mnist, scale_images
from tinycnn.inspection.plots import plot_errors
from tinycnn.inspection.plots.pictures import confident_errors
from tinycnn.metrics import confusion_matrix, precision, recall, wilson_interval
from tinycnn.support.files import atomic_path
from tinycnn.support.randomness import generator
from tinycnn.training.batches import split

VIEWS = Augmentation(rotation=6, shift=1, zoom=(0.95, 1.05), shear=0.08)
# 15 test images have labels that most annotators do not confirm (Northcutt et al., arXiv 2103.14749), and no
# published protocol has exceeded 99.91 %. A network that does has seen test images.
TOO_GOOD = 0.9991
MOST_DRAWN = 200  # misclassified images in the picture
CHUNK = 1280  # images between two steps of the progress line: whole batches of 128


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add(
        "models",
        nargs="*",
        metavar="MODEL",
        help=f"{models.HELP}; several are an ensemble (default: {models.PRETRAINED})",
    )
    add("--on", choices=["test", "validation"], default="test", help="which images (default: test)")
    add("--views", type=int, default=0, help="average over variants of each image, this many (default: 0)")
    add("--data", type=Path, help="a folder with four IDX files (default: the MNIST of the package)")
    add("--out", type=Path, help="write the misclassified images to errors.csv and errors.png in this folder")


def run(options: argparse.Namespace) -> int:
    """Print the accuracy on the test images with its interval, and the confusion matrix."""
    if options.out is not None and not options.out.is_dir():
        raise UsageError(f"--out: the folder does not exist: {options.out}")
    if options.views < 0:
        raise UsageError(f"--views: expected a whole number >= 0, received {options.views}")
    names = options.models or [models.PRETRAINED]
    networks = [models.load(name) for name in names]
    (x_train, y_train), (x_test, y_test) = load_mnist(options.data)
    expected = (*x_test.shape[1:], 1)
    for name, network in zip(names, networks, strict=True):
        if network.input_shape != expected:
            raise ValueError(
                f"{name}: expected a model for images {expected}, received {network.input_shape}"
            )
    results = record(names, networks, (x_train, y_train, x_test, y_test))
    show = (lambda text: None) if options.json else say
    show(record_text(results))
    rows, kept = split(y_train, min(VALIDATION_IMAGES / len(x_train), 0.1), VALIDATION_SEED)
    x, y = (x_test, y_test) if options.on == "test" else (x_train[kept], y_train[kept])
    results |= {"on": options.on, "views": options.views}
    results["shared"] = shared_images(x_train[rows], x)
    show(f"Images that are in the training set too: {results['shared']}")
    images = scale_images(x)
    if options.data is not None and names == [models.PRETRAINED]:
        for difference in datasets.unlike_mnist(images):
            output.note(f"warning: unlike MNIST, which {models.PRETRAINED} was trained on: {difference}")
    outputs = np.mean([predict(network, images, options.views) for network in networks], 0)
    results |= figures(y, outputs)
    show(figures_text(results))
    if options.data is None and (results["accuracy"] > TOO_GOOD or results["shared"]):
        leak = "suspected leak: too accurate, or images are shared with the training set"
    else:
        leak = ""
    if options.out is not None:
        written = write_errors(images, y, outputs, options.out)
        show("\n" + "\n".join(written))
    if leak:
        raise ValueError(leak)
    if options.json:
        output.say_json(results)
    return 0


def record(
    names: list[str], networks: list[tinycnn.Sequential], arrays: tuple[np.ndarray, ...]
) -> dict[str, Any]:
    """Return what a figure must be reported with: date, code, weights and data."""
    return {
        "date": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC",
        "version": tinycnn.__version__,
        "commit": commit(),
        "models": [
            {
                "path": str(name),
                "seed": network.seed,
                "epochs": network.epochs_trained,
                "weights": sha256(network.get_weights()),
            }
            for name, network in zip(names, networks, strict=True)
        ],
        "data": sha256(arrays),
    }


def record_text(results: dict[str, Any]) -> str:
    """Return the same as text."""
    lines = [
        f"Date      {results['date']}",
        f"Version   {results['version']}, commit {results['commit']}",
    ]
    for model in results["models"]:
        digest = model["weights"][:16]
        lines.append(
            f"Model     {model['path']}: seed {model['seed']}, {model['epochs']} epochs, weights {digest}"
        )
    data = results["data"][:16]
    lines.append(f"Data      {data} (SHA-256; load_mnist compares the files of the package one by one)")
    return "\n".join(lines)


def sha256(arrays: Any) -> str:
    """Return the SHA-256 of the bytes of arrays, one after the other."""
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def commit() -> str:
    """Return the commit of the source; "unknown" where the package is not in a repository of its own."""
    root = Path(tinycnn.__file__).parents[1]
    if not (root / ".git").exists():  # a folder above may be a repository of something else
        return "unknown"
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
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
    outputs = in_chunks(model, images, "images")
    for view in range(views):
        outputs += in_chunks(model, VIEWS(images, VALIDATION_SEED, view), f"view {view + 1} of {views},")
    return outputs / (1 + views)


def in_chunks(model: tinycnn.Sequential, images: np.ndarray, label: str) -> np.ndarray:
    """Return `model.predict(images)`, with a line of progress on a terminal."""
    starts = range(0, len(images), CHUNK)
    chunks = output.progress((images[start : start + CHUNK] for start in starts), len(starts), label)
    return np.concatenate([model.predict(chunk) for chunk in chunks])


def figures(y: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
    """Return accuracy, interval, halves, and the confusion matrix with precision and recall."""
    wrong = outputs.argmax(axis=1) != y
    shuffled = generator(VALIDATION_SEED, "shuffled labels").permutation(y)
    confusion = confusion_matrix(y, outputs)
    return {
        "images": len(y),
        "errors": int(wrong.sum()),
        "accuracy": float(1 - wrong.mean()),
        "interval": list(wilson_interval(int(wrong.sum()), len(y))),
        "halves": [
            {"images": len(half), "errors": int(half.sum()), "accuracy": float(1 - half.mean())}
            for half in (wrong[: len(y) // 2], wrong[len(y) // 2 :])
        ],
        "accuracy_with_shuffled_labels": float(np.mean(outputs.argmax(axis=1) == shuffled)),
        "confusion": confusion,
        "precision": precision(confusion),
        "recall": recall(confusion),
    }


def figures_text(results: dict[str, Any]) -> str:
    """Return the same as text."""
    low, high = results["interval"]
    lines = [
        f"Accuracy  {results['accuracy']:.2%} ({results['errors']} errors in {results['images']} images)",
        f"          95 % interval (Wilson) {low:.2%} to {high:.2%}",
    ]
    for name, half in zip(("first", "second"), results["halves"], strict=True):
        lines.append(f"          {name} half {half['accuracy']:.2%} ({half['errors']} errors)")
    chance = results["accuracy_with_shuffled_labels"]
    lines.append(f"          {chance:.1%} with the labels shuffled, as a check")
    lines.append("\nRows: the label; columns: the prediction.\n")
    confusion = results["confusion"]
    cell = len(str(confusion.max())) + 1
    head = "".join(f"{name:{cell}d}" for name in range(len(confusion)))
    lines.append(f"   {head}  precision  recall")
    for label, row in enumerate(confusion):
        cells = "".join(f"{count or '.':>{cell}}" for count in row)
        shares = f"{results['precision'][label]:9.2%} {results['recall'][label]:7.2%}"
        lines.append(f"{label:3d}{cells}  {shares}")
    return "\n".join(lines)


def write_errors(images: np.ndarray, y: np.ndarray, outputs: np.ndarray, folder: Path) -> list[str]:
    """Write every misclassified image, the most confident error first; return sentences about it."""
    taken, wrong = outputs.argmax(axis=1), confident_errors(y, outputs)
    with (
        atomic_path(folder / "errors.csv") as path,
        open(path, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["index", "label", "prediction", "probability", "probability_of_label"])
        for i in wrong:
            writer.writerow([i, y[i], taken[i], f"{outputs[i, taken[i]]:.4f}", f"{outputs[i, y[i]]:.4f}"])
    written = [f"Wrote {folder / 'errors.csv'}."]
    (folder / "errors.png").unlink(missing_ok=True)  # a picture of another model
    if not len(wrong):
        return written
    if len(wrong) > MOST_DRAWN:
        written.append(f"The picture shows the {MOST_DRAWN} most confident errors.")
    try:
        plot_errors(images, y, outputs, folder / "errors.png", most=MOST_DRAWN)
    except ImportError as error:
        return [*written, f"No picture: {error}."]
    return [*written, f"Wrote {folder / 'errors.png'}."]
