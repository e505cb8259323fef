"""A convolutional-network library to read from top to bottom.

::

    images -> layers (what is computed) -> kernels (how) -> arrays

>>> import tinycnn
>>> model = tinycnn.mnist_cnn(seed=0)
>>> len(model), model.count_params()
(12, 1003658)
"""

__version__ = "0.1.0"
