"""How parameters follow their gradients. Names, formulas and defaults are Keras'.

::

    gradients -> SGD, RMSprop, Adadelta, Adam, AdamW -> parameters          the contract is in base.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinycnn import checks
from tinycnn.optimizers.adaptive import Adadelta, Adam, AdamW, RMSprop
from tinycnn.optimizers.base import Optimizer, Part
from tinycnn.optimizers.sgd import SGD

__all__ = ["OPTIMIZERS", "SGD", "Adadelta", "Adam", "AdamW", "Optimizer", "Part", "RMSprop", "get"]

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    cls.__name__.lower(): cls for cls in (SGD, RMSprop, Adadelta, Adam, AdamW)
}


def get(optimizer: str | Optimizer, **arguments: Any) -> Optimizer:
    """Return a new optimizer of a name, in any case; an `Optimizer` is returned as it is."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    name = optimizer.lower() if isinstance(optimizer, str) else optimizer
    return OPTIMIZERS[checks.choice("optimizer", name, OPTIMIZERS)](**arguments)
