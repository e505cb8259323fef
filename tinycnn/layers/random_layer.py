"""Base class of layers that draw random numbers in training: dropout and noise.

::

    seed or rng of `build` -> key;  (key, mask_index, number of the row in its batch) -> numbers

So the numbers of a batch depend on nothing else: not on batches before, on threads, or on the processes that
share the batch.
"""

from abc import abstractmethod
from typing import Any

import numpy as np

from tinycnn.layers.base import Layer, Shape
from tinycnn.support import checks


class RandomLayer(Layer):
    """Base class of random layers: the identity when not training.

    Before each training step, a model sets `mask_index` to the number of the step. A forward pass in training
    adds 1 to it.

    Parameters
    ----------
    seed : int, optional
        With `mask_index` it determines the numbers. None draws a seed from the `rng` of `build`.
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

    _used_by_build: tuple[str, ...] = ("seed",)

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self.seed = None if seed is None else checks.whole("seed", seed, 0)
        self.mask_index = self.first_row = 0
        self.key = 0

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: Any = np.float32) -> None:
        """See `Layer.build`."""
        if not self.built:
            self.key = int(rng.integers(2**32)) if self.seed is None else self.seed
        super().build(input_shape, rng, dtype)

    @abstractmethod
    def switch_off(self) -> None:
        """Become the identity in training too."""
