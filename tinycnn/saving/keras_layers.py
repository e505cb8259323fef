"""Layers in Keras' files: the arguments of each, and their translation in both directions.

::

    tinycnn's entry -> from_layer -> Keras' entry
    Keras' entry -> entry -> Entry -> to_layer -> tinycnn's entry

An argument of a file is read (`LAYERS`), refused (`UNSUPPORTED`), without an effect on what is computed
(`COMMON`), or left out with a warning. Classes are looked up by name in `LAYERS`. So a file cannot load
anything else: no Lambda, and no registered class.
"""

from typing import Any, NamedTuple

from tinycnn.activations import ACTIVATIONS
from tinycnn.saving import keras_names, keras_regularizers
from tinycnn.support import checks

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


class Arguments(NamedTuple):
    """The arguments of a layer.

    Attributes
    ----------
    shared : tuple of str
        Those with the same name and meaning in both libraries.
    weights : tuple of str
        Weights whose initializer and regularizer are arguments, such as "kernel" for `kernel_initializer`.
    """

    shared: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()

    @property
    def initializers(self) -> list[str]:
        """The names of the arguments that are initializers."""
        return [f"{weight}_initializer" for weight in self.weights]

    @property
    def regularizers(self) -> list[str]:
        """The names of the arguments that are regularizers."""
        return [f"{weight}_regularizer" for weight in self.weights]


POOL = ("pool_size", "strides", "padding")
CONV = ("kernel_size", "strides", "padding", "dilation_rate", "activation", "use_bias")
LAYERS = {
    "Activation": Arguments(("activation",)),
    "AveragePooling2D": Arguments(POOL),
    "BatchNormalization": Arguments(("momentum", "epsilon", "center", "scale")),
    "Conv2D": Arguments(("filters", *CONV), ("kernel", "bias")),
    "Dense": Arguments(("units", "activation", "use_bias"), ("kernel", "bias")),
    "DepthwiseConv2D": Arguments(("depth_multiplier", *CONV), ("depthwise", "bias")),
    "Dropout": Arguments(("rate", "seed")),
    "Flatten": Arguments(),
    "GaussianNoise": Arguments(("stddev", "seed")),
    "GlobalAveragePooling2D": Arguments(),
    "GlobalMaxPooling2D": Arguments(),
    "MaxPooling2D": Arguments(POOL),
    "ReLU": Arguments(("max_value", "negative_slope", "threshold")),
    "Reshape": Arguments(("target_shape",)),
    "SeparableConv2D": Arguments(("filters", "depth_multiplier", *CONV), ("depthwise", "pointwise", "bias")),
    "Softmax": Arguments(("axis",)),
    "UpSampling2D": Arguments(("size", "interpolation")),
    "ZeroPadding2D": Arguments(("padding",)),
}
# Keras' layers that are another one of tinycnn's: its class, and Keras' default where it differs.
READ_AS: dict[str, tuple[str, dict[str, Any]]] = {"LeakyReLU": ("ReLU", {"negative_slope": 0.3})}
#: Layers that Keras also takes as the activation of another one.
ACTIVATION_LAYERS = ("LeakyReLU", "ReLU", "Softmax")
# What is read of an entry besides the shared arguments.
ALSO_READ = {"BatchNormalization": ("axis",)}
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
# Values of arguments that are names, where tinycnn has some of Keras'.
NAMES = {"activation": tuple(ACTIVATIONS), "interpolation": ("nearest", "bilinear")}
# Endings of arguments that Keras' layers use in training only. They are left out, with a warning.
TRAINING_ONLY = ("_regularizer", "_constraint")
# Arguments that are read for the whole model, that matter together with unsupported ones only, or that change
# how Keras computes and not what.
COMMON = {"batch_input_shape", "batch_shape", "dtype", "name", "trainable", "build_input_shape", "layers"}
COMMON |= {"autocast", "fused", "input_dim", "input_layers", "input_shape", "lora_alpha", "optional"}
COMMON |= {"output_layers", "renorm_clipping", "renorm_momentum", "synchronized"}
# Keras 2 writes these too of a SeparableConv2D, which has no such weight.
WITHOUT_EFFECT = {"SeparableConv2D": ("kernel_initializer", "kernel_regularizer", "kernel_constraint")}
# Initializers by their settings (scale, mode, distribution), as Keras 2 writes them up to 2.2.
VARIANCE_SCALING = [
    ((1, "fan_avg", "uniform"), "glorot_uniform"),
    ((1, "fan_avg", "normal"), "glorot_normal"),
    ((2, "fan_in", "uniform"), "he_uniform"),
    ((2, "fan_in", "normal"), "he_normal"),
]
# The initializers of a BatchNormalization, which tinycnn does not let a user choose.
FIXED_INITIALIZERS = {"beta": "zeros", "gamma": "ones", "moving_mean": "zeros", "moving_variance": "ones"}


class Entry(NamedTuple):
    """An entry of a file: its label in messages, its class, its arguments; all by the names of today."""

    label: str
    kind: str
    keras: dict[str, Any]


def from_layer(layer: dict[str, Any], dtype: str) -> dict[str, Any]:
    """Return Keras' entry for a layer of a `Snapshot.config`, without the padding of its own."""
    kind, own = layer["class_name"], layer["config"]
    arguments = LAYERS[kind]
    config = {"name": own["name"], "trainable": layer["trainable"], "dtype": dtype}
    config |= {key: own[key] for key in arguments.shared}
    if arguments.weights:
        config["activation"] = own["activation"] or "linear"
    for key in arguments.initializers:
        seed = {} if own[key] in ("zeros", "ones") else {"seed": None}
        config[key] = {"class_name": CAMEL[own[key]], "config": seed}
    config |= {key: own[key] for key in arguments.regularizers if own.get(key) is not None}
    if "2D" in kind:
        config["data_format"] = "channels_last"
    return {"class_name": kind, "config": config}


def entry(number: int, keras: Any) -> Entry:
    """Return a layer of a file; raise ValueError for a class or an argument that tinycnn does not have."""
    config = keras.get("config") if isinstance(keras, dict) else None
    name = config.get("name") if isinstance(config, dict) else None
    label = f"layer {number if name is None else repr(name)}"
    known = ("InputLayer", *LAYERS, *READ_AS)
    kind = checks.choice(label, keras_names.class_name(label, keras), known)
    keras_names.refuse_users(label, keras)
    if kind == "InputLayer" and number > 1:
        raise ValueError(f"{label}: expected an InputLayer as the first entry only")
    kind, defaults = READ_AS.get(kind, (kind, {}))
    arguments = defaults | keras_names.layer_arguments(label, config)
    if kind == "SeparableConv2D" and "kernel_initializer" in arguments:  # Keras 1 has one for both kernels
        both = dict.fromkeys(LAYERS[kind].initializers[:2], arguments["kernel_initializer"])
        arguments = both | arguments
    for key, harmless in UNSUPPORTED.items():
        if key in arguments and arguments[key] not in harmless:
            raise ValueError(f"{label}: {key}: expected {harmless[0]!r}, received {arguments[key]!r:.200}")
    return Entry(label, kind, arguments)


def to_layer(label: str, kind: str, keras: dict[str, Any], axes: int) -> dict[str, Any]:
    """Return tinycnn's entry for an `Entry`; `axes` is the number of axes of its input, without the batch.

    Raises
    ------
    ValueError
        For a name or a regularizer that tinycnn cannot take over.
    """
    if kind == "BatchNormalization" and keras.get("axis", -1) not in (-1, [-1], axes, [axes]):
        raise ValueError(f"{label}: axis: expected the last, received {keras['axis']!r:.200}")
    arguments = LAYERS[kind]
    config: dict[str, Any] = {"name": checks.text(f"{label}: name", keras.get("name"))}
    config |= {key: keras[key] for key in arguments.shared if key in keras}
    for key in NAMES.keys() & config.keys():
        if config[key] is not None:
            checks.choice(f"{label}: {key}", config[key], NAMES[key])
    if arguments.weights and config.get("activation") == "linear":
        config["activation"] = None  # Keras writes "linear" for none
    for key in arguments.initializers:
        name = _initializer(keras.get(key))
        config |= {} if name is None else {key: name}
    config |= keras_regularizers.to_layer(label, keras, arguments.regularizers)
    return {"class_name": kind, "config": config, "trainable": keras.get("trainable", True)}


def unused(kind: str, keras: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of an `Entry` that nothing uses: those of training only, and the others."""
    known = {*COMMON, *UNSUPPORTED, *ALSO_READ.get(kind, ()), *WITHOUT_EFFECT.get(kind, ())}
    arguments = LAYERS.get(kind, Arguments())
    training, others = {}, {}
    for key, value in keras.items():
        if value in (None, False, [], {}) or key in known or key in arguments.shared:
            continue
        if key in arguments.regularizers and keras_regularizers.is_known(value):
            continue
        if key.endswith(TRAINING_ONLY):
            training[key] = value
        elif not _is_known_initializer(arguments, key, value):
            others[key] = value
    return training, others


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


def _is_known_initializer(arguments: Arguments, key: str, value: Any) -> bool:
    """Return whether an argument is an initializer that the layer will have again."""
    found = _initializer(value)
    if found is None:
        return False
    fixed = FIXED_INITIALIZERS.get(key.removesuffix("_initializer"))
    return key in arguments.initializers or (key.endswith("_initializer") and fixed == found)
