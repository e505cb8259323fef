"""Translation of optimizers, losses and metrics between Keras' JSON and tinycnn's dictionaries.

::

    Snapshot.training <-> training_config   {"loss": ..., "metrics": [...], "optimizer_config": {...}}

Settings that Keras does not have are written as the nearest ones: the rate of the next step for a schedule,
and no decay for rules of weight decay. The smoothing of sparse labels is left out. `keras_config.own_words`
keeps the original settings. They are read back while the file says in Keras' words what they were written as.

Every argument in a file is used, or the model is not compiled, with a warning. Metrics that tinycnn does not
have are left out with a warning, since they only report. RMSprop of Keras before 2.11 added epsilon to the
root of the mean square, and not to the mean square as today.
"""

import warnings
from collections.abc import Iterator
from typing import Any

from tinycnn import losses, metrics, optimizers
from tinycnn.optimizers import schedules
from tinycnn.saving import keras_names

LOSSES = {
    "BinaryCrossentropy": "binary_crossentropy",
    "CategoricalCrossentropy": "categorical_crossentropy",
    "MeanAbsoluteError": "mean_absolute_error",
    "MeanSquaredError": "mean_squared_error",
    "SparseCategoricalCrossentropy": "sparse_categorical_crossentropy",
}
LOSS_NAMES = LOSSES | losses.SHORT_NAMES | {name: name for name in LOSSES.values()}
LOSS_NAMES |= {name.upper(): long for name, long in losses.SHORT_NAMES.items() if len(name) == 3}
# tinycnn's names of Keras' metrics, without the prefix "sparse"
METRICS = {name: name for name in ("acc", *metrics.METRICS, *LOSSES.values(), "bce", "mae", "mse")}
METRICS |= {name: long for name, long in metrics.SHORT_NAMES.items() if name != "acc"}
METRIC_CLASSES = LOSSES | {
    "BinaryAccuracy": "binary_accuracy",
    "CategoricalAccuracy": "accuracy",
    "TopKCategoricalAccuracy": "top_k_categorical_accuracy",
}
OPTIMIZERS = {"sgd": "SGD", "rmsprop": "RMSprop", "adadelta": "Adadelta", "adam": "Adam", "adamw": "AdamW"}
# The schedules that Keras has, with the same arguments.
SCHEDULES = ("CosineDecay", "ExponentialDecay", "PiecewiseConstantDecay")
# For each optimizer, the arguments with the same name and meaning in both libraries, besides the common ones.
SHARED = {
    "sgd": ["momentum", "nesterov"],
    "rmsprop": ["rho", "momentum", "epsilon", "centered"],
    "adadelta": ["rho", "epsilon"],
    "adam": ["beta_1", "beta_2", "epsilon", "amsgrad"],
    "adamw": ["beta_1", "beta_2", "epsilon", "amsgrad"],
}
# For the optimizers, the losses and the training as a whole: arguments of Keras that tinycnn does not have,
# with the values that turn them off, and arguments without an effect of their own.
OPTIMIZERS_OFF = {
    "clipnorm": (None,),
    "clipvalue": (None,),
    "decay": (None, 0),
    "gradient_accumulation_steps": (None, 1),
    "loss_scale_factor": (None, 1),
    "use_ema": (None, False),
}
OPTIMIZERS_NEUTRAL = ("ema_momentum", "ema_overwrite_frequency", "is_legacy_optimizer", "jit_compile", "name")
LOSSES_OFF = {
    "axis": (None, -1),
    "ignore_class": (None,),
    # all the same without weights of samples
    "reduction": ("auto", "mean", "mean_with_sample_weight", "sum_over_batch_size"),
}
LOSSES_NEUTRAL = ("dtype", "name")
TRAINING_OFF: dict[str, tuple[Any, ...]] = {
    "loss_weights": (None, 1, [], {}),
    "sample_weight_mode": (None, [], {}, [None]),
}
TRAINING_NEUTRAL = ("auto_scale_loss", "jit_compile", "run_eagerly", "steps_per_execution")


def from_training(training: dict[str, Any]) -> dict[str, Any]:
    """Return Keras' training_config for a `Snapshot.training`."""
    loss = _from_loss(training["loss"])
    known = [name for name in training["metrics"] if name in METRICS]  # functions have no name in Keras
    return {
        "loss": loss,
        "metrics": [_from_metric(name, loss["class_name"]) for name in known],
        "weighted_metrics": None,
        "loss_weights": None,
        "optimizer_config": _from_optimizer(training["optimizer"], training["iterations"]),
    }


def _from_optimizer(optimizer: dict[str, Any], iterations: int) -> dict[str, Any]:
    arguments = {key: value for key, value in optimizer["config"].items() if value is not None}
    arguments["learning_rate"] = from_rate(arguments["learning_rate"], iterations)
    # AdamW of Keras decays by default
    if isinstance(arguments.get("weight_decay", {}), dict) and optimizer["name"] == "adamw":
        arguments["weight_decay"] = 0.0
    elif isinstance(arguments.get("weight_decay"), dict):
        del arguments["weight_decay"]
    return {"class_name": OPTIMIZERS[optimizer["name"]], "config": arguments}


def _from_loss(loss: dict[str, Any]) -> dict[str, Any]:
    camel = next(name for name, snake in LOSSES.items() if snake == loss["name"])
    # the sparse loss of Keras has no smoothing
    config = {k: v for k, v in loss["config"].items() if k != "label_smoothing" or "Sparse" not in camel}
    return {"class_name": camel, "config": {"name": loss["name"], **config}}


def from_rate(rate: Any, iterations: int) -> Any:
    """Return Keras' form of a learning rate: a number or a schedule."""
    if not isinstance(rate, dict):
        return rate
    name, config = rate["class_name"], rate["config"]
    if name not in SCHEDULES:
        return schedules.rate(schedules.get("learning_rate", rate), iterations)
    module = "keras.optimizers.schedules"
    return {"module": module, "class_name": name, "config": {**config, "name": name}, "registered_name": None}


def to_training(training_config: dict[str, Any], own: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """Return the `Snapshot.training` of Keras' training_config; warn and return None if there is none.

    Parameters
    ----------
    training_config : dict
    own : dict, optional
        The "optimizer", the "loss" and the "iterations" of `keras_config.own_words`, in a file written by
        tinycnn. They count unless the training_config has been changed since.

    Warns
    -----
    UserWarning
        When the model is not compiled, since the training has no equal; for metrics that are left out; and
        when the file has no learning rate.
    """
    notes: list[str] = []
    try:
        training: dict[str, Any] = {
            "optimizer": _to_optimizer(training_config.get("optimizer_config"), notes),
            "loss": _to_loss(training_config.get("loss")),
            "metrics": _to_metrics(training_config.get("metrics"), notes),
            "iterations": 0,
        }
        _check_the_rest(training_config, notes)
        optimizers.get(training["optimizer"]["name"], **training["optimizer"]["config"])
        losses.get(training["loss"]["name"], **training["loss"]["config"])
    except ValueError as error:
        warnings.warn(f"the model is not compiled, since tinycnn does not support {error}", stacklevel=2)
        return None
    if notes:
        warnings.warn(f"the training is read with changes: {'; '.join(notes)}", stacklevel=2)
    return training | _own_settings(training_config, own or {})


def _own_settings(training_config: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return those of tinycnn's own settings that the training_config was written from."""
    optimizer, loss, iterations = own.get("optimizer"), own.get("loss"), own.get("iterations") or 0
    settings = {}
    if optimizer and _from_optimizer(optimizer, iterations) == training_config["optimizer_config"]:
        settings["optimizer"] = optimizer
    if loss and _from_loss(loss) == training_config["loss"]:
        settings["loss"] = loss
    return settings


def _to_optimizer(keras: Any, notes: list[str]) -> dict[str, Any]:
    class_name, config = _parts("optimizer", keras)
    name = class_name.removeprefix("Custom>").lower()  # "Custom>Adam" in Keras 2.11 on
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer {class_name!r}")
    config = keras_names.renamed(f"optimizer {class_name!r}", config, keras_names.OPTIMIZER_ARGUMENTS)
    wanted = ["learning_rate", "global_clipnorm", "weight_decay", *SHARED[name]]
    _refuse(config, OPTIMIZERS_OFF, [*wanted, *OPTIMIZERS_NEUTRAL])
    # in Keras, an epsilon of None is the default
    arguments = {key: config[key] for key in wanted if config.get(key) is not None}
    if name == "adamw" and config.get("weight_decay", 0) is None:
        arguments["weight_decay"] = None  # not tinycnn's default
    rate = arguments.get("learning_rate")
    if rate is None:
        notes.append(f"the file has no learning rate, so the default of {class_name} is used")
    if isinstance(rate, dict):
        arguments["learning_rate"] = _to_rate(rate)
    return {"name": name, "config": arguments}


def _to_rate(keras: Any) -> dict[str, Any]:
    class_name, config = _parts("learning rate", keras)
    if class_name not in SCHEDULES:
        raise ValueError(f"learning rate {class_name!r}")
    # Keras takes counts of steps that are floats, such as 1e4
    arguments = {key: _whole(value) if "steps" in key else value for key, value in config.items()}
    if isinstance(arguments.get("boundaries"), list):
        arguments["boundaries"] = [_whole(boundary) for boundary in arguments["boundaries"]]
    arguments.pop("name", None)
    return {"class_name": class_name, "config": arguments}


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _to_loss(keras: Any) -> dict[str, Any]:
    class_name, config = _parts("loss", _single(keras))
    if class_name not in LOSS_NAMES:
        raise ValueError(f"loss {class_name!r}")
    name = LOSS_NAMES[class_name]
    wanted = [] if name.startswith("mean_") else ["from_logits", "label_smoothing"]
    _refuse(config, LOSSES_OFF | {"fn": (None, name)}, [*wanted, *LOSSES_NEUTRAL])
    return {"name": name, "config": {key: config[key] for key in wanted if config.get(key) is not None}}


def _to_metrics(keras: Any, notes: list[str]) -> list[str]:
    """Return the known names, without repetitions; note the others."""
    names = []
    for item in _flat(keras):
        name, given = _to_metric(item)
        if name is None:
            notes.append(f"the metric {item!r:.200} is left out")
        elif given not in METRICS:
            notes.append(f"the metric {given!r:.200} is named {name!r}")
        names += [] if name is None else [name]
    return list(dict.fromkeys(names))


def _by_output(keras: Any) -> Any:
    """Return what Keras writes by output, under its name or in a list, as a list; anything else unchanged."""
    return list(keras.values()) if isinstance(keras, dict) and "class_name" not in keras else keras


def _single(keras: Any) -> Any:
    """Return what a setting by output says of the only output."""
    items = _by_output(keras)
    return items[0] if isinstance(items, list) and len(items) == 1 else keras


def _flat(keras: Any) -> Iterator[Any]:
    """Yield metrics one by one."""
    items = _by_output(keras)
    if isinstance(items, list):
        for item in items:
            yield from _flat(item)
    elif items is not None:
        yield items


def _to_metric(keras: Any) -> tuple[str | None, str]:
    """Return tinycnn's name of a metric, None if it has none, and Keras' name without the prefix."""
    if isinstance(keras, str):
        given = keras.removeprefix("sparse_")
        return METRICS.get(given), given
    try:
        class_name, config = _parts("metric", keras)
    except ValueError:
        return None, ""
    given = str(config.get("name")).removeprefix("sparse_")
    function = str(config.get("fn", given)).removeprefix("sparse_")
    kind = class_name if class_name in METRIC_CLASSES else class_name.removeprefix("Sparse")
    if kind == "MeanMetricWrapper" and function in METRICS:
        return METRICS.get(given), given
    if kind not in METRIC_CLASSES or config.get("k", 5) != 5:
        return None, given
    long = METRIC_CLASSES[kind]
    return given if _long_name(given) == long else long, given


def _check_the_rest(training_config: dict[str, Any], notes: list[str]) -> None:
    """Raise ValueError for other settings that change the run; note metrics that only report."""
    for item in _flat(training_config.get("weighted_metrics")):
        notes.append(f"the weighted metric {item!r:.200} is left out")
    settings = {key: _single(value) for key, value in training_config.items()}
    known = ["optimizer_config", "loss", "metrics", "weighted_metrics", *TRAINING_NEUTRAL]
    _refuse(settings, TRAINING_OFF, known)


def _from_metric(name: str, loss: str) -> Any:
    """Return Keras' form of a metric beside a loss, which is given by its class.

    It is written by class, since for a bare name Keras 2 expects one-hot labels, whatever the loss. Beside a
    binary loss the bare name is right.
    """
    long = _long_name(name)
    if long == "accuracy" and loss == "BinaryCrossentropy":
        return name
    camel = next(camel for camel, snake in METRIC_CLASSES.items() if snake == long)
    sparse = "Sparse" if loss.startswith("Sparse") and camel.endswith("CategoricalAccuracy") else ""
    return {"class_name": f"{sparse}{camel}", "config": {"name": name, "dtype": "float32"}}


def _long_name(metric: str) -> str:
    """Return the full name of a metric, such as "accuracy" for "acc"."""
    return losses.SHORT_NAMES.get(metric, metrics.SHORT_NAMES.get(metric, metric))


def _parts(what: str, keras: Any) -> tuple[str, dict[str, Any]]:
    """Return class and arguments of an entry that Keras writes as a name or as an object."""
    if isinstance(keras, str):
        return keras, {}
    if not isinstance(keras, dict) or not isinstance(keras.get("config"), dict):
        raise ValueError(f"{what} {keras!r:.200}")
    name = keras_names.class_name(what, keras)
    keras_names.refuse_users(what, keras)
    return name, keras["config"]


def _refuse(config: dict[str, Any], off: dict[str, tuple[Any, ...]], known: list[str]) -> None:
    """Raise ValueError for an argument that is unsupported, or unknown, and not off."""
    for key, value in config.items():
        if key not in known and value not in off.get(key, (None, False, [], {})):
            raise ValueError(f"{key} {value!r:.200}")
