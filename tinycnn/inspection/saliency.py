"""Which pixels a prediction, or a neuron, depends on.

::

    gradient of the loss          -> saliency:      how much a small change of a pixel matters
    probability, with a patch on  -> occlusion:     how much a covered region matters
    gradient of a neuron * pixels -> contributions: what each pixel adds to the neuron's value
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.inspection.trace import trace, twin
from tinycnn.support import checks

IMAGES_AT_ONCE = 256  # of an occlusion map


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
    model: Any, image: np.ndarray, label: int, size: int = 5, stride: int = 1, value: float = 0.0
) -> np.ndarray:
    """Return how much a class loses when a square of the image is covered.

    Parameters
    ----------
    model : Sequential
        Built.
    image : float ndarray of shape (H, W, C)
    label : int
        The number of an output.
    size, stride : int
        Side of the square, and the distance between neighbouring squares, in pixels.
    value : float
        What the square is filled with; by default the black of MNIST's background.

    Returns
    -------
    ndarray of shape (ceil(H / stride), ceil(W / stride))
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
    if checks.whole("label", label, 0) >= model.output_shape[-1]:
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
        covered.append(model.forward(images)[:, label])
    whole = model.forward(x[np.newaxis])[0, label]
    found: np.ndarray = (whole - np.concatenate(covered)).reshape(len(rows), len(columns))
    return found


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
