"""Axes of a value while a graph is read: how tinycnn has them, and how ONNX stores them.

::

    image of 3 x 28 x 30 in ONNX       stored [[c], [h], [w]]        ours [[h], [w], [c]]
    Transpose to (N, H, W, C)          stored [[h], [w], [c]]        ours, as before
    Flatten                            stored [[h, w, c]]            ours, as before

An axis is a list of factors, from the slowest to the fastest, whose product is its size. An axis of size 1
has none. ONNX's Transpose, Reshape, Flatten, Squeeze and Unsqueeze only arrange the stored factors anew: they
are no layers. An operator that computes says which arrangement of tinycnn it needs, and most often tinycnn
has it already.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

Axes = list[list[int]]  # of each axis, the numbers of its factors


class LayoutError(ValueError):
    """Values that tinycnn would have in another order than the operator needs; it has no transposition."""


@dataclass
class Layout:
    """Axes of one image, without the batch's.

    Attributes
    ----------
    sizes : list of int
        Of each factor.
    ours, stored : list of list of int
        The factors of each axis, in tinycnn and in ONNX.
    """

    sizes: list[int] = field(default_factory=list)
    ours: Axes = field(default_factory=list)
    stored: Axes = field(default_factory=list)

    @classmethod
    def of_stored(cls, shape: tuple[int, ...], channels_first: bool) -> Layout:
        """Return the layout of a value that ONNX stores in a shape, with its channels last, or first."""
        layout = cls()
        layout.stored = [layout.factors(size) for size in shape]
        layout.ours = channels_last(layout.stored) if channels_first else list(layout.stored)
        return layout

    def factors(self, size: int) -> list[int]:
        """Return the factors of a new axis: one, or none for size 1."""
        if size == 1:
            return []
        self.sizes.append(size)
        return [len(self.sizes) - 1]

    def size(self, axis: list[int]) -> int:
        """Return the size of an axis."""
        return math.prod(self.sizes[factor] for factor in axis)

    def shape(self, axes: Axes) -> tuple[int, ...]:
        """Return the sizes of axes."""
        return tuple(map(self.size, axes))

    def compute(self, shape: tuple[int, ...], channels_first: bool) -> None:
        """Set the axes to those of a layer's output, of a shape as tinycnn has it."""
        self.sizes = []
        self.ours = [self.factors(size) for size in shape]
        self.stored = [self.ours[-1], *self.ours[:-1]] if channels_first else list(self.ours)

    def reshape(self, shape: tuple[int, ...]) -> bool:
        """Arrange the stored factors as axes of a shape; return False if no splitting of factors gives it."""
        rest = flat(self.stored)
        axes: Axes = []
        parts: dict[int, list[int]] = {}
        for size in shape:
            axis: list[int] = []
            while size > 1 and rest:
                factor = rest.pop(0)
                own = self.sizes[factor]
                if size % own == 0:
                    axis.append(factor)
                    size //= own
                elif own % size == 0:
                    parts[factor] = [*self.factors(size), *self.factors(own // size)]
                    axis.append(parts[factor][0])
                    rest[:0] = parts[factor][1:]
                    size = 1
                else:
                    return False
            if size != 1:
                return False
            axes.append(axis)
        self.stored = axes
        self.ours = [_split(axis, parts) for axis in self.ours]
        return not rest

    def places(self, stored: list[int], ours: list[int]) -> np.ndarray:
        """Return where the values of an axis of ours are, on a stored axis of the same factors."""
        numbers = np.arange(self.size(stored)).reshape([self.sizes[factor] for factor in stored])
        return numbers.transpose([stored.index(factor) for factor in ours]).ravel()


def _split(axis: list[int], parts: dict[int, list[int]]) -> list[int]:
    """Return an axis with factors replaced by their parts, which may have parts too."""
    return [
        part for factor in axis for part in (_split(parts[factor], parts) if factor in parts else [factor])
    ]


def flat(axes: Axes) -> list[int]:
    """Return the factors of all axes in one list."""
    return [factor for axis in axes for factor in axis]


def channels_last(axes: Axes) -> Axes:
    """Return axes with the first as the last."""
    return [*axes[1:], *axes[:1]]
