"""One rate for all parameters.

::

    g -> m = momentum * m - rate * g -> p += m
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinycnn import checks
from tinycnn.optimizers.base import Optimizer
from tinycnn.schedules import Schedule


class SGD(Optimizer):
    """Gradient descent: m = momentum * m - rate * g; p += m.

    With `nesterov`, p += momentum * m - rate * g instead (Sutskever et al., ICML 2013).
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
        """Return ["momentum"], or nothing without one."""
        return ["momentum"] if self.momentum else []

    def _update(self, p: np.ndarray, g: np.ndarray, rate: float, **slots: np.ndarray) -> None:
        if not self.momentum:
            p -= rate * g
            return
        m = slots["momentum"]
        m *= self.momentum
        m -= rate * g
        p += self.momentum * m - rate * g if self.nesterov else m
