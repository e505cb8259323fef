"""One picture explained in one file: the page of `tinycnn serve`, with the arrays inside.

::

    picture, model -> trace forward, and backward from each class -> JSON, gzip, base64
    page/*.html, *.css, *.js, those arrays                        -> one HTML file, opened without a server
"""

from __future__ import annotations

import base64
import gzip
import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn import activations
from tinycnn.datasets.pictures import picture_from_bytes, reduced
from tinycnn.inspection.fields import CONVOLUTIONS, WINDOWED, kernel_of, softmax_axis, window_geometry
from tinycnn.inspection.saliency import class_occlusion, contributions
from tinycnn.inspection.terms import operation_of
from tinycnn.inspection.trace import Step, Trace, by_class, gives_probabilities, trace
from tinycnn.kernels.selection import requested, use_algorithm
from tinycnn.layers import Activation, BatchNormalization, Dense, ReLU, Softmax, UpSampling2D
from tinycnn.serve import views
from tinycnn.support import files

PAGE = Path(__file__).parent / "page"
# In the order in which one needs the other; together they are one script.
SCRIPTS = (
    "arrays",
    "file",
    "source",
    "drawing",
    "latest",
    "opening",
    "maps",
    "detail",
    "output",
    "place",
    "film",
    "saving",
    "main",
)
MOST_PARAMETERS = 20_000_000  # of a model: a page of 110 MB
MOST_CLASSES = 10  # that gradients are written for: the most probable
LONGEST = 560  # pixels of the picture as it is shown
POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
MISSING = "This page holds no such array; `tinycnn serve` computes it."
Json = dict[str, Any]


def write_page(
    model: Any, picture: bytes, path: str | os.PathLike[str], as_drawn: bool = False
) -> dict[str, Any]:
    """Write a page that explains what a model makes of a picture.

    Parameters
    ----------
    model : Sequential
        Built for images of 1 or 3 channels, with a dense or another flat output.
    picture : bytes
        Of an image file, such as .png.
    path : path
        Of the HTML file.
    as_drawn : bool
        Do not prepare the picture as MNIST's images were.

    Returns
    -------
    dict
        "class" and "output" of the largest output; "probability", the same, or None where the outputs are no
        probabilities; the size of the file in "bytes".

    Raises
    ------
    ValueError
        When the content is not a picture, no digit is found in it, the model takes no pictures, or is too
        large for a page.
    """
    target = files.writable(path)
    algorithm = requested().algorithm
    with use_algorithm("im2col" if algorithm == "auto" else algorithm), np.errstate(all="ignore"):
        numbers = explained(model, picture, as_drawn)
    packed = base64.b64encode(gzip.compress(views.as_json(numbers).encode(), 6, mtime=0)).decode("ascii")
    content = whole_page(packed).encode()
    with files.atomic_path(target) as temporary:
        temporary.write_bytes(content)
    output = by_class(model, np.array(numbers["output"]))
    best, value = int(output.argmax()), float(output.max())
    probability = value if gives_probabilities(model) else None
    return {"class": best, "output": value, "probability": probability, "bytes": len(content)}


def explained(model: Any, picture: bytes, as_drawn: bool = False) -> Json:
    """Return the numbers of a page: the model, the picture, and the arrays of every layer.

    Raises
    ------
    ValueError
        See `write_page`.
    """
    views.check_model(model)
    if model.count_params() > MOST_PARAMETERS:
        raise ValueError(
            f"{model.name}: expected at most {MOST_PARAMETERS:,} parameters for a page, "
            f"received {model.count_params():,}"
        )
    found = views.prepared(picture, model)
    if not as_drawn and "problem" in found:
        raise ValueError(f"{found['problem']}; --as-drawn explains the picture without looking for one")
    name, other = ("prepared", "drawn") if "prepared" in found and not as_drawn else ("drawn", "prepared")
    image = views.decoded(found[name], tuple(model.input_shape))
    compared = None if found.get(other) is None else views.decoded(found[other], tuple(model.input_shape))
    whole = trace(model, image)
    labels = labels_of(by_class(model, whole.output))
    traces = [trace(model, image, label) for label in labels]
    covered = class_occlusion(model, image)
    last = whole.steps[-1]
    return {
        "model": {**views.description(model), "frames": [], "examples": 0},
        "source": shown(picture),
        "picture": found,
        "prepare": name == "prepared",
        "other": None if compared is None else model(compared[np.newaxis]).ravel().tolist(),
        "image": views.encoded(whole.image),
        "output": whole.output.ravel().tolist(),
        "steps": [described(step) for step in whole.steps],
        "labels": labels,
        "losses": [each.loss for each in traces],
        "gradients": [gradients_of(each) for each in traces],
        "saliency": [views.encoded(np.abs(np.asarray(each.image_gradient)).max(-1)) for each in traces],
        "occlusion": [views.encoded(covered[..., label]) for label in labels],
        "contributions": [
            views.encoded(contributions(model, image, last.name, (i,)).sum(-1)) if i in labels else None
            for i in range(last.y.size)
        ],
        "missing": MISSING,
    }


def labels_of(output: np.ndarray) -> list[int]:
    """Return the classes that gradients are written for: the most probable, in their order."""
    best = np.argsort(-output, kind="stable")[:MOST_CLASSES]
    return sorted(best.tolist())


def gradients_of(found: Trace) -> Json:
    """Return the gradients of a trace: by the output of each step, and by the image."""
    return {
        "dy": [views.encoded(step.dy) for step in found.steps if step.dy is not None],
        "image": views.encoded(np.asarray(found.image_gradient)),
    }


def described(step: Step) -> Json:
    """Return a step as page/file.js reads it: its output, its weights, and the geometry of its windows."""
    layer = step.layer
    made: Json = {"name": step.name, "operation": operation_of(layer), "y": views.encoded(step.y)}
    if isinstance(layer, WINDOWED):
        size, strides, pads, dilation = window_geometry(layer)
        made["geometry"] = {
            "size": size,
            "strides": strides,
            "pads": [before for before, _ in pads],
            "dilation": dilation,
        }
    if isinstance(layer, CONVOLUTIONS | Dense):
        made["kernel"] = views.encoded(kernel_of(layer))
        made |= {"bias": views.encoded(layer.params["bias"])} if layer.use_bias else {}
    if isinstance(layer, UpSampling2D):
        made["taps"] = [
            [list(layer.taps(axis, output).items()) for output in range(step.y.shape[axis])]
            for axis in (0, 1)
        ]
    if isinstance(layer, ReLU):
        made["slopes"] = views.encoded(layer.derivative(step.x))
    if isinstance(layer, Activation | Softmax):
        axis = softmax_axis(layer, step.y.ndim)
        made |= {"slopes": views.encoded(slopes_of(layer, step.y, axis)), "axis": axis}
    if isinstance(layer, BatchNormalization):
        scale = layer.params["gamma"] if layer.scale else 1.0
        slope = scale / np.sqrt(layer.state["moving_variance"] + layer.epsilon)
        made["slopes"] = views.encoded(np.broadcast_to(slope, step.y.shape))
    return made


def slopes_of(layer: Activation | Softmax, y: np.ndarray, axis: int | None) -> np.ndarray:
    """Return the derivatives of an activation's outputs by their inputs, by the library's own gradient.

    An array of the shape of y; for the softmax of an axis it has one more at the end, that of the inputs.
    """
    gradient = activations.get(layer.activation).gradient
    if axis is None:
        found: np.ndarray = gradient(y, np.ones_like(y))
        return found
    rows = np.moveaxis(y, axis, -1)
    units = np.eye(rows.shape[-1], dtype=y.dtype)
    slopes = [gradient(rows, np.broadcast_to(unit, rows.shape).copy()) for unit in units]
    return np.stack(slopes, axis=axis)


def shown(picture: bytes) -> str:
    """Return a picture as PNG in base64, small enough to be shown."""
    opened = picture_from_bytes(picture)
    scale = min(1, LONGEST / max(opened.size))
    width, height = (max(1, round(side * scale)) for side in opened.size)
    file = io.BytesIO()
    reduced(opened, width, height).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


def whole_page(packed: str) -> str:
    """Return the page as one file, with its style, its scripts and its numbers inside."""
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    style = (PAGE / "style.css").read_text(encoding="utf-8")
    script = "\n".join(unwrapped((PAGE / f"{name}.js").read_text(encoding="utf-8")) for name in SCRIPTS)
    parts = {
        '<meta charset="utf-8">': f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" '
        f'content="{POLICY}">',
        '<link rel="stylesheet" href="/page/style.css">': f"<style>\n{style}</style>",
        '<script type="module" src="/page/main.js"></script>': "",
        "</body>": f'<script type="application/octet-stream" id="numbers">{packed}</script>\n'
        f'<script type="module">\n{script}</script>\n</body>',
    }
    for old, new in parts.items():
        if page.count(old) != 1:
            raise RuntimeError(f"page/index.html: expected {old} once")
        page = page.replace(old, new)
    return page


def unwrapped(module: str) -> str:
    """Return a JavaScript module as a part of one script: without its imports, and with nothing exported."""
    return re.sub(r"^export ", "", re.sub(r"^import [^;]*;\n", "", module, flags=re.M), flags=re.M)
