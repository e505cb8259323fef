"""Models by name: a file, a folder with a checkpoint, or the network of the package.

::

    "mnist_cnn" -> the file of the package      "run/" -> run/checkpoint.npz      "model.h5" -> load_model
"""

import argparse
import errno
import os
from pathlib import Path
from typing import Any

import tinycnn
from tinycnn.training.checkpoint_files import NAME as CHECKPOINT
from tinycnn.training.checkpoint_files import existing

PRETRAINED = "mnist_cnn"
HELP = f"a model file, a folder that --checkpoint made, or {PRETRAINED}: the trained network of the package"


def add_option(parser: argparse.ArgumentParser, flag: str = "model") -> None:
    """Add the option that names a model."""
    optional: dict[str, Any] = {} if flag.startswith("-") else {"nargs": "?"}
    explained = f"{HELP} (default: {PRETRAINED})"
    parser.add_argument(flag, default=PRETRAINED, metavar="MODEL", help=explained, **optional)


def load(name: str) -> tinycnn.Sequential:
    """Return the model of a name; a file or folder is preferred to the network of the package.

    Raises
    ------
    OSError, ValueError
        As `tinycnn.load_model`.
    """
    return tinycnn.load_model(file_of(name))


def file_of(name: str) -> Path:
    """Return the file to read for a name: of a folder, its checkpoint."""
    path = Path(name)
    if name == PRETRAINED and not path.exists():
        return Path(tinycnn.__file__).parent / "pretrained" / f"{PRETRAINED}.h5"
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    if not path.is_dir():
        return path
    found = existing(path)
    if found is None:
        raise FileNotFoundError(f"{name}: expected a model file or a folder with {CHECKPOINT}, found neither")
    return found
