"""Checks of images and labels, which need no network.

::

    x -> finite? different? scaled?            y -> fit the loss? finite? different? balanced?
    x, y -> do labels follow from images?
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinycnn.inspection.checkups.association import (
    NEIGHBOURS,
    association,
    distances,
    kappa,
    neighbour_means,
)
from tinycnn.inspection.checkups.case import BINARY, CROSSENTROPIES, ERRORS, Case, class_numbers
from tinycnn.inspection.checkups.findings import Finding
from tinycnn.layers import BatchNormalization

#: Initializers expect inputs of about unit variance (LeCun et al., "Efficient BackProp", 1998, section 4.3).
#: Root mean square of a channel: pixels in 0..1 have 0.1 to 0.9, standardised ones 1, 0..255 about 80.
LARGEST_INPUT = 5.0
#: Standard deviation of all inputs: pixels in 0..1 have 0.1 to 0.4; divided by 255 twice, 0.001.
SMALLEST_INPUT = 0.02
#: |mean| / standard deviation: MNIST has 0.4, photos about 2, inverted MNIST 2.8.
OFF_CENTRE = 2.5
#: Share of images with one value everywhere, and of copies of other images. Data sets have next to none.
MOST_BLANK, MOST_COPIES = 0.1, 0.3
#: Images of fewer pixels than this repeat by themselves, such as the four inputs of XOR.
FEWEST_PIXELS = 16
#: Share of the largest class, from which a constant answer looks good.
LARGEST_CLASS = 0.85
#: A class with less than this part of an equal share, where an equal share is at least ten images.
SMALLEST_CLASS = 0.1
#: Labels that differ from the one before, as a part of those in a random order; the least number of those.
SORTED, FEWEST_CHANGES = 0.2, 20
#: Root mean square of the targets of a regression; outputs of a fresh network are of the order of 1.
LARGEST_TARGET, SMALLEST_TARGET = 100.0, 1e-3
#: Distance of the mean of a target from 0, in units of its deviation or of 1, whichever is larger: on the way
#: there, the output grows a little with each step, and says nothing about the differences between images.
FARTHEST_TARGET = 10.0
#: z of the permutation test from which labels follow from images; chance reaches 4 once in 30,000 times.
RELATED = 4.0
#: Two predictors that agree this well with each other (Cohen's kappa), but with the labels only this part
#: of it: what they agree on is not what the labels say. Clean MNIST and Fashion-MNIST: above 0.9 of it.
AGREEMENT, LABEL_PART = 0.4, 0.75
#: Neighbours for a majority among them.
MAJORITY = 15


def labels_finite(case: Case) -> Iterator[Finding]:
    """Find labels that are NaN or infinite."""
    y = case.all_y
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        bad = int((~np.isfinite(y)).reshape(len(y), -1).any(axis=1).sum())
        message = f"{bad} of {len(y)} labels are NaN or infinite; expected none"
        yield Finding("fault", "labels_not_finite", None, {"labels": bad}, message, "remove or repair them")


def label_format(case: Case) -> Iterator[Finding]:
    """Find labels that the loss cannot take: `fit` refuses them."""
    y, outputs = case.all_y, int(case.model.output_shape[-1])
    guess = np.full((len(y), *case.model.output_shape), 1 / max(outputs, 1), case.model.dtype)
    try:
        case.loss(y, guess)
        return
    except (ValueError, TypeError, IndexError) as error:
        problem = str(error)
    check, cure = "label_format", "give labels in the form that the loss takes, or take another loss"
    figures: dict[str, Any] = {"label_shape": list(y.shape), "label_dtype": str(y.dtype), "outputs": outputs}
    whole = y.dtype.kind in "iu" and y.size == len(y)
    if case.loss.integer_labels and whole and y.min() >= 0:
        check = "output_units"
        figures |= {"largest_label": int(y.max())}
        cure = f"end with {int(y.max()) + 1} units"
        if y.min() == 1:
            cure = f"subtract 1 from the labels, which begin with 1, or {cure}"
    elif case.loss.name == CROSSENTROPIES[0] and y.ndim == 2 and y.shape[1] > 1 and y.shape[1] != outputs:
        check, cure = "output_units", f"end with {y.shape[1]} units, one for each class"
    elif case.loss.integer_labels and y.ndim == 2 and y.shape[1] == outputs:
        cure = 'take loss="categorical_crossentropy" for one-hot rows, or y.argmax(axis=1) as labels'
    elif whole and not case.loss.integer_labels and outputs > 1:
        cure = 'take loss="sparse_categorical_crossentropy" for class numbers, or one-hot rows as labels'
    yield Finding(
        "fault", check, None, figures, f"the loss {case.loss.name} cannot take the labels: {problem}", cure
    )


def image_values(x: np.ndarray) -> Iterator[Finding]:
    """Find images that are not finite, constant, blank or copies. `x` are all images, as given."""
    flat = x.reshape(len(x), -1)
    bad = int((~np.isfinite(flat).all(axis=1)).sum()) if x.dtype.kind == "f" else 0
    if bad:
        message = f"{bad} of {len(x)} images hold NaN or infinity; expected none"
        yield Finding("fault", "inputs_not_finite", None, {"images": bad}, message, "remove or repair them")
        return
    if len(x) > 1 and bool((flat == flat[0]).all()):
        message = f"all {len(x)} images are the same; expected different ones"
        figures = {"images": len(x), "smallest": flat.min(), "largest": flat.max()}
        yield Finding("fault", "inputs_constant", None, figures, message, "look at how the images are read")
        return
    if flat.shape[1] < FEWEST_PIXELS:
        return
    blank = float((flat == flat[:, :1]).all(axis=1).mean())
    if blank > MOST_BLANK:
        message = f"{blank:.0%} of the images have one value everywhere; expected at most {MOST_BLANK:.0%}"
        severity = "fault" if blank > 0.9 else "warning"
        yield Finding(
            severity, "blank_images", None, {"share": blank}, message, "look at how images are read"
        )
    copies = 1 - len({hash(row.tobytes()) for row in flat}) / len(flat)
    if copies - blank > MOST_COPIES:
        message = f"{copies:.0%} of the images are copies of others; expected at most {MOST_COPIES:.0%}"
        yield Finding("warning", "duplicated_images", None, {"share": copies}, message, "remove the copies")


def image_scale(case: Case, integers: bool) -> Iterator[Finding]:
    """Find inputs that are too large, too small or off centre, where they meet the first parameters."""
    x = case.x.copy()  # a layer of the user may change it
    if integers:
        message = f"the images are whole numbers up to {x.max():g}; expected floats, as fit does"
        cure = "use tinycnn.datasets.scale_images, which divides pixels by 255"
        check = "unscaled_inputs" if x.max() > 1 else "input_type"
        yield Finding("fault", check, None, {"largest": x.max()}, message, cure)
        return
    layer = None
    for layer in case.layers:
        if layer.params:
            break
        x = layer.forward(x)
    if layer is None or isinstance(layer, BatchNormalization):  # which scales by itself
        return
    channels = x.reshape(-1, x.shape[-1]).astype(np.float64)
    largest = float(np.sqrt(np.square(channels).mean(axis=0).max()))
    spread, mean = float(channels.std()), float(channels.mean())
    figures = {"rms": largest, "deviation": spread, "mean": mean, "smallest": x.min(), "largest": x.max()}
    if largest > LARGEST_INPUT:
        message = f"the root mean square of the inputs is {largest:.3g}; expected at most {LARGEST_INPUT:g}"
        cure = (
            "divide pixels by 255 (tinycnn.datasets.scale_images), or subtract the mean and divide by "
            "the deviation"
        )
        yield Finding("fault", "unscaled_inputs", None, figures, message, cure)
    elif spread < SMALLEST_INPUT:
        message = (
            f"the standard deviation of the inputs is {spread:.2g}; expected at least {SMALLEST_INPUT:g}"
        )
        cure = "look whether images are scaled twice; their values should fill 0 to 1"
        if case.x.std(dtype=np.float64) > SMALLEST_INPUT:
            message = f"the layers before {layer.name!r} leave next to nothing of the images: {message}"
            cure = "leave these layers out, or put a layer with weights before them"
        yield Finding("fault", "unscaled_inputs", None, figures, message, cure)
    elif abs(mean) > OFF_CENTRE * spread:
        message = f"the mean of the inputs, {mean:.2g}, is {abs(mean) / spread:.2g} times their deviation"
        cure = "subtract the mean; if white and black are swapped, use 1 - x"
        yield Finding("note", "inputs_off_centre", None, figures, message, cure)


def label_values(case: Case) -> Iterator[Finding]:
    """Find labels that are all the same, of unequal classes, or of an unusual size."""
    y = case.all_y
    if len(y) > 1 and bool((y == y[0]).all()):
        message = f"all {len(y)} labels are the same; expected different ones"
        yield Finding(
            "fault", "constant_labels", None, {"labels": len(y)}, message, "look at how labels are read"
        )
        return
    numbers = class_numbers(y)
    if numbers is not None and case.loss.name in (*CROSSENTROPIES, BINARY):
        outputs = int(case.model.output_shape[-1])
        yield from _balance(numbers, 2 if outputs == 1 else outputs)
        yield from _order(numbers)
    elif case.loss.name in ERRORS:
        yield from _targets(y.reshape(len(y), -1).astype(np.float64))


def _targets(y: np.ndarray) -> Iterator[Finding]:
    """Find targets (N, K) of a regression that are far too large or too small, or far from 0."""
    size = float(np.sqrt(np.square(y).mean()))
    mean, spread = y.mean(axis=0), y.std(axis=0)
    worst = int((np.abs(mean) / np.maximum(spread, 1)).argmax())
    figures = {"rms": size, "mean": mean[worst], "deviation": spread[worst]}
    cure = "subtract their mean, divide by their deviation, and undo it after predict"
    if not SMALLEST_TARGET < size < LARGEST_TARGET:
        message = (
            f"the root mean square of the targets is {size:.3g}; expected {SMALLEST_TARGET:g} to "
            f"{LARGEST_TARGET:g}"
        )
        severity = "fault" if size > 1 else "warning"
        yield Finding(severity, "unscaled_targets", None, figures, message, cure)
    elif abs(mean[worst]) > FARTHEST_TARGET * max(spread[worst], 1):
        message = (
            f"the mean of a target is {mean[worst]:.3g} at a deviation of {spread[worst]:.2g}; expected a "
            f"mean of at most {FARTHEST_TARGET:g} times the deviation (or {FARTHEST_TARGET:g})"
        )
        yield Finding("fault", "unscaled_targets", None, figures, message, cure)


def _balance(numbers: np.ndarray, classes: int) -> Iterator[Finding]:
    """Find classes without images, and classes with few or with most of them."""
    counts = np.bincount(numbers, minlength=classes)
    figures = {"images_of_classes": counts.tolist()}
    share = len(numbers) / (int(numbers.max()) + 1)
    absent = [int(c) for c in np.flatnonzero(counts == 0)]
    unused = classes - 1 - int(numbers.max())
    severity = "warning" if share >= 10 else "note"  # of few images a class may be absent by chance
    if unused > 1:
        message = f"the network has {classes} outputs, and the labels reach {int(numbers.max())}"
        cure = f"end with {int(numbers.max()) + 1} units, or look for classes that are missing"
        yield Finding(severity, "output_units", None, figures | {"outputs": classes}, message, cure)
    elif absent:
        message = (
            f"no image has the label {', '.join(map(str, absent))}; expected some of each of {classes} "
            "classes"
        )
        cure = "add images of the class, or end with fewer units"
        yield Finding(severity, "missing_class", None, figures | {"missing": absent}, message, cure)
    present = counts[counts > 0]
    largest, smallest = float(present.max() / len(numbers)), float(present.min() / share)
    if (largest > LARGEST_CLASS and len(numbers) >= 20) or (share >= 10 and smallest < SMALLEST_CLASS):
        message = (
            f"the largest class has {largest:.1%} of the images, the smallest "
            f"{present.min() / len(numbers):.1%}; "
            f"expected about {share / len(numbers):.1%}"
        )
        cure = "give fit class_weight, or show images of small classes more often"
        yield Finding(
            "warning", "imbalanced_labels", None, figures | {"largest_share": largest}, message, cure
        )


def _order(numbers: np.ndarray) -> Iterator[Finding]:
    """Find labels that are sorted, or come in long runs: batches in this order show single classes."""
    changes = int((numbers[1:] != numbers[:-1]).sum())
    shares = np.bincount(numbers) / len(numbers)
    expected = float((len(numbers) - 1) * (1 - np.square(shares).sum()))
    if expected >= FEWEST_CHANGES and changes < SORTED * expected:
        message = (
            f"{changes} of {len(numbers)} labels differ from the one before; expected about {expected:.0f} "
            "in a random order"
        )
        cure = "let fit shuffle, as it does by default; mix batches of your own"
        figures = {"changes": changes, "expected_changes": expected}
        yield Finding("note", "sorted_labels", None, figures, message, cure)


def neighbours(case: Case) -> float:
    """Return the z of labels against those of the nearest images."""
    return association(
        case.rows, neighbour_means(distances(case.x, case.x), case.rows, NEIGHBOURS), case.seed
    )


def neighbour_classes(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes (N // 3,) of a third of the images, by their neighbours in each other third."""
    third = len(case.x) // 3
    parts = slice(third, 2 * third), slice(2 * third, None)
    one, other = (
        neighbour_means(distances(case.x[:third], case.x[part]), case.rows[part], MAJORITY).argmax(axis=1)
        for part in parts
    )
    return one, other


def noise(one: np.ndarray, other: np.ndarray, labels: np.ndarray) -> tuple[float, float, bool]:
    """Return how well two predictions agree, how well with the labels, and whether labels are partly random.

    Where a label is random with some probability, a prediction from many images still names the class that
    an image belongs to. So predictions agree with each other better than with labels. Where images are hard
    to tell apart, they agree with each other no better than with the labels.
    """
    agreement, right = kappa(one, other), (kappa(one, labels) + kappa(other, labels)) / 2
    return agreement, right, agreement > AGREEMENT and right < LABEL_PART * agreement
