"""Diagnosis of a network that does not learn: a verdict with figures and cures, no plots.

::

    model, x, y -> copy, sample -> data -> settings -> weights -> one pass -> short runs -> Diagnosis

The order is that of cause and effect, and a fault ends it: the next ones would be its effects. Only faults
that cannot explain each other stand side by side, such as images that are not scaled and a second softmax.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from tinycnn.inspection.checkups import data, runs, settings, signals, weights
from tinycnn.inspection.checkups.case import PROBED, Case, sample
from tinycnn.inspection.checkups.findings import SEVERITIES, Finding, has_fault
from tinycnn.support import checks

#: Every check, and what it finds.
CHECKS = {
    "label_format": "labels that the loss cannot take, such as one-hot rows for a sparse loss",
    "output_units": "fewer outputs than classes, or many more",
    "inputs_not_finite": "images with NaN or infinity",
    "inputs_constant": "images that are all the same, such as all zero",
    "blank_images": "many images with one value everywhere",
    "duplicated_images": "many images that are copies of others",
    "input_type": "images that are not floats",
    "unscaled_inputs": "inputs that are far too large or too small, such as 0 to 255",
    "inputs_off_centre": "a mean far from 0, such as that of inverted images (a note)",
    "labels_not_finite": "labels that are NaN or infinite",
    "constant_labels": "labels that are all the same",
    "missing_class": "a class without images",
    "imbalanced_labels": "a class with almost all or almost none of the images",
    "sorted_labels": "labels in long runs of one class, of which a fit must shuffle the order (a note)",
    "unscaled_targets": "targets of a regression that are far too large or too small, or far from 0",
    "noisy_labels": "labels of which a part is random",
    "unrelated_labels": "labels that have nothing to do with the images: shuffled, or in another order",
    "renamed_labels": "other numbers for the classes than a trained network has",
    "labels_not_judged": "labels that these images say nothing about (a note)",
    "softmax_twice": "a softmax after a softmax, or before a loss that applies one",
    "softmax_of_one": "a softmax over one output, which is always 1",
    "no_softmax": "no softmax before a loss that expects probabilities",
    "no_sigmoid": "no sigmoid before a binary loss that expects probabilities",
    "sigmoid_twice": "a sigmoid before a binary loss that applies one",
    "sigmoid_with_categorical": "a sigmoid before a categorical loss",
    "bounded_logits": "logits that an activation bounds",
    "relu_output": "outputs that a ReLU cuts off",
    "output_range": "targets that the last activation cannot reach",
    "dropout_at_output": "a dropout after the outputs",
    "loss_choice": "a loss that suits the labels or outputs badly",
    "nothing_trainable": "no layer that may change",
    "frozen_layers": "layers that may not change (a note)",
    "strong_dropout": "a dropout that leaves next to nothing",
    "strong_regularizer": "penalties far above the loss",
    "strong_weight_decay": "a decay that takes a large part of each weight away",
    "strong_momentum": "a momentum near 1",
    "strong_clipping": "gradients clipped to almost nothing",
    "schedule_ended": "a schedule whose rate has become 0 (a note)",
    "batch_norm_momentum": "moving averages that never change, or follow single batches",
    "batch_norm_averages": "moving averages that are not those of the images",
    "weights_not_finite": "weights that are NaN or infinite",
    "equal_weights": "units with equal weights, which stay equal",
    "large_weights": "first weights that are far too large",
    "small_weights": "first weights that are far too small",
    "changes_input": "a layer that changes its argument in place",
    "wrong_gradient": "a backward pass that finite differences contradict",
    "exploding_activations": "outputs of a layer that overflow",
    "dead_relus": "ReLUs that are 0 for all images",
    "saturated_units": "sigmoids or tanhs that are at their ends",
    "zero_gradient": "a layer whose gradients are all 0",
    "vanishing_gradient": "gradients that become too small on their way to the first layer",
    "exploding_gradient": "gradients that become too large on their way to the first layer",
    "cannot_memorise": "a network that cannot learn a few images by heart",
    "learning_rate_high": "a rate with which the loss rises, or the weights change by much of their size",
    "learning_rate_low": "a rate with which the weights hardly change",
    "unchanged_layer": "a layer that does not change in a few steps",
    "initial_loss": "a loss at the start far above ln(classes)",
}
#: Of these, a network that fits the images already has had no harm.
HARMLESS = (
    "large_weights",
    "small_weights",
    "dead_relus",
    "saturated_units",
    "vanishing_gradient",
    "exploding_gradient",
)


@dataclass(frozen=True)
class Diagnosis:
    """Report of `diagnose`; `print` shows it.

    Attributes
    ----------
    findings : tuple of Finding
        The gravest first, and among equals the cause before its effects.
    figures : mapping of str to float
        Measured in any case, as far as the diagnosis came: images, parameters, "loss", "expected_loss",
        "update_to_weight" and others.
    """

    findings: tuple[Finding, ...]
    figures: Mapping[str, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "figures", MappingProxyType(dict(self.figures)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what a copy or a pickle is made from; a mapping proxy cannot be pickled."""
        return type(self), (self.findings, dict(self.figures))

    @property
    def healthy(self) -> bool:
        """Whether there is neither a fault nor a warning."""
        return all(finding.severity == "note" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-serialisable values."""
        figures = {name: value if np.isfinite(value) else str(value) for name, value in self.figures.items()}
        findings = [finding.to_dict() for finding in self.findings]
        return {"healthy": self.healthy, "findings": findings, "figures": figures}

    def __str__(self) -> str:
        counts = [(level, sum(f.severity == level for f in self.findings)) for level in SEVERITIES]
        said = ", ".join(f"{count} {level}{'s' * (count > 1)}" for level, count in counts if count)
        title = (
            f"diagnosis: {'healthy' if self.healthy else 'not healthy'}{' (' + said + ')' if said else ''}"
        )
        measured = ", ".join(f"{name} {value:.4g}" for name, value in self.figures.items())
        return "\n".join([title, f"measured: {measured}", *map(str, self.findings)])

    __repr__ = __str__


def diagnose(model: Any, x: Any, y: Any, *, images: int = 1000, seed: int = 0) -> Diagnosis:
    """Say why a network does not learn, or that nothing speaks against it.

    Everything runs on copies: model, optimizer, data, and the states of NumPy's and Python's random numbers
    stay as they are, to the bit. The same arguments give the same report.

    Parameters
    ----------
    model : Sequential
        Compiled, fresh or trained.
    x : ndarray of shape (N, H, W, C)
        Images, as for `fit`. Integers are reported, not refused.
    y : ndarray of shape (N,) or (N, ...)
        Labels, as for `fit`. Labels that `fit` would refuse are reported.
    images : int
        Largest number of images that are examined, drawn at random. All images and labels are looked
        through for NaN, copies and missing classes.
    seed : int
        Of the draw and of the permutation tests.

    Returns
    -------
    Diagnosis
        Of up to `images` images: labels against those of the nearest images; one forward and backward pass
        of 64 images; up to 120 steps with 16 images and Adam; up to 20 steps of 32 images with the model's
        optimizer, at the largest rate of its schedule; and up to 300 steps if similar images have unlike
        labels. A large network takes fewer steps: `mnist_cnn` 12, 6 and 40.

    Raises
    ------
    ValueError
        Before `compile`, or for images that do not fit the model or are not as many as the labels.

    Notes
    -----
    Two things cannot be seen. Labels renumbered alike for all images are as good as others, unless the
    network was trained with the old numbers. And a network that fits these images already may have learned
    them by heart: whether labels follow from images is then left open ("labels_not_judged").

    Examples
    --------
    >>> from tinycnn import Sequential
    >>> from tinycnn.layers import Dense, Flatten
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 3, 300)
    >>> x = rng.random((300, 4, 4, 1)) + y[:, None, None, None]
    >>> model = Sequential([Flatten(), Dense(3, activation="softmax")], seed=1, input_shape=(4, 4, 1))
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> diagnose(model, x / 3, y).healthy
    True
    >>> [finding.check for finding in diagnose(model, 255 * x, y).findings]
    ['unscaled_inputs']
    """
    model._compiled()
    checks.whole("images", images, 1)
    checks.whole("seed", seed, 0)
    x, y = np.asarray(x), np.asarray(y)
    with _random_states(), np.errstate(all="ignore"):
        integers, twin = x.dtype.kind in "biu", copy.deepcopy(model)
        if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
            twin.check_data(x.astype(twin.dtype) if integers else x, y)  # raises
        rows = sample(len(x), images, seed)
        part = x[rows].astype(twin.dtype if integers else x.dtype)
        part = twin.check_data(part, y[rows])[0]
        case = Case(twin, part, y[rows], y, seed)
        figures: dict[str, float] = {"images": len(part), "parameters": case.model.parameters.size}
        found = list(_examine(case, x, integers, figures))
    order = {level: number for number, level in enumerate(SEVERITIES)}
    return Diagnosis(tuple(sorted(found, key=lambda finding: order[finding.severity])), figures)


def _examine(case: Case, x: np.ndarray, integers: bool, figures: dict[str, float]) -> list[Finding]:
    """Return the findings, and add to the figures."""
    found = [*data.labels_finite(case)] or [*data.label_format(case)]
    if found:
        return found
    found += [*data.image_values(x), *data.label_values(case)]
    if _has(found, "inputs_not_finite"):
        return found
    if not _has(found, "inputs_constant"):
        found += data.image_scale(case, integers)
    found += weights.finite(case)
    if _has(found, "weights_not_finite"):
        return found
    for check in (settings.outputs, settings.layers, settings.optimizer):
        found += check(case)
    probe = signals.probe(case)
    figures |= _start(case, probe)
    found += [*weights.equal_units(case)] or _mild(case, probe, weights.size(case))
    found += weights.backward_passes(probe)
    found += [] if has_fault(found) else _mild(case, probe, _signals(case, probe))
    if not _has(found, "inputs_constant", "constant_labels", "renamed_labels"):
        z = figures["z_of_neighbours"] = data.neighbours(case)
        found += (
            runs.labels(case, z, probe.loss, None)
            if has_fault(found)
            else _runs(case, probe, z, figures, found)
        )
    found += [] if has_fault(found) else signals.initial_loss(case, probe)
    return found


def _mild(case: Case, probe: signals.Probe, found: Iterable[Finding]) -> list[Finding]:
    """Return findings, as notes those that did not keep a network from fitting the images well."""
    constant = case.constant_loss(case.y[: len(probe.y_pred)])
    share = runs.LEARNED if case.model.steps_trained else runs.LEARNED / 2  # first weights may be lucky
    if constant is None or not probe.loss < share * constant:
        return list(found)
    return [replace(finding, severity="note") if finding.check in HARMLESS else finding for finding in found]


def _has(found: list[Finding], *names: str) -> bool:
    """Return whether one of the findings has one of the names."""
    return any(finding.check in names for finding in found)


def _start(case: Case, probe: signals.Probe) -> dict[str, float]:
    """Return the figures of the start: the loss, what it should be, and how gradients change on their way."""
    ratio, uniform = signals.gradient_ratio(probe), case.uniform_loss(case.y[:PROBED])
    figures = {"loss": probe.loss, "expected_loss": uniform, "gradient_ratio": ratio}
    return {name: value for name, value in figures.items() if value is not None}


def _signals(case: Case, probe: signals.Probe) -> list[Finding]:
    """Return the first fault that one pass shows, and the warnings before it."""
    found: list[Finding] = []
    for check in (
        signals.not_finite(probe),
        signals.renamed_labels(case, probe),
        weights.moving_averages(case, probe),
        signals.dead_relus(probe),
        signals.saturated(probe),
        signals.gradients(probe),
    ):
        found += check
        if has_fault(found):
            break
    return found


def _runs(
    case: Case, probe: signals.Probe, z: float, figures: dict[str, float], before: list[Finding]
) -> list[Finding]:
    """Return what short runs show, and add to the figures."""
    safe, found = runs.memorise(case)
    if safe is None:  # perhaps only since it had so far to go
        return [*signals.initial_loss(case, probe)] or found
    found += runs.labels(case, z, probe.loss, safe)
    if z >= data.RELATED and not _has(before, "blank_images"):  # blank images have labels at random
        found += runs.noisy(case, safe)
    run = runs.own_run(case)
    figures["loss_after"] = run.end
    if len(run.updates):
        figures["update_to_weight"] = float(np.median(run.updates))
        figures["largest_update"] = float(run.updates.max())
    return [*found, *runs.rate(case, run, probe.loss)]


@contextmanager
def _random_states() -> Iterator[None]:
    """Restore the random numbers of NumPy and Python, which a layer of the user's may draw from."""
    states = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(states[0])  # noqa: NPY002
        random.setstate(states[1])
