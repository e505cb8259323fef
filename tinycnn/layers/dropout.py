"""Dropout: in training, each value is set to zero with probability `rate`, and the others are scaled up.

::

    x -> mask of (seed, mask_index), scaled by 1 / (1 - rate) -> y          dy -> the same mask -> dx

Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014, in the
inverted form: the scaling happens in training, so inference is the identity.
"""

import warnings

import numpy as np

from tinycnn.layers.random_layer import RandomLayer
from tinycnn.support import checks
from tinycnn.support.randomness import draw_mask, dropout_mask


class Dropout(RandomLayer):
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
    key, mask_index, first_row : int
        What determines the mask; see `RandomLayer`.
    """

    def __init__(self, rate: float, seed: int | None = None, name: str | None = None) -> None:
        super().__init__(seed, name)
        self.rate = checks.real("rate", rate, 0, 1, below=True)

    @property
    def step(self) -> int:
        """The old name of `mask_index`, for one version."""
        warnings.warn("Dropout.step is now Dropout.mask_index", DeprecationWarning, stacklevel=2)
        return self.mask_index

    @step.setter
    def step(self, index: int) -> None:
        warnings.warn("Dropout.step is now Dropout.mask_index", DeprecationWarning, stacklevel=2)
        self.mask_index = index

    def switch_off(self) -> None:
        """Drop nothing."""
        self.rate = 0.0

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
