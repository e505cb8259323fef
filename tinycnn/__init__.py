"""A convolutional-network library to read from top to bottom.

::

    images -> layers (what is computed) -> kernels (how) -> arrays

>>> import tinycnn
>>> model = tinycnn.mnist_cnn(seed=0)
>>> len(model), model.count_params()
(12, 1003658)
"""

from tinycnn import (
    activations,
    datasets,
    gradcheck,
    initializers,
    kernels,
    layers,
    losses,
    metrics,
    optimizers,
)
from tinycnn.compilation import warmup
from tinycnn.models import load_model, load_pretrained, mnist_cnn
from tinycnn.sequential import Sequential

__version__ = "0.1.0"

__all__ = [
    "Sequential",
    "__version__",
    "activations",
    "datasets",
    "gradcheck",
    "initializers",
    "kernels",
    "layers",
    "load_model",
    "load_pretrained",
    "losses",
    "metrics",
    "mnist_cnn",
    "optimizers",
    "warmup",
]
