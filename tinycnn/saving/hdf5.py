"""Models in Keras' legacy HDF5 form, `mnist_cnn.h5`: Keras 3, Keras 2 (tf-keras) and tinycnn read it.

::

    attributes        keras_version, backend, model_config, training_config (JSON);  tinycnn (JSON, our own)
    /model_weights    attribute layer_names;  a group for each layer, attribute weight_names, its arrays
    /optimizer_weights   attribute weight_names;  iteration, learning_rate, then the moments

The form is that of keras/src/legacy/saving/legacy_h5_format.py; what the JSON says is translated by
`tinycnn.saving.keras_config`. Weights are found by order, not by name. What Keras has no word for (the
seed, algorithms, the position in the training) is in the attribute `tinycnn`, which Keras ignores.

A file may come from anyone: nothing in it is evaluated; links, external and virtual data are refused, and
so is an array that declares far more than is stored for it.
"""

import json
import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinycnn.files import atomic_path
from tinycnn.saving import keras_config, keras_optimizer
from tinycnn.saving.snapshot import Snapshot

ATTRIBUTE_LIMIT = (
    64_512  # bytes: HDF5 keeps an attribute in a header of 64 KB; a longer list is cut in pieces
)
LARGEST_ARRAY = 2**32  # bytes
LARGEST_GROWTH = 1000  # declared bytes for each stored one, for arrays above the largest


def write(path: str | os.PathLike[str], snapshot: Snapshot) -> None:
    """Write a snapshot; see `keras_optimizer` for which Keras reads the moments."""
    import h5py  # 0.1 s, and only those who save need it

    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["keras_version"] = keras_config.KERAS_VERSION
        file.attrs["backend"] = "tensorflow"
        file.attrs["model_config"] = json.dumps(keras_config.from_model(snapshot.config))
        file.attrs["tinycnn"] = json.dumps(keras_config.own_words(snapshot))
        weights = file.create_group("model_weights")
        weights.attrs["keras_version"] = keras_config.KERAS_VERSION.encode()
        weights.attrs["backend"] = b"tensorflow"
        _write_names(weights, "layer_names", [x["config"]["name"] for x in snapshot.config["layers"]])
        for layer in snapshot.config["layers"]:
            name = layer["config"]["name"]
            arrays = [(f"{w}:0", a) for w, a in snapshot.weights if w.rsplit("/", 1)[0] == name]
            _write_arrays(weights.create_group(name), arrays)
        if snapshot.training is not None:
            file.attrs["training_config"] = json.dumps(keras_config.from_training(snapshot.training))
            _write_arrays(file.create_group("optimizer_weights"), keras_optimizer.to_arrays(snapshot))


def read(path: str | os.PathLike[str]) -> Snapshot:
    """Read a snapshot, written by tinycnn, Keras 3 or Keras 2.

    Raises
    ------
    ValueError
        When the file is not HDF5, does not hold such a model, has a layer that tinycnn has not, or is
        hostile in one of the ways above.

    Warns
    -----
    UserWarning
        When the model can be read but not the way it was trained; it is then not compiled.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return _read(file)
    except (OSError, KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path}: expected a model in Keras' HDF5 form, received: {error}") from error


def _read(file: Any) -> Snapshot:
    if "model_config" not in file.attrs:
        raise ValueError("no model_config; a file of weights alone does not say which network they belong to")
    config = keras_config.to_model(json.loads(_text(file.attrs["model_config"])))
    weights = _read_weights(_member(file, "model_weights"))
    own = json.loads(_text(file.attrs["tinycnn"])) if "tinycnn" in file.attrs else {}
    progress = keras_config.adopt_own_words(config, own)
    snapshot = Snapshot(config, weights, None, {}, progress)
    if "training_config" in file.attrs:
        training = keras_config.to_training(json.loads(_text(file.attrs["training_config"])), own)
        if training is not None:
            snapshot.training = training
            arrays = _read_arrays(_member(file, "optimizer_weights")) if "optimizer_weights" in file else []
            keras_optimizer.from_arrays(arrays, snapshot)
    return snapshot


def _read_weights(group: Any) -> list[tuple[str, np.ndarray]]:
    weights = []
    for layer in _read_names(group, "layer_names"):
        arrays = _read_arrays(_member(group, layer))
        weights += [(f"{layer}/{name.rsplit('/', 1)[-1].removesuffix(':0')}", a) for name, a in arrays]
    return weights


def _read_arrays(group: Any) -> list[tuple[str, np.ndarray]]:
    return [(name, _array(group, name)) for name in _read_names(group, "weight_names")]


def _write_arrays(group: Any, arrays: Iterable[tuple[str, np.ndarray]]) -> None:
    arrays = list(arrays)
    _write_names(group, "weight_names", [name for name, _ in arrays])
    for name, array in arrays:
        group.create_dataset(name, data=array)


def _write_names(group: Any, attribute: str, names: list[str]) -> None:
    """Write a list of names, in several attributes (names0, names1, ...) when it is too long for one."""
    data = np.array([name.encode() for name in names], dtype="S" if names else "S1")
    if data.nbytes <= ATTRIBUTE_LIMIT:
        group.attrs[attribute] = data
        return
    for i, piece in enumerate(np.array_split(data, -(-data.nbytes // (ATTRIBUTE_LIMIT // 2)))):
        group.attrs[f"{attribute}{i}"] = piece


def _read_names(group: Any, attribute: str) -> list[str]:
    if attribute in group.attrs:
        return [_text(name) for name in group.attrs[attribute]]
    names: list[str] = []
    i = 0
    while f"{attribute}{i}" in group.attrs:
        names += [_text(name) for name in group.attrs[f"{attribute}{i}"]]
        i += 1
    if not i:
        raise ValueError(f"{group.name} has no attribute {attribute}")
    return names


def _text(value: Any) -> str:
    """Return an attribute as text, which h5py gives as bytes or str, after who wrote it."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _member(group: Any, path: str) -> Any:
    """Return what a group holds at a path, when every step on the way is a plain (hard) link."""
    import h5py

    here = group
    for step in path.split("/"):
        if not isinstance(here, h5py.Group) or step in ("", ".", "..") or step not in here:
            raise ValueError(f"{group.name} holds nothing at {path!r}")
        if not isinstance(here.get(step, getlink=True), h5py.HardLink):
            raise ValueError(f"{here.name}/{step} is a link to elsewhere, which is not followed")
        here = here[step]
    return here


def _array(group: Any, path: str) -> np.ndarray:
    """Return a dataset of numbers that is stored in the file itself."""
    import h5py

    data = _member(group, path)
    if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual:
        raise ValueError(f"{group.name}/{path} is not data within this file")
    if data.dtype.kind not in "fiu":
        raise ValueError(f"{data.name}: expected numbers, received {data.dtype}")
    if data.nbytes > LARGEST_ARRAY and data.nbytes > LARGEST_GROWTH * data.id.get_storage_size():
        raise ValueError(f"{data.name} declares {data.nbytes} bytes and stores {data.id.get_storage_size()}")
    return np.asarray(data[()])
