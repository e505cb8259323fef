"""Which pixels a prediction, or a neuron, depends on.

::

    gradient of the loss          -> saliency:      how much a small change of a pixel matters
    probability, with a patch on  -> occlusion:     how much a covered region matters
    gradient of a neuron * pixels -> contributions: what each pixel adds to the neuron's value
    windows of the layers         -> receptive_region: the pixels that a neuron can see
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinycnn.inspection.fields import reads, takes_all
from tinycnn.inspection.trace import gives_probabilities, trace, twin
from tinycnn.layers import Flatten, Reshape
from tinycnn.support import checks

IMAGES_AT_ONCE = 256  # of an occlusion map
MOST_SQUARES = 1024  # of `occlusion_map`: each pixel of 32 x 32


def saliency(model: Any, image: np.ndarray, label: int) -> np.ndarray:
    """Return how much the loss of a class changes with each pixel.

    Parameters
    ----------
    model : Sequential
        Built.
    image : float ndarray of shape (H, W, C)
    label : int

    Returns
    -------
    ndarray of shape (H, W)
        The largest absolute gradient over the channels (Simonyan, Vedaldi and Zisserman, "Deep inside
        convolutional networks", arXiv 1312.6034, section 3.1, with the loss instead of the class score).

    Raises
    ------
    ValueError
        See `tinycnn.inspection.trace`.
    """
    gradient = np.asarray(trace(model, image, label).image_gradient)
    found: np.ndarray = np.abs(gradient).max(axis=-1)
    return found


def occlusion(
    model: Any,
    image: np.ndarray,
    label: int | None = None,
    size: int = 5,
    stride: int = 1,
    value: float = 0.0,
) -> np.ndarray:
    """Return how much a class loses when a square of the image is covered.

    Parameters
    ----------
    model : Sequential
        Built.
    image : float ndarray of shape (H, W, C)
    label : int, optional
        The number of an output. Without it, the maps of all outputs, along the last axis.
    size, stride : int
        Side of the square, and the distance between neighbouring squares, in pixels.
    value : float
        What the square is filled with; by default the black of MNIST's background.

    Returns
    -------
    ndarray of shape (ceil(H / stride), ceil(W / stride)), or with a third axis for all outputs
        The output for the whole image minus that for the image with a square on it. Entry (i, j) is that of
        the square whose middle is pixel (i * stride, j * stride); at the edges a part of the square lies
        outside. (Zeiler and Fergus, "Visualizing and understanding convolutional networks", arXiv 1311.2901.)

    Raises
    ------
    ValueError
        When the image does not fit the model, or the model has no such output.
    """
    x = model.check_images(np.asarray(image)[np.newaxis])[0]
    size, stride = checks.whole("size", size, 1), checks.whole("stride", stride, 1)
    if label is not None and checks.whole("label", label, 0) >= model.output_shape[-1]:
        raise ValueError(f"label: expected an output below {model.output_shape[-1]}, received {label}")
    H, W, _ = x.shape
    rows, columns = range(0, H, stride), range(0, W, stride)
    places = [(row - size // 2, column - size // 2) for row in rows for column in columns]
    covered = []
    for start in range(0, len(places), IMAGES_AT_ONCE):
        some = places[start : start + IMAGES_AT_ONCE]
        images = np.repeat(x[np.newaxis], len(some), axis=0)
        for copy, (top, left) in zip(images, some, strict=True):
            copy[max(top, 0) : top + size, max(left, 0) : left + size] = value
        covered.append(model.forward(images))
    losses = model.forward(x[np.newaxis]) - np.concatenate(covered)
    found: np.ndarray = losses.reshape(len(rows), len(columns), -1)
    return found if label is None else found[..., label]


def covered_side(shape: tuple[int, ...]) -> int:
    """Return the side of the square that `occlusion_map` covers in an image (H, W, C), in pixels."""
    return 5 * _coarseness(shape)


def occlusion_map(model: Any, image: np.ndarray, label: int | None = None) -> np.ndarray:
    """Return `occlusion` for each pixel, (H, W) or (H, W, outputs), of a large image with larger squares.

    So about `MOST_SQUARES` images are computed, whatever the size: a pixel has the entry of the square whose
    middle is nearest.

    Raises
    ------
    ValueError
        See `occlusion`.
    """
    H, W = model.input_shape[:2]
    stride = _coarseness(model.input_shape)
    found = occlusion(model, image, label, covered_side(model.input_shape), stride)
    nearest = [
        np.minimum((np.arange(side) + stride // 2) // stride, count - 1)
        for side, count in zip((H, W), found.shape, strict=False)
    ]
    return found[np.ix_(*nearest)]


def class_occlusion(model: Any, image: np.ndarray) -> np.ndarray:
    """Return `occlusion_map` for each class, (H, W, classes): what a single probability loses, class 0 gains.

    Raises
    ------
    ValueError
        When the image does not fit the model.
    """
    found = occlusion_map(model, image)
    if found.shape[-1] == 1 and gives_probabilities(model):
        return np.concatenate([-found, found], axis=-1)
    return found


def _coarseness(shape: tuple[int, ...]) -> int:
    return max(1, math.ceil(math.sqrt(shape[0] * shape[1] / MOST_SQUARES)))


def contributions(model: Any, image: np.ndarray, name: str, index: tuple[int, ...]) -> np.ndarray:
    """Return what each pixel adds to one output of a layer: its gradient times the pixel.

    Parameters
    ----------
    model : Sequential
        Built.
    image : float ndarray of shape (H, W, C)
    name : str
        Of a layer.
    index : tuple of int
        Of its output, without the batch axis.

    Returns
    -------
    ndarray of shape (H, W, C)
        With ReLUs and max-pools and without biases, the sum is the value of the output (Shrikumar et al.,
        "Not just a black box", arXiv 1605.01713). Zero outside of the receptive field.

    Raises
    ------
    ValueError
        When the image does not fit, or for a layer or an index that is not there.
    """
    x = model.check_images(np.asarray(image)[np.newaxis])
    last = trace(model, image).of(name)[-1]
    if len(index) != last.y.ndim or not all(0 <= i < n for i, n in zip(index, last.y.shape, strict=True)):
        raise ValueError(f"index: expected one inside of shape {last.y.shape}, received {tuple(index)}")
    layers = twin(model)
    number = max(i for i, (other, _) in enumerate(layers) if other == name)
    y = x
    for _, layer in layers[: number + 1]:
        y = layer.forward(y, training=True)
    dy = np.zeros_like(y)
    dy[(0, *index)] = 1
    for _, layer in reversed(layers[: number + 1]):
        dy = layer.backward(dy)
    found: np.ndarray = dy[0] * x[0]
    return found


def receptive_region(
    model: Any, name: str, index: tuple[int, ...]
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the pixels that one output of a layer depends on: its receptive field, where it lies.

    Parameters
    ----------
    model : Sequential
        Built.
    name : str
        Of a layer.
    index : tuple of int
        Of its output, without the batch axis.

    Returns
    -------
    ((top, bottom), (left, right)) or None
        First and last row and column, both included; the whole image after a dense layer. None for an output
        of padding alone.

    Raises
    ------
    ValueError
        For a layer or an index that is not there.

    Examples
    --------
    >>> from tinycnn import Sequential
    >>> from tinycnn.layers import Conv2D, MaxPooling2D
    >>> model = Sequential([Conv2D(2, (3, 5)), MaxPooling2D(2)], seed=0, input_shape=(9, 12, 1))
    >>> receptive_region(model, "max_pooling2d_1", (1, 2, 0))
    ((2, 5), (4, 9))
    """
    names = [layer.name for layer in model.layers]
    if name not in names:
        raise ValueError(f"layer: expected one of {', '.join(names)}, received {name!r}")
    layers = model.layers[: names.index(name) + 1]
    shape = layers[-1].compute_output_shape(layers[-1].built_shape)
    if len(index) != len(shape) or not all(0 <= i < n for i, n in zip(index, shape, strict=True)):
        raise ValueError(f"index: expected one inside of shape {shape}, received {tuple(index)}")
    H, W = model.input_shape[:2]
    whole = (0, H - 1), (0, W - 1)
    region = [(i, i) for i in index[:2]] if len(index) == 3 else list(whole)
    for layer in reversed(layers):
        if len(layer.built_shape) != 3 or isinstance(layer, Flatten | Reshape):
            return whole
        region = [
            (0, layer.built_shape[axis] - 1) if takes_all(layer, axis) else reads(layer, axis, *region[axis])
            for axis in (0, 1)
        ]
        if any(first > last for first, last in region):
            return None
    return region[0], region[1]
