"""Adaptive optimizers: a rate for each parameter, from the size of its own gradients so far.

::

    g -> moving means of g and of g**2 -> p -= rate * mean(g) / sqrt(mean(g**2))
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from tinycnn.kernels.runtime.availability import obstacle
from tinycnn.kernels.selection import COMPILED_ADAM_PARAMETERS
from tinycnn.optimizers.base import Optimizer
from tinycnn.optimizers.schedules import Schedule
from tinycnn.support import checks
from tinycnn.support.ranges import flush, with_squares


class RMSprop(Optimizer):
    """RMSprop: gradients divided by their moving root mean square (Hinton, lecture 6e, 2012).

    v = rho * v + (1 - rho) * g**2; p -= rate * g / sqrt(v + epsilon).

    Parameters
    ----------
    rho : float
        Momentum of v, in [0, 1].
    momentum : float
        In [0, 1]. If not 0, m = momentum * m + rate * g / sqrt(v + epsilon) and p -= m.
    epsilon : float
    centered : bool
        Whether the squared moving mean of g is subtracted from v.
    learning_rate, global_clipnorm, weight_decay
        See `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        global_clipnorm: float | None = None,
        weight_decay: float | Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(learning_rate, global_clipnorm, weight_decay)
        self.rho = checks.real("rho", rho, 0, 1)
        self.momentum = checks.real("momentum", momentum, 0, 1)
        self.epsilon = checks.real("epsilon", epsilon, 0)
        self.centered = checks.flag("centered", centered)

    def slot_names(self) -> list[str]:
        """Return "velocity" and, as far as the settings need them, "momentum" and "average_gradient"."""
        return ["velocity", *["momentum"] * bool(self.momentum), *["average_gradient"] * self.centered]

    def _update(self, p: np.ndarray, g: np.ndarray, rate: float, **slots: np.ndarray) -> None:
        v, g = slots["velocity"], with_squares(g)
        v *= self.rho
        v += (1 - self.rho) * g * g
        variance = v
        if self.centered:
            a = slots["average_gradient"]
            a *= self.rho
            a += (1 - self.rho) * g
            variance = np.maximum(v - a * a, 0)  # rounding can bring it below 0
        step = rate * g / np.sqrt(variance + self.epsilon)
        if self.momentum:
            m = slots["momentum"]
            m *= self.momentum
            m += step
            step = m
        p -= step
        flush(*slots.values())


class Adadelta(Optimizer):
    """Adadelta: updates in the unit of the parameters (Zeiler, arXiv 1212.5701).

    v = rho * v + (1 - rho) * g**2; d = g * sqrt(u + epsilon) / sqrt(v + epsilon);
    u = rho * u + (1 - rho) * d**2; p -= rate * d.

    Parameters
    ----------
    learning_rate : float or Schedule
        The default, Keras', is slow: the paper has 1.
    rho : float
        Momentum of u and v, in [0, 1].
    epsilon : float
    global_clipnorm, weight_decay
        See `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        global_clipnorm: float | None = None,
        weight_decay: float | Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(learning_rate, global_clipnorm, weight_decay)
        self.rho = checks.real("rho", rho, 0, 1)
        self.epsilon = checks.real("epsilon", epsilon, 0)

    def slot_names(self) -> list[str]:
        """Return "accumulated_grad", which is v, and "accumulated_delta", which is u."""
        return ["accumulated_grad", "accumulated_delta"]

    def _update(self, p: np.ndarray, g: np.ndarray, rate: float, **slots: np.ndarray) -> None:
        v, u, g = slots["accumulated_grad"], slots["accumulated_delta"], with_squares(g)
        v *= self.rho
        v += (1 - self.rho) * g * g
        delta = g * np.sqrt(u + self.epsilon) / np.sqrt(v + self.epsilon)
        u *= self.rho
        u += (1 - self.rho) * delta * delta
        p -= rate * delta
        flush(v, u)


class Adam(Optimizer):
    """Adam: adaptive moments (Kingma & Ba, arXiv 1412.6980, section 2, the form with alpha_t).

    m = beta_1 * m + (1 - beta_1) * g; v = beta_2 * v + (1 - beta_2) * g**2;
    p -= rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon). The epsilon is outside the
    bias correction, as in Keras and unlike PyTorch.

    Parameters
    ----------
    beta_1, beta_2 : float
        Momentum of m and of v, in [0, 1).
    epsilon : float
    amsgrad : bool
        Whether the update uses the maximum of v so far (Reddi et al., arXiv 1904.09237).
    learning_rate, global_clipnorm, weight_decay
        See `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        global_clipnorm: float | None = None,
        weight_decay: float | Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(learning_rate, global_clipnorm, weight_decay)
        self.beta_1 = checks.real("beta_1", beta_1, 0, 1, below=True)
        self.beta_2 = checks.real("beta_2", beta_2, 0, 1, below=True)
        self.epsilon = checks.real("epsilon", epsilon, 0)
        self.amsgrad = checks.flag("amsgrad", amsgrad)

    def slot_names(self) -> list[str]:
        """Return "momentum", "velocity" and, with `amsgrad`, "velocity_hat"."""
        return ["momentum", "velocity", *["velocity_hat"] * self.amsgrad]

    def _update(self, p: np.ndarray, g: np.ndarray, rate: float, **slots: np.ndarray) -> None:
        m, v = slots["momentum"], slots["velocity"]
        t = self.iterations
        rate *= math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        if p.size >= COMPILED_ADAM_PARAMETERS and not self.amsgrad and not obstacle():
            from tinycnn.kernels import adam

            adam.update(p, g, m, v, rate, self.beta_1, self.beta_2, self.epsilon)
            return
        g = with_squares(g)
        m += (1 - self.beta_1) * (g - m)
        v += (1 - self.beta_2) * (g * g - v)
        flush(m, v)
        if self.amsgrad:
            v = np.maximum(slots["velocity_hat"], v, out=slots["velocity_hat"])
        p -= rate * m / (np.sqrt(v) + self.epsilon)


class AdamW(Adam):
    """Adam with weight decay by default; `weight_decay=None` turns it off. See `Adam`."""

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        weight_decay: float | Mapping[str, float] | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, global_clipnorm, weight_decay)
