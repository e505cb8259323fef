"""Translation of networks between Keras' JSON and tinycnn's dictionaries.

::

    Snapshot.config <-> model_config      {"class_name": "Sequential", "config": {"layers": [...]}}

Files are written in the form of Keras 2. Keras 3 reads it, and Keras 2 does not read the form of Keras 3. It
has an InputLayer with `batch_input_shape`, dtypes and activations as strings, and no `module` keys.

Two kinds of models do not load in Keras. Keras 3 refuses a Conv2D with strides and dilation both above 1.
Keras 2 refuses a model compiled with AdamW, unless it is opened with `load_model(..., compile=False)`.

Reading looks classes up in the tables below by name alone. So a file cannot load anything else: no Lambda,
and no registered class. Every argument in a file is used, refused, or left out with a warning.
"""

import warnings
from typing import Any

from tinycnn.activations import ACTIVATIONS
from tinycnn.saving import keras_names, keras_regularizers
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
SNAKE |= {"zero": "zeros", "one": "ones"}  # Keras 1

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
# Entries without a layer of their own in tinycnn, and the arguments that are read of each entry besides.
READ = SHARED | {"InputLayer": [], "ZeroPadding2D": ["padding"]}
READ["BatchNormalization"] = [*SHARED["BatchNormalization"], "axis"]
# Arguments of Keras' layers that tinycnn does not support, with the values that turn them off.
UNSUPPORTED = {
    "data_format": ("channels_last", None),
    "groups": (1, None),
    "keepdims": (False, None),
    "lora_rank": (None,),
    "mode": (0, None),  # of a BatchNormalization in Keras 1
    "noise_shape": (None,),
    "quantization_config": (None,),
    "ragged": (False, None),
    "renorm": (False, None),
    "sparse": (False, None),
    "virtual_batch_size": (None,),
}
# Endings of arguments that Keras' layers use in training only. They are left out, with a warning.
TRAINING_ONLY = ("_regularizer", "_constraint")
# Arguments that are read for the whole model, that matter together with unsupported ones only, or that change
# how Keras computes and not what.
COMMON = {"batch_input_shape", "batch_shape", "dtype", "name", "trainable", "build_input_shape", "layers"}
COMMON |= {"autocast", "fused", "input_dim", "lora_alpha", "optional", "synchronized"}
COMMON |= {"renorm_clipping", "renorm_momentum"}
# Keras' dtypes and policies of layers; those of 16 bits are computed in float32.
DTYPES = ("float32", "float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")
# Initializers by their settings (scale, mode, distribution), as Keras 2 writes them up to 2.2.
VARIANCE_SCALING = [
    ((1, "fan_avg", "uniform"), "glorot_uniform"),
    ((1, "fan_avg", "normal"), "glorot_normal"),
    ((2, "fan_in", "uniform"), "he_uniform"),
    ((2, "fan_in", "normal"), "he_normal"),
]
# The initializers of a BatchNormalization, which tinycnn does not let a user choose.
FIXED_INITIALIZERS = {"beta": "zeros", "gamma": "ones", "moving_mean": "zeros", "moving_variance": "ones"}
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
        config |= keras_regularizers.from_layer(own)
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


# An entry of a file: its label in messages, its class, its arguments; all by the names of today.
Entry = tuple[str, str, dict[str, Any]]


def to_model(model_config: dict[str, Any]) -> dict[str, Any]:
    """Return the `Snapshot.config` of Keras' model_config, written by Keras 1, 2 or 3.

    Raises
    ------
    ValueError
        For a model that is not Sequential, or a layer or an argument that tinycnn does not have.

    Warns
    -----
    UserWarning
        For constraints, and regularizers that tinycnn does not have, which are ignored. They matter only if
        training continues. Also for arguments that are unknown, initializers that tinycnn does not have, and
        dtypes of 16 bits.
    """
    if model_config.get("class_name") != "Sequential":
        raise ValueError(f"model: expected a Sequential, received {model_config.get('class_name')!r}")
    config = model_config.get("config")
    if isinstance(config, list):
        config = {"layers": config}  # Keras before 2.2.3 wrote only the list of layers
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        raise ValueError(f"model: expected a list of layers, received {config!r:.200}")
    entries = [_entry(number, entry) for number, entry in enumerate(config["layers"], 1)]
    input_shape = _input_shape(entries, config)
    dtype, other_dtypes = _dtype(entries)
    _warn_of_the_rest([*entries, ("model", "InputLayer", config)], dtype, other_dtypes)
    layers = _to_layers(entries, len(input_shape))
    for layer in layers if config.get("trainable") is False else []:
        layer["trainable"] = False
    return {
        "name": config.get("name", "sequential"),
        "seed": None,
        "dtype": dtype,
        "input_shape": input_shape,
        "layers": layers,
    }


def _entry(number: int, entry: Any) -> Entry:
    """Return a layer of a file; raise ValueError for a class or an argument that tinycnn does not have."""
    config = entry.get("config") if isinstance(entry, dict) else None
    name = config.get("name") if isinstance(config, dict) else None
    label = f"layer {number if name is None else repr(name)}"
    kind = checks.choice(label, keras_names.class_name(label, entry), READ)
    if kind == "InputLayer" and number > 1:
        raise ValueError(f"{label}: expected an InputLayer as the first entry only")
    keras = keras_names.layer_arguments(label, config)
    for key, harmless in UNSUPPORTED.items():
        if key in keras and keras[key] not in harmless:
            raise ValueError(f"{label}: {key}: expected {harmless[0]!r}, received {keras[key]!r:.200}")
    return label, kind, keras


def _warn_of_the_rest(entries: list[Entry], dtype: str, other_dtypes: list[str]) -> None:
    """Warn of all that nothing else uses: once of what matters in training only, once of the rest."""
    training, others = {}, [f"dtype {other}, computed in {dtype}" for other in other_dtypes]
    for label, kind, keras in entries:
        for key, value in keras.items():
            if value in (None, False, [], {}) or key in COMMON or key in READ[kind] or key in UNSUPPORTED:
                continue
            if kind in INITIALIZED and keras_regularizers.is_read(key, value):
                continue
            text = f"{label}: {key} {value!r:.200}"
            if key.endswith(TRAINING_ONLY):
                training[text] = key
            elif not _is_known_initializer(kind, key, value):
                others.append(text)
    if training:
        names, details = ", ".join(sorted(set(training.values()))), "; ".join(training)
        warnings.warn(f"tinycnn has no such {names}: further training ignores it ({details})", stacklevel=3)
    if others:
        warnings.warn(f"tinycnn leaves out {'; '.join(others)}", stacklevel=3)


def _to_layers(entries: list[Entry], axes: int) -> list[dict[str, Any]]:
    """Return tinycnn's entries for Keras'; `axes` is the number of axes of the input, without the batch."""
    layers: list[dict[str, Any]] = []
    pads = None
    for label, kind, keras in entries:
        if pads is not None and not (kind == "Conv2D" and keras.get("padding", "valid") == "valid"):
            raise ValueError(f"{label}: expected a valid Conv2D after a ZeroPadding2D, received {kind!r}")
        if kind == "InputLayer":
            continue
        if kind == "ZeroPadding2D":
            pads = keras.get("padding", 1)
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
        raise ValueError(f"{label}: axis: expected the last, received {keras['axis']!r:.200}")
    config: dict[str, Any] = {"name": checks.text(f"{label}: name", keras.get("name"))}
    config |= {key: keras[key] for key in SHARED[kind] if key in keras}
    if config.get("activation") is not None:
        checks.choice(f"{label}: activation", config["activation"], ACTIVATIONS)
    if kind in INITIALIZED:
        if config.get("activation") == "linear":
            config["activation"] = None  # Keras writes "linear" for none
        for key in ("kernel_initializer", "bias_initializer"):
            name = _initializer(keras.get(key))
            config |= {} if name is None else {key: name}
        config |= keras_regularizers.to_layer(label, keras)
    return {"class_name": kind, "config": config, "trainable": keras.get("trainable", True)}


def _initializer(keras: Any) -> str | None:
    """Return the name of an initializer; None for an unknown one: the weights are in the file."""
    name, config = keras, None
    if isinstance(keras, dict):
        name, config = keras.get("class_name"), keras.get("config")
    if name == "VarianceScaling" and isinstance(config, dict):
        kind = str(config.get("distribution")).removeprefix("truncated_")
        settings = (config.get("scale"), config.get("mode"), kind)
        return next((name for known, name in VARIANCE_SCALING if known == settings), None)
    return SNAKE.get(name) if isinstance(name, str) else None


def _is_known_initializer(kind: str, key: str, value: Any) -> bool:
    """Return whether an argument is an initializer that the layer will have again."""
    weight, found = key.removesuffix("_initializer"), _initializer(value)
    if weight == key or found is None:
        return False
    return kind in INITIALIZED or FIXED_INITIALIZERS.get(weight) == found


def _input_shape(entries: list[Entry], config: dict[str, Any]) -> list[int]:
    first = entries[0][2] if entries else {}
    shape = first.get("batch_input_shape") or first.get("batch_shape") or config.get("build_input_shape")
    if not isinstance(shape, list) or len(shape) < 2 or None in shape[1:]:
        raise ValueError(f"input shape: expected fixed sizes after the batch's, received {shape!r:.200}")
    return shape[1:]


def _dtype(entries: list[Entry]) -> tuple[str, list[str]]:
    """Return "float64" if all layers have it, else "float32"; and the dtypes that this does not honour."""
    layers, inputs = set(), set()
    for label, kind, keras in entries:
        dtype = keras.get("dtype")
        if isinstance(dtype, dict) and isinstance(dtype.get("config"), dict):
            dtype = dtype["config"].get(
                "name"
            )  # {"class_name": "DTypePolicy", "config": {"name": "float32"}}
        if dtype in (None, "infer", "_infer"):
            continue
        if kind == "InputLayer":
            inputs.add(str(dtype))
        else:
            layers.add(checks.choice(f"{label}: dtype", dtype, DTYPES))
    dtype = "float64" if (layers or inputs) == {"float64"} else "float32"
    return dtype, sorted((layers - {dtype}) | (inputs - {"float32", "float64"}))


def own_words(snapshot: Snapshot) -> dict[str, Any]:
    """Return the seed, algorithms, optimizer, loss and progress, for the attribute that Keras ignores."""
    algorithms = {
        layer["config"]["name"]: layer["config"]["algorithm"]
        for layer in snapshot.config["layers"]
        if "algorithm" in layer["config"]
    }
    training = {key: (snapshot.training or {}).get(key) for key in ("optimizer", "loss", "iterations")}
    return {"seed": snapshot.config["seed"], "algorithms": algorithms, **training, **snapshot.progress}


def adopt_own_words(config: dict[str, Any], own: dict[str, Any]) -> dict[str, int]:
    """Restore the result of `own_words` in a `Snapshot.config`; return the progress."""
    config["seed"] = own.get("seed")
    algorithms = own.get("algorithms", {})
    for layer in config["layers"]:
        if layer["config"]["name"] in algorithms:
            layer["config"]["algorithm"] = algorithms[layer["config"]["name"]]
    return {key: own.get(key, 0) for key in ("epochs_trained", "steps_trained")}
