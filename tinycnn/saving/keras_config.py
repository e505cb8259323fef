"""Translation of networks between Keras' JSON and tinycnn's dictionaries.

::

    Snapshot.config <-> model_config      {"class_name": "Sequential", "config": {"layers": [...]}}

Files are written in the form of Keras 2. Keras 3 reads it, and Keras 2 does not read the form of Keras 3. It
has an InputLayer with `batch_input_shape`, dtypes and activations as strings, and no `module` keys.
`keras_layers` has the layers, `keras_graph` the functional models, which are read if they are one chain.

Some models do not load in Keras. Keras 3 refuses a convolution with strides and dilation both above 1.
Keras 2 refuses a model compiled with AdamW, unless it is opened with `load_model(..., compile=False)`.

Explicit padding of a convolution is a ZeroPadding2D before it in Keras. `own_words` says which ones were
made so, and those are read back as the padding; all others are layers. Older files of tinycnn, which had no
such layer, do not say so: there, each one is the padding of the next convolution. An activation that is a
layer of Keras, as in `Conv2D(8, 3, activation=LeakyReLU(0.1))`, is read as a layer after its own.

Every argument in a file is used, refused, or left out with a warning.
"""

import warnings
from typing import Any

from tinycnn.saving import keras_graph, keras_layers, keras_names
from tinycnn.saving.keras_layers import Entry
from tinycnn.saving.snapshot import Snapshot
from tinycnn.support import checks

KERAS_VERSION = "2.15.0"  # the version whose form is written
# Keras' dtypes and policies of layers; those of 16 bits are computed in float32.
DTYPES = ("float32", "float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")
# Layers whose output has one axis.
FLAT = {"Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D"}


def from_model(config: dict[str, Any]) -> dict[str, Any]:
    """Return Keras' model_config for a `Snapshot.config`."""
    shape, dtype = config["input_shape"], config["dtype"]
    taken = {layer["config"]["name"] for layer in config["layers"]}
    name = _free_name(f"{config['layers'][0]['config']['name']}_input", taken)
    entries = [
        {
            "class_name": "InputLayer",
            "config": {"batch_input_shape": [None, *shape], "dtype": dtype, "sparse": False, "name": name},
        }
    ]
    for layer in config["layers"]:
        entry = keras_layers.from_layer(layer, dtype)
        if is_padded(layer):
            entries.append(_padding(entry["config"], taken))
            entry["config"]["padding"] = "valid"
        entries.append(entry)
    return {"class_name": "Sequential", "config": {"name": config["name"], "layers": entries}}


def is_padded(layer: dict[str, Any]) -> bool:
    """Return whether a layer of a `Snapshot.config` is a convolution with explicit padding."""
    return _has_window(layer) and not isinstance(layer["config"]["padding"], str)


def _has_window(layer: dict[str, Any]) -> bool:
    return "kernel_size" in keras_layers.LAYERS[layer["class_name"]].shared


def _padding(config: dict[str, Any], taken: set[str]) -> dict[str, Any]:
    """Return the entry of a ZeroPadding2D for the explicit padding in the arguments of a convolution."""
    keys = ("trainable", "dtype", "padding", "data_format")
    own = {"name": _free_name(f"{config['name']}_padding", taken), **{key: config[key] for key in keys}}
    return {"class_name": "ZeroPadding2D", "config": own}


def _free_name(name: str, taken: set[str]) -> str:
    """Return a name that no layer has, and add it to `taken`."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def to_model(model_config: dict[str, Any], own: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the `Snapshot.config` of Keras' model_config, written by Keras 1, 2 or 3.

    Parameters
    ----------
    model_config : dict
    own : dict, optional
        The result of `own_words`, in a file written by tinycnn. Here it counts for explicit padding only.

    Raises
    ------
    ValueError
        For a model that is not a chain of layers, or a layer or an argument that tinycnn does not have.

    Warns
    -----
    UserWarning
        For constraints, and regularizers that tinycnn does not have, which are ignored. They matter only if
        training continues. Also for arguments that are unknown, initializers that tinycnn does not have, and
        dtypes of 16 bits.
    """
    kind, config = model_config.get("class_name"), model_config.get("config")
    if kind != "Sequential" and kind not in keras_graph.CLASSES:
        raise ValueError(f"model: expected a Sequential or a Functional of one chain, received {kind!r:.99}")
    keras_names.refuse_users("model", model_config)
    if isinstance(config, list):
        config = {"layers": config}  # Keras before 2.2.3 wrote only the list of layers
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        raise ValueError(f"model: expected a list of layers, received {config!r:.200}")
    layers = config["layers"] if kind == "Sequential" else keras_graph.chain(config)
    entries = _separated([keras_layers.entry(number, layer) for number, layer in enumerate(layers, 1)])
    input_shape = _input_shape(entries, config)
    dtype, other_dtypes = _dtype(entries)
    _warn_of_the_rest([*entries, Entry("model", "InputLayer", config)], dtype, other_dtypes)
    translated = _to_layers(entries, len(input_shape), own or {})
    for layer in translated if config.get("trainable") is False else []:
        layer["trainable"] = False
    return {
        "name": config.get("name", "sequential"),
        "seed": None,
        "dtype": dtype,
        "input_shape": input_shape,
        "layers": translated,
    }


def _separated(entries: list[Entry]) -> list[Entry]:
    """Return the entries with an activation that is a layer, such as LeakyReLU(0.1), as one of its own."""
    taken = {str(entry.keras.get("name")) for entry in entries}
    found: list[Entry] = []
    for entry in entries:
        layer = entry.keras.get("activation")
        if not isinstance(layer, dict) or layer.get("class_name") not in keras_layers.ACTIVATION_LAYERS:
            found.append(entry)
            continue
        name = entry.keras.get("name")
        if entry.kind != "Activation":
            found.append(entry._replace(keras={**entry.keras, "activation": "linear"}))
            name = _free_name(f"{name}_activation", taken)
        config = layer.get("config")
        renamed = {**config, "name": name} if isinstance(config, dict) else config
        found.append(keras_layers.entry(len(found) + 1, {**layer, "config": renamed}))
    return found


def _warn_of_the_rest(entries: list[Entry], dtype: str, other_dtypes: list[str]) -> None:
    """Warn of all that nothing else uses: once of what matters in training only, once of the rest."""
    names: set[str] = set()
    training: list[str] = []
    others = [f"dtype {other}, computed in {dtype}" for other in other_dtypes]
    for label, kind, keras in entries:
        of_training, rest = keras_layers.unused(kind, keras)
        names |= of_training.keys()
        training += [f"{label}: {key} {value!r:.200}" for key, value in of_training.items()]
        others += [f"{label}: {key} {value!r:.200}" for key, value in rest.items()]
    if training:
        which, details = ", ".join(sorted(names)), "; ".join(training)
        warnings.warn(f"tinycnn has no such {which}: further training ignores it ({details})", stacklevel=3)
    if others:
        warnings.warn(f"tinycnn leaves out {'; '.join(others)}", stacklevel=3)


def _to_layers(entries: list[Entry], axes: int, own: dict[str, Any]) -> list[dict[str, Any]]:
    """Return tinycnn's entries for Keras'; `axes` is the number of axes of the input, without the batch."""
    layers: list[dict[str, Any]] = []
    for label, kind, keras in entries:
        if kind == "InputLayer":
            continue
        layer = keras_layers.to_layer(label, kind, keras, axes)
        if layers and layers[-1]["class_name"] == "ZeroPadding2D" and _takes_padding(layer, own):
            layer["config"]["padding"] = layers.pop()["config"].get("padding", 1)
        layers.append(layer)
        if kind == "Reshape" and isinstance(layer["config"].get("target_shape"), list):
            axes = len(layer["config"]["target_shape"])
        axes = 1 if kind in FLAT else axes
    return layers


def _takes_padding(layer: dict[str, Any], own: dict[str, Any]) -> bool:
    """Return whether the ZeroPadding2D before a layer was made of its explicit padding."""
    config = layer["config"]
    is_valid = _has_window(layer) and config.get("padding", "valid") == "valid"
    return is_valid and bool(own) and config["name"] in own.get("padded", [config["name"]])


def _input_shape(entries: list[Entry], config: dict[str, Any]) -> list[int]:
    first = entries[0].keras if entries else {}
    shape = first.get("batch_input_shape") or first.get("batch_shape") or config.get("build_input_shape")
    if not isinstance(shape, list) or len(shape) < 2 or None in shape[1:]:
        raise ValueError(
            f"input shape: expected fixed sizes after the batch's, received {shape!r:.200}: in Keras, build "
            "the model for one size of images, or save the weights alone as .weights.h5, for load_weights"
        )
    return shape[1:]


def _dtype(entries: list[Entry]) -> tuple[str, list[str]]:
    """Return "float64" if all layers have it, else "float32"; and the dtypes that this does not honour."""
    layers, inputs = set(), set()
    for label, kind, keras in entries:
        dtype = keras.get("dtype")
        if isinstance(dtype, dict) and isinstance(dtype.get("config"), dict):
            # {"class_name": "DTypePolicy", "config": {"name": "float32"}}
            dtype = dtype["config"].get("name")
        if dtype in (None, "infer", "_infer"):
            continue
        if kind == "InputLayer":
            inputs.add(str(dtype))
        else:
            layers.add(checks.choice(f"{label}: dtype", dtype, DTYPES))
    dtype = "float64" if (layers or inputs) == {"float64"} else "float32"
    return dtype, sorted((layers - {dtype}) | (inputs - {"float32", "float64"}))


def own_words(snapshot: Snapshot) -> dict[str, Any]:
    """Return the seed, algorithms, padding, optimizer, loss and progress, for a place that Keras ignores."""
    algorithms = {
        layer["config"]["name"]: layer["config"]["algorithm"]
        for layer in snapshot.config["layers"]
        if "algorithm" in layer["config"]
    }
    padded = [layer["config"]["name"] for layer in snapshot.config["layers"] if is_padded(layer)]
    training = {key: (snapshot.training or {}).get(key) for key in ("optimizer", "loss", "iterations")}
    own = {"seed": snapshot.config["seed"], "algorithms": algorithms, "padded": padded}
    return {**own, **training, **snapshot.progress}


def adopt_own_words(config: dict[str, Any], own: dict[str, Any]) -> dict[str, int]:
    """Restore the result of `own_words` in a `Snapshot.config`; return the progress."""
    config["seed"] = own.get("seed")
    algorithms = own.get("algorithms", {})
    for layer in config["layers"]:
        if layer["config"]["name"] in algorithms:
            layer["config"]["algorithm"] = algorithms[layer["config"]["name"]]
    return {key: own.get(key, 0) for key in ("epochs_trained", "steps_trained")}
