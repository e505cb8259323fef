"""Translation of optimizers, losses and metrics between Keras' JSON and tinycnn's dictionaries.

::

    Snapshot.training <-> training_config   {"loss": ..., "metrics": [...], "optimizer_config": {...}}

Metrics that tinycnn does not have are left out, since they only report. Settings that Keras does not have are
written as the nearest ones: the rate of the next step for a schedule, and no decay for rules of weight decay.
The smoothing of sparse labels is left out. `keras_config.own_words` keeps the original settings.
"""

import warnings
from typing import Any

from tinycnn import losses, metrics
from tinycnn.optimizers import schedules

LOSSES = {
    "BinaryCrossentropy": "binary_crossentropy",
    "CategoricalCrossentropy": "categorical_crossentropy",
    "MeanAbsoluteError": "mean_absolute_error",
    "MeanSquaredError": "mean_squared_error",
    "SparseCategoricalCrossentropy": "sparse_categorical_crossentropy",
}
LOSS_NAMES = losses.SHORT_NAMES | {name: name for name in LOSSES.values()}
# tinycnn's names of Keras' metrics
METRICS = {name: name for name in ("acc", *metrics.METRICS, *LOSSES.values(), "bce", "mae", "mse")}
METRICS |= {name: long for name, long in metrics.SHORT_NAMES.items() if name != "acc"}
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
# Arguments of Keras' optimizers and losses that tinycnn does not support, with the values that turn them off.
UNSUPPORTED = {
    "clipnorm": (None,),
    "clipvalue": (None,),
    "decay": (None, 0),
    "gradient_accumulation_steps": (None, 1),
    "loss_scale_factor": (None, 1),
    "use_ema": (None, False),
    "axis": (None, -1),
    "ignore_class": (None,),
    "reduction": (None, "auto", "sum_over_batch_size"),
}


def from_training(training: dict[str, Any]) -> dict[str, Any]:
    """Return Keras' training_config for a `Snapshot.training`."""
    optimizer, loss = training["optimizer"], training["loss"]
    arguments = {key: value for key, value in optimizer["config"].items() if value is not None}
    arguments["learning_rate"] = from_rate(arguments["learning_rate"], training["iterations"])
    # AdamW of Keras decays by default
    if isinstance(arguments.get("weight_decay", {}), dict) and optimizer["name"] == "adamw":
        arguments["weight_decay"] = 0.0
    elif isinstance(arguments.get("weight_decay"), dict):
        del arguments["weight_decay"]
    camel = next(name for name, snake in LOSSES.items() if snake == loss["name"])
    # the sparse loss of Keras has no smoothing
    config = {k: v for k, v in loss["config"].items() if k != "label_smoothing" or "Sparse" not in camel}
    return {
        "loss": {"class_name": camel, "config": {"name": loss["name"], **config}},
        "metrics": [_from_metric(name, camel) for name in training["metrics"] if name in METRICS],
        "weighted_metrics": None,
        "loss_weights": None,
        "optimizer_config": {"class_name": OPTIMIZERS[optimizer["name"]], "config": arguments},
    }


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
        The "optimizer" and the "loss" of `keras_config.own_words`, in a file written by tinycnn.
    """
    own = own or {}
    try:
        optimizer = _to_optimizer(training_config.get("optimizer_config"))
        return {
            "optimizer": own.get("optimizer") or optimizer,
            "loss": own.get("loss") or _to_loss(training_config.get("loss")),
            "metrics": _to_metrics(training_config.get("metrics")),
            "iterations": 0,
        }
    except ValueError as error:
        warnings.warn(f"the model is not compiled, since tinycnn does not support {error}", stacklevel=2)
        return None


def _to_optimizer(keras: Any) -> dict[str, Any]:
    class_name, config = _parts("optimizer", keras)
    name = class_name.rsplit(">", 1)[-1].lower()  # "Custom>Adam" in Keras 2
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer {class_name!r}")
    _refuse(config, except_for=SHARED[name])
    wanted = ["learning_rate", "global_clipnorm", "weight_decay", *SHARED[name]]
    arguments = {key: config[key] for key in wanted if config.get(key) is not None}
    if isinstance(arguments.get("learning_rate"), dict):
        arguments["learning_rate"] = _to_rate(arguments["learning_rate"])
    return {"name": name, "config": arguments}


def _to_rate(keras: Any) -> dict[str, Any]:
    class_name, config = _parts("learning rate", keras)
    if class_name not in SCHEDULES:
        raise ValueError(f"learning rate {class_name!r}")
    return {"class_name": class_name, "config": {k: v for k, v in config.items() if k != "name"}}


def _to_loss(keras: Any) -> dict[str, Any]:
    class_name, config = _parts("loss", keras)
    if class_name not in LOSS_NAMES:
        raise ValueError(f"loss {class_name!r}")
    name = LOSS_NAMES[class_name]
    _refuse(config)
    wanted = [] if name.startswith("mean_") else ["from_logits", "label_smoothing"]
    return {"name": name, "config": {key: config[key] for key in wanted if key in config}}


def _to_metrics(keras: Any) -> list[str]:
    """Return the known names. Keras nests metrics by output and writes objects as dictionaries."""
    entries = keras if isinstance(keras, list) else []
    flat = [item for entry in entries for item in (entry if isinstance(entry, list) else [entry])]
    names = [item["config"].get("name") if _is_object(item) else item for item in flat]
    plain = [name for name in names if isinstance(name, str)]
    return list(dict.fromkeys(METRICS[name] for name in plain if name in METRICS))


def _from_metric(name: str, loss: str) -> Any:
    """Return Keras' form of a metric beside a loss, which is given by its class.

    It is written by class, since for a bare name Keras 2 expects one-hot labels, whatever the loss. Beside a
    binary loss the bare name is right.
    """
    long = losses.SHORT_NAMES.get(name, metrics.SHORT_NAMES.get(name, name))
    if long == "accuracy" and loss == "BinaryCrossentropy":
        return name
    sparse = "Sparse" if "Sparse" in loss else ""
    classes = LOSSES | {
        "BinaryAccuracy": "binary_accuracy",
        f"{sparse}CategoricalAccuracy": "accuracy",
        f"{sparse}TopKCategoricalAccuracy": "top_k_categorical_accuracy",
    }
    camel = next(camel for camel, snake in classes.items() if snake == long)
    return {"class_name": camel, "config": {"name": name, "dtype": "float32"}}


def _is_object(keras: Any) -> bool:
    return isinstance(keras, dict) and isinstance(keras.get("config"), dict)


def _parts(what: str, keras: Any) -> tuple[str, dict[str, Any]]:
    """Return class and arguments of an entry that Keras writes as a name or as an object."""
    if isinstance(keras, str):
        return keras, {}
    if not _is_object(keras) or not isinstance(keras.get("class_name"), str):
        raise ValueError(f"{what} {keras!r}")
    return keras["class_name"], keras["config"]


def _refuse(config: dict[str, Any], except_for: list[str] | tuple[()] = ()) -> None:
    for key, harmless in UNSUPPORTED.items():
        if key not in except_for and config.get(key) not in harmless:
            raise ValueError(f"{key} {config[key]!r}")
