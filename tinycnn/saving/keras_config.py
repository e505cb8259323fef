"""Translation of networks between Keras' JSON and tinycnn's dictionaries.

::

    Snapshot.config <-> model_config      {"class_name": "Sequential", "config": {"layers": [...]}}

Files are written in the form of Keras 2. Keras 3 reads it, and Keras 2 does not read the form of Keras 3. It
has an InputLayer with `batch_input_shape`, dtypes and activations as strings, and no `module` keys.

Two kinds of models do not load in Keras. Keras 3 refuses a Conv2D with strides and dilation both above 1.
Keras 2 refuses a model compiled with AdamW, unless it is opened with `load_model(..., compile=False)`.

Reading looks classes up in the tables below by name alone. So a file cannot load anything else: no Lambda,
and no registered class.
"""

import warnings
from typing import Any

from tinycnn.activations import ACTIVATIONS
from tinycnn.saving.snapshot import Snapshot
from tinycnn.support import checks

KERAS_VERSION = "2.15.0"  # the version whose form is written

CAMEL = {
    "glorot_uniform": "GlorotUniform",
    "glorot_normal": "GlorotNormal",
    "he_uniform": "HeUniform",
    "he_normal": "HeNormal",
    "zeros": "Zeros",
    "ones": "Ones",
}
SNAKE = {camel: snake for snake, camel in CAMEL.items()} | {name: name for name in CAMEL}

# For each layer, the arguments with the same name and meaning in both libraries.
SHARED = {
    "Activation": ["activation"],
    "AveragePooling2D": ["pool_size", "strides", "padding"],
    "BatchNormalization": ["momentum", "epsilon", "center", "scale"],
    "Conv2D": ["filters", "kernel_size", "strides", "padding", "dilation_rate", "activation", "use_bias"],
    "Dense": ["units", "activation", "use_bias"],
    "Dropout": ["rate", "seed"],
    "Flatten": [],
    "GlobalAveragePooling2D": [],
    "MaxPooling2D": ["pool_size", "strides", "padding"],
}
# Arguments of Keras' layers that tinycnn does not support, with the values that turn them off.
UNSUPPORTED = {
    "data_format": ("channels_last", None),
    "groups": (1, None),
    "keepdims": (False, None),
    "noise_shape": (None,),
    "renorm": (False, None),
    "virtual_batch_size": (None,),
}
# Endings of arguments that Keras' layers use in training only. They are left out, with a warning.
TRAINING_ONLY = ("_regularizer", "_constraint")
INITIALIZED = {"Conv2D", "Dense"}
FLAT = {"Flatten", "GlobalAveragePooling2D"}  # their output has one axis


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
        entries += _from_layer(layer, dtype, taken)
    return {"class_name": "Sequential", "config": {"name": config["name"], "layers": entries}}


def _from_layer(layer: dict[str, Any], dtype: str, taken: set[str]) -> list[dict[str, Any]]:
    """Return Keras' entries for a layer: two, with a ZeroPadding2D before it, if the padding is explicit."""
    kind, own = layer["class_name"], layer["config"]
    common = {"name": own["name"], "trainable": layer["trainable"], "dtype": dtype}
    config = {**common, **{key: own[key] for key in SHARED[kind]}}
    if kind in INITIALIZED:
        config["activation"] = own["activation"] or "linear"
        for key in ("kernel_initializer", "bias_initializer"):
            seed = {} if own[key] in ("zeros", "ones") else {"seed": None}
            config[key] = {"class_name": CAMEL[own[key]], "config": seed}
    if "2D" in kind:
        config["data_format"] = "channels_last"
    before = []
    if kind == "Conv2D" and not isinstance(own["padding"], str):
        padding = {**common, "name": _free_name(f"{own['name']}_padding", taken), "padding": own["padding"]}
        before = [{"class_name": "ZeroPadding2D", "config": {**padding, "data_format": "channels_last"}}]
        config["padding"] = "valid"
    return [*before, {"class_name": kind, "config": config}]


def _free_name(name: str, taken: set[str]) -> str:
    """Return a name that no layer has, and add it to `taken`."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def to_model(model_config: dict[str, Any]) -> dict[str, Any]:
    """Return the `Snapshot.config` of Keras' model_config, written by Keras 2 or 3.

    Raises
    ------
    ValueError
        For a model that is not Sequential, or a layer or an argument that tinycnn does not have.

    Warns
    -----
    UserWarning
        For regularizers and constraints, which are ignored. They matter only if training continues.
    """
    if model_config.get("class_name") != "Sequential":
        raise ValueError(f"model: expected a Sequential, received {model_config.get('class_name')!r}")
    config = model_config["config"]
    if isinstance(config, list):
        config = {"layers": config}  # Keras before 2.3 wrote only the list of layers
    entries = config["layers"]
    input_shape = _input_shape(entries, config)
    ignored = sorted({key for entry in entries for key in _ignored(entry["config"])})
    if ignored:
        warnings.warn(f"tinycnn has no {', '.join(ignored)}: further training ignores it", stacklevel=2)
    return {
        "name": config.get("name", "sequential"),
        "seed": None,
        "dtype": _dtype(entries),
        "input_shape": input_shape,
        "layers": _to_layers(entries, len(input_shape)),
    }


def _ignored(keras: dict[str, Any]) -> list[str]:
    return [key for key, value in keras.items() if key.endswith(TRAINING_ONLY) and value is not None]


def _to_layers(entries: list[dict[str, Any]], axes: int) -> list[dict[str, Any]]:
    """Return tinycnn's entries for Keras'; `axes` is the number of axes of the input, without the batch."""
    layers: list[dict[str, Any]] = []
    pads = None
    for entry in entries:
        kind, keras = entry["class_name"], entry["config"]
        label = f"layer {keras.get('name')!r}"
        if pads is not None and not (kind == "Conv2D" and keras.get("padding") == "valid"):
            raise ValueError(f"{label}: expected a valid Conv2D after a ZeroPadding2D, received {kind!r}")
        if kind == "InputLayer":
            continue
        checks.choice(label, kind, [*SHARED, "ZeroPadding2D"])
        for key, harmless in UNSUPPORTED.items():
            if keras.get(key) not in harmless:
                raise ValueError(f"{label}: {key}: expected {harmless[0]!r}, received {keras[key]!r}")
        if kind == "ZeroPadding2D":
            pads = keras["padding"]
            continue
        layers.append(_to_layer(label, kind, keras, axes))
        if pads is not None:
            layers[-1]["config"]["padding"] = pads
        pads = None
        axes = 1 if kind in FLAT else axes
    if pads is not None:
        raise ValueError("layer: expected a Conv2D after a ZeroPadding2D, received nothing")
    return layers


def _to_layer(label: str, kind: str, keras: dict[str, Any], axes: int) -> dict[str, Any]:
    if kind == "BatchNormalization" and keras.get("axis", -1) not in (-1, [-1], axes, [axes]):
        raise ValueError(f"{label}: axis: expected the last, received {keras['axis']!r}")
    config = {"name": keras["name"], **{key: keras[key] for key in SHARED[kind] if key in keras}}
    if config.get("activation") is not None:
        checks.choice(f"{label}: activation", config["activation"], ACTIVATIONS)
    if kind in INITIALIZED:
        if config.get("activation") == "linear":
            config["activation"] = None  # Keras writes "linear" for none
        for key in ("kernel_initializer", "bias_initializer"):
            config |= _to_initializer(key, keras.get(key))
    return {"class_name": kind, "config": config, "trainable": keras.get("trainable", True)}


def _to_initializer(key: str, keras: Any) -> dict[str, str]:
    """Return the initializer as an argument; nothing for an unknown one: the weights are in the file."""
    name = keras.get("class_name") if isinstance(keras, dict) else keras
    return {key: SNAKE[name]} if isinstance(name, str) and name in SNAKE else {}


def _input_shape(entries: list[dict[str, Any]], config: dict[str, Any]) -> list[int]:
    first = entries[0]["config"] if entries else {}
    shape = first.get("batch_input_shape") or first.get("batch_shape") or config.get("build_input_shape")
    if not isinstance(shape, list) or len(shape) < 2 or None in shape[1:]:
        raise ValueError(f"input shape: expected fixed sizes after the batch's, received {shape!r}")
    return shape[1:]


def _dtype(entries: list[dict[str, Any]]) -> str:
    """Return "float64" for such a model, else "float32", also for 16-bit models."""
    dtype = entries[-1]["config"].get("dtype")
    if isinstance(dtype, dict):  # Keras 3: {"class_name": "DTypePolicy", "config": {"name": "float32"}}
        dtype = dtype["config"]["name"]
    return "float64" if dtype == "float64" else "float32"


def own_words(snapshot: Snapshot) -> dict[str, Any]:
    """Return the seed, algorithms, optimizer, loss and progress, for the attribute that Keras ignores."""
    algorithms = {
        layer["config"]["name"]: layer["config"]["algorithm"]
        for layer in snapshot.config["layers"]
        if "algorithm" in layer["config"]
    }
    training = {key: (snapshot.training or {}).get(key) for key in ("optimizer", "loss")}
    return {"seed": snapshot.config["seed"], "algorithms": algorithms, **training, **snapshot.progress}


def adopt_own_words(config: dict[str, Any], own: dict[str, Any]) -> dict[str, int]:
    """Restore the result of `own_words` in a `Snapshot.config`; return the progress."""
    config["seed"] = own.get("seed")
    algorithms = own.get("algorithms", {})
    for layer in config["layers"]:
        if layer["config"]["name"] in algorithms:
            layer["config"]["algorithm"] = algorithms[layer["config"]["name"]]
    return {key: own.get(key, 0) for key in ("epochs_trained", "steps_trained")}
