"""What a model makes of one image, as a notebook shows it: the choices, the pixels that matter, the maps.

::

    model, image -> trace, saliency, occlusion -> HTML for notebooks, or one line of text
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.inspection.saliency import class_occlusion, saliency
from tinycnn.inspection.trace import Trace, by_class, gives_probabilities, trace
from tinycnn.layers import RandomLayer
from tinycnn.support import html
from tinycnn.support.svg import escaped

CHOICES = 5  # outputs in the table
MAPS, MAPS_IN_ROW = 32, 16  # of a layer, that are drawn
SIDE, SMALL = 140, 56  # pixels of the screen: of the image, and of a map
GAP = (200, 200, 200)


class ImageExplanation:
    """What a model computes from one image; made by `Sequential.explain_image`.

    Parameters
    ----------
    model : Sequential
        Built, with a flat output.
    image : ndarray of shape (H, W, C) or (1, H, W, C)
        As the model takes it.
    label : int, optional
        The class that loss and saliency are of; by default the one that the model predicts.

    Attributes
    ----------
    trace : Trace
        Every array of the network for this image, and its gradients.
    label : int
    outputs : ndarray of shape (classes,)
        The output of the network; of a single probability, those of both classes.
    saliency : ndarray of shape (H, W)
        How much the loss changes with each pixel.
    occlusion : ndarray of shape (H, W)
        How much of the output is lost when the pixels around this one are covered.

    Raises
    ------
    ValueError
        For an image that does not fit the model, a model whose output is not flat, or a label that is no
        number of an output.
    """

    def __init__(self, model: Any, image: np.ndarray, label: int | None = None) -> None:
        image = np.asarray(image)
        if image.ndim == 4 and len(image) == 1:
            image = image[0]
        if len(model.output_shape) != 1:
            raise ValueError(f"{model.name}: expected a flat output, received {model.output_shape}")
        self.name, self._shares = model.name, gives_probabilities(model)
        if label is None:
            label = int(np.argmax(by_class(model, trace(model, image).output)))
        self.label = label
        self.trace: Trace = trace(model, image, label)
        self.outputs = by_class(model, self.trace.output)
        self.saliency = saliency(model, image, self.label)
        covered = class_occlusion(model, image)
        self.occlusion = covered[..., min(label, covered.shape[-1] - 1)]

    def __repr__(self) -> str:
        choices = ", ".join(f"{i}: {self._written(value, 1)}" for i, value in self._choices())
        return f"<{self.name} of an image: {choices}; loss for class {self.label}: {self.trace.loss:.4g}>"

    def _written(self, value: float, places: int) -> str:
        """Return an output as text: percent are for probabilities alone."""
        return f"{value:.{places}%}" if self._shares else f"{value:.4g}"

    def _choices(self) -> list[tuple[int, float]]:
        output = self.outputs
        best = np.argsort(-output, kind="stable")[:CHOICES]
        return [(int(i), float(output[i])) for i in best]

    def _repr_html_(self) -> str:
        """Return HTML: the image and what matters in it, the choices, and the maps of each layer."""
        H, W, _ = self.trace.image.shape
        scale = max(1, round(SIDE / max(H, W)))
        pictures = [
            (_pixels(self.trace.image), "image"),
            (_signed(self.saliency), f"saliency of class {self.label}"),
            (_signed(self.occlusion), f"occlusion of class {self.label}: red is lost"),
        ]
        figures = "".join(
            f'<figure style="margin: 0 1em 0 0; display: inline-block">{html.image(pixels, text, scale)}'
            f"<figcaption>{escaped(text)}</figcaption></figure>"
            for pixels, text in pictures
        )
        rows = [(i, self._written(value, 2)) for i, value in self._choices()]
        loss = f"loss for class {self.label}: {self.trace.loss:.4g}"
        table = html.table(("class", "probability" if self._shares else "output"), rows, numbers=1)
        return f"<div>{figures}{table}<p>{escaped(loss)}</p>{''.join(self._layers())}</div>"

    def _layers(self) -> list[str]:
        """Return the maps of each layer that has some, after its activation."""
        mapped = [step for step in self.trace.steps if step.y.ndim == 3]
        last = {step.name: step for step in mapped if not isinstance(step.layer, RandomLayer)}
        made = []
        for name, step in last.items():
            H, W, C = step.y.shape
            shown = f", the first {MAPS} maps" if C > MAPS else ""
            title = f"{name}: {H} x {W} x {C}{shown}, from {step.y.min():.3g} to {step.y.max():.3g}"
            picture = html.image(_montage(step.y[..., :MAPS]), title, max(1, round(SMALL / max(H, W))))
            made.append(f"<details><summary>{escaped(title)}</summary>{picture}</details>")
        return made


def _pixels(image: np.ndarray) -> np.ndarray:
    """Return an image in [0, 1] as RGB; of one that has not 1 or 3 channels, their mean."""
    if image.shape[-1] not in (1, 3):
        image = image.mean(axis=-1, keepdims=True)
    rgb = np.broadcast_to(image, (*image.shape[:2], 3))
    return np.rint(np.nan_to_num(rgb).clip(0, 1) * 255).astype(np.uint8)


def _signed(values: np.ndarray) -> np.ndarray:
    """Return numbers of both signs as RGB, by their share of the largest."""
    finite = np.abs(values[np.isfinite(values)])
    return html.colours(values / (float(finite.max(initial=0)) or 1.0))


def _montage(maps: np.ndarray) -> np.ndarray:
    """Return maps (H, W, C) side by side as RGB, on one scale, with a line between them."""
    H, W, C = maps.shape
    columns = min(C, MAPS_IN_ROW)
    rows = -(-C // columns)
    whole = np.full((rows * (H + 1), columns * (W + 1), 3), GAP, np.uint8)
    colours = _signed(maps)
    for number in range(C):
        top, left = (H + 1) * (number // columns), (W + 1) * (number % columns)
        whole[top : top + H, left : left + W] = colours[:, :, number]
    return whole
