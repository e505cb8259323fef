"""Names that Keras has given to its classes and arguments, and the names of today.

::

    Keras 1   Convolution2D(nb_filter=32, nb_row=3, nb_col=2, border_mode="same", dim_ordering="tf", ...)
    today     Conv2D(filters=32, kernel_size=[3, 2], padding="same", data_format="channels_last", ...)

The old names of layers are those of Keras 1, translated as in keras/legacy/interfaces.py of Keras 2. An entry
of a file is `{"class_name": ..., "config": {...}}`. Keras 3 may add where the class is from:

::

    a class of Keras    "module": "keras.layers", "registered_name": None
    a user's class      "module": None,           "registered_name": "package>Dense"

Nothing is looked up there, but a user's class computes something else, also under the name of one of Keras'.
It is refused. A `.h5` file does not say where a class is from, unless it was registered.
"""

from typing import Any

CLASSES = {
    "AtrousConvolution2D": "Conv2D",
    "BatchNormalizationV1": "BatchNormalization",  # TensorFlow 1 and early 2
    "BatchNormalizationV2": "BatchNormalization",
    "Convolution2D": "Conv2D",
    "SeparableConvolution2D": "SeparableConv2D",
}
LAYER_ARGUMENTS = {
    "W_constraint": "kernel_constraint",
    "W_regularizer": "kernel_regularizer",
    "alpha": "negative_slope",  # of a LeakyReLU, up to Keras 2
    "atrous_rate": "dilation_rate",
    "b_constraint": "bias_constraint",
    "b_regularizer": "bias_regularizer",
    "beta_init": "beta_initializer",
    "bias": "use_bias",
    "border_mode": "padding",
    "depthwise_init": "depthwise_initializer",
    "dim_ordering": "data_format",
    "gamma_init": "gamma_initializer",
    "init": "kernel_initializer",
    "input_dtype": "dtype",
    "nb_filter": "filters",
    "output_dim": "units",
    "p": "rate",
    "pointwise_init": "pointwise_initializer",
    "sigma": "stddev",
    "subsample": "strides",
}
OPTIMIZER_ARGUMENTS = {"lr": "learning_rate"}  # up to Keras 2.2
DATA_FORMATS = {"tf": "channels_last", "th": "channels_first"}
LIBRARIES = ("keras", "tf_keras", "tensorflow")  # whose modules hold Keras' own classes
PADS = ("top_pad", "bottom_pad", "left_pad", "right_pad")  # of a ZeroPadding2D in Keras 1


def check_name(what: str, name: str) -> None:
    """Raise ValueError for a name that HDF5 reads as a path; Keras 3 refuses it too."""
    if "/" in name or name in (".", ".."):
        raise ValueError(f"{what} name: expected one without '/' for files of Keras, received {name!r}")


def class_name(what: str, entry: Any) -> str:
    """Return the class that an entry names, by the name of today; raise ValueError where it names none."""
    if not isinstance(entry, dict) or not isinstance(entry.get("class_name"), str):
        raise ValueError(f"{what}: expected an entry with a class_name, received {entry!r:.200}")
    name: str = entry["class_name"]
    return CLASSES.get(name, name)


def refuse_users(what: str, entry: dict[str, Any]) -> None:
    """Raise ValueError for an entry whose class is a user's own."""
    if is_users(entry):
        received = f"{entry['class_name']!r:.99} of the module {entry.get('module')!r:.99}"
        registered = f"registered as {entry['registered_name']!r:.99}"
        raise ValueError(f"{what}: expected a class of Keras, received {received}, {registered}")


def is_users(entry: dict[str, Any]) -> bool:
    """Return whether an entry says that its class is not Keras' own."""
    module, registered = entry.get("module"), entry.get("registered_name")
    is_keras = isinstance(module, str) and module.partition(".")[0] in LIBRARIES
    return isinstance(registered, str) and not is_keras


def layer_arguments(what: str, config: Any) -> dict[str, Any]:
    """Return the arguments of a layer by the names of today.

    Raises
    ------
    ValueError
        When the configuration is no dictionary, or has two values for one argument.
    """
    arguments = renamed(what, config, LAYER_ARGUMENTS)
    arguments = {key: _plain(value) for key, value in arguments.items()}
    if "nb_row" in arguments and "nb_col" in arguments:
        arguments["kernel_size"] = [arguments.pop("nb_row"), arguments.pop("nb_col")]
    if "dim_ordering" in config:
        arguments["data_format"] = DATA_FORMATS.get(str(config["dim_ordering"]), config["dim_ordering"])
    pads = arguments.get("padding")
    if isinstance(pads, dict):
        pads = [pads.get(side, 0) for side in PADS]
    if isinstance(pads, list) and len(pads) == len(PADS):
        arguments["padding"] = [pads[:2], pads[2:]]
    return arguments


def _plain(value: Any) -> Any:
    """Return a number or a list that Keras wrote as an object: as an array of NumPy, or as a tuple."""
    if not isinstance(value, dict):
        return value
    if value.get("type") == "ndarray":  # Keras 2, to 2.3
        return value.get("value")
    if value.get("class_name") == "__numpy__" and isinstance(value.get("config"), dict):
        return value["config"].get("value")
    return value.get("items") if value.get("class_name") == "__tuple__" else value


def renamed(what: str, config: Any, names: dict[str, str]) -> dict[str, Any]:
    """Return a configuration by the names of today; raise ValueError where two values share a name."""
    if not isinstance(config, dict):
        raise ValueError(f"{what}: expected a dictionary of arguments, received {config!r:.200}")
    arguments: dict[str, Any] = {}
    for key, value in config.items():
        name = str(names.get(key, key))
        if arguments.setdefault(name, value) != value:
            raise ValueError(f"{what}: expected one {name}, received {arguments[name]!r} and {value!r}")
    return arguments
