"""The layers of `mnist_cnn` for images of any size, and images for them.

::

    (H, W, C) -> resized_mnist_cnn -> Sequential;        batch, (H, W, C) -> images_and_labels -> x, y
"""

import numpy as np

import tinycnn
from tinycnn.datasets import load_mnist, scale_images

MNIST = (28, 28, 1)
CLASSES = 10


def resized_mnist_cnn(image_size: tuple[int, int, int] = MNIST) -> tinycnn.Sequential:
    """Return the layers of `tinycnn.mnist_cnn`, built for images (H, W, C), not compiled.

    Raises
    ------
    SystemExit
        For images that are smaller than the filters.
    """
    config = tinycnn.mnist_cnn(seed=0).get_config()
    try:
        return tinycnn.Sequential.from_config(config | {"input_shape": image_size})
    except ValueError as error:
        raise SystemExit(f"--image-size: too small for the network: {error}") from None


def images_and_labels(batch: int, image_size: tuple[int, int, int] = MNIST) -> tuple[np.ndarray, np.ndarray]:
    """Return x (N, H, W, C) of float32 and y (N,): MNIST for images of its size, random ones otherwise."""
    if image_size == MNIST:
        (images, labels), _ = load_mnist()
        return scale_images(images[:batch]), labels[:batch].astype(np.int64)
    rng = np.random.default_rng(0)
    return rng.random((batch, *image_size), np.float32), rng.integers(0, CLASSES, batch)
