"""Models in files: one format per module, chosen by the suffix of the path.

::

    Snapshot -> check -> write(".h5") -> saving/hdf5.py -> file
    file -> saving/hdf5.py -> check, warn -> reading(".h5") -> Snapshot -> conversion.restore -> model
    Snapshot -> write_weights(".weights.h5") -> saving/weights_h5.py -> file -> read_weights -> arrays
    model -> to_torch_state_dict -> arrays named and laid out as PyTorch's -> from_torch_state_dict -> model

Writing is atomic. A file may be hostile, and reading it runs nothing: it holds numbers, and names that are
looked up in tables. Nothing is evaluated, unpickled or imported by a name in the file. No link out of the
file is followed. Declared sizes are compared with stored sizes before memory is allocated. Weights and
moments that are NaN or infinite are read, with a warning that names them. PyTorch's files are pickles; its
own restricted reader opens them.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tinycnn.saving import hdf5, keras_archive, npz, npz_arrays, onnx, safetensors, torch_files, weights_h5
from tinycnn.saving.snapshot import Snapshot, check
from tinycnn.saving.stored import listed
from tinycnn.saving.structure import weight_shapes
from tinycnn.saving.torch_state import from_torch_state_dict, to_torch_state_dict
from tinycnn.support import checks

__all__ = [
    "FORMATS",
    "Snapshot",
    "check_name",
    "export",
    "format_of",
    "from_torch_state_dict",
    "onnx",
    "read",
    "read_weights",
    "reading",
    "to_torch_state_dict",
    "write",
    "write_weights",
]

#: The module of each suffix.
FORMATS: dict[str, ModuleType] = {
    ".h5": hdf5,
    ".hdf5": hdf5,
    ".keras": keras_archive,
    ".npz": npz,
    ".onnx": onnx,
    ".safetensors": safetensors,
}
Weights = list[tuple[str, np.ndarray]]
# What reads weights without layers: given path and config, None for a file that holds a whole model
_READ_WEIGHTS: dict[str, Callable[[Any, dict[str, Any]], Weights | None]] = {
    ".h5": weights_h5.read,
    ".hdf5": weights_h5.read,
    ".npz": npz_arrays.read,
    ".pt": torch_files.read,
    ".pth": torch_files.read,
    ".safetensors": safetensors.read_weights,
}


def write(path: str | os.PathLike[str], snapshot: Snapshot) -> None:
    """Write a snapshot to a file.

    Parameters
    ----------
    path : path
        Its suffix is the format, one of `FORMATS`. An existing file is replaced atomically.
    snapshot : Snapshot

    Raises
    ------
    ValueError
        For a suffix that is not in `FORMATS`, and for a layer, loss or optimizer of a class that tinycnn does
        not have, since the file could not be read.
    """
    module = format_of(path)
    check(snapshot)
    module.write(path, snapshot)


def export(
    path: str | os.PathLike[str],
    snapshot: Snapshot,
    format: str = "onnx",
    data_format: str = "channels_last",
) -> None:
    """Write layers and weights for a program that only predicts.

    Parameters
    ----------
    path : path
        An existing file is replaced atomically. The name may end in anything.
    snapshot : Snapshot
        Its optimizer, loss and progress are left out.
    format : str
        "onnx"; see `tinycnn.saving.onnx`.
    data_format : "channels_last" or "channels_first"
        Whether the file's model takes images (N, H, W, C), as tinycnn, or (N, C, H, W).

    Raises
    ------
    ImportError
        Without the library `onnx`: `pip install "tinycnn[onnx]"`.
    ValueError
        For another format, and for weights that float32 or a file of 2 GiB does not hold.
    """
    checks.choice("format", format, ("onnx",))
    onnx.write(path, check(snapshot), data_format)


@contextmanager
def reading(path: str | os.PathLike[str], judge: bool = True) -> Iterator[Snapshot]:
    """Yield the snapshot in a file. Errors inside the with-block are reported as errors of the file.

    Parameters
    ----------
    path : path
        A file with a suffix of `FORMATS`.
    judge : bool
        Whether to warn of values that are NaN or infinite. A checkpoint is not judged: `fit` looks at the
        numbers of each step.

    Raises
    ------
    OSError
        When the file cannot be opened: FileNotFoundError, PermissionError and the like.
    ValueError
        For a suffix that is not in `FORMATS`, and for any error caused by the content of the file.

    Warns
    -----
    UserWarning
        When tinycnn ignores something in the file; see `tinycnn.saving.keras_config`. Also for weights and
        moments that are NaN or infinite.
    """
    module = format_of(path)
    with _errors_of(path):
        snapshot = check(module.read(path))
        if judge:
            _warn_of_values(path, snapshot)
        yield snapshot


def _warn_of_values(path: str | os.PathLike[str], snapshot: Snapshot) -> None:
    """Warn of weights and moments that are not finite: once, by their names."""
    names = [name for name, _ in snapshot.trainable_weights()]
    arrays = list(snapshot.weights)
    for kind, slot in snapshot.slots.items():
        arrays += zip((f"the optimizer's {kind} of {name}" for name in names), slot, strict=True)
    found = [name for name, array in arrays if not np.isfinite(array).all()]
    if found:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        warnings.warn(f"{path}: NaN or infinite values in {', '.join(found[:5])}{more}", stacklevel=4)


@contextmanager
def _errors_of(path: str | os.PathLike[str]) -> Iterator[None]:
    """Report errors inside the with-block as errors of a file, which must be one that can be opened."""
    with open(path, "rb"):
        pass  # raises the error of the system if the file cannot be opened
    try:
        yield
    except (Warning, ImportError):  # a warning turned into an error; a library is missing
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"{path}: cannot be loaded: {reason[:1000]}") from error


def read(path: str | os.PathLike[str], judge: bool = True) -> Snapshot:
    """Return the snapshot in a file. It raises and warns as `reading` does."""
    with reading(path, judge) as snapshot:
        return snapshot


def holds_weights_alone(path: str | os.PathLike[str]) -> bool:
    """Return whether `write_weights` writes a file of this name without the layers."""
    return os.fspath(path).endswith(weights_h5.SUFFIX) or Path(path).suffix.lower() in torch_files.SUFFIXES


def write_weights(path: str | os.PathLike[str], snapshot: Snapshot) -> None:
    """Write weights: alone where the name ends in `.weights.h5`, `.pt` or `.pth`, else as `write` does."""
    if os.fspath(path).endswith(weights_h5.SUFFIX):
        weights_h5.write(path, check(snapshot))
    elif Path(path).suffix.lower() in torch_files.SUFFIXES:
        torch_files.write(path, check(snapshot))
    else:
        write(path, snapshot)


def read_weights(
    path: str | os.PathLike[str], config: dict[str, Any]
) -> tuple[list[tuple[str, np.ndarray]], list[int] | None]:
    """Return the weights in a file, which may be one of weights alone. It raises and warns as `reading` does.

    Parameters
    ----------
    path : path
    config : dict
        A `Snapshot.config`: that of the model that the weights are for.

    Returns
    -------
    weights : list of (str, ndarray)
        "layer/weight" and values. Shapes may differ from the model's.
    input_shape : list of int or None
        None for weights alone. A model that `config` says is not built has the size of the weights with it.
    """
    reader = _READ_WEIGHTS.get(Path(path).suffix.lower())
    if reader is not None:
        with _errors_of(path):
            alone = reader(path, config)
            if alone is not None:
                _warn_of_values(path, Snapshot(config, alone))
                return alone, None
    with reading(path) as snapshot:
        input_shape = [checks.whole("input_shape", size, 1) for size in snapshot.config["input_shape"]]
        if config["input_shape"] is None:
            _check_shapes({**config, "input_shape": input_shape}, snapshot.weights)
    return snapshot.weights, input_shape


def _check_shapes(config: dict[str, Any], weights: Weights) -> None:
    """Raise ValueError unless a model that a file would build has the shapes of the weights of the file."""
    own, found = weight_shapes(config), {name: array.shape for name, array in weights}
    if list(own.values()) != list(found.values()):
        raise ValueError(f"weights: expected {listed(own)}, received {listed(found)}")


def check_name(path: str | os.PathLike[str]) -> None:
    """Raise what `write` would raise because of a file's name, for programs that write hours later.

    Raises
    ------
    ValueError
        For a suffix that is not in `FORMATS`.
    ImportError
        Where the library of the format is missing.
    """
    module = format_of(path)
    if hasattr(module, "library"):
        module.library()


def format_of(path: str | os.PathLike[str]) -> ModuleType:
    """Return the module for the suffix of a path; raise ValueError for an unknown suffix."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        weights = f"{', '.join(torch_files.SUFFIXES)}, which hold weights without layers"
        raise ValueError(
            f"expected a file name ending in {', '.join(FORMATS)}, received {str(path)!r}; load_weights and "
            f"save_weights of a model also take {weights}"
        )
    return FORMATS[suffix]
