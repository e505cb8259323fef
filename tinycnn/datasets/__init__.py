"""Data sets: reading, scaling and augmentation of images.

::

    load_mnist() -> (x_train, y_train), (x_test, y_test) -> scale_images(x_train) -> model.fit
    read_idx(path) -> array -> write_idx(path, array)
"""

from tinycnn.datasets.augment import Augmentation
from tinycnn.datasets.idx import IdxError, read_idx, write_idx
from tinycnn.datasets.labels import to_categorical
from tinycnn.datasets.mnist import load_mnist, scale_images

__all__ = [
    "Augmentation",
    "IdxError",
    "load_mnist",
    "read_idx",
    "scale_images",
    "to_categorical",
    "write_idx",
]
