"""Receipt of a run: what went in, what it ran on, and the digest of the weights after each epoch.

::

    data, settings, versions, processor -> RunReceipt -> run.json          (written after each epoch)
    weights after each epoch -> SHA-256 ->

The same run on another day has the same receipt, apart from "times". `tinycnn.training.receipt_comparison`
reads receipts and finds the first epoch in which two runs differ; `tinycnn verify` runs one again.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.kernels.runtime.availability import obstacle
from tinycnn.saving.model import Model, compiled
from tinycnn.support import checks, files, machine, processes
from tinycnn.support.plain import plain
from tinycnn.training.callbacks import Callback, Logs
from tinycnn.training.checkpoint import digest
from tinycnn.training.interrupts import StopOnInterrupt
from tinycnn.training.monitors import ModelCheckpoint
from tinycnn.training.sources import Arrays

FORMAT, VERSION = "tinycnn run receipt", 1
PACKAGES = ("numba", "llvmlite", "h5py")
#: Variables that change what is computed. No paths: a receipt says nothing about its user.
VARIABLES = ("TINYCNN_ALGORITHM", "TINYCNN_VECTOR_BYTES", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")
SHORT = 16  # hexadecimal digits of the digest of one array


class RunReceipt(Callback):
    """Callback that writes a receipt of the run, a JSON file, after each epoch.

    A resumed run continues its receipt. The weights are recorded as they were trained, and as they were
    evaluated, which differ under a `WeightAverage`. A run on iterables of batches has no digest of its data.

    Parameters
    ----------
    filename : path, optional
        None writes no file: see `content`.
    command : sequence of str, optional
        The command line that runs it again, for `tinycnn verify`.

    Attributes
    ----------
    content : dict
        The receipt so far; docs/formats.md names its parts.
    """

    main_only = True
    priority = -1  # before `WeightAverage` puts the averages into the model, and before it takes them out

    def __init__(
        self, filename: str | os.PathLike[str] | None = None, command: Sequence[str] | None = None
    ) -> None:
        self.filename = filename
        self.command = None if command is None else [checks.text("command", word) for word in command]
        self.content: dict[str, Any] = {}
        self._about: dict[str, Any] = {}
        self._trained: dict[str, Any] = {}

    def set_run(self, source: Any, validation: Any, settings: Any, callbacks: Iterable[Callback]) -> None:
        """See `Callback.set_run`."""
        self._about = {
            "data": {**data_digests("", source), **data_digests("validation_", validation)},
            "settings": {
                "epochs": settings.epochs,
                "batch_size": settings.batch_size,
                "steps_per_epoch": source.steps,
                "shuffle": settings.shuffle,
                "augment": None if settings.augment is None else _described(settings.augment),
                "callbacks": [_described(callback) for callback in callbacks if _has_effect(callback)],
            },
        }

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Record data, settings and initial weights; check that the file can be written."""
        if self.filename is not None:
            files.writable(self.filename)
        model, (optimizer, loss) = self.model, compiled(self.model)
        settings = {
            **self._about["settings"],
            "optimizer": {"name": optimizer.name, "config": optimizer.get_config()},
            "loss": {"name": loss.name, "config": loss.get_config()},
            "metrics": list(model.metrics),
        }
        self.content = {
            "format": FORMAT,
            "version": VERSION,
            "command": self.command,
            "seed": model.seed,
            "data": self._about["data"],
            "settings": plain(settings, _name),
            "model": plain(model.get_config(), _name),
            "environments": [],
            "initial": weight_digests(model),
            "epochs": [],
            "times": {"started": _now()},
        }

    def on_evaluate_begin(self, logs: Logs | None = None) -> None:
        """Record the weights as they were trained."""
        self._trained = weight_digests(self.model)

    def on_evaluate_end(self, logs: Logs | None = None) -> None:
        """Record the epoch, with the weights as they were evaluated, and write the receipt."""
        model = self.model
        number = model.epochs_trained
        entry = {
            "epoch": number,
            "steps": model.steps_trained,
            "logs": plain({name: column[-1] for name, column in model.history.history.items()}, _name),
            **self._trained,
            "evaluated": weight_digests(model)["weights"],
        }
        self.record_environment(number)
        # an epoch that is trained again, from an earlier state, replaces the one that was
        self.content["epochs"] = [one for one in self.content["epochs"] if one["epoch"] < number]
        self.content["epochs"].append(entry)
        if self.filename is not None:
            try:
                self.write(self.filename)
            except OSError as error:  # a full disk must not end the run that it records
                warnings.warn(
                    f"{os.fspath(self.filename)}: the receipt could not be written after epoch {number}: "
                    f"{error.strerror or error}; it is tried again after the next one",
                    stacklevel=2,
                )

    def record_environment(self, number: int) -> None:
        """Add the environment of an epoch, if it is another one than before."""
        known = [one for one in self.content["environments"] if one["first_epoch"] <= number]
        now = environment()
        if not known or {**known[-1], **now} != known[-1]:
            known.append({"first_epoch": number, **now})
        self.content["environments"] = known

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the receipt so far to a file, atomically."""
        if not self.content["environments"]:  # no epoch has ended
            self.record_environment(self.model.epochs_trained + 1)
        self.content["times"]["written"] = _now()
        with files.atomic_path(path) as temporary:
            temporary.write_text(as_text(self.content), encoding="utf-8")

    def get_state(self) -> dict[str, Any]:
        """Return what a resumed run continues: its receipt, as the bytes of JSON."""
        return {"receipt": np.frombuffer(json.dumps(self.content).encode(), np.uint8)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue the receipt."""
        kept = json.loads(np.asarray(state["receipt"], np.uint8).tobytes())
        names = ("command", "environments", "initial", "epochs", "times")
        self.content |= {name: kept[name] for name in names}


def weight_digests(model: Model) -> dict[str, Any]:
    """Return the SHA-256 of all weights, and 16 digits of that of each array.

    Returns
    -------
    dict
        "weights" is the digest of all arrays, "arrays" has one for each name, as in "conv2d_1/kernel". Of an
        array, its name, dtype and shape are digested, and its values as little-endian bytes.
    """
    total, arrays = hashlib.sha256(), {}
    for name, array in model.named_weights():
        values = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        content = f"{name} {array.dtype.name} {array.shape}\n".encode() + values.tobytes()
        total.update(content)
        arrays[name] = hashlib.sha256(content).hexdigest()[:SHORT]
    return {"weights": total.hexdigest(), "arrays": arrays}


def data_digests(prefix: str, source: Any) -> dict[str, str | None]:
    """Return the SHA-256 of the arrays of a source of batches by their names; None for other sources."""
    if source is None:
        return {}
    if not isinstance(source, Arrays):
        return {f"{prefix}batches": None}
    names = (f"{prefix}x", f"{prefix}y", f"{prefix}sample_weight")
    found = zip(names, source.data, strict=True)
    return {name: digest([array]) for name, array in found if array is not None}


def environment() -> dict[str, Any]:
    """Return versions, processor, vectors, threads and variables: all that may change the bits of a run."""
    variables = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    found = {**_installation(), "variables": variables, "processes": processes.current().size}
    if obstacle():
        return found | {"compiled_for": None}
    from tinycnn.kernels.primitives import target

    return found | target.describe()


@cache
def _installation() -> dict[str, Any]:
    """Return what stays the same in a process: it takes longer to find than a small epoch to train."""
    package = __name__.partition(".")[0]
    return {
        package: sys.modules[package].__version__,
        "sources": machine.sources(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        **{name: machine.version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": machine.processor(),
        "blas": machine.blas(),
    }


def as_text(content: Mapping[str, Any]) -> str:
    """Return a receipt as JSON with one part, and each epoch, in a line; `diff` then compares two."""
    parts = {name: json.dumps(part, allow_nan=False) for name, part in content.items()}
    lines = ",\n".join(f"  {json.dumps(one, allow_nan=False)}" for one in content["epochs"])
    parts["epochs"] = f"[\n{lines}\n]" if lines else "[]"
    return "{\n" + ",\n".join(f'"{name}": {part}' for name, part in parts.items()) + "\n}\n"


def _described(thing: Callback | Callable[..., Any]) -> dict[str, Any]:
    """Describe a callback or an augmentation: its name, and its settings if it has any."""
    settings = thing.get_config() if hasattr(thing, "get_config") else {}
    return {"name": _name(thing), "config": plain(settings, _name)}


def _name(thing: Any) -> str:
    """Return the name of a function, or of the class of an object; a path is its own."""
    if isinstance(thing, Path):
        return str(thing)
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return str(named.__qualname__)


def _has_effect(callback: Callback) -> bool:
    """Return whether a callback may change the weights; one that writes files does not."""
    return not (callback.main_only or isinstance(callback, ModelCheckpoint | StopOnInterrupt))


def _now() -> str:
    return f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
