"""Keras' JSON for networks and for training, and tinycnn's dictionaries: one translated into the other.

::

    Snapshot.config   <-> model_config      {"class_name": "Sequential", "config": {"layers": [...]}}
    Snapshot.training <-> training_config   {"loss": ..., "metrics": [...], "optimizer_config": {...}}

What is written is Keras 2's form, since Keras 3 reads it and Keras 2 does not read Keras 3's: first an
InputLayer with `batch_input_shape`, dtypes and activations as strings, no `module` keys.
"""

import warnings
from typing import Any

from tinycnn.saving.snapshot import Snapshot

KERAS_VERSION = "2.15.0"  # whose form this is

CAMEL = {
    "glorot_uniform": "GlorotUniform",
    "glorot_normal": "GlorotNormal",
    "he_uniform": "HeUniform",
    "he_normal": "HeNormal",
    "zeros": "Zeros",
    "ones": "Ones",
}
SNAKE = {camel: snake for snake, camel in CAMEL.items()} | {name: name for name in CAMEL}

# For each layer, the arguments that have the same name and meaning in both.
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
# What Keras' layers can do and tinycnn's cannot, with the value that means "does not".
UNSUPPORTED = {
    "data_format": ("channels_last", None),
    "groups": (1,),
    "keepdims": (False,),
    "noise_shape": (None,),
    "kernel_constraint": (None,),
    "bias_constraint": (None,),
    "renorm": (False,),
}
INITIALIZED = {"Conv2D", "Dense"}
LOSSES = {
    "CategoricalCrossentropy": "categorical_crossentropy",
    "MeanSquaredError": "mean_squared_error",
    "SparseCategoricalCrossentropy": "sparse_categorical_crossentropy",
}
OPTIMIZERS = {"sgd": "SGD", "rmsprop": "RMSprop", "adadelta": "Adadelta", "adam": "Adam", "adamw": "AdamW"}


def from_model(config: dict[str, Any]) -> dict[str, Any]:
    """Return Keras' model_config for a `Snapshot.config`."""
    shape, dtype = config["input_shape"], config["dtype"]
    name = f"{config['layers'][0]['config']['name']}_input"
    entries = [
        {
            "class_name": "InputLayer",
            "config": {"batch_input_shape": [None, *shape], "dtype": dtype, "sparse": False, "name": name},
        }
    ]
    for layer in config["layers"]:
        entries += _from_layer(layer, dtype)
    return {"class_name": "Sequential", "config": {"name": config["name"], "layers": entries}}


def _from_layer(layer: dict[str, Any], dtype: str) -> list[dict[str, Any]]:
    """Return Keras' entry for a layer, after a ZeroPadding2D where the padding is explicit."""
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
        padding = {**common, "name": f"{own['name']}_padding", "padding": own["padding"]}
        before = [{"class_name": "ZeroPadding2D", "config": {**padding, "data_format": "channels_last"}}]
        config["padding"] = "valid"
    return [*before, {"class_name": kind, "config": config}]


def to_model(model_config: dict[str, Any]) -> dict[str, Any]:
    """Return the `Snapshot.config` of Keras' model_config, written by Keras 2 or 3.

    Raises
    ------
    ValueError
        For a model that is not Sequential, or a layer or an argument that tinycnn has not.
    """
    if model_config["class_name"] != "Sequential":
        raise ValueError(f"model: expected a Sequential, received {model_config['class_name']!r}")
    config = model_config["config"]
    # before 2.3 Keras wrote the list of layers alone
    entries = config if isinstance(config, list) else config["layers"]
    layers: list[dict[str, Any]] = []
    pads = None
    for entry in entries:
        kind = entry["class_name"]
        if kind == "ZeroPadding2D":
            pads = entry["config"]["padding"]
        elif kind != "InputLayer":
            layers.append(_to_layer(kind, entry["config"], pads))
            pads = None
    if pads is not None:
        raise ValueError("layer: expected a Conv2D after ZeroPadding2D, received nothing")
    return {
        "name": config.get("name", "sequential") if isinstance(config, dict) else "sequential",
        "seed": None,
        "dtype": _dtype(entries),
        "input_shape": _input_shape(entries, config),
        "layers": layers,
    }


def _to_layer(kind: str, keras: dict[str, Any], pads: Any) -> dict[str, Any]:
    if kind not in SHARED:
        raise ValueError(
            f"layer {keras.get('name')!r}: expected one of {', '.join(SHARED)}, received {kind!r}"
        )
    for key, allowed in UNSUPPORTED.items():
        if key in keras and keras[key] not in allowed:
            raise ValueError(
                f"layer {keras['name']!r}: {key}: expected {allowed[0]!r}, received {keras[key]!r}"
            )
    if kind == "BatchNormalization" and keras.get("axis") not in (-1, [-1], 3, [3], 1, [1]):
        raise ValueError(f"layer {keras['name']!r}: axis: expected the last, received {keras['axis']!r}")
    config = {"name": keras["name"], **{key: keras[key] for key in SHARED[kind] if key in keras}}
    if "activation" in config and not isinstance(config["activation"], str | None):
        raise ValueError(
            f"layer {keras['name']!r}: activation: expected a name, received {config['activation']!r}"
        )
    if kind in INITIALIZED:
        for key in ("kernel_initializer", "bias_initializer"):
            config |= _to_initializer(key, keras.get(key))
    if pads is not None:
        if kind != "Conv2D" or keras.get("padding") != "valid":
            raise ValueError(
                f"layer {keras['name']!r}: expected a valid Conv2D after ZeroPadding2D, received {kind}"
            )
        config["padding"] = pads
    return {"class_name": kind, "config": config, "trainable": bool(keras.get("trainable", True))}


def _to_initializer(key: str, keras: Any) -> dict[str, str]:
    """Return the initializer's name, or nothing for one that tinycnn has not: the weights are in the file."""
    name = keras.get("class_name") if isinstance(keras, dict) else keras
    return {key: SNAKE[name]} if name in SNAKE else {}


def _input_shape(entries: list[dict[str, Any]], config: Any) -> list[int]:
    first = entries[0]["config"] if entries else {}
    build = config.get("build_input_shape") if isinstance(config, dict) else None
    shape = first.get("batch_input_shape") or first.get("batch_shape") or build
    if not shape or any(size is None for size in shape[1:]):
        raise ValueError(f"input shape: expected fixed sizes, received {shape!r}")
    return list(shape[1:])


def _dtype(entries: list[dict[str, Any]]) -> str:
    """Return "float64" for such a model, else "float32", which 16-bit models are computed in as well."""
    dtype = entries[-1]["config"].get("dtype") if entries else None
    if isinstance(dtype, dict):  # Keras 3: {"class_name": "DTypePolicy", "config": {"name": "float32"}}
        dtype = dtype.get("config", {}).get("name")
    return "float64" if dtype == "float64" else "float32"


def from_training(training: dict[str, Any]) -> dict[str, Any]:
    """Return Keras' training_config for a `Snapshot.training`."""
    optimizer, loss = training["optimizer"], training["loss"]
    arguments = {key: value for key, value in optimizer["config"].items() if value is not None}
    camel = {snake: name for name, snake in LOSSES.items()}[loss["name"]]
    smoothing = {} if camel.startswith("Sparse") else loss["config"]  # Keras' sparse loss has no smoothing
    from_logits = {key: value for key, value in loss["config"].items() if key == "from_logits"}
    return {
        "loss": {"class_name": camel, "config": {"name": loss["name"], **from_logits, **smoothing}},
        "metrics": training["metrics"],
        "weighted_metrics": None,
        "loss_weights": None,
        "optimizer_config": {"class_name": OPTIMIZERS[optimizer["name"]], "config": arguments},
    }


def to_training(training_config: dict[str, Any], own: dict[str, Any]) -> dict[str, Any] | None:
    """Return the `Snapshot.training` of Keras' training_config; None, and a warning, when it has no equal."""
    try:
        return {
            "optimizer": _to_optimizer(training_config["optimizer_config"]),
            "loss": own.get("loss") or _to_loss(training_config["loss"]),
            "metrics": _to_metrics(training_config.get("metrics") or []),
            "iterations": 0,
        }
    except (KeyError, TypeError, ValueError) as error:
        warnings.warn(
            f"the model is not compiled, since the file asks for more than tinycnn has: {error}", stacklevel=2
        )
        return None


def _to_optimizer(keras: dict[str, Any]) -> dict[str, Any]:
    name = keras["class_name"].rsplit(">", 1)[-1].lower()  # "Custom>Adam" in Keras 2
    names = {
        "sgd": ["momentum", "nesterov"],
        "rmsprop": ["rho", "momentum", "epsilon", "centered"],
        "adadelta": ["rho", "epsilon"],
        "adam": ["beta_1", "beta_2", "epsilon", "amsgrad"],
        "adamw": ["beta_1", "beta_2", "epsilon", "amsgrad", "weight_decay"],
    }
    if name not in names:
        raise ValueError(f"optimizer {keras['class_name']!r}")
    config = keras["config"]
    refused = ["clipnorm", "clipvalue", "use_ema", "decay", *["weight_decay"] * (name != "adamw")]
    for key in (*refused, "gradient_accumulation_steps", "loss_scale_factor"):
        if config.get(key):
            raise ValueError(f"{key} {config[key]!r}")
    if not isinstance(config["learning_rate"], int | float):
        raise ValueError(f"learning_rate {config['learning_rate']!r}")
    wanted = ["learning_rate", "global_clipnorm", *names[name]]
    return {"name": name, "config": {key: config[key] for key in wanted if key in config}}


def _to_loss(keras: Any) -> dict[str, Any]:
    name = keras if isinstance(keras, str) else keras["class_name"]
    config = {} if isinstance(keras, str) else keras["config"]
    name = LOSSES.get(name, name)
    if name not in LOSSES.values():
        raise ValueError(f"loss {name!r}")
    wanted = [] if name == "mean_squared_error" else ["from_logits", "label_smoothing"]
    return {"name": name, "config": {key: config[key] for key in wanted if key in config}}


def _to_metrics(keras: Any) -> list[str]:
    """Return the names that tinycnn knows; Keras nests them by output and writes objects as dictionaries."""
    flat = [item for entry in keras for item in (entry if isinstance(entry, list) else [entry])]
    names = [item if isinstance(item, str) else item["config"]["name"] for item in flat if item]
    known = ["accuracy" for name in names if name in ("acc", "accuracy", "sparse_categorical_accuracy")]
    return known[:1]


def own_words(snapshot: Snapshot) -> dict[str, Any]:
    """Return what Keras has no word for."""
    algorithms = {
        layer["config"]["name"]: layer["config"]["algorithm"]
        for layer in snapshot.config["layers"]
        if "algorithm" in layer["config"]
    }
    loss = None if snapshot.training is None else snapshot.training["loss"]
    return {"seed": snapshot.config["seed"], "algorithms": algorithms, "loss": loss, **snapshot.progress}


def adopt_own_words(config: dict[str, Any], own: dict[str, Any]) -> dict[str, int]:
    """Put what `own_words` returned back into a `Snapshot.config`; return the progress."""
    config["seed"] = own.get("seed")
    for layer in config["layers"]:
        name = layer["config"]["name"]
        if name in own.get("algorithms", {}):
            layer["config"]["algorithm"] = own["algorithms"][name]
    return {key: int(own.get(key, 0)) for key in ("epochs_trained", "steps_trained")}
