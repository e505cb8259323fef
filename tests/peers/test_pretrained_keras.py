"""The network in the box, read by Keras 3 and by tf-keras."""

from pathlib import Path

import numpy as np

import tinycnn
from tinycnn.datasets import load_mnist, scale_images


def test_keras_makes_the_same_predictions(either_keras):
    """From pixels / 255, and nothing else."""
    path = Path(tinycnn.__file__).parent / "pretrained" / "mnist_cnn.h5"
    _, (x, _) = load_mnist()
    x = scale_images(x[:200])
    theirs = either_keras.models.load_model(path, compile=False).predict(x, verbose=0)
    np.testing.assert_allclose(tinycnn.load_pretrained("mnist_cnn").predict(x), theirs, atol=2e-6)
