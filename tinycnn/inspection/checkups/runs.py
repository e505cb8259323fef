"""Checks by short runs, on copies, by which a network shows what it can learn.

::

    a few images, again and again, by a safe optimizer -> memorised?
    batches, by the model's optimizer                  -> finite? change of the weights in a step?
    batches, by a safe optimizer; other images         -> do predictions follow the labels?
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinycnn.inspection.checkups import data
from tinycnn.inspection.checkups.association import association
from tinycnn.inspection.checkups.case import ERRORS, PROBED, Case, switch_off_dropout
from tinycnn.inspection.checkups.data import RELATED
from tinycnn.inspection.checkups.findings import Finding
from tinycnn.inspection.checkups.settings import largest_rate
from tinycnn.optimizers import Adam

#: Images that a network must be able to learn by heart. (Karpathy, "A recipe for training neural networks",
#: 2019: "overfit a single batch of only a few examples".)
MEMORISED = 16
#: The loss of them that counts as learned, as a part of that of a constant prediction.
LEARNED = 0.8
#: Rates of Adam to try, in turn. The first suits most networks, the second small ones, the third deep ones.
SAFE_RATES = (3e-3, 1e-2, 3e-4)
#: Multiplications that a run may take, forward and backward: some seconds on two cores.
WORK = 2e10
STEPS = (12, 120)  # at least, at most
OWN_STEPS = (6, 20)
BATCH = 32  # images of a step, as `fit` has by default
LABEL_STEPS = (40, 300)
#: |change| / |weights| in a step; "around 1e-3" is right (Karpathy, CS231n notes, "Neural networks 3").
#: Default rates of Adam, RMSprop and SGD have 5e-5 to 5e-2 in healthy networks, early and late.
LARGEST_UPDATE, SMALLEST_UPDATE = 0.3, 3e-5
#: Steps of this size that leave the loss at this part of that of a constant prediction go to and fro.
RESTLESS, STUCK = 0.04, 0.95
#: A step as large as the weights, and a loss of this many times the first one: even where the loss falls
#: afterwards, little is left of the first weights.
OVERTHROWN, PEAK = 1.0, 2.0
#: |mean| / deviation of targets that a network may need more than the steps of a run to reach.
FAR_TARGET = 3.0
#: The least size of a kernel that a change is compared with, as a gain.
LEAST_GAIN = 0.3
#: A loss above that of a constant prediction, in units of it, after a run whose steps are large.
WORSE = 1.0
#: Held-out images that a judgement of labels needs, and how many of them must not be of the largest class.
FEWEST_HELD_OUT, FEWEST_OTHERS = 40, 8
#: How often a run for labels is judged.
JUDGEMENTS = 6


def steps(case: Case, images: int, bounds: tuple[int, int]) -> int:
    """Return the number of steps for a run, from the work of one step and not from a clock."""
    work = 3 * images * case.multiplications()  # a backward pass is two products for the forward pass's one
    return int(np.clip(WORK / work, *bounds))


def memorise(case: Case) -> tuple[float | None, list[Finding]]:
    """Return the rate of Adam by which the network learned a few images by heart, and what was found."""
    x, y = case.x[:MEMORISED], case.y[:MEMORISED]
    constant = case.constant_loss(y)
    if constant is None or constant < 1e-6:  # all of one class
        return SAFE_RATES[0], []
    count, least = steps(case, len(x), STEPS), dict.fromkeys(SAFE_RATES, math.inf)
    for rate in SAFE_RATES:
        model = case.trained_copy(dropout=False)
        model.optimizer = Adam(rate, amsgrad=True)
        for _ in range(count):
            least[rate] = min(least[rate], _data_loss(model, x, y))
            if least[rate] <= LEARNED * constant:
                return rate, []
            model.train_step(x, y)
    best = min(SAFE_RATES, key=lambda rate: least[rate])
    if least[best] <= STUCK * constant:  # slowly, but it learns
        return best, []
    figures = {"loss": least[best], "constant_loss": constant, "steps": count, "images": len(x)}
    if case.loss.name in ERRORS and _distance(y) > FAR_TARGET:
        message = (
            f"{len(x)} targets were not reached in {count} steps: their mean is {_distance(y):.3g} times "
            f"their deviation; expected at most {FAR_TARGET:g}"
        )
        cure = "subtract their mean, divide by their deviation, and undo it after predict"
        return None, [Finding("fault", "unscaled_targets", None, figures, message, cure)]
    message = (
        f"{len(x)} images were not learned by heart in {count} steps: the loss stayed at {least[best]:.3g}; "
        "expected "
        f"below {STUCK * constant:.3g}, since a constant prediction has {constant:.3g}"
    )
    cure = "look for a layer that passes too little on; use more units, or batch normalisation"
    return None, [Finding("fault", "cannot_memorise", None, figures, message, cure)]


def _distance(y: np.ndarray) -> float:
    """Return |mean| / deviation of targets (N, ...), the largest one of their columns."""
    rows = np.asarray(y, np.float64).reshape(len(y), -1)
    return float((np.abs(rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-12)).max())


def _data_loss(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    """Return the loss in training, without penalties."""
    loss = float(model.loss(y, model.forward(x, training=True)))
    return loss if math.isfinite(loss) else math.inf


@dataclass
class OwnRun:
    """A few steps with the model's own optimizer.

    Attributes
    ----------
    losses : list of float
        Of each batch before its step.
    updates : ndarray of shape (steps,)
        |change| / |kernel| of each step, the median over the trainable layers with a kernel.
    unchanged : list of str
        Trainable layers with the same bits as before.
    end : float
        The loss of the first images afterwards, without dropout.
    gradient_norm : float
        Of the first step.
    """

    losses: list[float]
    updates: np.ndarray
    unchanged: list[str]
    end: float
    gradient_norm: float


def own_run(case: Case) -> OwnRun:
    """Take a few steps as `fit` would, at the largest rate of a schedule."""
    model, size = case.trained_copy(), min(BATCH, len(case.x))
    model.optimizer.learning_rate = largest_rate(model.optimizer)
    trained = [layer for layer in model.layers if layer.params and layer.trainable]
    begin = {layer.name: [p.copy() for p in layer.params.values()] for layer in trained}
    kernels = {str(layer.name): kernel for layer in trained if (kernel := _kernel(layer)) is not None}
    ratios: dict[str, list[float]] = {name: [] for name in kernels}
    losses: list[float] = []
    norm = 0.0
    for step in range(steps(case, size, OWN_STEPS)):
        rows = _batch(len(case.x), step, size)
        before = {name: kernel.copy() for name, kernel in kernels.items()}
        losses.append(float(model.train_step(case.x[rows], case.y[rows])[0]))
        norm = norm or float(np.linalg.norm(model.gradients.astype(np.float64)))
        for name, kernel in kernels.items():
            least = LEAST_GAIN * math.sqrt(kernel.shape[-1])  # zeros are a usual start of the last layer
            size_before = max(float(np.linalg.norm(before[name])), least)
            ratios[name].append(float(np.linalg.norm(kernel - before[name])) / size_before)
        if not math.isfinite(losses[-1]):
            break
    unchanged = [
        str(layer.name)
        for layer in trained
        if all(np.array_equal(p, q) for p, q in zip(layer.params.values(), begin[layer.name], strict=True))
    ]
    switch_off_dropout(model)
    end = _data_loss(model, case.x[:PROBED], case.y[:PROBED])
    updates = np.median(list(ratios.values()), axis=0) if ratios else np.zeros(0)
    return OwnRun(losses, updates, unchanged, end, norm)


def _kernel(layer: Any) -> np.ndarray | None:
    """Return the first parameter of two axes or more, itself and not a copy."""
    return next((p for p in layer.params.values() if p.ndim > 1), None)


def _batch(count: int, step: int, size: int) -> np.ndarray:
    """Return the rows of a step: the images come in turn, again and again."""
    return np.arange(step * size, (step + 1) * size) % count


def rate(case: Case, run: OwnRun, start: float) -> Iterator[Finding]:
    """Find a learning rate that is far too high or too low. `start` is the loss before the run."""
    constant, used = case.constant_loss(case.y[:PROBED]), largest_rate(case.model.optimizer)
    usual = float(np.median(run.updates)) if len(run.updates) else math.nan
    most = float(run.updates.max()) if len(run.updates) else math.nan
    figures = {"update_to_weight": usual, "largest_update": most, "rate": used, "loss": start}
    figures |= {"loss_after": run.end, "steps": len(run.losses), "gradient_norm": run.gradient_norm}
    what = (
        f"with a rate of {used:g}, a step changes the weights by {usual:.2g} of their size, at most "
        f"{most:.2g}; "
        "expected about 0.001"
    )
    learned = constant is not None and start < LEARNED * constant
    learns = constant is not None and run.end < min(start, LEARNED * constant)
    if (most > LARGEST_UPDATE and not learns) or _diverges(run, usual, start, constant):
        message = f"{what}, and the loss went from {start:.3g} to {run.end:.3g} in {len(run.losses)} steps"
        cure = f"try {used / 100:g}; tinycnn.training.find_learning_rate suggests one"
        yield Finding("fault", "learning_rate_high", None, figures, message, cure)
    elif most > OVERTHROWN and max(run.losses) > PEAK * max(start, constant or 0.0):
        message = (
            f"{what}: the loss rose from {start:.3g} to {max(run.losses):.3g} and ended at {run.end:.3g}; "
            "little is left of the first weights"
        )
        cure = f"try {used / 100:g}; tinycnn.training.find_learning_rate suggests one"
        yield Finding("warning", "learning_rate_high", None, figures, message, cure)
    elif usual < SMALLEST_UPDATE and not learned and not learns:
        yield _slow(what, figures, case.model.optimizer.global_clipnorm)
    elif run.unchanged and not learned:
        message = f"{', '.join(run.unchanged)} did not change by one bit in {len(run.losses)} steps"
        cure = "look at the gradient that its backward assigns"
        yield Finding("fault", "unchanged_layer", run.unchanged[0], {"layers": run.unchanged}, message, cure)


def _diverges(run: OwnRun, usual: float, start: float, constant: float | None) -> bool:
    """Return whether the loss is not finite, rises, or stays high although the steps are large."""
    if not math.isfinite(run.end) or not math.isfinite(run.losses[-1]):
        return True
    if constant is None:
        return False
    rises = run.end > max(start, constant) * (1 + WORSE) + 0.1
    return rises or (usual > RESTLESS and run.end > STUCK * constant)


def _slow(what: str, figures: dict[str, float], clip: float | None) -> Finding:
    """Return the finding for steps that are too small: clipped, or of a low rate."""
    norm = figures["gradient_norm"]
    if clip and norm > 100 * clip:
        message = f"gradients of norm {norm:.3g} are clipped to {clip:g}: {what}"
        return Finding("fault", "strong_clipping", None, figures, message, "use a global_clipnorm of about 1")
    cure = f"try {figures['rate'] * 100:g}; tinycnn.training.find_learning_rate suggests one"
    return Finding("fault", "learning_rate_low", None, figures, what, cure)


def labels(case: Case, z: float, start: float, safe: float | None) -> Iterator[Finding]:
    """Find labels that have nothing to do with the images.

    Parameters
    ----------
    case : Case
    z : float
        Of the labels against those of the nearest images; where it is high, nothing else is asked.
    start : float
        The loss before any run.
    safe : float or None
        A rate of Adam; None where the network cannot learn, or must not be run.
    """
    if z >= RELATED:
        return
    constant, held = case.constant_loss(case.y[:PROBED]), len(case.x) // 4
    figures: dict[str, Any] = {"z_of_neighbours": z}
    unknown = f"similar images have labels no more similar than chance (z {z:.1f})"
    if constant is not None and start < LEARNED * constant:
        message = (
            "the network fits these images already, perhaps by heart, so they do not show whether labels "
            f"follow from images; {unknown}"
        )
        yield Finding(
            "note", "labels_not_judged", None, figures, message, "give images that it was not trained on"
        )
        return
    others = held - int(case.rows[:held].sum(axis=0).max()) if case.classes else held
    if safe is None or held < FEWEST_HELD_OUT or others < FEWEST_OTHERS:
        why = f"{held} held-out images are too few" if safe is not None else "the network was not run"
        if safe is not None and held >= FEWEST_HELD_OUT:
            why = f"of {held} held-out images, {others} that are not of the largest class are too few"
        yield Finding(
            "note",
            "labels_not_judged",
            None,
            figures,
            f"{unknown}, and {why}",
            "mend the rest, and give more images",
        )
        return
    rows, net, count = case.rows[:held], 0.0, 0
    for count, outputs in held_out_run(case, safe, held):  # noqa: B007  # used below
        predictions = _by_class(case, outputs)
        if predictions.shape != rows.shape:  # such as a class for each pixel
            return
        if np.isfinite(predictions).all():
            net = max(net, association(rows, predictions, case.seed))
        if net >= RELATED:
            return
    figures |= {"z_of_network": net, "steps": count, "held_out": held}
    message = (
        f"{unknown}, and after {count} steps predictions for {held} other images follow the labels no more "
        "than "
        f"chance (z {net:.1f}; expected at least {RELATED:g})"
    )
    cure = "look at images beside their labels: are both in the same order, and shuffled together?"
    yield Finding("fault", "unrelated_labels", None, figures, message, cure)


def noisy(case: Case, safe: float) -> Iterator[Finding]:
    """Find labels that are partly random.

    Predictions from neighbours are asked first, and a network only where they are suspect: neighbours may
    agree with each other because they err alike, where a class is not a matter of the pixels' places.
    """
    third = len(case.x) // 3
    if not case.classes or third < FEWEST_HELD_OUT:
        return
    one, other = data.neighbour_classes(case)
    labels = case.rows[:third].argmax(axis=1)
    if not data.noise(one, other, labels)[2]:
        return
    predictions = [_by_class(case, each) for _, each in held_out_run(case, safe, third)]
    net = np.mean(predictions, axis=0).argmax(axis=1)  # the mean forgets labels that were learned by heart
    agreement, right, suspect = data.noise(net, one, labels)
    if suspect:
        share = 1 - right / agreement
        message = (
            f"predictions by a network and by the nearest images agree with each other (kappa "
            f"{agreement:.2f}) "
            f"better than with the labels ({right:.2f}; expected at least "
            f"{data.LABEL_PART * agreement:.2f}): "
            f"about {share:.0%} of the labels do not follow from the images"
        )
        cure = "look at images beside their labels: some labels are wrong, or some are out of order"
        figures = {"agreement": agreement, "agreement_with_labels": right, "random_share": share}
        yield Finding("warning", "noisy_labels", None, figures, message, cure)


def held_out_run(case: Case, safe: float, held: int) -> Iterator[tuple[int, np.ndarray]]:
    """Train on all images but the first `held`; now and then, yield the steps and predictions for those.

    The run begins with first weights: those of a trained model may know the held-out images by heart.
    """
    model = case.untrained_copy()
    model.optimizer = Adam(safe, amsgrad=True)
    size, count = min(BATCH, len(case.x) - held), steps(case, BATCH, LABEL_STEPS)
    for step in range(count):
        rows = held + _batch(len(case.x) - held, step, size)
        model.train_step(case.x[rows], case.y[rows])
        if (step + 1) % (count // JUDGEMENTS) == 0:
            yield step + 1, model.forward(case.x[:held], training=True).reshape(held, -1).astype(np.float64)


def _by_class(case: Case, predictions: np.ndarray) -> np.ndarray:
    """Return predictions in the columns of `case.rows`: one of each class that there is."""
    columns = case.rows.shape[1]
    if predictions.shape[1] == 1 < columns:  # one output that says yes
        middle = 0.0 if case.logits else 0.5
        return np.hstack([2 * middle - predictions, predictions])
    if predictions.shape[1] > columns and case.loss.integer_labels:
        return predictions[:, np.unique(case.all_y)]
    return predictions
