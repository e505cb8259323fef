"""Checks of weights and of layers' own backward passes.

::

    params, state -> finite? different units? usual size?        layer -> gradcheck; arguments unchanged?
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import numpy as np

from tinycnn.inspection.checkups.case import Case
from tinycnn.inspection.checkups.findings import Finding
from tinycnn.inspection.checkups.signals import Probe
from tinycnn.inspection.gradcheck import check_layer
from tinycnn.layers import BatchNormalization, Layer
from tinycnn.support.randomness import generator

#: Deviation of the kernel times sqrt(fan-in): by how much a layer amplifies. Initializers have 0.3 to 1.4
#: (Glorot & Bengio 2010; He et al. 2015). Trained kernels grow to 4.
LARGEST_GAIN, SMALLEST_GAIN = 8.0, 0.02
#: Why a network that was trained may have such kernels.
_GREW = {"large_weights": "a smaller learning rate", "small_weights": "a weaker weight decay or regularizer"}
#: Share of the units of a layer with the weights of another one.
MOST_EQUAL = 0.5
EQUAL = 1e-5  # relative difference of weights that float32 and a few steps leave between equal units
#: Relative error of a backward pass; a correct one has 1e-6, a wrong factor or sign 0.1 to 2.
WRONG = 1e-3
GRADIENT_IMAGES, DIRECTIONS = 2, 1
#: A moving variance that is this many times off is not one of these images.
VARIANCE_FACTOR, MEAN_DISTANCE = 10.0, 5.0
#: Steps after which the first value has faded from a moving average, in units of 1 / (1 - momentum).
FADED = 5


def finite(case: Case) -> Iterator[Finding]:
    """Find weights that are NaN or infinite."""
    for name, array in case.model.named_weights():
        bad = int((~np.isfinite(array)).sum())
        if bad:
            layer, _, weight = name.rpartition("/")
            message = f"{bad} of {array.size} values of {weight!r} are NaN or infinite; expected none"
            cure = "make the network again; the run before may have diverged"
            yield Finding("fault", "weights_not_finite", layer, {"values": bad}, message, cure)
            return


def kernels(case: Case) -> list[tuple[Layer, np.ndarray]]:
    """Return layers with their kernel, the first parameter with two axes or more, as (fan-in, units)."""
    found = []
    for layer in case.layers:
        array = next((p for p in layer.params.values() if p.ndim > 1), None)
        if array is not None:
            found.append((layer, array.reshape(-1, array.shape[-1]).astype(np.float64)))
    return found


def equal_units(case: Case) -> Iterator[Finding]:
    """Find hidden layers whose units all have the same weights: they stay equal, as one unit."""
    shares = {}
    for layer, kernel in kernels(case)[:-1]:  # the last layer's labels differ from unit to unit
        units = kernel.T / np.maximum(np.abs(kernel).max(axis=0), 1e-300)[:, None]  # each in its own size
        units = np.hstack([units, np.log(np.maximum(np.abs(kernel).max(axis=0), 1e-300))[:, None]])
        different = len(np.unique(np.round(units / EQUAL), axis=0))
        if kernel.shape[1] > 1:
            shares[str(layer.name)] = 1 - (different - (different < kernel.shape[1])) / kernel.shape[1]
            if different == kernel.shape[1]:
                shares[str(layer.name)] = 0.0
    bad = [name for name, share in shares.items() if share > MOST_EQUAL]
    if bad:
        message = (
            f"{shares[bad[0]]:.0%} of the units have the same weights as another; expected none "
            f"({len(bad)} layers)"
        )
        cure = "draw the first weights at random, such as by 'glorot_uniform'; zeros are for biases"
        yield Finding("fault", "equal_weights", bad[0], {name: shares[name] for name in bad}, message, cure)


def size(case: Case) -> Iterator[Finding]:
    """Find kernels that amplify or weaken far more than the usual initializers."""
    found = kernels(case)
    gains = {
        str(layer.name): float(np.sqrt(np.square(kernel).mean() * len(kernel))) for layer, kernel in found
    }
    large = [name for name, gain in gains.items() if gain > LARGEST_GAIN and not _normalised(case, name)]
    hidden = [str(layer.name) for layer, _ in found[:-1]]  # zeros in the last layer are a usual start
    small = [name for name in hidden if gains[name] < SMALLEST_GAIN]
    for check, names, bound in (
        ("large_weights", large, f"at most {LARGEST_GAIN:g}"),
        ("small_weights", small, f"at least {SMALLEST_GAIN:g}"),
    ):
        if names:
            message = (
                f"the kernel amplifies {gains[names[0]]:.3g} times; expected {bound}, initializers have "
                "about 1"
            )
            cure = "use 'glorot_uniform' or 'he_normal' as kernel_initializer"
            if case.model.steps_trained:
                message = f"after {case.model.steps_trained} steps {message}"
                cure = (
                    f"make the network again and diagnose it before the first step: {_GREW[check]}, or {cure}"
                )
            yield Finding("fault", check, names[0], {name: gains[name] for name in names}, message, cure)


def _normalised(case: Case, name: str) -> bool:
    """Return whether batch normalisation follows a layer, so that the size of its kernel does not matter."""
    index = [str(layer.name) for layer in case.layers].index(name) + 1
    return index < len(case.layers) and isinstance(case.layers[index], BatchNormalization)


def backward_passes(probe: Probe) -> Iterator[Finding]:
    """Find layers that change their arguments, and backward passes that finite differences contradict."""
    if probe.changed is not None:
        layer, what = probe.changed
        message = f"{what} changes its argument in place, which other layers still need"
        yield Finding(
            "fault", "changes_input", layer.name, {"method": what}, message, "compute into a new array"
        )
        return
    errors = {}
    for layer, x in zip(probe.layers, probe.inputs, strict=True):
        error = _gradient_error(layer, x)
        if error is not None and not error <= WRONG:
            errors[str(layer.name)] = error
    if errors:
        name, error = next(iter(errors.items()))
        message = (
            f"backward differs from finite differences by {error:.2g} of the gradient; expected at most "
            f"{WRONG:g}"
        )
        cure = "mend backward; tinycnn.inspection.gradcheck.check_layer shows which values are wrong"
        yield Finding("fault", "wrong_gradient", name, errors, message, cure)


def _gradient_error(layer: Layer, x: np.ndarray) -> float | None:
    """Return the largest relative error of a layer's gradients, in float64; None where it cannot be known.

    The inputs are the network's, in units of their size, with some noise, since equal pixels are kinks of a
    max-pool. Kernels get the size that initializers give: it is the code that is checked.
    """
    rng = generator(0, "gradcheck")
    layer, x = in_float64(layer), x[:GRADIENT_IMAGES].astype(np.float64)
    x = x / (float(np.sqrt(np.square(x).mean())) or 1.0) + 0.1 * rng.random(x.shape)
    for array in layer.params.values():
        if array.ndim > 1:
            gain = float(np.sqrt(np.square(array).mean() * array.size / array.shape[-1]))
            array[...] = (
                array / gain if gain else rng.standard_normal(array.shape) / math.sqrt(array[..., 0].size)
            )
    try:
        report = check_layer(
            layer,
            x.shape[1:],
            x=x,
            batch_size=len(x),
            max_elements=0,
            directions=DIRECTIONS,
            raise_error=False,
        )
    except (ValueError, TypeError):  # not float64 throughout, or another result each time
        return None
    return max((entry.error for entry in report.entries), default=None)


def in_float64(layer: Layer) -> Layer:
    """Return a copy of a built layer in float64."""
    layer = copy.deepcopy(layer)
    vars(layer)["dtype"] = np.dtype(np.float64)
    for weights in (layer.params, layer.grads, layer.state):
        for name, array in weights.items():
            weights.bind(name, array.astype(np.float64))
    return layer


def moving_averages(case: Case, probe: Probe) -> Iterator[Finding]:
    """Find moving averages of batch normalisation that are not those of the images."""
    for layer, x in zip(case.layers, probe.inputs, strict=True):
        if not isinstance(layer, BatchNormalization):
            continue
        mean, variance = (layer.state[f"moving_{what}"].astype(np.float64) for what in ("mean", "variance"))
        off = _share_off(case, layer, x, mean, variance)
        negative = int((variance < 0).sum())
        if off > 0.5 or negative:
            figures = {
                "share": off,
                "negative_variances": negative,
                "mean": mean.mean(),
                "variance": variance.mean(),
            }
            message = (
                f"the moving averages of {off:.0%} of the channels are not those of these images; expected "
                f"variances within {VARIANCE_FACTOR:g} times of a batch's: predictions differ from training"
            )
            cure = (
                "train longer, use momentum 0.9, or prepare the images as those that the network was "
                "trained on"
            )
            yield Finding("fault", "batch_norm_averages", layer.name, figures, message, cure)
            return


def _share_off(
    case: Case, layer: BatchNormalization, x: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> float:
    """Return the share of the channels whose moving averages cannot be explained by these images.

    Early in a run they lie between their first values, 0 and 1, and those of the batches.
    """
    x = x.reshape(-1, x.shape[-1]).astype(np.float64)
    own_mean, own_variance = x.mean(axis=0), x.var(axis=0) + layer.epsilon
    faded = case.model.steps_trained * (1 - layer.momentum) >= FADED
    low, high = own_variance, own_variance
    least, most = own_mean, own_mean
    if not faded:
        low, high = np.minimum(low, 1), np.maximum(high, 1)
        least, most = np.minimum(least, 0), np.maximum(most, 0)
    variance = variance + layer.epsilon
    wrong = (variance < low / VARIANCE_FACTOR) | (variance > high * VARIANCE_FACTOR)
    distance = np.maximum(least - mean, mean - most) / np.sqrt(own_variance)
    return float((wrong | (distance > MEAN_DISTANCE)).mean()) if math.isfinite(x.sum()) else 0.0
