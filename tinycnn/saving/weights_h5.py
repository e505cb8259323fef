"""Weights alone in HDF5, without the network that they belong to.

::

    /layers/conv2d_1/vars/0, 1                           `.weights.h5` of Keras 3: written and read
    /_layer_checkpoint_dependencies/conv2d_1/vars/0, 1   the same of Keras 2.12: read
    /conv2d_1/conv2d_1/kernel:0, ...                     `save_weights("x.h5")` of Keras 1 and 2: read

The first form is that of keras/src/saving/saving_lib.py. A layer's name there is its class and a number: the
second Conv2D is conv2d_1, whatever it is called. Keras 2.12 counts in other steps (conv2d, conv2d_2), so the
layers of a class are matched in their order. `vars` holds kernel and bias; or gamma, beta, moving_mean and
moving_variance. The third form is that of `tinycnn.saving.hdf5` without its JSON.

A file may be hostile; `tinycnn.saving.hdf5` says what is checked.
"""

import os
import re
from collections import Counter, defaultdict
from typing import Any, BinaryIO

import numpy as np

from tinycnn.saving import h5, hdf5, keras_config, keras_weights
from tinycnn.saving.h5 import Array, Group
from tinycnn.saving.snapshot import Snapshot
from tinycnn.support.files import atomic_path

SUFFIX = ".weights.h5"  # as Keras 3 wants it, to the letter
ROOTS = ("layers", "_layer_checkpoint_dependencies")
# Beside `vars`: random numbers that Dropout has drawn, which tinycnn's follow from the seed and the step.
WITHOUT_WEIGHTS = "seed_generator"
KEY = re.compile(r"(.+?)(?:_(\d{1,9}))?")


def write(path: str | os.PathLike[str], snapshot: Snapshot) -> None:
    """Write the weights of a snapshot in the form of Keras 3."""
    with atomic_path(path) as temporary:
        write_file(temporary, snapshot)


def write_file(
    target: str | os.PathLike[str] | BinaryIO,
    snapshot: Snapshot,
    optimizer: tuple[str, list[np.ndarray]] | None = None,
) -> None:
    """Write the weights of a snapshot to a new file, and if given the name and the arrays of an optimizer."""
    import h5py  # takes 0.1 s, so it is imported when needed

    keys: Counter[str] = Counter()
    with h5py.File(target, "w", libver="earliest") as file:
        _write_vars(file, snapshot.config["name"], [])
        if optimizer is not None:
            _write_vars(file.create_group("optimizer"), *optimizer)
        for layer in keras_config.from_model(snapshot.config)["config"]["layers"][1:]:  # not the InputLayer
            kind, name = _snake_case(layer["class_name"]), layer["config"]["name"]
            arrays = [array for weight, array in snapshot.weights if weight.rpartition("/")[0] == name]
            _write_vars(file.create_group(f"layers/{kind}_{keys[kind]}".removesuffix("_0")), name, arrays)
            keys[kind] += 1


def _write_vars(group: Any, name: str, arrays: list[np.ndarray]) -> None:
    variables = group.create_group("vars")
    variables.attrs["name"] = np.bytes_(name.encode()[: hdf5.ATTRIBUTE_LIMIT])  # for readers of the file only
    for number, array in enumerate(arrays):
        variables.create_dataset(str(number), data=array)


def _snake_case(class_name: str) -> str:
    """Return Keras' name for a class: max_pooling2d for MaxPooling2D."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", class_name).lower()


def read(path: str | os.PathLike[str], config: dict[str, Any]) -> keras_weights.Arrays | None:
    """Return the weights in a file as ("layer/weight", array), in the order of the model's.

    Parameters
    ----------
    path : path
    config : dict
        A `Snapshot.config`: that of the model that the weights are for.

    Returns
    -------
    list of (str, ndarray), or None
        None for a file that holds a whole model.

    Raises
    ------
    ValueError, OSError, and others
        When the file is none of these, is for other layers, or is hostile.

    Warns
    -----
    UserWarning
        See `keras_weights.orient`.
    """
    with h5.File(path) as file, np.errstate(over="ignore", invalid="ignore"):
        if "model_config" in file.root.attributes:
            return None
        is_old = not any(name in file.root for name in ROOTS)
        groups = hdf5.layer_groups(file.root) if is_old else layer_arrays(file.root, config)
        dtype = np.dtype(config["dtype"])
        hdf5.weigh([array for _, arrays in groups for _, array in arrays], dtype, file.size)
        weights = keras_weights.named(config, groups)
        values = [(name, array.read().astype(dtype, copy=False)) for name, array in weights]
        if is_old:
            backend = hdf5.optional_text((file.root,), "backend")
            keras_weights.warn_of_upsampling(config, hdf5.optional_text((file.root,), "keras_version"))
            values = keras_weights.orient(Snapshot(config, values), backend).weights
    return values


def layer_arrays(root: Group, config: dict[str, Any]) -> list[tuple[str, keras_weights.Arrays]]:
    """Return the layers of a file of Keras 3 with their arrays, in the order of the model's; see `read`."""
    return _matched(_layers(root), config)


def optimizer_arrays(root: Group) -> list[Array]:
    """Return the arrays of the optimizer, none for a file without one."""
    return _numbered(hdf5.group(root, "optimizer")) if "optimizer" in root else []


def _layers(root: Group) -> dict[str, list[Array]]:
    """Return the arrays of each layer that has some, by its name in the file."""
    names = [name for name in ROOTS if name in root]
    if not names:
        raise ValueError(f"expected a group {' or '.join(ROOTS)}, received none: the model has no layers")
    layers = hdf5.group(root, names[0])
    found, count = {}, 0
    for key in layers:
        layer = hdf5.group(layers, key)
        count += len(layer) + (len(hdf5.group(layer, "vars")) if "vars" in layer else 0)
        hdf5.check_count(count)  # before they are collected: one group may have many names
        if arrays := _vars(layer):
            found[key] = arrays
    return found


def _vars(layer: Group) -> list[Array]:
    """Return the arrays of a layer; raise ValueError for one that holds another layer with arrays."""
    for name in layer:
        inner = layer[name] if name not in ("vars", WITHOUT_WEIGHTS) else None
        if isinstance(inner, Group) and "vars" in inner and len(hdf5.group(inner, "vars")):
            raise ValueError(f"{inner.name}: expected a layer without layers in it, received weights of one")
    return _numbered(layer)


def _numbered(holder: Group) -> list[Array]:
    """Return the arrays 0, 1, 2, ... in the group `vars` of a group."""
    arrays: list[Array] = []
    if "vars" not in holder:
        return arrays
    variables = hdf5.group(holder, "vars")
    hdf5.check_count(len(variables))
    for number in range(len(variables)):
        array = variables[str(number)]
        if not isinstance(array, Array):
            raise ValueError(f"{array.name}: expected an array, received a group")
        arrays.append(array)
    return arrays


def _matched(
    layers: dict[str, list[Array]], config: dict[str, Any]
) -> list[tuple[str, keras_weights.Arrays]]:
    """Return the layers of a file in the order of the model's.

    Raises
    ------
    ValueError
        When the classes that have weights, or their numbers, are not those of the model.
    """
    by_class: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for key in layers:
        kind, number = re.fullmatch(KEY, key).groups()  # type: ignore[union-attr]
        by_class[kind].append((int(number or 0), key))
    own = [
        _snake_case(layer["class_name"]) for layer in config["layers"] if keras_weights.weight_names(layer)
    ]
    if Counter(own) != {kind: len(keys) for kind, keys in by_class.items()}:
        raise ValueError(f"expected weights of the layers {own!s:.300}, received {sorted(layers)!s:.300}")
    queues = {kind: iter(sorted(keys)) for kind, keys in by_class.items()}
    keys = [next(queues[kind])[1] for kind in own]
    return [(key, [(str(i), array) for i, array in enumerate(layers[key])]) for key in keys]
