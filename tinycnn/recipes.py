"""Recipes: tables of settings to train `mnist_cnn` with. The loop is the same for all.

::

    RECIPES["fast"] -> network, optimizer, augmentation, callbacks -> tinycnn train

All settings were chosen on validation images, none on test images: docs/accuracy.md says how.
"""

from dataclasses import dataclass, field
from typing import Any

from tinycnn.datasets import Augmentation
from tinycnn.layers import Dropout
from tinycnn.models import mnist_cnn
from tinycnn.optimizers import Adam, AdamW, Optimizer
from tinycnn.optimizers.schedules import CosineDecay, PiecewiseConstantDecay
from tinycnn.sequential import Sequential
from tinycnn.training import Callback, WeightAverage


@dataclass(frozen=True)
class Recipe:
    """The settings of a run.

    Attributes
    ----------
    epochs : int
    learning_rate : float
        The largest rate.
    batch_size : int
        Images in one step.
    warmup : float or None
        The share of the steps in which the rate rises to `learning_rate`. Then it falls to 0 by half a
        cosine. None: the rate is constant.
    beta_2 : float
        Of Adam.
    weight_decay : float
        Of the kernels; biases do not decay.
    dropout : (float, float, float)
        The rates of the dropout layers, in their order.
    average : float or None
        Momentum of the moving average of the weights. None: no average.
    augmentation : dict
        Arguments of `Augmentation`. Empty: no augmentation.
    calm_epochs : float
        The number of epochs at the end without augmentation.
    """

    epochs: int
    learning_rate: float
    batch_size: int = 128
    warmup: float | None = None
    beta_2: float = 0.999
    weight_decay: float = 0.0
    dropout: tuple[float, float, float] = (0.25, 0.25, 0.5)
    average: float | None = None
    augmentation: dict[str, Any] = field(default_factory=dict)
    calm_epochs: float = 0.0


#: The recipes by name.
RECIPES = {
    # The dropout of mnist_cnn, plain Adam.
    "classic": Recipe(epochs=12, learning_rate=0.001),
    # For little time: a high rate, light augmentation, none in the last half epoch, a short average.
    "fast": Recipe(
        epochs=4,
        learning_rate=0.0025,
        warmup=0.22,
        beta_2=0.99,
        weight_decay=0.05,
        dropout=(0.1, 0.1, 0.3),
        average=0.99,
        augmentation={"rotation": 10, "shift": 1.5, "zoom": (0.9, 1.1), "shear": 0.15},
        calm_epochs=0.5,
    ),
    # For few errors: the same for longer, with more decay. (Elastic bending, erasing, and larger shifts and
    # zooms made more errors, not fewer.)
    "best": Recipe(
        epochs=30,
        learning_rate=0.002,
        warmup=0.12,
        beta_2=0.99,
        weight_decay=0.2,
        dropout=(0.15, 0.15, 0.4),
        average=0.998,
        augmentation={"rotation": 12, "shift": 2, "zoom": (0.88, 1.12), "shear": 0.2},
    ),
    # For Fashion-MNIST: clothes may be mirrored, digits may not. Less dropout and smaller warps than for
    # digits, because here the network underfits.
    "fashion": Recipe(
        epochs=30,
        learning_rate=0.002,
        warmup=0.1,
        beta_2=0.99,
        weight_decay=0.2,
        dropout=(0.1, 0.1, 0.3),
        average=0.998,
        augmentation={"flip": 0.5, "shift": 1.5, "zoom": (0.92, 1.08)},
    ),
}


def network(recipe: Recipe, seed: int, algorithm: str = "auto") -> Sequential:
    """Return `mnist_cnn` with the dropout of a recipe."""
    model = mnist_cnn(seed, algorithm)
    layers = [layer for layer in model if isinstance(layer, Dropout)]
    for layer, rate in zip(layers, recipe.dropout, strict=True):
        layer.rate = rate
    return model


def optimizer(recipe: Recipe, steps: int) -> Optimizer:
    """Return the optimizer for a run of `steps` steps."""
    rate: float | CosineDecay = recipe.learning_rate
    if recipe.warmup is not None:
        rise = int(recipe.warmup * steps)
        rate = CosineDecay(0.0, max(steps - rise, 1), 0.0, recipe.learning_rate, rise)
    if not recipe.weight_decay:
        return Adam(rate, beta_2=recipe.beta_2)
    return AdamW(rate, {"*/kernel": recipe.weight_decay}, beta_2=recipe.beta_2)


def augmentation(recipe: Recipe, steps: int, steps_per_epoch: int) -> Augmentation | None:
    """Return the augmentation for a run of `steps` steps, or None."""
    if not recipe.augmentation:
        return None
    last = max(steps - int(recipe.calm_epochs * steps_per_epoch), 1) - 1
    strength = PiecewiseConstantDecay([last], [1.0, 0.0])
    return Augmentation(**recipe.augmentation, strength=strength)


def callbacks(recipe: Recipe) -> list[Callback]:
    """Return the callbacks of a recipe."""
    return [] if recipe.average is None else [WeightAverage(recipe.average)]
