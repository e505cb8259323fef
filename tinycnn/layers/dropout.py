"""Dropout: in training, each value is zero with probability `rate`, and the others grow to make up for it.

::

    x -> mask of (seed, step), scaled by 1 / (1 - rate) -> y          dy -> the same mask -> dx

Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014, in the
inverted form: nothing is left to do at inference.
"""

import math
from typing import Any

import numpy as np

from tinycnn import checks
from tinycnn.layers.base import Layer, Shape
from tinycnn.randomness import generator


class Dropout(Layer):
    """Inverted dropout; the identity when not training.

    Parameters
    ----------
    rate : float
        Probability that a value is dropped, in [0, 1), to 1 / 65536.
    seed : int, optional
        With `step` it determines the mask. None draws one from the `rng` of `build`.
    name : str, optional

    Attributes
    ----------
    step : int
        How many training forwards there were. The mask of step t is the same whatever was drawn before;
        set it to draw a mask again.
    """

    def __init__(self, rate: float, seed: int | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self.rate = checks.real("rate", rate, 0, 1, below=True)
        self.seed = None if seed is None else checks.whole("seed", seed, 0)
        self.step = 0
        self._key = 0

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: Any = np.float32) -> None:
        """See `Layer.build`."""
        if not self.built:
            self._key = int(rng.integers(2**32)) if self.seed is None else self.seed
        super().build(input_shape, rng, dtype)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y in the shape of x."""
        self.check_input(x)
        if not training:
            return x
        name, threshold, scale = self.next_mask()
        # 16 random bits a value are enough for a rate to 1 / 65536, whatever the dtype of the network
        numbers = np.frombuffer(generator(*name).bytes(2 * math.prod(x.shape)), "<u2").reshape(x.shape)
        self._kept = (numbers >= threshold) * self.dtype.type(scale)
        return x * self._kept

    def next_mask(self) -> tuple[tuple[int, str, int], int, float]:
        """Return what makes the mask of the next training forward, and go on a step.

        That is the name of its random numbers (`randomness`), below which of 2**16 a value is dropped, and
        by what the others are multiplied.
        """
        self.step += 1
        threshold = min(round(self.rate * 2**16), 2**16 - 1)  # which 16 bits hold, as kernels need it
        return (self._key, "dropout", self.step - 1), threshold, 2**16 / (2**16 - threshold)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx in the shape of dy: zero where the forward pass dropped."""
        mask = self._recall()
        self.check_gradient(dy, mask.shape)
        return dy * mask
