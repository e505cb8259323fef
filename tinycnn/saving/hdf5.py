"""Keras' legacy HDF5 format of models, `.h5`: Keras 3, Keras 2 (tf-keras) and tinycnn read it.

::

    attributes        keras_version, backend, model_config, training_config (JSON);  tinycnn (JSON, our own)
    /model_weights    attribute layer_names;  a group for each layer, attribute weight_names, its arrays
    /optimizer_weights   attribute weight_names;  iteration, learning_rate, then the moments

The format is that of keras/src/legacy/saving/legacy_h5_format.py. `tinycnn.saving.keras_config`,
`keras_training` and `keras_optimizer` translate the JSON and the order of the moments, `keras_weights` the
names of weights, which are found by order, and the kernels of Theano. The attribute `tinycnn`, which Keras
ignores, holds what Keras has no word for: the seed, the algorithms, the epochs and steps trained.

A file may be hostile. It is read by `tinycnn.saving.h5`, not by HDF5's library in C, which hangs or crashes
on some damaged files. Links, external and virtual data are refused. Declared sizes are first compared with
the size of the file, and a compressed chunk with its declared size. Written files hold texts of fixed length.
"""

import math
import os
from typing import Any

import numpy as np

from tinycnn.saving import (
    h5,
    keras_config,
    keras_graph,
    keras_names,
    keras_optimizer,
    keras_training,
    keras_weights,
)
from tinycnn.saving.h5 import Array, Group
from tinycnn.saving.keras_optimizer import Arrays
from tinycnn.saving.snapshot import Snapshot
from tinycnn.saving.text import LARGEST, from_json, to_json
from tinycnn.support.files import atomic_path

ATTRIBUTE_LIMIT = 64_512  # bytes: HDF5 keeps an attribute in a header of 64 KB; a longer list is split
MOST_NAMES = 4096  # names of variable length in one attribute: as many as fit into 64 KB
MOST_ARRAYS = 2**14  # arrays in a file, or names in a list: a model of 1,000 layers has about 10,000
MOST_CHUNKS = 2**14  # chunks of all arrays together
# Arrays may declare FREE_BYTES, and LARGEST_GROWTH times the size of the file: trained weights compress less.
FREE_BYTES = 2**26
LARGEST_GROWTH = 100


def write(path: str | os.PathLike[str], snapshot: Snapshot) -> None:
    """Write a snapshot; see `keras_optimizer` for which Keras reads the moments."""
    import h5py  # takes 0.1 s, so it is imported when needed

    config = snapshot.config
    names = [layer["config"]["name"] for layer in config["layers"]]
    for name in names:
        keras_names.check_name("layer", name)
    texts = {
        "keras_version": keras_config.KERAS_VERSION,
        "backend": "tensorflow",
        "model_config": to_json(keras_config.from_model(config)),
        "tinycnn": to_json(keras_config.own_words(snapshot)),
    }
    if snapshot.training is not None:
        texts["training_config"] = to_json(keras_training.from_training(snapshot.training))
    # only the newer form keeps longer attributes; the older form is read by more programs
    longer = any(len(text) > ATTRIBUTE_LIMIT for text in texts.values())
    with (
        atomic_path(path) as temporary,
        h5py.File(temporary, "w", libver="v108" if longer else "earliest") as file,
    ):
        _write_texts(file, texts)
        group = file.create_group("model_weights")
        _write_texts(group, {name: texts[name] for name in ("keras_version", "backend")})
        _write_names(group, "layer_names", names)
        for name in names:
            arrays = [(f"{w}:0", a) for w, a in snapshot.weights if w.rsplit("/", 1)[0] == name]
            _write_arrays(group.create_group(name), arrays)
        if snapshot.training is not None:
            _write_arrays(file.create_group("optimizer_weights"), keras_optimizer.to_arrays(snapshot))


def _write_texts(group: Any, texts: dict[str, str]) -> None:
    """Write texts of fixed length; those of variable length are kept in a heap that hangs HDF5 if damaged."""
    for name, text in texts.items():
        group.attrs[name] = np.bytes_(text.encode())


def _write_arrays(group: Any, arrays: Arrays) -> None:
    _write_names(group, "weight_names", [name for name, _ in arrays])
    for name, array in arrays:
        group.create_dataset(name, data=array)


def _write_names(group: Any, attribute: str, names: list[str]) -> None:
    """Write a list of names, split into several attributes (names0, names1, ...) if it is too long."""
    data = np.array([name.encode() for name in names], dtype="S" if names else "S1")
    if data.itemsize > ATTRIBUTE_LIMIT:
        raise ValueError(f"{attribute}: expected names of at most {ATTRIBUTE_LIMIT} bytes each")
    if data.nbytes <= ATTRIBUTE_LIMIT:
        group.attrs[attribute] = data
        return
    step = ATTRIBUTE_LIMIT // data.itemsize
    for i, start in enumerate(range(0, len(data), step)):
        group.attrs[f"{attribute}{i}"] = data[start : start + step]


def read(path: str | os.PathLike[str]) -> Snapshot:
    """Read a snapshot, written by tinycnn, Keras 3 or Keras 2.

    Raises
    ------
    ValueError, OSError, and others
        When the file is not HDF5, does not hold such a model, has a layer that tinycnn does not have, or is
        hostile in one of the ways above. `tinycnn.saving.reading` turns them all into ValueError.

    Warns
    -----
    UserWarning
        When something in the file is ignored; see `keras_config`, `keras_training`, `keras_optimizer`.
    """
    with h5.File(path) as file, np.errstate(over="ignore", invalid="ignore"):
        return _read(file.root, file.size)


def _read(root: Group, size: int) -> Snapshot:
    if "model_config" not in root.attributes:
        raise ValueError(
            "no model_config; a file of weights alone does not say which network they belong to: make the "
            "network, and call load_weights"
        )
    own = _json(root, "tinycnn") if "tinycnn" in root.attributes else {}
    model_config = _json(root, "model_config")
    config = keras_config.to_model(model_config, own)
    progress = keras_config.adopt_own_words(config, own)
    training = None
    if "training_config" in root.attributes:
        training = keras_training.to_training(_json(root, "training_config"), own)
    weights_group = group(root, "model_weights")
    layers = layer_groups(weights_group)
    if model_config["class_name"] in keras_graph.CLASSES:
        layers = keras_weights.by_name(config, layers)
    trained = training is not None and "optimizer_weights" in root
    moments = _arrays(group(root, "optimizer_weights")) if trained else []
    dtype = np.dtype(config["dtype"])
    everything = [data for _, arrays in (*layers, ("", moments)) for _, data in arrays]
    weigh(everything, dtype, size)
    weights = keras_weights.named(config, layers)
    values = [(name, data.read().astype(dtype, copy=False)) for name, data in weights]
    snapshot = Snapshot(config, values, training, {}, progress)
    version, backend = (optional_text((weights_group, root), name) for name in ("keras_version", "backend"))
    keras_optimizer.from_arrays([(name, data.read()) for name, data in moments], snapshot, version)
    keras_weights.warn_of_upsampling(config, version)
    return keras_weights.orient(snapshot, backend)


def group(parent: Group, path: str) -> Group:
    """Return the group at a path; raise ValueError for an array."""
    member = parent[path]
    if not isinstance(member, Group):
        raise ValueError(f"{member.name}: expected a group, received an array")
    return member


def layer_groups(parent: Group) -> list[tuple[str, list[tuple[str, Array]]]]:
    """Return the layers that a group lists, each with its arrays; no values are read yet.

    One group may be listed as many layers, so arrays are counted while they are collected.
    """
    found, count = [], 0
    for layer in _names(parent, "layer_names"):
        arrays = _arrays(group(parent, layer))
        count += len(arrays)
        check_count(count)
        found.append((layer, arrays))
    return found


def check_count(count: int) -> None:
    """Raise ValueError for more arrays than a file may have."""
    if count > MOST_ARRAYS:
        raise ValueError(f"expected at most {MOST_ARRAYS} weights, received more")


def _arrays(group: Group) -> list[tuple[str, Array]]:
    """Return the names and arrays that a group lists; no values are read yet."""
    found = []
    for name in _names(group, "weight_names"):
        member = group[name]
        if not isinstance(member, Array):
            raise ValueError(f"{group.name}/{name} is not an array within this file")
        found.append((name, member))
    return found


def weigh(arrays: list[Array], dtype: np.dtype, size: int) -> None:
    """Raise ValueError when arrays, as `dtype`, take more bytes than a file of `size` plausibly holds."""
    check_count(len(arrays))
    declared = sum(array.declared_size * max(array.dtype.itemsize, dtype.itemsize) for array in arrays)
    if declared > FREE_BYTES + LARGEST_GROWTH * size:
        raise ValueError(f"the arrays declare {declared} bytes, in a file of {size}")
    if sum(array.chunk_count for array in arrays) > MOST_CHUNKS:
        raise ValueError(f"expected at most {MOST_CHUNKS} chunks, received more")


def _json(root: Group, attribute: str) -> dict[str, Any]:
    texts = _texts(root, attribute)
    if root.attributes[attribute].shape != ():
        raise ValueError(f"{attribute}: expected one text, received {len(texts)}")
    return from_json(attribute, texts[0])


def optional_text(holders: tuple[Group, ...], attribute: str) -> str | None:
    """Return an attribute, one text, of the first of the holders that has it."""
    found = [
        texts for group in holders if attribute in group.attributes for texts in _texts(group, attribute)
    ]
    return found[0] if found else None


def _names(group: Group, attribute: str) -> list[str]:
    """Return a list of names, joined from its attributes."""
    pieces = [attribute]
    if attribute not in group.attributes:
        count = next(i for i in range(len(group.attributes) + 1) if f"{attribute}{i}" not in group.attributes)
        pieces = [f"{attribute}{i}" for i in range(count)]
    if not pieces:
        raise ValueError(f"{group.name} has no attribute {attribute}")
    names: list[str] = []
    for piece in pieces:
        texts = _texts(group, piece)
        if len(group.attributes[piece].shape or ()) != 1:
            raise ValueError(f"{group.name}: {piece}: expected a list of names, received {texts[:1]}")
        names += texts
    if len(names) > MOST_ARRAYS:
        raise ValueError(f"{group.name}: {attribute}: expected at most {MOST_ARRAYS}, received {len(names)}")
    return names


def _texts(group: Group, name: str) -> list[str]:
    """Return the text, or the texts, of an attribute; raise ValueError for others."""
    attribute = group.attributes[name]
    if attribute.shape is None or (attribute.shape != (0,) and attribute.datatype.text is None):
        raise ValueError(f"{group.name}: {name}: expected text, received {attribute.datatype.name}")
    count = math.prod(attribute.shape)
    if attribute.datatype.text == "variable" and count > MOST_NAMES:
        raise ValueError(f"{name}: expected at most {MOST_NAMES} names at once, received {count}")
    return attribute.texts(LARGEST)
