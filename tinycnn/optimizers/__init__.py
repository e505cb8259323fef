"""Optimizers: update rules for parameters. Names, formulas and defaults are Keras'.

::

    gradients -> SGD, RMSprop, Adadelta, Adam, AdamW -> parameters          the contract is in base.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinycnn.optimizers.adaptive import Adadelta, Adam, AdamW, RMSprop
from tinycnn.optimizers.base import Optimizer, ParameterSpan
from tinycnn.optimizers.sgd import SGD
from tinycnn.support import checks

__all__ = ["OPTIMIZERS", "SGD", "Adadelta", "Adam", "AdamW", "Optimizer", "ParameterSpan", "RMSprop", "get"]

#: The optimizers by name.
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    cls.__name__.lower(): cls for cls in (SGD, RMSprop, Adadelta, Adam, AdamW)
}


def get(optimizer: str | Optimizer | type[Optimizer], **arguments: Any) -> Optimizer:
    """Return a new optimizer by its name or class, or an `Optimizer` unchanged.

    Parameters
    ----------
    optimizer : str, Optimizer or type
        A name of `OPTIMIZERS`, in upper or lower case.
    **arguments
        Arguments of the constructor.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        return optimizer(**arguments)
    name = optimizer.lower() if isinstance(optimizer, str) else optimizer
    return OPTIMIZERS[checks.choice("optimizer", name, OPTIMIZERS)](**arguments)
