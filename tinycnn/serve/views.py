"""What the page shows: arrays that the library computed, in a form that a browser reads.

::

    picture -> prepared -> image (H, W, C) -> look:       maps and gradients of every layer, as bytes
                                           -> take_apart: the terms of one number
                                           -> pixels:     saliency, occlusion, contributions
    model, examples   -> weights, confusion
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any, NamedTuple

import numpy as np

from tinycnn.datasets import digit_steps, unlike_mnist
from tinycnn.datasets.pictures import picture_from_bytes, reduced
from tinycnn.inspection.costs import receptive_fields
from tinycnn.inspection.fields import kernel_of
from tinycnn.inspection.saliency import (
    class_occlusion,
    contributions,
    covered_side,
    receptive_region,
    saliency,
)
from tinycnn.inspection.terms import Terms, backward_terms, forward_terms
from tinycnn.inspection.trace import Step, by_class, gives_probabilities, trace
from tinycnn.layers import Activation, SeparableConv2D
from tinycnn.metrics import confusion_matrix

MNIST_SHAPE = (28, 28, 1)
MOST_WEIGHTS = 1_000_000  # of a layer, that are sent
EXAMPLES = 1000  # images of a confusion matrix
MOST_TERMS = 1000  # that are sent: the largest products; the others are added up
Json = dict[str, Any]


class Examples(NamedTuple):
    """Images (N, H, W, C) as the model takes them, and their classes (N,)."""

    images: np.ndarray
    classes: np.ndarray


def encoded(array: np.ndarray) -> Json:
    """Return an array as JSON: its shape, and its float32 numbers, little-endian, in base64."""
    numbers = np.ascontiguousarray(array, "<f4")
    return {"shape": list(array.shape), "data": base64.b64encode(numbers.tobytes()).decode("ascii")}


def decoded(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array of `encoded`, checked; numbers that are not finite are refused.

    Raises
    ------
    ValueError
        For anything that is not such an array of this shape.
    """
    if (
        not isinstance(value, dict)
        or value.get("shape") != list(shape)
        or not isinstance(value.get("data"), str)
    ):
        raise ValueError(f"image: expected an array of shape {list(shape)} with data in base64")
    try:
        content = base64.b64decode(value["data"], validate=True)
    except ValueError as error:
        raise ValueError(f"image: expected data in base64: {error}") from error
    if len(content) != 4 * math.prod(shape):
        raise ValueError(f"image: expected {4 * math.prod(shape)} bytes, received {len(content)}")
    array = np.frombuffer(content, "<f4").reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError("image: expected finite numbers")
    return array


def as_bytes(array: np.ndarray) -> Json:
    """Return an array as bytes from 0 to 255 and the numbers that these two stand for, for drawing."""
    finite = array[np.isfinite(array)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    span = (high - low) or 1.0
    levels = np.rint(np.nan_to_num((array - low) / span).clip(0, 1) * 255).astype(np.uint8)
    data = base64.b64encode(levels.tobytes()).decode("ascii")
    return {"shape": list(array.shape), "low": low, "high": high, "data": data}


def as_json(value: Json) -> str:
    """Return a view as JSON in ASCII.

    Raises
    ------
    ValueError
        When one of its numbers is not finite: JSON has no word for it.
    """
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise ValueError(
            "numbers: expected finite ones, received NaN or infinity: the model diverged in training, "
            "its file is damaged, or the image is too bright"
        ) from error


def description(model: Any) -> Json:
    """Return what the page has to know of a model before it computes anything."""
    fields = receptive_fields(model.layers)
    return {
        "name": model.name,
        "input_shape": list(model.input_shape),
        "digits": tuple(model.input_shape) == MNIST_SHAPE,
        "probabilities": gives_probabilities(model),
        "covered": covered_side(model.input_shape),
        "parameters": model.count_params(),
        "layers": [
            {
                "name": layer.name,
                "kind": type(layer).__name__,
                "code": repr(layer),
                "activation": getattr(layer, "activation", None) or "linear",
                "output_shape": list(layer.compute_output_shape(layer.built_shape)),
                "parameters": layer.count_params(layer.built_shape),
                "field": field,
            }
            for layer, field in zip(model.layers, fields, strict=True)
        ],
    }


def prepared(content: bytes, model: Any) -> Json:
    """Return a picture as the model can take it: as it is, and prepared as MNIST's images were.

    Parameters
    ----------
    content : bytes
        Of an image file.
    model : Sequential
        Built for images of 1 or 3 channels.

    Returns
    -------
    dict
        "drawn", an array of the model's input shape; for a model of MNIST's shape also "prepared" and
        "steps", or "problem" if no digit was found, and "warnings" of how each is unlike MNIST.

    Raises
    ------
    ValueError
        When the content is not a picture, or the model does not take pictures.
    """
    H, W, C = image_shape(model)
    picture = picture_from_bytes(content)
    small = reduced(picture, W, H)
    drawn = np.asarray(small.convert("L") if C == 1 else small, np.float32).reshape(H, W, C) / np.float32(255)
    found: Json = {"drawn": encoded(drawn), "warnings": {"drawn": [], "prepared": []}}
    if (H, W, C) != MNIST_SHAPE:
        return found
    found["warnings"]["drawn"] = list(unlike_mnist(drawn))
    try:
        steps = digit_steps(picture)
    except ValueError as error:
        return {**found, "problem": str(error)}
    last = list(steps)[-1]
    image = steps[last][..., np.newaxis]
    found["steps"] = {name: as_bytes(step) for name, step in steps.items()}
    found["prepared"] = encoded(image)
    found["warnings"]["prepared"] = list(unlike_mnist(image))
    return found


def image_shape(model: Any) -> tuple[int, int, int]:
    """Return (H, W, C) of a model's images; raise ValueError for one that takes no pictures."""
    shape = tuple(model.input_shape)
    if len(shape) != 3 or shape[2] not in (1, 3):
        raise ValueError(f"{model.name}: expected a model for images of 1 or 3 channels, received {shape}")
    return shape[0], shape[1], shape[2]


def check_model(model: Any) -> None:
    """Raise ValueError for a model that the page cannot show: of no pictures, or without classes."""
    image_shape(model)
    if len(model.output_shape) != 1:
        raise ValueError(f"{model.name}: expected a flat output, received {model.output_shape}")


def look(model: Any, image: np.ndarray, label: int | None = None) -> Json:
    """Return what each layer makes of an image, and with a label the gradients of the loss."""
    found = trace(model, image, label)
    layers: list[Json] = []
    for step in found.steps:
        if not layers or layers[-1]["name"] != step.name:
            layers.append({"name": step.name})
        layers[-1] |= _drawn(step)
    return {
        "layers": layers,
        "output": [float(value) for value in found.output.ravel()],
        "label": label,
        "loss": found.loss,
        "image_gradient": None if found.image_gradient is None else as_bytes(found.image_gradient),
    }


def _drawn(step: Step) -> Json:
    """Return the arrays of a step: the sums before an activation, or the output and its gradient."""
    gradient = None if step.dy is None else as_bytes(step.dy)
    follows = "output"
    arrays = {follows: as_bytes(step.y), f"{follows}_gradient": gradient}
    if isinstance(step.layer, Activation) and step.layer.name is None:  # that of the layer before
        return arrays
    return {"sums": as_bytes(step.y), "sums_gradient": gradient, **arrays}


def take_apart(
    model: Any,
    image: np.ndarray,
    name: str,
    index: tuple[int, ...],
    label: int | None = None,
    part: str = "sums",
) -> Json:
    """Return the terms of one number.

    Parameters
    ----------
    name : str
        Of a layer.
    index : tuple of int
        Of its output; for part "gradient", of its input.
    label : int, optional
        For part "gradient".
    part : "sums", "activation" or "gradient"
        The weighted sum that the layer computes; what its activation makes of it; or the gradient of the loss
        by one of its inputs, which goes back through both.

    Raises
    ------
    ValueError
        For a layer, part or index that is not there.
    """
    steps = trace(model, image, label).of(name)
    if part in ("sums", "activation"):
        found = _terms(forward_terms(steps[0 if part == "sums" else -1], index))
        return {**found, "region": receptive_region(model, name, index)}
    if part == "gradient":
        return _terms(backward_terms(steps[0], index))
    raise ValueError(f"part: expected 'sums', 'activation' or 'gradient', received {part!r}")


def _terms(terms: Terms) -> Json:
    products = np.nan_to_num(terms.products.astype(np.float64))
    largest = np.sort(np.argsort(-np.abs(products), kind="stable")[:MOST_TERMS])
    rest = np.delete(products, largest)
    return {
        "operation": terms.operation,
        "positions": terms.positions[largest].tolist(),
        "factors": encoded(terms.factors[largest]),
        "weights": encoded(terms.weights[largest]),
        "bias": terms.bias,
        "value": terms.value,
        "others": {"count": len(rest), "sum": float(rest.sum())},
    }


def pixels(
    model: Any,
    image: np.ndarray,
    kind: str,
    *,
    label: int | None = None,
    name: str = "",
    index: tuple[int, ...] = (),
) -> Json:
    """Return a map of the pixels that matter: "saliency", "occlusion" of a label, or "contributions".

    Raises
    ------
    ValueError
        For another kind, or a label, layer or index that is not there.
    """
    if kind == "contributions":
        return encoded(contributions(model, image, name, index).sum(axis=-1))
    if kind not in ("saliency", "occlusion"):
        raise ValueError(f"kind: expected 'saliency', 'occlusion' or 'contributions', received {kind!r}")
    if label is None:
        raise ValueError(f"label: expected the class that the {kind} is of, received none")
    if kind == "saliency":
        return encoded(saliency(model, image, label))
    classes = class_count(model)
    if label >= classes:
        raise ValueError(f"label: expected a class below {classes}, received {label}")
    return encoded(class_occlusion(model, image)[..., label])


def class_count(model: Any) -> int:
    """Return how many classes the outputs of a model stand for."""
    return len(by_class(model, np.zeros(model.output_shape)))


def weights(model: Any) -> Json:
    """Return the kernel of each layer that has one, as bytes; None for others, and for a very large one."""
    layers = []
    for layer in model.layers:
        kernel = kernel_of(layer) if isinstance(layer, SeparableConv2D) else layer.params.get("kernel")
        sent = kernel is not None and kernel.size <= MOST_WEIGHTS
        layers.append({"name": layer.name, "kernel": as_bytes(kernel) if sent else None})
    return {"layers": layers}


def confusion(model: Any, examples: Examples) -> Json:
    """Return the confusion matrix: entry (i, j) counts images of class i that the model takes for j."""
    matrix = confusion_matrix(examples.classes, model.predict(examples.images))
    return {"matrix": matrix.tolist(), "images": len(examples.classes), "correct": int(np.trace(matrix))}


def example(examples: Examples, number: int) -> Json:
    """Return one of the examples, counted round and round, and its class."""
    number %= len(examples.classes)
    return {"image": encoded(examples.images[number]), "class": int(examples.classes[number])}
