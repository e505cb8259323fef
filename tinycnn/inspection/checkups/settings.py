"""Checks of settings: the end of the network and its loss, layers, optimizer.

::

    last activation, loss -> fit?        rates of dropout, decay, moments -> usual?        trainable?
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinycnn import regularizers
from tinycnn.inspection.checkups.case import BINARY, CROSSENTROPIES, ERRORS, PROBED, Case, class_numbers
from tinycnn.inspection.checkups.findings import Finding
from tinycnn.layers import BatchNormalization, Dropout, Flatten, Layer, RandomLayer, Reshape

#: Usual rates are 0.1 to 0.5 (Srivastava et al., JMLR 2014); at 0.8 a fifth of the values is left.
HIGH_DROPOUT, HIGHEST_DROPOUT = 0.7, 0.9
#: rate * weight_decay: the part of a weight that a step takes away. The recipes have 1e-4 to 4e-4.
LARGEST_DECAY = 0.01
#: Penalties at the start, in units of the loss of a constant prediction.
LARGEST_PENALTY = 10.0
#: A moving average with a momentum below this follows single batches. PyTorch's 0.1 is Keras' 0.9.
LEAST_MOMENTUM = 0.3
#: Momentum of SGD: 0.99 averages 100 steps.
LARGEST_MOMENTUM = 0.995
#: Steps at which a schedule is looked at, for its largest rate.
SCHEDULE_STEPS = np.unique(np.concatenate([np.arange(1000), np.geomspace(1000, 1e6, 500).astype(int)]))
SUM_OF_ONE = 1e-3  # by which a float32 softmax may differ from it
BOUNDED = {"softmax": (0.0, 1.0), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, np.inf)}


def kind_of_output(y: np.ndarray) -> str:
    """Return the activation that outputs look like: "softmax", "sigmoid", "relu" or "linear"."""
    if not np.isfinite(y).all() or y.min() < 0:
        return "linear"
    if y.shape[-1] > 1 and bool((np.abs(y.sum(axis=-1) - 1) < SUM_OF_ONE).all()):
        return "softmax"
    return "sigmoid" if y.max() <= 1 and y.min() > 0 else "relu"


def activation_of(layer: Layer, x: np.ndarray, y: np.ndarray) -> str:
    """Return the activation that a layer ends with: by its name, or by what a layer without one does."""
    name: Any = getattr(layer, "activation", "")
    if name is None or name:
        return str(name or "linear")
    kind = kind_of_output(y)
    if _is_ours(layer):  # a pool after a softmax returns probabilities too
        return kind if kind == "softmax" else "linear"
    return "linear" if x.shape == y.shape and np.allclose(x, y) else kind


def _is_ours(layer: Layer) -> bool:
    return type(layer).__module__.startswith("tinycnn.")


def outputs(case: Case) -> Iterator[Finding]:
    """Find an end of the network that does not fit the loss: a softmax twice or never, and its kin."""
    y = case.x[:PROBED].copy()
    last: Layer | None = None
    name, softmaxes = "", []
    for layer in case.layers:
        x, y = y, layer.forward(y)
        found = activation_of(layer, x, y)
        if found == "softmax" and (hasattr(layer, "activation") or not _is_ours(layer)):
            softmaxes.append(layer)
        if layer.params or not (isinstance(layer, RandomLayer | Flatten | Reshape) or found == "linear"):
            last, name = layer, found
    end = case.layers[-1]
    if isinstance(end, Dropout) and end.rate > 0:
        message = f"the last layer drops {end.rate:.0%} of the outputs, which the loss compares with labels"
        yield Finding("fault", "dropout_at_output", end.name, {"rate": end.rate}, message, "leave it out")
    if len(softmaxes) > 1:
        message = "a softmax follows a softmax: probabilities come out almost equal; expected one, at the end"
        yield Finding(
            "fault",
            "softmax_twice",
            softmaxes[1].name,
            {"softmaxes": len(softmaxes)},
            message,
            "leave one out",
        )
    elif last is not None and (wrong := _end(case, name, int(y.shape[-1]))) is not None:
        severity, check, message, cure = wrong
        figures = {"activation": name, "loss": case.loss.name, "smallest": y.min(), "largest": y.max()}
        yield Finding(severity, check, last.name, figures, message, cure)


def _end(case: Case, name: str, width: int) -> tuple[str, str, str, str] | None:
    """Return (severity, check, message, cure) for a last activation that does not fit the loss."""
    loss, logits = case.loss.name, case.logits
    if name == "softmax" and width == 1:
        message = "a softmax over one output is always 1"
        return "fault", "softmax_of_one", message, "use 'sigmoid' with binary_crossentropy"
    if loss in CROSSENTROPIES:
        return _categorical(loss, name, logits)
    if loss == BINARY:
        return _binary(name, logits)
    return _error(case, name) if loss in ERRORS else None


def _categorical(loss: str, name: str, logits: bool) -> tuple[str, str, str, str] | None:
    given = f"the network ends with {name!r}"
    if logits and name == "softmax":
        message = f"{given}, and {loss} with from_logits=True applies a softmax again"
        return "fault", "softmax_twice", message, "end with no activation, or set from_logits=False"
    if name == "relu":
        message = f"{given}: no output is below 0, and one that is 0 for all images has no gradient"
        return (
            "fault",
            "relu_output",
            message,
            "end with 'softmax', or with no activation and from_logits=True",
        )
    if logits and name in ("sigmoid", "tanh"):
        message = f"{given}, which bounds the logits, so that no class can become likely"
        return "fault", "bounded_logits", message, "end with no activation"
    if not logits and name == "sigmoid":
        message = f"{given}, and {loss} expects probabilities that add up to 1"
        return "fault", "sigmoid_with_categorical", message, "end with 'softmax', or take binary_crossentropy"
    if not logits and name != "softmax":
        message = f"{given}, and {loss} expects probabilities"
        return "fault", "no_softmax", message, "end with activation='softmax', or set from_logits=True"
    return None


def _binary(name: str, logits: bool) -> tuple[str, str, str, str] | None:
    given = f"the network ends with {name!r}"
    if logits and name in ("sigmoid", "softmax", "tanh", "relu"):
        check = {"relu": "relu_output", "tanh": "bounded_logits"}.get(name, "sigmoid_twice")
        message = f"{given}, and binary_crossentropy with from_logits=True expects any number"
        return "fault", check, message, "end with no activation, or with 'sigmoid' and from_logits=False"
    if not logits and name == "softmax":
        message = f"{given}, and binary_crossentropy judges each class alone"
        return "warning", "loss_choice", message, "take categorical_crossentropy, or end with 'sigmoid'"
    if not logits and name != "sigmoid":
        check = "relu_output" if name == "relu" else "no_sigmoid"
        message = f"{given}, and binary_crossentropy expects probabilities"
        return "fault", check, message, "end with activation='sigmoid', or set from_logits=True"
    return None


def _error(case: Case, name: str) -> tuple[str, str, str, str] | None:
    y = case.all_y
    low, high = BOUNDED.get(name, (-np.inf, np.inf))
    if name == "softmax":
        message = (
            f"{case.loss.name} of probabilities: its gradient is small where the network is surely wrong"
        )
        return "warning", "loss_choice", message, "take categorical_crossentropy"
    if y.min() < low or y.max() > high:
        message = (
            f"the network ends with {name!r}, from {low:g} to {high:g}; targets reach from {y.min():.3g} "
            f"to {y.max():.3g}"
        )
        return "fault", "output_range", message, "end with no activation, or scale the targets"
    if (
        y.dtype.kind in "iu"
        and class_numbers(y) is not None
        and 1 < len(np.unique(y)) <= 1 + int(y.max()) <= 100
    ):
        message = (
            f"{case.loss.name} of whole numbers 0 to {y.max()}: if these are classes, class 2 is not "
            "between 1 and 3"
        )
        cure = "take sparse_categorical_crossentropy and a softmax; give numbers that are counts as floats"
        return "warning", "loss_choice", message, cure
    return None


def layers(case: Case) -> Iterator[Finding]:
    """Find frozen layers, strong dropout, moving averages that do not follow, and strong penalties."""
    with_params = [layer for layer in case.layers if layer.params]
    frozen = [str(layer.name) for layer in with_params if not layer.trainable]
    if frozen and len(frozen) == len(with_params):
        yield Finding(
            "fault",
            "nothing_trainable",
            frozen[0],
            {"frozen": frozen},
            "every layer is frozen",
            "set layer.trainable = True",
        )
    elif frozen:
        message = f"{len(frozen)} of {len(with_params)} layers are frozen: {', '.join(frozen)}"
        yield Finding(
            "note",
            "frozen_layers",
            frozen[0],
            {"frozen": frozen},
            message,
            "set layer.trainable = True to train them",
        )
    elif not with_params:
        yield Finding("fault", "nothing_trainable", None, {}, "the network has no parameters", "add layers")
    strong = [layer for layer in case.layers if isinstance(layer, Dropout) and layer.rate >= HIGH_DROPOUT]
    if strong:
        worst = max(strong, key=lambda layer: layer.rate)
        severity = "fault" if worst.rate >= HIGHEST_DROPOUT else "warning"
        message = f"{worst.rate:.0%} of the values are dropped; expected below {HIGH_DROPOUT:.0%}"
        yield Finding(
            severity,
            "strong_dropout",
            worst.name,
            {"rate": worst.rate},
            message,
            "use a rate of 0.1 to 0.5 (the share that is dropped)",
        )
    for layer in case.layers:
        if (
            isinstance(layer, BatchNormalization)
            and layer.trainable
            and not LEAST_MOMENTUM <= layer.momentum < 1
        ):
            what = "never change" if layer.momentum == 1 else "follow the last batch alone"
            message = f"with momentum {layer.momentum:g} the moving averages {what}; expected 0.9 to 0.999"
            severity = "fault" if layer.momentum == 1 else "warning"
            yield Finding(
                severity,
                "batch_norm_momentum",
                layer.name,
                {"momentum": layer.momentum},
                message,
                "use 0.9 or 0.99",
            )
            break
    yield from _penalty(case)


def _penalty(case: Case) -> Iterator[Finding]:
    penalties = regularizers.penalties(case.layers)
    constant = case.constant_loss(case.y)
    total = float(regularizers.total(penalties))
    if penalties and constant and total > LARGEST_PENALTY * constant:
        message = (
            f"the penalties of regularizers are {total:.3g} at the start, {total / constant:.3g} times "
            f"the loss of a constant prediction; expected at most {LARGEST_PENALTY:g} times"
        )
        figures = {"penalty": total, "constant_loss": constant}
        yield Finding(
            "fault", "strong_regularizer", None, figures, message, "use a smaller factor, such as 1e-4"
        )


def largest_rate(optimizer: Any) -> float:
    """Return the rate of an optimizer, the largest one of a schedule: warm-ups begin with 0."""
    rate = optimizer.learning_rate
    if not callable(rate):
        return float(rate)
    return max(float(rate(int(step))) for step in SCHEDULE_STEPS)


def optimizer(case: Case) -> Iterator[Finding]:
    """Find a decay or a momentum that no rate can make good, a rate of 0, and a schedule that has ended."""
    given = case.model.optimizer
    rate = largest_rate(given)
    if rate == 0:
        yield Finding(
            "fault",
            "learning_rate_low",
            None,
            {"rate": 0.0},
            "the learning rate is 0",
            "use 1e-3 for Adam, 1e-2 for SGD",
        )
    elif callable(given.learning_rate) and given.iterations and _is_over(given, rate):
        message = (
            f"the schedule has ended: from step {given.iterations} its rate is below a thousandth of {rate:g}"
        )
        yield Finding(
            "note",
            "schedule_ended",
            None,
            {"step": given.iterations, "rate": given.rate},
            message,
            "compile with a new one to train on",
        )
    decay = rate * max((given.decay_of(name) for name in case.model.parameter_names), default=0.0)
    if decay > LARGEST_DECAY:
        message = (
            f"a step takes {decay:.2%} of each weight away (rate * weight_decay); expected at most "
            f"{LARGEST_DECAY:.0%}"
        )
        yield Finding(
            "fault",
            "strong_weight_decay",
            None,
            {"decay_of_a_step": decay},
            message,
            "use a smaller weight_decay",
        )
    momentum = getattr(given, "momentum", 0.0)
    if momentum > LARGEST_MOMENTUM:
        message = (
            f"with momentum {momentum:g} steps add up for {_steps(momentum)} steps; expected at most "
            f"{LARGEST_MOMENTUM:g}"
        )
        yield Finding("warning", "strong_momentum", None, {"momentum": momentum}, message, "use 0.9")


def _steps(momentum: float) -> str:
    return f"{1 / (1 - momentum):.0f}" if momentum < 1 else "all"


def _is_over(given: Any, rate: float) -> bool:
    steps: Sequence[int] = given.iterations + SCHEDULE_STEPS
    return max(float(given.learning_rate(int(step))) for step in steps) < 1e-3 * rate
