"""Keras 3's own format of models, `.keras`: read and written by Keras 3 and tinycnn.

::

    model.keras = metadata.json (keras_version, date_saved;  tinycnn, our own words)
                + config.json (the layers; compile_config: optimizer, loss, metrics)
                + model.weights.h5 (layers/conv2d/vars/0, ...; optimizer/vars/0, ...)

The archive is a zip file without compression; the format is that of keras/src/saving/saving_lib.py. Keras
does not look at metadata.json, so it holds what Keras has no word for. `keras_config`, `keras_training` and
`keras_optimizer` translate the JSON and the order of the moments, as for `.h5`; `weights_h5` the weights.

A file may be hostile. Nothing is extracted: three members are read, into memory, and their sizes are compared
with what is stored before. No module or registered name in config.json is looked up: `keras_layers` says how
classes are found, and `keras_names` which ones are refused. Assets, the files of layers that tinycnn does not
have, are ignored.
"""

import io
import os
import re
import stat
import zipfile
from typing import Any

import numpy as np

from tinycnn import optimizers
from tinycnn.saving import (
    h5,
    hdf5,
    keras_config,
    keras_names,
    keras_optimizer,
    keras_training,
    keras_weights,
    weights_h5,
)
from tinycnn.saving.snapshot import Snapshot
from tinycnn.saving.text import LARGEST, from_json, to_json
from tinycnn.support.files import atomic_path

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
NPZ = "model.weights.npz"
KERAS_VERSION = "3.0.0"  # the version whose form is written
DATE = "1980-01-01@00:00:00"  # as of the members of the archive: equal models make equal files
DEFAULT_OPTIMIZER = "rmsprop"  # that of Keras' `compile`, for a compile_config that has none
MOST_MEMBERS = 2**12
# A compressed member may have FREE_BYTES, and LARGEST_GROWTH times what is stored of it.
FREE_BYTES = 2**20
LARGEST_GROWTH = 100
ENCRYPTED = 0x1  # the bit of a member's flags
# Paths that lead out of a folder, on any system.
OUTSIDE = re.compile(r"[/\\]|[A-Za-z]:|.*\\|(?:.*/)?\.\.(?:/|$)|.*\0")


def write(path: str | os.PathLike[str], snapshot: Snapshot) -> None:
    """Write a snapshot. Keras trains on with the same moments."""
    keras_names.check_name("model", snapshot.config["name"])
    for layer in snapshot.config["layers"]:
        keras_names.check_name("layer", layer["config"]["name"])
    own = keras_config.own_words(snapshot)
    metadata = {"keras_version": KERAS_VERSION, "date_saved": DATE, "tinycnn": own}
    optimizer = None
    if snapshot.training is not None:
        moments = [array for _, array in keras_optimizer.to_arrays(snapshot)]
        optimizer = (snapshot.training["optimizer"]["name"], moments)
    weights = io.BytesIO()
    weights_h5.write_file(weights, snapshot, optimizer)
    members = {
        METADATA: to_json(metadata).encode(),
        CONFIG: to_json(_from_snapshot(snapshot)).encode(),
        WEIGHTS: weights.getvalue(),
    }
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o600 << 16
            archive.writestr(info, content)


def _from_snapshot(snapshot: Snapshot) -> dict[str, Any]:
    """Return the content of config.json: Keras 2's form of the model, with the marks of Keras 3."""
    model = keras_config.from_model(snapshot.config)["config"]
    shape = model["layers"][0]["config"].pop("batch_input_shape")
    model["layers"][0]["config"]["batch_shape"] = shape
    layers = [_marked("keras.layers", _with_marks(layer)) for layer in model["layers"]]
    config = {**model, "layers": layers, "trainable": True, "build_input_shape": shape}
    whole = _marked("keras", {"class_name": "Sequential", "config": config})
    whole["build_config"] = {"input_shape": shape}
    if snapshot.training is not None:
        training = keras_training.from_training(snapshot.training)
        marked = {
            "optimizer": _marked("keras.optimizers", training.pop("optimizer_config")),
            "loss": _marked("keras.losses", training.pop("loss")),
            "metrics": [_marked("keras.metrics", metric) for metric in training.pop("metrics")],
        }
        whole["compile_config"] = marked | training
    return whole


def _with_marks(layer: dict[str, Any]) -> dict[str, Any]:
    """Return a layer's entry with the marks of Keras 3 in the objects among its arguments."""
    config = {
        key: _marked(f"keras.{key.rpartition('_')[2]}s", value)
        if key.endswith(("_initializer", "_regularizer"))
        else value
        for key, value in layer["config"].items()
    }
    return {"class_name": layer["class_name"], "config": config}


def _marked(module: str, entry: Any) -> Any:
    """Return an object as Keras 3 writes it; a name stays."""
    return {"module": module, **entry, "registered_name": None} if isinstance(entry, dict) else entry


def read(path: str | os.PathLike[str]) -> Snapshot:
    """Read a snapshot, written by tinycnn, Keras 3 or Keras 2.

    Raises
    ------
    ValueError, OSError, and others
        When the file is no such archive, does not hold such a model, has a layer that tinycnn does not have,
        or is hostile in one of the ways above. `tinycnn.saving.reading` turns them all into ValueError.

    Warns
    -----
    UserWarning
        When something in the file is ignored; see `keras_config`, `keras_training`, `keras_optimizer`.
    """
    with zipfile.ZipFile(path) as archive:
        members = _members(archive, os.stat(path).st_size)
        own = _json(archive, members, METADATA).get("tinycnn", {})
        whole = _json(archive, members, CONFIG)
        if WEIGHTS not in members:
            cure = ": in Keras, save it with weights in HDF5" if NPZ in members else ""
            raise ValueError(f"expected a member {WEIGHTS}, received {NPZ if cure else 'none'}{cure}")
        config = keras_config.to_model(whole, own)
        progress = keras_config.adopt_own_words(config, own)
        training = _to_training(whole.get("compile_config"), own)
        snapshot = Snapshot(config, [], training, {}, progress)
        stored = members[WEIGHTS].compress_size
        with h5.File(io.BytesIO(_content(archive, members[WEIGHTS]))) as file:
            _read_weights(file.root, stored, snapshot)
    return snapshot


def metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the content of metadata.json; raise as `read` does."""
    with zipfile.ZipFile(path) as archive:
        return _json(archive, _members(archive, os.stat(path).st_size), METADATA)


def _read_weights(root: h5.Group, stored: int, snapshot: Snapshot) -> None:
    """Add the weights and the moments to a snapshot; `stored` is the size of the file that they are in."""
    config = snapshot.config
    layers = weights_h5.layer_arrays(root, config)
    moments = [] if snapshot.training is None else weights_h5.optimizer_arrays(root)
    dtype = np.dtype(config["dtype"])
    hdf5.weigh([*(array for _, arrays in layers for _, array in arrays), *moments], dtype, stored)
    with np.errstate(over="ignore", invalid="ignore"):
        for name, array in keras_weights.named(config, layers):
            snapshot.weights.append((name, array.read().astype(dtype, copy=False)))
        keras_optimizer.from_values([array.read() for array in moments], snapshot)


def _to_training(compile_config: Any, own: dict[str, Any]) -> dict[str, Any] | None:
    """Return the `Snapshot.training` of a compile_config; None for a model that is not compiled."""
    if compile_config in (None, {}):
        return None
    if not isinstance(compile_config, dict):
        raise ValueError(f"compile_config: expected a dictionary, received {compile_config!r:.200}")
    training = {key: _unmarked(value) for key, value in compile_config.items()}
    training["optimizer_config"] = _named_optimizer(training.pop("optimizer", DEFAULT_OPTIMIZER))
    return keras_training.to_training(training, own)


def _named_optimizer(value: Any) -> Any:
    """Return an optimizer that is given by its name with its learning rate; anything else stays.

    No Keras that writes `.keras` has other defaults than tinycnn, as older ones had.
    """
    if not isinstance(value, str) or value.lower() not in keras_training.OPTIMIZERS:
        return value
    rate = optimizers.get(value.lower()).get_config()["learning_rate"]
    return {"class_name": value, "config": {"learning_rate": rate}}


def _unmarked(value: Any) -> Any:
    """Return an object of Keras as Keras 2 writes it; anything else stays."""
    is_object = isinstance(value, dict) and "class_name" in value and not keras_names.is_users(value)
    return {key: value.get(key) for key in ("class_name", "config")} if is_object else value


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Return the members of an archive of `size` bytes by name, after checking them all.

    Raises
    ------
    ValueError
        For a member that is encrypted, a link, named twice or like a path out of a folder, compressed in an
        unusual way or too much, or larger than what is stored.
    """
    found = archive.infolist()
    if len(found) > MOST_MEMBERS:
        raise ValueError(f"expected at most {MOST_MEMBERS} members, received {len(found)}")
    for info in found:
        _check(info)
    members = {info.filename: info for info in found}
    if len(members) != len(found):
        raise ValueError("expected members with different names, received a name twice")
    # each member is stored once, so together they cannot be larger than the file
    stored = sum(info.compress_size for info in found)
    if stored > size:
        raise ValueError(f"expected members of at most {size} bytes together, received {stored}")
    return members


def _check(info: zipfile.ZipInfo) -> None:
    name = f"member {info.orig_filename!r:.200}"
    if OUTSIDE.match(info.orig_filename):
        raise ValueError(f"{name}: expected a name without '..', '\\' and a root")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise ValueError(f"{name}: expected a file, received a symbolic link")
    if info.flag_bits & ENCRYPTED:
        raise ValueError(f"{name}: expected a file without a password")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name}: expected no compression or deflate, received method {info.compress_type}")
    growth, free = (1, 0) if info.compress_type == zipfile.ZIP_STORED else (LARGEST_GROWTH, FREE_BYTES)
    if info.file_size > max(free, growth * info.compress_size):
        raise ValueError(
            f"{name}: expected at most {growth} times the {info.compress_size} bytes that are stored, "
            f"received {info.file_size}"
        )


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return a member, whose size has been checked; zipfile compares its checksum."""
    with archive.open(info) as member:
        content = member.read(info.file_size)  # without a number zipfile unpacks all before it cuts
    if len(content) != info.file_size:
        raise ValueError(
            f"member {info.filename!r}: expected {info.file_size} bytes, received {len(content)}"
        )
    return content


def _json(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str) -> dict[str, Any]:
    if name not in members:
        raise ValueError(f"expected a member {name}, received none")
    if members[name].file_size > LARGEST:
        raise ValueError(f"{name}: expected at most {LARGEST} characters, received {members[name].file_size}")
    return from_json(name, _content(archive, members[name]).decode())
