"""The catalogue of typical mistakes, each as a function that makes it.

::

    exercise -> mistakes, from the most to the least usual

A hint comes from here and only from here: `hints` compares a student's results with those of these functions.
"""

from collections.abc import Mapping
from types import MappingProxyType

from tinycnn.teach.mistakes.adam import ADAM
from tinycnn.teach.mistakes.catalogue import Hint, Mistake
from tinycnn.teach.mistakes.convolution import BACKWARD, FORWARD
from tinycnn.teach.mistakes.dropping import DROPOUT
from tinycnn.teach.mistakes.loss import SOFTMAX
from tinycnn.teach.mistakes.normalization import BATCHNORM
from tinycnn.teach.mistakes.pooling import MAXPOOL

__all__ = ["MISTAKES", "Hint", "Mistake"]

MISTAKES: Mapping[str, tuple[Mistake, ...]] = MappingProxyType(
    {
        "conv2d_forward": FORWARD,
        "conv2d_backward": BACKWARD,
        "maxpool_backward": MAXPOOL,
        "softmax_cross_entropy": SOFTMAX,
        "dropout": DROPOUT,
        "batchnorm_backward": BATCHNORM,
        "adam_step": ADAM,
    }
)
