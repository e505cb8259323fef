"""Verification of a run: it is trained again, and its weights are compared after each epoch.

::

    run.json -> command -> the same run again -> data, weights after each epoch -> the first difference
    run.json, another receipt                 -> data, weights after each epoch -> the first difference

It stops at the first epoch that differs, writes nothing, and does not use the test images. Versions and
processor that differ are named; the same weights on another number of threads are what the library promises.
"""

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

import tinycnn
from tinycnn import distributed
from tinycnn.cli import output, train
from tinycnn.cli.output import UsageError
from tinycnn.datasets import load_mnist
from tinycnn.support.streams import redraws
from tinycnn.training import RunReceipt
from tinycnn.training.callbacks import Logs
from tinycnn.training.receipt_comparison import (
    FirstDifference,
    differences,
    environment_of,
    first_difference,
    read,
)

COMMAND = ["tinycnn", "train"]
NAME = "run.json"  # in the folder of a checkpoint


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("receipt", type=Path, metavar="RECEIPT", help="a file that train wrote, or a folder with run.json")
    add("--epochs", type=int, help="only the first ones (default: all that the receipt has)")
    add("--data", type=Path, help="the folder where the data are now (default: that of the command)")
    add("--against", type=Path, metavar="OTHER", help="compare with another receipt, and train nothing")


def run(options: argparse.Namespace) -> int:
    """Train the run of a receipt again, and name the first epoch whose weights differ.

    The status is 1 if one does, or if the data do.
    """
    path = receipt_file(options.receipt)
    expected = read(path)
    count = len(expected["epochs"])
    if not count:
        raise ValueError(f"{path}: expected a receipt with at least one epoch, received one without")
    if options.epochs is not None and not 1 <= options.epochs <= count:
        raise UsageError(f"--epochs: expected 1 to {count}, as the receipt has, received {options.epochs}")
    expected["epochs"] = expected["epochs"][: options.epochs]
    show = (lambda text: None) if options.json else output.say
    if options.against is None:
        received = repeat(path, expected, options)
    elif options.data is not None:
        raise UsageError("--data: expected none beside --against, which trains nothing")
    else:
        received = read(receipt_file(options.against))
    results = compare(expected, received)
    if options.json:
        output.say_json({"receipt": str(path), **results})
    else:
        show(text(results))
    return 0 if results["same"] else 1


def receipt_file(path: Path) -> Path:
    """Return the file of a receipt: of a folder, its run.json."""
    return path / NAME if path.is_dir() else path


def repeat(path: Path, expected: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Train the run of a receipt again, as far as it is the same; return the receipt of that."""
    command = options_of(path, expected["command"])
    if command.seed != expected["seed"]:
        raise ValueError(
            f"{path}: seed: expected {command.seed}, as in its command, received {expected['seed']}"
        )
    data = command.data if options.data is None else options.data
    try:
        (x, y), _ = load_mnist(data)
    except (OSError, ValueError) as error:
        if options.data is not None or data is None:
            raise
        cure = "--data names the folder where the data are now"
        raise ValueError(f"{output.sentence(error)}; {cure}") from error
    model, arguments, callbacks = train.prepared(command, x, y)
    verification = Verification(expected, command.algorithm == "auto", options.json)
    verbose = int(redraws(sys.stdout) and not options.json)
    with distributed.launched(command.shards):
        model.fit(**arguments, callbacks=[*callbacks, verification], verbose=verbose)
    return verification.content


class Verification(RunReceipt):
    """Callback that ends a run as soon as it differs from a receipt, or has as many epochs.

    Parameters
    ----------
    expected : dict
        The receipt.
    warmup : bool
        Whether to compile kernels ahead, on all cores.
    silent : bool
    """

    def __init__(self, expected: dict[str, Any], warmup: bool, silent: bool) -> None:
        super().__init__()
        self.expected, self.warmup, self.silent = expected, warmup, silent

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Compare the data and the initial weights, before anything is compiled."""
        super().on_train_begin()
        if different_data(self.expected, self.content) or first_difference(self.expected, self.content):
            self.record_environment(1)
            self.model.stop_training = True
        elif self.warmup:
            tinycnn.warmup(training_only=True)

    def on_evaluate_end(self, logs: Logs | None = None) -> None:
        """Compare the weights of this epoch."""
        super().on_evaluate_end()
        entry, last = self.content["epochs"][-1], self.expected["epochs"][-1]["epoch"]
        if first_difference(self.expected, self.content) or entry["epoch"] == last:
            self.model.stop_training = True
        elif not self.silent:
            output.say(f"Epoch {entry['epoch']} of {last}: the same weights, {entry['weights'][:16]}")


class CommandParser(argparse.ArgumentParser):
    """A parser of the command in a receipt: wrong options are an error of the file."""

    def error(self, message: str) -> NoReturn:
        """Raise ValueError with the message."""
        raise ValueError(message)


def options_of(path: Path, command: list[str] | None) -> argparse.Namespace:
    """Return the options of the run that a command trains.

    Raises
    ------
    UsageError
        When there is no command, as in a receipt that Python code made.
    ValueError
        When the command is none that a receipt of `tinycnn train` has.
    """
    if command is None:
        raise UsageError(
            f"{path}: expected a receipt of tinycnn train, received one of Python code, which has no "
            'command; run that code again with RunReceipt("again.json"), then use --against again.json'
        )
    if command[:2] != COMMAND:
        raise ValueError(
            f"{path}: command: expected {' '.join(COMMAND)} and its options, received another one"
        )
    parser = CommandParser(add_help=False, allow_abbrev=False)
    train.add_options(parser)
    try:
        given = parser.parse_args(command[2:])
        for name, value in vars(given).items():
            if value is not None and name not in train.REPEATED:
                raise ValueError(f"--{name}: expected only options that the weights depend on")
        return train.complete(given)
    except ValueError as error:
        raise ValueError(f"{path}: command: {error}") from error


def compare(expected: dict[str, Any], received: dict[str, Any]) -> dict[str, Any]:
    """Return whether the weights of two receipts are the same, and all that differs."""
    data = different_data(expected, received)
    found = first_difference(expected, received)
    both = {one["epoch"] for one in expected["epochs"]} & {one["epoch"] for one in received["epochs"]}
    if not (data or found or both):
        raise ValueError("expected receipts of the same epochs, received none that both have")
    epoch = found.epoch if found else max(both, default=1)
    parts = [(name, expected[name], received[name]) for name in ("seed", "settings", "model")]
    return {
        "same": not (data or found),
        "epochs": len(both),
        "data": data,
        "first_difference": None if found is None else found._asdict(),
        "settings": [sentence for name, one, other in parts for sentence in differences(one, other, name)],
        "environment": differences(environment_of(expected, epoch), environment_of(received, epoch)),
    }


def different_data(expected: dict[str, Any], received: dict[str, Any]) -> list[str]:
    """Return the names of the arrays that differ, or that one of two receipts does not have."""
    one, other = expected["data"], received["data"]
    return [name for name in {**one, **other} if one.get(name, "") != other.get(name, "")]


def text(results: dict[str, Any]) -> str:
    """Return the result as text: the verdict first, then what differs and may be the cause."""
    count, found = results["epochs"], results["first_difference"]
    if results["same"]:
        which = f"each of {count} epochs" if count > 1 else "1 epoch"
        lines = [f"Verified: the weights are the same after {which}."]
    elif results["data"]:
        lines = [f"Not the same data: {', '.join(results['data'])}."]
    else:
        lines = [f"Not the same: {FirstDifference(**found)}."]
    for part in ("settings", "environment"):
        if results[part]:
            lines += [f"Different {part}:", *(f"- {sentence}" for sentence in results[part])]
    return "\n".join(lines)
