"""What files and training loops need of a network, as a type; `tinycnn.Sequential` has it.

`Sequential` imports them and so cannot be named by them. This is the one place that says what they use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from tinycnn.layers import Layer
from tinycnn.losses import Loss
from tinycnn.metrics import Metric
from tinycnn.optimizers import Optimizer


class Model(Protocol):
    """A built network, compiled for all that trains or evaluates; see `Sequential` for each member."""

    name: str
    seed: int
    layers: list[Layer]
    parameters: np.ndarray
    gradients: np.ndarray
    optimizer: Optimizer | None
    loss: Loss | None
    metrics: dict[str, Metric]
    epochs_trained: int
    steps_trained: int
    history: Any
    stop_training: bool

    @property
    def built(self) -> bool:
        """See `Sequential.built`."""

    @property
    def output_shape(self) -> tuple[int, ...]:
        """See `Sequential.output_shape`."""

    @property
    def metric_names(self) -> list[str]:
        """See `Sequential.metric_names`."""

    @property
    def parameter_names(self) -> list[str]:
        """See `Sequential.parameter_names`."""

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """See `Sequential.forward`."""

    def plan(self, images: int = ..., training: bool = ...) -> Any:
        """See `Sequential.plan`."""

    def add_penalties(self, images: int = ...) -> float:
        """See `Sequential.add_penalties`."""

    def apply_gradients(self, images: int = ...) -> None:
        """See `Sequential.apply_gradients`."""

    def train_step(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> list[float]:
        """See `Sequential.train_step`."""

    def test_step(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> list[float]:
        """See `Sequential.test_step`."""

    def train_on_batch(self, x: np.ndarray, y: np.ndarray) -> float | list[float]:
        """See `Sequential.train_on_batch`."""

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> Any:
        """See `Sequential.evaluate`."""

    def named_weights(self) -> list[tuple[str, np.ndarray]]:
        """See `Sequential.named_weights`."""

    def get_weights(self) -> list[np.ndarray]:
        """See `Sequential.get_weights`."""

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """See `Sequential.set_weights`."""

    def get_config(self) -> dict[str, Any]:
        """See `Sequential.get_config`."""


def compiled(model: Model) -> tuple[Optimizer, Loss]:
    """Return the optimizer and the loss of a compiled model.

    Raises
    ------
    ValueError
        Before `compile`.
    """
    if model.optimizer is None or model.loss is None:
        raise ValueError(f"{model.name}: call model.compile(optimizer, loss) first")
    return model.optimizer, model.loss
