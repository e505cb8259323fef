"""Keras' legacy HDF5 format of models, `.h5`: Keras 3, Keras 2 (tf-keras) and tinycnn read it.

::

    attributes        keras_version, backend, model_config, training_config (JSON);  tinycnn (JSON, our own)
    /model_weights    attribute layer_names;  a group for each layer, attribute weight_names, its arrays
    /optimizer_weights   attribute weight_names;  iteration, learning_rate, then the moments

The format is that of keras/src/legacy/saving/legacy_h5_format.py. `tinycnn.saving.keras_config`,
`keras_training` and `keras_optimizer` translate the JSON and the order of the moments. Weights are found by
order, not by name. The attribute `tinycnn`, which Keras ignores, holds what Keras has no word for: the seed,
the algorithms, the epochs and steps trained.

A file may be hostile. Links, external and virtual data are refused. Declared sizes are first compared with
the size of the file, and a compressed chunk with its declared size. (Lists of names of variable length are an
exception: HDF5 unpacks them before they can be compared, so their number is limited.)
"""

import math
import os
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinycnn.saving import keras_config, keras_optimizer, keras_training
from tinycnn.saving.keras_optimizer import Arrays
from tinycnn.saving.snapshot import Snapshot
from tinycnn.saving.text import check_length, from_json, to_json
from tinycnn.support.files import atomic_path

ATTRIBUTE_LIMIT = 64_512  # bytes: HDF5 keeps an attribute in a header of 64 KB; a longer list is split
MOST_NAMES = 4096  # names of variable length in one attribute: as many as fit into 64 KB
MOST_CHUNKS = 4096  # chunks of one array, since HDF5 finds each in time that grows with their number
# Arrays may declare FREE_BYTES, and LARGEST_GROWTH times the size of the file: trained weights compress less.
FREE_BYTES = 2**26
LARGEST_GROWTH = 100


def write(path: str | os.PathLike[str], snapshot: Snapshot) -> None:
    """Write a snapshot; see `keras_optimizer` for which Keras reads the moments."""
    import h5py  # takes 0.1 s, so it is imported when needed

    config = snapshot.config
    names = [layer["config"]["name"] for layer in config["layers"]]
    for name in names:
        if "/" in name or name in (".", ".."):  # HDF5 reads them as paths, and Keras 3 refuses them
            raise ValueError(f"layer name: expected one without '/' for HDF5, received {name!r}")
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["keras_version"] = keras_config.KERAS_VERSION
        file.attrs["backend"] = "tensorflow"
        file.attrs["model_config"] = to_json(keras_config.from_model(config))
        file.attrs["tinycnn"] = to_json(keras_config.own_words(snapshot))
        group = file.create_group("model_weights")
        group.attrs["keras_version"] = keras_config.KERAS_VERSION.encode()
        group.attrs["backend"] = b"tensorflow"
        _write_names(group, "layer_names", names)
        for name in names:
            arrays = [(f"{w}:0", a) for w, a in snapshot.weights if w.rsplit("/", 1)[0] == name]
            _write_arrays(group.create_group(name), arrays)
        if snapshot.training is not None:
            file.attrs["training_config"] = to_json(keras_training.from_training(snapshot.training))
            _write_arrays(file.create_group("optimizer_weights"), keras_optimizer.to_arrays(snapshot))


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
    import h5py

    with h5py.File(path, "r") as file, np.errstate(over="ignore", invalid="ignore"):
        return _read(file, os.path.getsize(path))


def _read(file: Any, size: int) -> Snapshot:
    if "model_config" not in file.attrs:
        raise ValueError("no model_config; a file of weights alone does not say which network they belong to")
    own = _json(file, "tinycnn") if "tinycnn" in file.attrs else {}
    config = keras_config.to_model(_json(file, "model_config"))
    progress = keras_config.adopt_own_words(config, own)
    training = None
    if "training_config" in file.attrs:
        training = keras_training.to_training(_json(file, "training_config"), own)
    group = _member(file, "model_weights")
    weights = [
        (f"{layer}/{name.rsplit('/', 1)[-1].removesuffix(':0')}", data)
        for layer in _names(group, "layer_names")
        for name, data in _datasets(_member(group, layer))
    ]
    trained = training is not None and "optimizer_weights" in file
    moments = _datasets(_member(file, "optimizer_weights")) if trained else []
    _weigh([data for _, data in (*weights, *moments)], size)
    dtype = np.dtype(config["dtype"])
    arrays = [(name, _values(data).astype(dtype, copy=False)) for name, data in weights]
    snapshot = Snapshot(config, arrays, training, {}, progress)
    keras_optimizer.from_arrays([(name, _values(data)) for name, data in moments], snapshot)
    return snapshot


def _member(group: Any, path: str) -> Any:
    """Return the member of a group at a path; raise ValueError unless every link on the way is hard."""
    import h5py

    here = group
    for step in path.split("/"):
        possible = isinstance(here, h5py.Group) and step not in ("", ".")
        link = here.get(step, getlink=True) if possible else None
        if link is None:
            raise ValueError(f"{group.name} holds nothing at {path!r}")
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{here.name}/{step} is a link to elsewhere, which is not followed")
        here = here[step]
    return here


def _datasets(group: Any) -> list[tuple[str, Any]]:
    """Return the names and datasets that a group lists; no values are read yet."""
    import h5py

    datasets = [(name, _member(group, name)) for name in _names(group, "weight_names")]
    for name, data in datasets:
        if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual or data.shape is None:
            raise ValueError(f"{group.name}/{name} is not an array within this file")
        if data.dtype.kind not in "fiu":
            raise ValueError(f"{data.name}: expected numbers, received {data.dtype}")
    return datasets


def _weigh(datasets: Iterable[Any], size: int) -> None:
    """Raise ValueError when arrays declare more bytes than a file of this `size` can plausibly hold."""
    declared = sum(max(math.prod(data.shape) * data.dtype.itemsize, _chunk_bytes(data)) for data in datasets)
    if declared > FREE_BYTES + LARGEST_GROWTH * size:
        raise ValueError(f"the arrays declare {declared} bytes, in a file of {size}")


def _chunk_bytes(data: Any) -> int:
    return math.prod(data.chunks) * data.dtype.itemsize if data.chunks else 0


def _values(data: Any) -> np.ndarray:
    """Return the values of a dataset, after checking that no chunk unpacks to more than it declares.

    HDF5 itself would continue unpacking until the memory is exhausted.
    """
    from h5py import h5z

    creation = data.id.get_create_plist()
    filters = [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]
    if filters != [
        f for f in (h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE, h5z.FILTER_FLETCHER32) if f in filters
    ]:
        raise ValueError(f"{data.name}: expected no compression or gzip, received HDF5's filters {filters}")
    if h5z.FILTER_DEFLATE in filters:
        if data.id.get_num_chunks() > MOST_CHUNKS:
            raise ValueError(f"{data.name}: expected at most {MOST_CHUNKS} chunks, received more")
        for i in range(data.id.get_num_chunks()):
            _, packed = data.id.read_direct_chunk(data.id.get_chunk_info(i).chunk_offset)
            if _unpacked_size(packed, _chunk_bytes(data)) > _chunk_bytes(data):
                raise ValueError(f"{data.name}: a chunk unpacks to more than it declares")
    return np.asarray(data[()])


def _unpacked_size(packed: bytes, limit: int) -> int:
    """Return the number of bytes in a gzip chunk, counted up to `limit` + 1."""
    try:
        return len(zlib.decompressobj().decompress(packed, limit + 1))
    except zlib.error:
        return 0  # stored uncompressed, since gzip did not shrink it; or damaged, which HDF5 detects


def _json(file: Any, attribute: str) -> dict[str, Any]:
    return from_json(attribute, _text(attribute, _attribute(file, attribute)))


def _names(group: Any, attribute: str) -> list[str]:
    """Return a list of names, joined from its attributes."""
    pieces = [attribute]
    if attribute not in group.attrs:
        count = next(i for i in range(len(group.attrs) + 1) if f"{attribute}{i}" not in group.attrs)
        pieces = [f"{attribute}{i}" for i in range(count)]
    if not pieces:
        raise ValueError(f"{group.name} has no attribute {attribute}")
    names: list[str] = []
    for piece in pieces:
        value = _attribute(group, piece)
        if np.ndim(value) != 1:
            raise ValueError(f"{group.name}: {piece}: expected a list of names, received {value!r}")
        names += [_text(piece, name) for name in value]
    return names


def _attribute(holder: Any, name: str) -> Any:
    """Return an attribute that is text, a list of texts, or empty; raise ValueError for others, unread."""
    import h5py

    declared = holder.attrs.get_id(name)
    if declared.shape is None or (declared.shape != (0,) and h5py.check_string_dtype(declared.dtype) is None):
        raise ValueError(f"{holder.name}: {name}: expected text, received {declared.dtype}")
    count = math.prod(declared.shape)
    if declared.dtype.kind == "O" and count > MOST_NAMES:
        raise ValueError(f"{name}: expected at most {MOST_NAMES} names at once, received {count}")
    check_length(name, count * declared.dtype.itemsize)
    return holder.attrs[name]


def _text(name: str, value: Any) -> str:
    """Return an attribute as str; h5py returns bytes or str, depending on the writer."""
    if not isinstance(value, bytes | str):
        raise ValueError(f"{name}: expected text, received {value!r}")
    return value.decode() if isinstance(value, bytes) else str(value)
