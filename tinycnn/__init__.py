"""A library for convolutional networks, written to be read from top to bottom.

::

    images -> layers (what is computed) -> kernels (how) -> arrays

>>> import tinycnn
>>> model = tinycnn.mnist_cnn(seed=0)
>>> len(model), model.count_params()
(12, 1003658)
"""

from types import ModuleType

from tinycnn import (
    activations,
    datasets,
    initializers,
    inspection,
    kernels,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    training,
)
from tinycnn.datasets import to_categorical
from tinycnn.inspection import gradcheck
from tinycnn.models import load_model, load_pretrained, mnist_cnn
from tinycnn.sequential import Sequential
from tinycnn.support import renamed
from tinycnn.warmup import warmup

__version__ = "0.1.0"

renamed.install()

__all__ = [
    "Sequential",
    "__version__",
    "activations",
    "datasets",
    "gradcheck",
    "initializers",
    "inspection",
    "kernels",
    "layers",
    "load_model",
    "load_pretrained",
    "losses",
    "metrics",
    "mnist_cnn",
    "optimizers",
    "regularizers",
    "to_categorical",
    "training",
    "warmup",
]


def __getattr__(name: str) -> ModuleType:
    """Return a module by its old name, such as `tinycnn.schedules`; see `support.renamed`."""
    return renamed.find(f"{__name__}.{name}")
