"""Checks of one forward and backward pass: activations, gradients, the loss at the start.

::

    case -> probe: inputs, outputs and gradients of each layer -> dead? saturated? vanishing? exploding?
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tinycnn.inspection.checkups.case import PROBED, Case, class_numbers
from tinycnn.inspection.checkups.findings import Finding
from tinycnn.layers import Layer

#: Share of the units that are 0 for all images and would not be without their bias. Healthy: at most 0.1.
#: (Of those that would be 0 without it too, healthy networks have up to a half.)
DEAD_BY_BIAS, MOST_DEAD = 0.25, 0.5
#: A sigmoid or tanh whose slope is below 4 % of its largest; share of values in a layer that may be so.
SATURATED_AT, MOST_SATURATED = 0.98, 0.9
#: Norm of the gradient behind the first layer over that before the last one. A sigmoid's slope is at most
#: 1/4 (Hochreiter 1991; Glorot & Bengio 2010), so six of them leave
#: 1e-3. Healthy networks: 0.2 to 11; ReLUs after Glorot's kernels leave 0.7 a layer.
VANISHED, EXPLODED = 2e-3, 1e3
#: Nats above ln(classes) of a loss at the start: logits of deviation s cost about s**2 / 2.
MOST_NATS = 2.0
#: Share of the labels that one other number for each predicted class explains.
MOST_RENAMED = 0.7


@dataclass
class Probe:
    """A forward and backward pass in training, without dropout.

    Attributes
    ----------
    layers : list of Layer
    inputs, outputs : list of ndarray
        Of each layer.
    dys : list of ndarray
        The gradient of the loss by the output of each layer.
    dx : ndarray
        By the images.
    y_pred : ndarray
    loss : float
        Without penalties.
    changed : (Layer, str) or None
        The first layer that changed an argument, and its method.
    """

    layers: list[Layer]
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]
    dys: list[np.ndarray]
    dx: np.ndarray
    y_pred: np.ndarray
    loss: float
    changed: tuple[Layer, str] | None


def probe(case: Case) -> Probe:
    """Return what a forward and backward pass of the first images computes, layer by layer."""
    model, y_true = case.trained_copy(dropout=False), case.y[:PROBED]
    inputs, outputs, dys, changed = [], [], [], None
    y = case.x[:PROBED].copy()
    for layer in model.layers:
        inputs.append(y.copy())
        given, y = y, layer.forward(y, training=True)
        if changed is None and not _same(given, inputs[-1]):
            changed = layer, "forward"
        outputs.append(y)
    kept = [output.copy() for output in outputs]
    loss, dy = model.loss(y_true, y), model.loss.gradient(y_true, y)
    for layer in reversed(model.layers):
        dys.append(dy.copy())
        given, dy = dy, layer.backward(dy)
        if changed is None and not _same(given, dys[-1]):
            changed = layer, "backward"
    if changed is None:
        changed = next(
            (
                (x, "backward")
                for x, now, before in zip(model.layers, outputs, kept, strict=True)
                if not _same(now, before)
            ),
            None,
        )
    return Probe(model.layers, inputs, kept, dys[::-1], dy, y, float(loss), changed)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other, equal_nan=True)


def not_finite(probe: Probe) -> Iterator[Finding]:
    """Find the first layer whose output or gradient is NaN or infinite."""
    for layer, y in zip(probe.layers, probe.outputs, strict=True):
        if not np.isfinite(y).all():
            message = "the output is NaN or infinite, though inputs and weights are finite"
            yield Finding(
                "fault",
                "exploding_activations",
                layer.name,
                {},
                message,
                "look at the layer's arithmetic, and at its weights",
            )
            return
    for layer, dy in zip(probe.layers[::-1], probe.dys[::-1], strict=True):
        gradients = [dy, *layer.grads.values()]
        if not all(np.isfinite(g).all() for g in gradients):
            yield Finding(
                "fault",
                "exploding_gradient",
                layer.name,
                {},
                "the gradient is NaN or infinite",
                "use smaller weights, or global_clipnorm",
            )
            return


def dead_relus(probe: Probe) -> Iterator[Finding]:
    """Find layers in which many units are 0 for all images; nothing trains their weights any more."""
    shares: dict[str, float] = {}
    for index, layer in enumerate(probe.layers[:-1]):
        if getattr(layer, "activation", None) != "relu":
            continue
        dead = _zero_units(probe.outputs[index])
        share, by_bias = float(dead.mean()), 0.0
        if dead.any():
            by_bias = float((dead & ~_zero_units(_without_bias(probe, index))).mean())
        if share == 1 or by_bias > DEAD_BY_BIAS or share > MOST_DEAD + len(dead) ** -0.5:
            shares[str(layer.name)] = share
    if shares:
        name, share = next(iter(shares.items()))
        message = (
            f"{share:.0%} of the units are 0 for each of {len(probe.y_pred)} images; expected below "
            f"{MOST_DEAD:.0%}"
        )
        cure = "begin with biases of 0 and 'he_normal' kernels; lower the learning rate; or use leaky_relu"
        severity = "fault" if max(shares.values()) >= MOST_DEAD else "warning"
        yield Finding(severity, "dead_relus", name, shares, message, cure)


def _zero_units(y: np.ndarray) -> np.ndarray:
    """Return which units (F,) are 0 everywhere, of outputs (N, ..., F)."""
    return np.asarray((y.reshape(-1, y.shape[-1]) <= 0).all(axis=0))


def _without_bias(probe: Probe, index: int) -> np.ndarray:
    """Return the output of a layer when the nearest bias below it is 0."""
    first = index
    while first > 0 and not {"bias", "beta"} & set(probe.layers[first].params):
        first -= 1
    y = probe.inputs[first]
    for layer in copy.deepcopy(probe.layers[first : index + 1]):
        for name in {"bias", "beta"} & set(layer.params):
            layer.params[name][...] = 0
        y = layer.forward(y, training=True)
    return y


def saturated(probe: Probe) -> Iterator[Finding]:
    """Find hidden layers of sigmoid or tanh whose values are almost all at the ends."""
    for layer, y in zip(probe.layers[:-1], probe.outputs, strict=False):
        name = getattr(layer, "activation", None)
        if name in ("sigmoid", "tanh"):
            share = float((np.abs(2 * y - 1 if name == "sigmoid" else y) > SATURATED_AT).mean())
            if share > MOST_SATURATED:
                message = (
                    f"{share:.0%} of the values are at the ends of {name}; expected below "
                    f"{MOST_SATURATED:.0%}"
                )
                yield Finding(
                    "fault",
                    "saturated_units",
                    layer.name,
                    {"share": share},
                    message,
                    "use smaller weights or biases, or batch normalisation",
                )
                return


def gradient_ratio(probe: Probe) -> float | None:
    """Return the norm of the gradient behind the first layer with parameters over that at the last one."""
    trained = [i for i, layer in enumerate(probe.layers) if layer.params]
    if len(trained) < 2:
        return None
    first, before_last = (
        np.linalg.norm(probe.dys[i].astype(np.float64)) for i in (trained[0], trained[-1] - 1)
    )
    return float(first / before_last) if before_last > 0 else None


def gradients(probe: Probe) -> Iterator[Finding]:
    """Find layers without a gradient, and gradients that vanish or explode on their way down."""
    trained = [i for i, layer in enumerate(probe.layers) if layer.params]
    if not trained:
        return
    zero = [
        i
        for i in trained
        if probe.layers[i].trainable and not any(g.any() for g in probe.layers[i].grads.values())
    ]
    above = probe.layers[zero[-1] + 1 :] if zero else []
    if any(p.ndim > 1 and not p.any() for layer in above for p in layer.params.values()):
        return  # a last layer of zeros is a usual start: it passes a gradient on from its first step
    if zero and len(zero) < len(trained):
        layer = probe.layers[zero[-1]]
        zeros = {"layers": [str(probe.layers[i].name) for i in zero]}
        message = f"all gradients are exactly 0 ({len(zero)} layers), so it never changes"
        cure = "look at the layers above it: one passes no gradient on"
        yield Finding("fault", "zero_gradient", layer.name, zeros, message, cure)
        return
    ratio = gradient_ratio(probe)
    if ratio is None:
        return
    figures, name = {"ratio": ratio}, probe.layers[trained[0]].name
    if ratio < VANISHED:
        message = (
            f"the gradient that reaches the first layer is {ratio:.2g} of that before the last one; "
            f"expected at least {VANISHED:g}"
        )
        cure = "use relu instead of sigmoid, 'he_normal' kernels, batch normalisation, or fewer layers"
        yield Finding("fault", "vanishing_gradient", name, figures, message, cure)
    elif ratio > EXPLODED:
        message = (
            f"the gradient that reaches the first layer is {ratio:.2g} times that before the last one; "
            f"expected at most {EXPLODED:g}"
        )
        yield Finding(
            "fault",
            "exploding_gradient",
            name,
            figures,
            message,
            "use smaller weights, or batch normalisation",
        )


def initial_loss(case: Case, probe: Probe) -> Iterator[Finding]:
    """Find a loss at the start that is far above that of equal probabilities."""
    uniform = case.uniform_loss(case.y[:PROBED])
    if uniform is not None and probe.loss > uniform + MOST_NATS:
        figures = {"loss": probe.loss, "expected": uniform}
        message = (
            f"the loss at the start is {probe.loss:.3g}; expected about {uniform:.3g}, that of equal "
            f"probabilities, and at most {uniform + MOST_NATS:.3g}"
        )
        cure = (
            "use smaller weights and biases in the last layer; of a trained network, look whether labels "
            "and images are prepared as before"
        )
        yield Finding("fault", "initial_loss", None, figures, message, cure)


def _was_trained(case: Case) -> bool:
    """Return whether a network has learned something: it took steps, or it was loaded with biases.

    Few classes that are easy to tell apart fall on different outputs of first weights too, by chance.
    """
    shifts = (p for layer in case.layers for p in layer.params.values() if p.ndim == 1)
    return bool(case.model.steps_trained) or any((p != p.flat[0]).any() for p in shifts)


def renamed_labels(case: Case, probe: Probe) -> Iterator[Finding]:
    """Find labels that are other names of the classes that a trained network predicts."""
    uniform, y = case.uniform_loss(case.y[:PROBED]), probe.y_pred
    if uniform is None or y.ndim != 2 or y.shape[1] < 2:
        return
    labels = class_numbers(case.y[:PROBED])
    if labels is None or probe.loss < uniform + MOST_NATS or not _was_trained(case):
        return
    predicted = y.argmax(axis=1)
    names = {int(c): int(np.bincount(labels[predicted == c]).argmax()) for c in np.unique(predicted)}
    moved = {c: name for c, name in names.items() if c != name}
    share = float(np.mean([names[int(c)] == label for c, label in zip(predicted, labels, strict=True)]))
    one_to_one = len(set(names.values())) == len(names) > 1
    if share > MOST_RENAMED and one_to_one and len(moved) > len(names) / 2:
        listed = ", ".join(f"{c} is labelled {name}" for c, name in moved.items())
        message = f"{share:.0%} of the labels follow from the predictions under other numbers: {listed}"
        cure = "give the classes the numbers that the network was trained with"
        yield Finding("fault", "renamed_labels", None, {"share": share}, message, cure)
