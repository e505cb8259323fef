"""Gaussian noise: in training, a normally distributed number is added to each value.

::

    x + stddev * numbers of (seed, mask_index) -> y          dy -> dx = dy

Bishop, "Training with noise is equivalent to Tikhonov regularization", Neural Computation 7, 1995.
"""

import numpy as np

from tinycnn.layers.random_layer import RandomLayer
from tinycnn.support import checks
from tinycnn.support.randomness import draw_normal, philox_key


class GaussianNoise(RandomLayer):
    """Additive Gaussian noise; the identity when not training.

    Parameters
    ----------
    stddev : float
        Standard deviation of the noise, in [0, 1]. Its mean is 0.
    seed : int, optional
        With `mask_index` it determines the noise. None draws a seed from the `rng` of `build`.
    name : str, optional

    Attributes
    ----------
    key, mask_index, first_row : int
        What determines the noise; see `RandomLayer`.
    """

    def __init__(self, stddev: float, seed: int | None = None, name: str | None = None) -> None:
        super().__init__(seed, name)
        self.stddev = checks.real("stddev", stddev, 0, 1)

    def switch_off(self) -> None:
        """Add nothing."""
        self.stddev = 0.0

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y in the shape of x."""
        self.check_input(x)
        if not training:
            return x
        key = philox_key(self.key, "gaussian_noise", self.mask_index)
        self.mask_index += 1
        self._saved = x.shape
        if not self.stddev:
            return x
        return x + x.dtype.type(self.stddev) * draw_normal(x.shape, x.dtype, key, self.first_row)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx = dy: the noise does not depend on x."""
        self.check_gradient(dy, self.saved())
        return dy
