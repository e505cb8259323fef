"""Data sets: reading, scaling and augmentation of images; one's own digits.

::

    load_mnist() -> (x_train, y_train), (x_test, y_test) -> scale_images(x_train) -> model.fit
    read_idx(path) -> array -> write_idx(path, array)
    prepare_digit("photo.png") -> an image like MNIST's -> unlike_mnist(image) == []
"""

from tinycnn.datasets.augment import Augmentation
from tinycnn.datasets.digits import digit_steps, prepare_digit, prepare_digits
from tinycnn.datasets.idx import IdxError, read_idx, write_idx
from tinycnn.datasets.labels import to_categorical
from tinycnn.datasets.likeness import unlike_mnist
from tinycnn.datasets.mnist import load_mnist, scale_images

__all__ = [
    "Augmentation",
    "IdxError",
    "digit_steps",
    "load_mnist",
    "prepare_digit",
    "prepare_digits",
    "read_idx",
    "scale_images",
    "to_categorical",
    "unlike_mnist",
    "write_idx",
]
