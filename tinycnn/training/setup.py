"""The arguments of `fit`, `evaluate` and `predict` as sources of batches, and what is checked before a run.

::

    x, y, sample_weight, class_weight, ... -> sources, checked against the model
    loss, layers, labels                   -> a warning or an error before the first step
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinycnn.layers import BatchNormalization, Layer
from tinycnn.losses import Loss
from tinycnn.metrics import METRICS
from tinycnn.saving.model import Model, compiled
from tinycnn.support import checks
from tinycnn.support.assignment import unknown_attributes
from tinycnn.support.images import warn_if_unscaled
from tinycnn.training.batches import split
from tinycnn.training.sources import Arrays, Batch, Batches, class_weights, gives_batches

DEFAULT_BATCH_SIZE = 32
UNKNOWN = "?"  # instead of an activation, for a layer that has none
Data = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def sources(
    model: Any,
    x: Any,
    y: Any,
    validation: Any,
    *,
    batch_size: int | None,
    validation_split: float,
    shuffle: bool,
    sample_weight: Any,
    class_weight: Any,
    steps: int | None,
    validation_steps: int | None,
) -> tuple[Arrays | Batches, Arrays | Batches | None, list[np.ndarray]]:
    """Return the sources of training and validation, and the arrays that they are made of; see `fit`."""
    size = checks.whole("batch_size", DEFAULT_BATCH_SIZE if batch_size is None else batch_size, 1)
    if steps is not None:
        checks.whole("steps_per_epoch", steps, 1)
    seed = model.seed if shuffle else None
    if gives_batches(x) and y is None:
        _refuse("x gives batches", batch_size=batch_size, sample_weight=sample_weight)
        _refuse("x gives batches", validation_split=validation_split or None)

        def check(x: Any, y: Any, weight: Any = None) -> Data:
            return weighted(model.check_data(x, y, weight), class_weight)

        source: Arrays | Batches = Batches("x", x, check, seed, steps)
        arrays: list[np.ndarray] = []
    else:
        data = weighted(model.check_data(x, y, sample_weight), class_weight)
        arrays = [array for array in data if array is not None]
        rows = None
        if validation_split:
            rows, kept = split(data[1], validation_split, model.seed)
            validation, data = _rows(data, kept), _rows(data, rows)
        source = Arrays(data, size, seed, steps, rows)
    kept_source = None
    if validation is not None:
        kept_source = _validation(model, validation, size, validation_steps)
        if isinstance(kept_source, Arrays) and not validation_split:
            arrays += [array for array in kept_source.data if array is not None]
    return source, kept_source, arrays


def _validation(model: Any, validation: Any, size: int, steps: int | None) -> Arrays | Batches:
    """Return the source of `validation_data`: (x, y), (x, y, weights), or batches of them."""
    if steps is not None:
        checks.whole("validation_steps", steps, 1)
    is_data = isinstance(validation, tuple | list) and len(validation) in (2, 3)
    if is_data and not gives_batches(validation):
        return Arrays(model.check_data(*validation, name="validation_data"), size, None, steps)
    if isinstance(validation, tuple | list) and not gives_batches(validation):
        raise ValueError(
            f"validation_data: expected (x, y) or (x, y, weights), received {len(validation)} items"
        )
    if not gives_batches(validation):
        raise checks.ArgumentTypeError(
            "validation_data: expected a tuple (x, y) or (x, y, weights), or an iterable of such batches, "
            f"received {type(validation).__name__}"
        )
    source = Batches("validation_data", validation, model.check_data, None, steps)
    if source.only_once and steps is None:
        raise ValueError(
            "validation_data: expected a tuple (x, y), or validation_steps beside a generator, which may be "
            "endless and cannot begin again, received a generator alone"
        )
    return source


def evaluation(
    model: Any, x: Any, y: Any, sample_weight: Any, batch_size: int | None, steps: int | None
) -> Arrays | Batches:
    """Return the source of `evaluate`."""
    if steps is not None:
        checks.whole("steps", steps, 1)
    if gives_batches(x) and y is None:
        _refuse("x gives batches", batch_size=batch_size, sample_weight=sample_weight)
        return Batches("x", x, model.check_data, None, steps)
    size = checks.whole("batch_size", 128 if batch_size is None else batch_size, 1)
    return Arrays(model.check_data(x, y, sample_weight), size, None, steps)


def images(model: Any, x: Any, steps: int | None) -> Iterator[np.ndarray]:
    """Yield the images of `predict` for an iterable of x, (x, y) or (x, y, weights)."""

    def only_images(x: Any, *_: Any) -> Any:
        return model.check_images(x), None, None

    def pairs() -> Iterator[tuple[Any, None]]:
        for item in x if hasattr(x, "__iter__") else (x[i] for i in range(len(x))):
            yield (item[0] if isinstance(item, tuple | list) else item), None

    limit = None if steps is None else checks.whole("steps", steps, 1)
    yield from (batch.x for batch in Batches("x", pairs(), only_images, None, limit).epoch(0))


def _refuse(why: str, **arguments: Any) -> None:
    """Raise ValueError for the first argument that is given."""
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"{name}: expected none, since {why}, received {value!r}")


def weighted(data: Data, class_weight: Any) -> Data:
    """Return data with the weights of classes multiplied into those of images."""
    if class_weight is None:
        return data
    x, y, weights = data
    by_class = class_weights(y, class_weight)
    return x, y, by_class if weights is None else by_class * weights


def _rows(data: Data, rows: np.ndarray) -> Data:
    x, y, weights = data
    return x[rows], y[rows], None if weights is None else weights[rows]


def check_before_the_first_step(
    model: Any, source: Arrays | Batches, validation: Arrays | Batches | None
) -> None:
    """Raise ValueError for labels that do not fit; warn when nothing would be learned."""
    first = source.first(model.epochs_trained)
    check_labels(model, first, "y")
    if validation is not None:
        check_labels(model, validation.first(model.epochs_trained), "validation_data")
    for name, each in (("y", source), ("validation_data", validation)):
        if isinstance(each, Arrays):
            check_classes(model, each.data[1], name)
    if not isinstance(model.layers[0], BatchNormalization):  # which scales them itself
        warn_if_unscaled(source.data[0] if isinstance(source, Arrays) else first.x, "x")
    warn_if_nothing_learns(model)
    refuse_unknown_attributes(model)
    refuse_own_train_step(type(model))


def refuse_unknown_attributes(model: Any) -> None:
    """Raise ValueError for attributes that were assigned to a model or its parts, and would be ignored."""
    things = [(model, model._known)]
    things += [(thing, thing._finished) for thing in (*model.layers, model.optimizer, model.loss)]
    for thing, known in things:
        for name in unknown_attributes(thing, known):
            names = [other for other in dir(thing) if not other.startswith("_") and other != name]
            close = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {close[0]!r}?" if close else "delete it with del"
            kind = type(thing).__name__
            raise ValueError(f"{kind} has no attribute {name!r}, so it would be ignored; {hint}")


def refuse_own_train_step(kind: type) -> None:
    """Raise ValueError for a class with a `train_step` of its own, which `fit` would not call."""
    owner = next(one for one in kind.__mro__ if "train_step" in vars(one))
    if owner.__module__.partition(".")[0] != __name__.partition(".")[0]:
        raise ValueError(
            f"{owner.__name__}.train_step: fit calls compute_gradients and apply_gradients, between which it "
            "looks at the gradients; override these"
        )


def check_labels(model: Model, batch: Batch, name: str) -> None:
    """Raise ValueError for labels that the loss or a metric cannot take; nothing is computed for it.

    Parameters
    ----------
    model : Model
        Compiled and built.
    batch : Batch
        The first image, or batch, of the data.
    name : str
        That of the argument.
    """
    _, loss = compiled(model)
    shape = model.output_shape
    y_pred = np.full((1, *shape), 1 / max(shape[-1], 1), model.parameters.dtype)
    weights = None if batch.weights is None else batch.weights[:1]
    try:
        loss(batch.y[:1], y_pred, weights)
        for metric in model.metrics.values():
            if metric in METRICS.values():  # a function of the user's need not be ready for this
                metric(batch.y[:1], y_pred)
    except ValueError as error:
        text = str(error)  # of the loss, which calls the labels y_true
        text = name + text.removeprefix("y_true") if text.startswith("y_true") else f"{name}: {text}"
        raise ValueError(text) from error


def check_classes(model: Model, y: np.ndarray, name: str) -> None:
    """Raise ValueError for class numbers that the network has no output for."""
    _, loss = compiled(model)
    classes = model.output_shape[-1]
    if loss.integer_labels and y.dtype.kind in "iu" and not 0 <= int(y.min()) <= int(y.max()) < classes:
        raise ValueError(f"{name}: expected classes 0 to {classes - 1}, received {y.min()} to {y.max()}")


def warn_about_the_last_layer(loss: Loss, layers: Sequence[Layer]) -> None:
    """Warn when the loss expects logits and receives probabilities, or the other way round."""
    found = [name for name in map(_activation, layers) if name is not None]
    from_logits = getattr(loss, "from_logits", None)
    if not layers or not found or from_logits is None:
        return
    last = found[-1]
    if last == UNKNOWN:
        return
    wanted = "sigmoid" if loss.name == "binary_crossentropy" else "softmax"
    makes_probabilities = last in ("softmax", "sigmoid")
    problem = None
    if len(found) > 1 and found[-2] == last == "softmax":
        problem = "the softmax is applied twice"
    elif from_logits and makes_probabilities:
        problem = f"the loss expects logits, and the last layer ends with {last!r}; leave one of the two out"
    elif not from_logits and not makes_probabilities:
        problem = (
            f"the loss expects probabilities, and the last layer ends with {last!r}; end with "
            f"activation={wanted!r}, or give the loss from_logits=True"
        )
    elif last == "softmax" and layers[-1].built and layers[-1].output_shape[-1:] == (1,):
        problem = "a softmax over one output is always 1; use 'sigmoid' with binary_crossentropy"
    if problem:
        warnings.warn(f"{loss.name}: {problem}", UserWarning, stacklevel=4)


def _activation(layer: Layer) -> str | None:
    """Return the activation that a layer ends with: None if it lets everything through."""
    if type(layer).__name__ in ("Dropout", "Flatten", "GaussianNoise", "Reshape"):
        return None
    name = getattr(layer, "activation", UNKNOWN)
    if type(layer).__name__ == "Activation" and name == "linear":
        return None
    return "linear" if name is None else str(name)


def warn_if_nothing_learns(model: Any) -> None:
    """Warn when a run will change no parameter."""
    if model.parameters.size and not any(layer.trainable and layer.params for layer in model.layers):
        warnings.warn(
            f"{model.name}: no layer is trainable, so nothing is learned; set layer.trainable = True",
            UserWarning,
            stacklevel=3,
        )
