"""Dropout: in training, each value is set to zero with probability `rate`, and the others are scaled up.

::

    x -> mask of (seed, mask_index), scaled by 1 / (1 - rate) -> y          dy -> the same mask -> dx

Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014, in the
inverted form: the scaling happens in training, so inference is the identity.
"""

import warnings
from typing import Any

import numpy as np

from tinycnn.layers.base import Layer, Shape
from tinycnn.support import checks
from tinycnn.support.randomness import draw_mask, dropout_mask


class Dropout(Layer):
    """Inverted dropout; the identity when not training.

    Parameters
    ----------
    rate : float
        Probability that a value is dropped, in [0, 1), rounded to a multiple of 1 / 65536.
    seed : int, optional
        With `mask_index` it determines the mask. None draws a seed from the `rng` of `build`.
    name : str, optional

    Attributes
    ----------
    key : int
        `seed`, or the number that `build` drew for it.
    mask_index : int
        Number of the next mask. Mask i does not depend on earlier masks; set the index to repeat a mask.
    first_row : int
        Where the images are a part of a batch, the number of the first one in it: a mask belongs to a batch.
    """

    _used_by_build = ("seed",)

    def __init__(self, rate: float, seed: int | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self.rate = checks.real("rate", rate, 0, 1, below=True)
        self.seed = None if seed is None else checks.whole("seed", seed, 0)
        self.mask_index = self.first_row = 0
        self.key = 0

    @property
    def step(self) -> int:
        """The old name of `mask_index`, for one version."""
        warnings.warn("Dropout.step is now Dropout.mask_index", DeprecationWarning, stacklevel=2)
        return self.mask_index

    @step.setter
    def step(self, index: int) -> None:
        warnings.warn("Dropout.step is now Dropout.mask_index", DeprecationWarning, stacklevel=2)
        self.mask_index = index

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: Any = np.float32) -> None:
        """See `Layer.build`."""
        if not self.built:
            self.key = int(rng.integers(2**32)) if self.seed is None else self.seed
        super().build(input_shape, rng, dtype)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y in the shape of x."""
        self.check_input(x)
        if not training:
            return x
        mask = dropout_mask(self.key, self.mask_index, self.rate)
        self.mask_index += 1
        self._saved = draw_mask(x.shape, self.dtype, *mask, self.first_row)
        return x * self._saved

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx in the shape of dy: zero where the forward pass dropped."""
        mask = self.saved()
        self.check_gradient(dy, mask.shape)
        return dy * mask
