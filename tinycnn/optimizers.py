"""How parameters follow their gradients. Names, formulas and defaults are Keras'.

::

    parameters, gradients (two flat vectors) -> step -> parameters, changed in place

An optimizer keeps its moments in vectors of the same length, `slots`. A frozen part of the network is a
gap between `spans`, the slices that a step may touch.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinycnn import checks, config, kernels

# Of fewer parameters NumPy's temporaries stay in the cache, and Numba need not be loaded.
SMALLEST_KERNEL = 2**15


class Optimizer(ABC):
    """What all optimizers share: the rate, the count of steps, the moments, clipping.

    Parameters
    ----------
    learning_rate : float
        At least 0.
    global_clipnorm : float, optional
        When the norm of all gradients together is larger, they are scaled down to it.

    Attributes
    ----------
    iterations : int
        Steps so far.
    slots : dict of str to ndarray
        The moments, each a vector as long as the parameters.
    """

    def __init__(self, learning_rate: float, global_clipnorm: float | None = None) -> None:
        self.learning_rate = checks.real("learning_rate", learning_rate, 0)
        if global_clipnorm is not None:
            global_clipnorm = checks.real("global_clipnorm", global_clipnorm, math.ulp(0))
        self.global_clipnorm = global_clipnorm
        self.iterations = 0
        self.slots: dict[str, np.ndarray] = {}

    @property
    def name(self) -> str:
        """The key of this kind in `OPTIMIZERS`."""
        return type(self).__name__.lower()

    def slot_names(self) -> list[str]:
        """Return the names of the moments."""
        return []

    def step(
        self, parameters: np.ndarray, gradients: np.ndarray, spans: Sequence[slice] = (slice(None),)
    ) -> None:
        """Change the `parameters` in place.

        Parameters
        ----------
        parameters, gradients : ndarray of shape (count,), of one dtype
            The gradients are left as they are.
        spans : sequence of slice
            The parts that may change; the default is all.

        Raises
        ------
        ValueError
            When shapes or dtypes differ from each other or from the moments'.
        """
        for name in self.slot_names():
            if name not in self.slots:
                self.slots[name] = np.zeros_like(parameters)
        for name, array in {"gradients": gradients, **self.slots}.items():
            checks.shape(f"{type(self).__name__}: {name}", array.shape, parameters.shape)
            if array.dtype != parameters.dtype:
                raise ValueError(
                    f"{type(self).__name__}: {name}: expected {parameters.dtype} as the parameters, "
                    f"received {array.dtype}"
                )
        self.iterations += 1
        scale = self._clip_scale(gradients, spans)
        for span in spans:
            g = gradients[span] if scale is None else gradients[span] * gradients.dtype.type(scale)
            self._update(parameters[span], g, **{k: v[span] for k, v in self.slots.items()})

    def _clip_scale(self, gradients: np.ndarray, spans: Sequence[slice]) -> float | None:
        """Return what the gradients must be multiplied by, or None when they are short enough."""
        if self.global_clipnorm is None:
            return None
        norm = math.sqrt(sum(float(np.square(gradients[s], dtype=np.float64).sum()) for s in spans))
        return self.global_clipnorm / norm if norm > self.global_clipnorm else None

    @abstractmethod
    def _update(self, p: np.ndarray, g: np.ndarray, **slots: np.ndarray) -> None:
        """Change parameters `p` by gradients `g`; arrays are views, changed in place."""

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, JSON-able."""
        return config.arguments(self)

    def __repr__(self) -> str:
        return config.describe(self)


class SGD(Optimizer):
    """Gradient descent: m = momentum * m - rate * g; p += m.

    With `nesterov`, p += momentum * m - rate * g instead (Sutskever et al., ICML 2013).
    """

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, global_clipnorm)
        self.momentum = checks.real("momentum", momentum, 0, 1)
        self.nesterov = checks.flag("nesterov", nesterov)

    def slot_names(self) -> list[str]:
        """Return ["momentum"], or nothing without one."""
        return ["momentum"] if self.momentum else []

    def _update(self, p: np.ndarray, g: np.ndarray, **slots: np.ndarray) -> None:
        if not self.momentum:
            p -= self.learning_rate * g
            return
        m = slots["momentum"]
        m *= self.momentum
        m -= self.learning_rate * g
        p += self.momentum * m - self.learning_rate * g if self.nesterov else m


class RMSprop(Optimizer):
    """Steps divided by a moving root mean square of the gradient (Hinton, lecture 6e, 2012).

    v = rho * v + (1 - rho) * g**2; p -= rate * g / sqrt(v + epsilon). With `centered`, the square of the
    moving mean is taken off v; with `momentum`, the step goes through m = momentum * m + step.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, global_clipnorm)
        self.rho = checks.real("rho", rho, 0, 1)
        self.momentum = checks.real("momentum", momentum, 0, 1)
        self.epsilon = checks.real("epsilon", epsilon, 0)
        self.centered = checks.flag("centered", centered)

    def slot_names(self) -> list[str]:
        """Return the moments that the settings need."""
        return ["velocity", *["momentum"] * bool(self.momentum), *["average_gradient"] * self.centered]

    def _update(self, p: np.ndarray, g: np.ndarray, **slots: np.ndarray) -> None:
        v = slots["velocity"]
        v *= self.rho
        v += (1 - self.rho) * g * g
        denominator = v + self.epsilon
        if self.centered:
            a = slots["average_gradient"]
            a *= self.rho
            a += (1 - self.rho) * g
            denominator -= a * a
        step = self.learning_rate * g / np.sqrt(denominator)
        if self.momentum:
            m = slots["momentum"]
            m *= self.momentum
            m += step
            step = m
        p -= step


class Adadelta(Optimizer):
    """Steps in the unit of the parameters (Zeiler, arXiv 1212.5701).

    v = rho * v + (1 - rho) * g**2; d = g * sqrt(u + epsilon) / sqrt(v + epsilon);
    u = rho * u + (1 - rho) * d**2; p -= rate * d. Keras' rate of 0.001 is slow: the paper's is 1.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, global_clipnorm)
        self.rho = checks.real("rho", rho, 0, 1)
        self.epsilon = checks.real("epsilon", epsilon, 0)

    def slot_names(self) -> list[str]:
        """Return the moving means of the squared gradient and of the squared step."""
        return ["accumulated_grad", "accumulated_delta"]

    def _update(self, p: np.ndarray, g: np.ndarray, **slots: np.ndarray) -> None:
        v, u = slots["accumulated_grad"], slots["accumulated_delta"]
        v *= self.rho
        v += (1 - self.rho) * g * g
        delta = g * np.sqrt(u + self.epsilon) / np.sqrt(v + self.epsilon)
        u *= self.rho
        u += (1 - self.rho) * delta * delta
        p -= self.learning_rate * delta


class Adam(Optimizer):
    """Adaptive moments (Kingma & Ba, arXiv 1412.6980, section 2, the form before equation 1).

    m = beta_1 * m + (1 - beta_1) * g; v = beta_2 * v + (1 - beta_2) * g**2;
    p -= rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon). The epsilon is outside the
    bias correction, as in Keras and unlike PyTorch. With `amsgrad`, v is replaced by its maximum so far.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, global_clipnorm)
        self.beta_1 = checks.real("beta_1", beta_1, 0, 1, below=True)
        self.beta_2 = checks.real("beta_2", beta_2, 0, 1, below=True)
        self.epsilon = checks.real("epsilon", epsilon, 0)
        self.amsgrad = checks.flag("amsgrad", amsgrad)

    def slot_names(self) -> list[str]:
        """Return "momentum", "velocity" and, with `amsgrad`, "velocity_hat"."""
        return ["momentum", "velocity", *["velocity_hat"] * self.amsgrad]

    def _update(self, p: np.ndarray, g: np.ndarray, **slots: np.ndarray) -> None:
        m, v = slots["momentum"], slots["velocity"]
        t = self.iterations
        rate = self.learning_rate * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        if p.size >= SMALLEST_KERNEL and not self.amsgrad:
            kernels.module("adam").update(p, g, m, v, rate, self.beta_1, self.beta_2, self.epsilon)
            return
        m += (1 - self.beta_1) * (g - m)
        v += (1 - self.beta_2) * (g * g - v)
        if self.amsgrad:
            v = np.maximum(slots["velocity_hat"], v, out=slots["velocity_hat"])
        p -= rate * m / (np.sqrt(v) + self.epsilon)


class AdamW(Adam):
    """Adam with decoupled weight decay: first p -= rate * weight_decay * p.

    Loshchilov & Hutter, "Decoupled weight decay regularization", arXiv 1711.05101.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, global_clipnorm)
        self.weight_decay = checks.real("weight_decay", weight_decay, 0)

    def _update(self, p: np.ndarray, g: np.ndarray, **slots: np.ndarray) -> None:
        p -= self.learning_rate * self.weight_decay * p
        super()._update(p, g, **slots)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    cls.__name__.lower(): cls for cls in (SGD, RMSprop, Adadelta, Adam, AdamW)
}


def get(optimizer: str | Optimizer, **arguments: Any) -> Optimizer:
    """Return a new optimizer of a name, in any case; an `Optimizer` is returned as it is."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    name = optimizer.lower() if isinstance(optimizer, str) else optimizer
    return OPTIMIZERS[checks.choice("optimizer", name, OPTIMIZERS)](**arguments)
