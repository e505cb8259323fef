"""Search for what made a step not finite: the step again, layer by layer.

::

    images, labels, weights of images -> weights -> forward, layer by layer -> loss, penalties
                                                 -> backward, layer by layer -> the first that is not finite

Only a step that is not finite is looked at, so others pay nothing for it. The model stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinycnn.layers import Layer, RandomLayer
from tinycnn.saving.model import Model, compiled
from tinycnn.support import processes
from tinycnn.support.processes import OneProcess
from tinycnn.training import model_state
from tinycnn.training.sources import Arrays, Batch, Batches

NAMED = 3  # images in a message
UNKNOWN = "no layer by itself repeats it; look again after compile(..., fuse=False)"


def find(model: Model, source: Arrays | Batches, batch: Batch, images: np.ndarray) -> str:
    """Return what is the first that is not finite in a training step, as a phrase.

    Parameters
    ----------
    model : Model
        As before the step.
    source : Arrays or Batches
        Names the images.
    batch : Batch
        Whole, also where several processes share it: each of them computes all of it, and finds the same.
    images : ndarray of shape (N, H, W, C)
        Those of the batch, augmented.
    """
    averages, gradients = model_state.take_averages(model), model.gradients.copy()
    alone = processes.enter(OneProcess())
    try:
        with np.errstate(all="ignore"):
            return next(_suspects(model, source, batch, images), UNKNOWN)
    except Exception as error:  # such as too little memory: it must not hide what is reported
        return f"where could not be found out ({type(error).__name__}: {error})"
    finally:
        processes.leave(alone)
        for layer in model.layers:
            layer.release()
        model_state.put_averages(model, averages)
        model.gradients[...] = gradients


def in_weights(model: Model) -> Iterator[str]:
    """Yield the weights and the moments that are not finite."""
    optimizer, _ = compiled(model)
    for name, array in (*model.named_weights(), *optimizer.slots.items()):
        if not np.isfinite(array).all():
            yield f"{name} is not finite"


def _suspects(model: Model, source: Arrays | Batches, batch: Batch, images: np.ndarray) -> Iterator[str]:
    """Yield all that is not finite, the cause before its effects."""
    yield from _in_data(model, source, batch, images)
    yield from in_weights(model)
    y = images
    for layer in model.layers:
        if isinstance(layer, RandomLayer):
            layer.mask_index, layer.first_row = model.steps_trained, 0
        x, y = y, layer.forward(y, training=True)
        if len(rows := _bad_rows(y)):
            which = _listed(source.names("x", batch, rows))
            yield (
                f"the output of {layer.name} is the first that is not finite in the forward pass, for "
                f"{which}; its inputs reach {_reach(x)}"
            )
        for name, average in layer.state.items():
            if not np.isfinite(average).all():
                yield f"the {name} of {layer.name} would no longer be finite; its inputs reach {_reach(x)}"
    yield from _in_loss(model, batch, y)
    yield from _in_gradients(model, batch, y)


def _in_data(model: Model, source: Arrays | Batches, batch: Batch, images: np.ndarray) -> Iterator[str]:
    """Yield the images, labels and weights of images that are not finite."""
    augmented = "" if len(_bad_rows(batch.x)) else " after augmentation"
    weights = np.ones(len(images)) if batch.weights is None else batch.weights
    dtype = model.parameters.dtype
    counted = np.flatnonzero(weights)  # a label that does not count may be anything
    for name, rows, when in (
        ("x", _bad_rows(images), f" in {dtype}{augmented}"),
        ("y", counted[_bad_rows(batch.y[counted])], ""),
        ("sample_weight", _bad_rows(weights.astype(dtype)), f" in {dtype}"),
    ):
        if len(rows):
            verb = "is" if len(rows) == 1 else "are"
            yield f"{_listed(source.names(name, batch, rows))} {verb} not finite{when}"


def _in_loss(model: Model, batch: Batch, y_pred: np.ndarray) -> Iterator[str]:
    """Yield the loss of finite outputs, or the penalty of finite weights."""
    _, loss = compiled(model)
    if not np.isfinite(loss(batch.y, y_pred, batch.weights)):
        yield f"the loss, {loss.name}, of outputs that reach {_reach(y_pred)} is the first that is not finite"
    names = {id(array): name for name, array in model.named_weights()}
    for penalty in model.plan(len(y_pred)).penalties:
        what = f"the penalty of {names.get(id(penalty.weight), 'a weight')}"
        if not np.isfinite(penalty.regularizer(penalty.weight)):
            yield f"{what} is the first that is not finite; the weights reach {_reach(penalty.weight)}"
        if not np.isfinite(penalty.regularizer.gradient(penalty.weight)).all():
            yield f"the gradient of {what} is not finite; the weights reach {_reach(penalty.weight)}"


def _in_gradients(model: Model, batch: Batch, y_pred: np.ndarray) -> Iterator[str]:
    """Yield what is not finite in the backward pass, after a forward pass of all layers."""
    _, loss = compiled(model)
    dy = loss.gradient(batch.y, y_pred, batch.weights)
    if not np.isfinite(dy).all():
        yield f"the gradient of the loss, {loss.name}, by the outputs is the first that is not finite"
    for layer in reversed(model.layers):
        reach = f"is the first that is not finite in the backward pass; those above it reach {_reach(dy)}"
        if layer is model.layers[0]:
            layer.backward_params(dy)
        else:
            dy = layer.backward(dy)
        for name in _bad_gradients(layer):
            yield f"the gradient of {layer.name}/{name} {reach}"
        if not np.isfinite(dy).all():
            yield f"the gradient by the inputs of {layer.name} {reach}"


def _bad_gradients(layer: Layer) -> list[str]:
    """Return the names of a layer's gradients that are not finite, and would be applied."""
    return [name for name, g in layer.grads.items() if layer.trainable and not np.isfinite(g).all()]


def _bad_rows(array: np.ndarray) -> np.ndarray:
    """Return the numbers of the rows that are not finite."""
    return np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))


def _listed(names: list[str]) -> str:
    """Return names as text, the first ones of many."""
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    *first, last = [*names[:NAMED], *more]
    return f"{', '.join(first)} and {last}" if first else last


def _reach(array: np.ndarray) -> str:
    """Return the largest absolute value, as text."""
    return f"{float(np.abs(array).max(initial=0)):.3g}"
