"""Regularizers: penalties on weights, added to the loss. Names and formulas are Keras'.

::

    w -> regularizer(w) -> a number, added to the loss        regularizer.gradient(w) -> added to dL/dw
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from tinycnn.support import checks, constructor
from tinycnn.support.assignment import Constructed


class Regularizer(Constructed):
    """Base class of regularizers: l1 * sum(abs(w)) + l2 * sum(w**2).

    Attributes
    ----------
    l1, l2 : float
        At least 0.
    """

    l1 = l2 = 0.0

    def __call__(self, w: np.ndarray) -> float:
        """Return the penalty of a weight of any shape."""
        wide = w.astype(np.float64, copy=False)
        penalty = 0.0
        if self.l1:
            penalty += self.l1 * float(np.abs(wide).sum())
        if self.l2:
            penalty += self.l2 * float(np.square(wide).sum())
        return penalty

    def gradient(self, w: np.ndarray) -> np.ndarray:
        """Return the gradient l1 * sign(w) + 2 * l2 * w, in the shape and dtype of w."""
        gradient = w * w.dtype.type(2 * self.l2)
        return gradient + np.sign(w) * w.dtype.type(self.l1) if self.l1 else gradient

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, as JSON-serialisable values."""
        return constructor.arguments(self)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.get_config() == self.get_config()

    __hash__ = None  # type: ignore[assignment]  # its arguments can be changed

    def __repr__(self) -> str:
        return constructor.describe(self)


class L1(Regularizer):
    """Penalty l1 * sum(abs(w))."""

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = checks.real("l1", l1, 0)


class L2(Regularizer):
    """Penalty l2 * sum(w**2)."""

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = checks.real("l2", l2, 0)


class L1L2(Regularizer):
    """Penalty l1 * sum(abs(w)) + l2 * sum(w**2)."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = checks.real("l1", l1, 0), checks.real("l2", l2, 0)


#: The regularizers by name.
REGULARIZERS: dict[str, type[Regularizer]] = {cls.__name__: cls for cls in (L1, L2, L1L2)}
SHORT_NAMES = {"l1": "L1", "l2": "L2", "l1_l2": "L1L2"}


def get(name: str, regularizer: Any) -> Regularizer | None:
    """Return a regularizer, for an argument of a layer.

    Parameters
    ----------
    name : str
        Of the argument, for messages.
    regularizer : Regularizer, str, dict or None
        A name, with Keras' defaults: "l1", "l2" (0.01) or "l1_l2"; or what `to_config` returned.

    Raises
    ------
    ValueError
        For an unknown name.
    TypeError
        For something else.
    """
    if regularizer is None or isinstance(regularizer, Regularizer):
        return regularizer
    if isinstance(regularizer, str):
        found = checks.choice(name, SHORT_NAMES.get(regularizer, regularizer), REGULARIZERS)
        return L1L2(0.01, 0.01) if found == "L1L2" else REGULARIZERS[found]()
    if isinstance(regularizer, dict) and set(regularizer) == {"class_name", "config"}:
        cls = REGULARIZERS[checks.choice(name, regularizer["class_name"], REGULARIZERS)]
        return cls(**regularizer["config"])
    raise checks.ArgumentTypeError(
        f'{name}: expected a name such as "l2", an object such as tinycnn.regularizers.L2(0.01), or None, '
        f"received {regularizer!r}"
    )


def to_config(value: Any) -> Any:
    """Return a regularizer as JSON-serialisable values; everything else unchanged."""
    if isinstance(value, Regularizer):
        return {"class_name": type(value).__name__, "config": value.get_config()}
    return value


class Penalty(NamedTuple):
    """A weight and its regularizer; `gradient` is the array that the weight's gradient is in."""

    regularizer: Regularizer
    weight: np.ndarray
    gradient: np.ndarray


def penalties(layers: Iterable[Any]) -> list[Penalty]:
    """Return the penalties of layers, whose regularizers are attributes such as `kernel_regularizer`.

    Frozen layers have none, as in Keras.
    """
    return [
        Penalty(regularizer, weight, layer.grads[name])
        for layer in layers
        if layer.trainable
        for name, weight in layer.params.items()
        if (regularizer := getattr(layer, f"{name}_regularizer", None)) is not None
    ]


def add_gradients(penalties: Iterable[Penalty]) -> float:
    """Add the gradients of penalties to those of their weights; return the sum of the penalties."""
    for regularizer, weight, gradient in penalties:
        gradient += regularizer.gradient(weight)
    return total(penalties)


def total(penalties: Iterable[Penalty]) -> float:
    """Return the sum of penalties."""
    return sum(regularizer(weight) for regularizer, weight, _ in penalties)
