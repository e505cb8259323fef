"""Augmentation: random variants of training images, moved, rotated, bent or partly erased.

::

    (seed, epoch, sample) -> random numbers -> one map for each image -> kernels.warp -> erase -> images

The variant of a sample depends on the seed, the epoch and the number of the sample in the training set. It
does not depend on the batch, the order of work or the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType

import numpy as np

from tinycnn.kernels.runtime.availability import obstacle
from tinycnn.optimizers import schedules
from tinycnn.optimizers.schedules import Schedule
from tinycnn.support import checks, constructor
from tinycnn.support.randomness import philox_key

# The random numbers of a sample, in the order of its stream. Those of the noise follow, from FIRST_NOISE on.
FROM_WHERE = ("angle", "down", "right", "zoom", "shear", "flip", "elastic")
WHAT_IS_ERASED = ("erasing", "area", "ratio", "top", "left")
DRAWN = (*FROM_WHERE, *WHAT_IS_ERASED)
FIRST_NOISE = BLOCK = 16  # 16-bit numbers that the generator makes at once; a stream starts with a block
FARTHEST = 1e6  # pixels: a bound, so that numbers stay finite
NARROWEST, WIDEST = 0.3, 1 / 0.3  # height to width of an erased rectangle: Zhong et al., table 1


class Augmentation:
    """Augmentation of images by random variants; the defaults change nothing.

    Each amplitude is drawn from a uniform distribution. For an erased rectangle these are the area and the
    logarithm of the ratio of its sides.

    Rotation, shear, zoom, flip and shift are combined into one map, so that an image is interpolated once
    (bilinear). Pixels from outside of the image are 0.

    Parameters
    ----------
    rotation : float
        Largest angle in degrees, in both directions, about the centre of the image.
    shift : float
        Largest shift in pixels, along each axis and in both directions; fractions are allowed.
    zoom : (float, float)
        Smallest and largest factor of enlargement.
    shear : float
        Largest slant, in both directions: pixels sideways for each pixel of height.
    flip : float
        Probability that an image is mirrored, left to right. Not useful for digits.
    elastic : float
        Probability that an image is bent. The displacement of each pixel is noise from -1 to 1 along each
        axis, smoothed by a Gaussian and scaled (Simard et al., "Best practices for convolutional neural
        networks", ICDAR 2003).
    elastic_alpha, elastic_sigma : float
        Factor of the displacements, and standard deviation of the Gaussian, both in pixels.
    erasing : float
        Probability that a rectangle is set to 0 (Zhong et al., "Random erasing", arXiv 1708.04896).
    erasing_area : (float, float)
        Smallest and largest area of the rectangle, as a share of the image, before long sides are cut.
    strength : float or Schedule
        Factor, from 0 to 1, of all amplitudes and of the probability of erasing, but not of the flip. A
        schedule is evaluated at each training step.

    Examples
    --------
    >>> import numpy as np
    >>> augment = Augmentation(rotation=10, shift=2)
    >>> augment(np.zeros((5, 28, 28, 1), np.float32), seed=0, epoch=3).shape
    (5, 28, 28, 1)
    """

    def __init__(
        self,
        rotation: float = 0.0,
        shift: float = 0.0,
        zoom: Sequence[float] = (1.0, 1.0),
        shear: float = 0.0,
        flip: float = 0.0,
        elastic: float = 0.0,
        elastic_alpha: float = 34.0,
        elastic_sigma: float = 4.0,
        erasing: float = 0.0,
        erasing_area: Sequence[float] = (0.02, 0.2),
        strength: float | Schedule = 1.0,
    ) -> None:
        self.rotation = checks.real("rotation", rotation, 0, 180)
        self.shift = checks.real("shift", shift, 0, FARTHEST)
        self.zoom = _range("zoom", zoom, 0.01, 100)
        self.shear = checks.real("shear", shear, 0, FARTHEST)
        self.flip = checks.real("flip", flip, 0, 1)
        self.elastic = checks.real("elastic", elastic, 0, 1)
        self.elastic_alpha = checks.real("elastic_alpha", elastic_alpha, 0, FARTHEST)
        self.elastic_sigma = checks.real("elastic_sigma", elastic_sigma, math.ulp(0))
        self.erasing = checks.real("erasing", erasing, 0, 1)
        self.erasing_area = _range("erasing_area", erasing_area, 0, 1)
        self.strength = schedules.get("strength", strength)
        if not isinstance(self.strength, Schedule):
            checks.real("strength", self.strength, 0, 1)

    def __call__(
        self, images: np.ndarray, seed: int, epoch: int, samples: np.ndarray | None = None, step: int = 0
    ) -> np.ndarray:
        """Return variants of images; the images themselves are not changed.

        Parameters
        ----------
        images : ndarray of shape (N, H, W, C) of float32 or float64
        seed, epoch : int
            Name the random numbers, together with `samples`.
        samples : ndarray of shape (N,) of int, optional
            The numbers of these images in the training set; by default 0 to N - 1.
        step : int
            Number of the training step, for a `strength` that is a schedule.

        Returns
        -------
        ndarray of shape (N, H, W, C)
            In the dtype of `images`.

        Raises
        ------
        ValueError
            For images with another number of axes or another dtype.
        """
        dtype = checks.float_array("images", images, 4)
        N, H, W, _ = images.shape
        samples = np.arange(N) if samples is None else np.asarray(samples, np.int64)
        checks.shape("samples", samples.shape, (N,))
        strength = checks.real("strength", schedules.rate(self.strength, step), 0, 1)

        key = philox_key(seed, "augment", epoch)
        blocks = 1 + (2 * H * W + BLOCK - 1) // BLOCK  # of one sample: its amplitudes, and its noise
        starts = samples * (blocks * BLOCK)
        kernel = _kernel()
        numbers = (kernel.draw(key, starts, len(DRAWN)) + 0.5) / 2**16  # in (0, 1)
        u = dict(zip(DRAWN, numbers.T, strict=True))
        bent = u["elastic"] < self.elastic
        smoothing = (
            _gaussian(H, self.elastic_sigma).astype(dtype),
            _gaussian(W, self.elastic_sigma).astype(dtype),
        )
        y: np.ndarray = kernel.warp(
            images,
            self._maps(u, H, W, strength),
            bent * (strength * self.elastic_alpha),
            smoothing,
            key,
            starts + FIRST_NOISE,
        )
        self._erase(y, u, strength)
        return y

    def _maps(self, u: dict[str, np.ndarray], H: int, W: int, strength: float) -> np.ndarray:
        """Return the map of each image, (N, 2, 3), from pixels of the variant to pixels of the image."""
        to_either_side = {name: strength * (2 * numbers - 1) for name, numbers in u.items()}
        angle = np.deg2rad(self.rotation) * to_either_side["angle"]
        slant = self.shear * to_either_side["shear"]
        low, high = self.zoom
        zoom = 1 + strength * (low + (high - low) * u["zoom"] - 1)
        mirror = np.where(u["flip"] < self.flip, -1.0, 1.0)
        cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
        # mirror @ rotation @ shear, in (row, column); except for the shift, the centre stays in place
        linear = np.stack(
            [np.stack([cos + sin * slant, -sin], -1), np.stack([sin - cos * slant, cos], -1)], -2
        )
        linear[:, 1, :] *= mirror[:, np.newaxis]
        middle = np.array([(H - 1) / 2, (W - 1) / 2])
        shift = self.shift * np.stack([to_either_side["down"], to_either_side["right"]], -1)
        offset = middle - np.einsum("nij,nj->ni", linear, middle + shift)
        return np.concatenate([linear, offset[:, :, np.newaxis]], axis=2)

    def _erase(self, y: np.ndarray, u: dict[str, np.ndarray], strength: float) -> None:
        """Set the erased rectangles of `y` to 0, in place."""
        _, H, W, _ = y.shape
        low, high = self.erasing_area
        area = (low + (high - low) * u["area"]) * H * W
        ratio = np.exp(np.log(NARROWEST) + np.log(WIDEST / NARROWEST) * u["ratio"])  # height to width
        height = np.minimum(np.rint(np.sqrt(area * ratio)), H).astype(int)
        width = np.minimum(np.rint(np.sqrt(area / ratio)), W).astype(int)
        top = (u["top"] * (H - height + 1)).astype(int)
        left = (u["left"] * (W - width + 1)).astype(int)
        for n in np.flatnonzero(u["erasing"] < self.erasing * strength):
            y[n, top[n] : top[n] + height[n], left[n] : left[n] + width[n]] = 0

    def get_config(self) -> dict[str, object]:
        """Return the arguments of the constructor, as JSON-serialisable values."""
        return {name: schedules.to_config(value) for name, value in constructor.arguments(self).items()}

    def __repr__(self) -> str:
        return constructor.describe(self)


def _kernel() -> ModuleType:
    """Return the module that draws numbers and samples images: compiled, or else its twin in NumPy."""
    if obstacle():
        from tinycnn.kernels import warp_numpy

        return warp_numpy
    from tinycnn.kernels import warp

    return warp


def _range(name: str, value: Sequence[float], least: float, most: float) -> tuple[float, float]:
    """Return (low, high), checked."""
    items = tuple(value) if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str) else ()
    if len(items) != 2:
        raise ValueError(f"{name}: expected a pair (lowest, highest), received {value!r}")
    low, high = (checks.real(name, item, least, most) for item in items)
    if low > high:
        raise ValueError(f"{name}: expected a pair (lowest, highest), received {value!r}")
    return low, high


def _gaussian(size: int, sigma: float) -> np.ndarray:
    """Return the symmetric matrix (size, size) that smooths an axis with a Gaussian, with zeros outside."""
    distances = np.arange(-size + 1, size)
    weights = np.exp(-0.5 * np.square(distances / sigma))
    weights /= weights.sum()
    return weights[np.subtract.outer(np.arange(size), np.arange(size)) + size - 1]
