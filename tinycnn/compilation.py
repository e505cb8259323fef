"""Compiling before it is needed: the pause at a time of one's own choosing.

::

    warmup() -> a few steps of the documented network -> machine code in the cache
"""

import time

import numpy as np

from tinycnn.models import mnist_cnn
from tinycnn.sequential import Sequential


def warmup(dtype: str = "float32") -> float:
    """Compile, or load from the cache, all kernels of the documented network, and return the seconds it took.

    The first step of a training compiles its kernels, once on each machine: up to a minute, in which
    nothing seems to happen. Called before, while a program starts or a container is built, this takes the
    pause instead: `mnist_cnn` then trains, evaluates and predicts without one, with any size of batch, as one
    stage or layer by layer. It changes nothing else: no random state, no settings of threads.

    Parameters
    ----------
    dtype : "float32" or "float64"
        Of the model that will be trained; each has kernels of its own.

    Returns
    -------
    float
        Seconds: below one when the cache had everything.

    Raises
    ------
    ValueError
        For another dtype.

    Notes
    -----
    Kernels are compiled for types, not for sizes. So a network of other sizes, made of the same layers, finds
    most of its kernels compiled too; what the documented network does not use is compiled at its first use.

    Examples
    --------
    >>> import tinycnn
    >>> seconds = tinycnn.warmup()
    """
    start = time.perf_counter()
    config = {**mnist_cnn(seed=0).get_config(), "dtype": dtype}
    for fuse in (True, False):
        model = Sequential.from_config(config)
        x, y = np.ones((2, *(model.input_shape or ())), model.dtype), np.arange(2)
        model.predict(x)  # not yet compiled: layer by layer
        model.compile(fuse=fuse)
        for images in (1, 2):  # a single one has kernels of its own
            model.train_on_batch(x[:images], y[:images])
            model.evaluate(x[:images], y[:images])
    return time.perf_counter() - start
