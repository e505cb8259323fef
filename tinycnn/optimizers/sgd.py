"""Stochastic gradient descent: one rate for all parameters.

::

    g -> m = momentum * m - rate * g -> p += m
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinycnn.optimizers.base import Optimizer
from tinycnn.optimizers.schedules import Schedule
from tinycnn.support import checks
from tinycnn.support.ranges import flush


class SGD(Optimizer):
    """Stochastic gradient descent with momentum: m = momentum * m - rate * g; p += m.

    Parameters
    ----------
    momentum : float
        In [0, 1].
    nesterov : bool
        Whether p += momentum * m - rate * g instead (Bengio, Boulanger-Lewandowski & Pascanu, ICASSP 2013).
    learning_rate, global_clipnorm, weight_decay
        See `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        global_clipnorm: float | None = None,
        weight_decay: float | Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(learning_rate, global_clipnorm, weight_decay)
        self.momentum = checks.real("momentum", momentum, 0, 1)
        self.nesterov = checks.flag("nesterov", nesterov)

    def slot_names(self) -> list[str]:
        """Return ["momentum"], or an empty list if `momentum` is 0."""
        return ["momentum"] if self.momentum else []

    def _update(self, p: np.ndarray, g: np.ndarray, rate: float, **slots: np.ndarray) -> None:
        if not self.momentum:
            p -= rate * g
            return
        m = slots["momentum"]
        m *= self.momentum
        m -= rate * g
        p += self.momentum * m - rate * g if self.nesterov else m
        flush(m)
