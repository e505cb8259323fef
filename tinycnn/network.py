"""A network: a stack of layers that runs, and learns from one batch.

::

    x -> forward -> y_pred -> loss -> gradient -> backward -> gradients     (`compute_gradients`)
    parameters -> penalties, and their gradients                            (`add_penalties`)
    gradients -> optimizer -> parameters                                    (`apply_gradients`)
    all of them                                                             (`train_step`)

What runs in a forward or backward pass is decided in `tinycnn.execution.plan`. The parameters are views of
one vector (`tinycnn.parameters`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from tinycnn import losses, optimizers, regularizers
from tinycnn.execution.plan import Plan, Situation, make_plan
from tinycnn.kernels.selection import CONTEXT, IMAGES_ONE_BY_ONE, LARGE_BATCH, VARIABLE
from tinycnn.layers import Layer, RandomLayer
from tinycnn.metrics import Metric, name_of
from tinycnn.metrics import get as get_metric
from tinycnn.stack import Stack
from tinycnn.support import checks, images
from tinycnn.support.assignment import Converted
from tinycnn.support.sample_weights import row_weights
from tinycnn.training import setup

#: What a plan depends on in each layer.
SETTINGS = attrgetter("algorithm", "trainable", "_version")
MOST_PLANS = 32


def _own_optimizer(model: Any, optimizer: Any) -> optimizers.Optimizer | None:
    if optimizer is None:
        return None
    found = optimizers.get(optimizer)
    found.belong_to(model, model.parameters)
    return found


def _loss(model: Any, loss: Any) -> losses.Loss | None:
    return None if loss is None else losses.get(loss)


def _metrics(model: Any, metrics: Any) -> dict[str, Metric]:
    """Return metrics by their names, for the name of one, or a list or dictionary of several."""
    if isinstance(metrics, dict):
        return {name: get_metric(metric) for name, metric in metrics.items()}
    several = metrics if isinstance(metrics, list | tuple) else [metrics]
    return {name_of(metric): get_metric(metric) for metric in several}


class Network(Stack):
    """A stack that runs; see `tinycnn.Sequential` for the parameters and attributes."""

    optimizer: optimizers.Optimizer | None = Converted(_own_optimizer)  # type: ignore[assignment]
    loss: losses.Loss | None = Converted(_loss)  # type: ignore[assignment]
    metrics: dict[str, Metric] = Converted(_metrics)  # type: ignore[assignment]

    def _start(self) -> None:
        """See `Stack`."""
        self.metrics = {}
        self.epochs_trained = self.steps_trained = 0
        self._fuse = False
        self._forget_plans()

    def _changed(self) -> None:
        """See `Stack`. Moments, plans and compiled programs were for the old layers."""
        super()._changed()
        self.optimizer = self.loss = None
        self._forget_plans()

    def _forget_plans(self) -> None:
        self._plans: dict[Situation, Plan] = {}
        self._pending: tuple[Plan, np.ndarray] | None = None  # the last one in training, for `backward`

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle takes along: not the plans, nor what a training step has saved."""
        return vars(self) | {"_plans": {}, "_pending": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy or a pickle."""
        super().__setstate__(state)
        self._forget_plans()
        self.optimizer = self.optimizer  # becomes this model's

    def compile(
        self,
        optimizer: str | optimizers.Optimizer = "adam",
        loss: str | losses.Loss = "sparse_categorical_crossentropy",
        metrics: str | Sequence[str] = (),
        fuse: bool = True,
    ) -> None:
        """Choose how to train. A second call starts with a fresh optimizer, unless one is given.

        Parameters
        ----------
        optimizer : str or Optimizer
            A name of `tinycnn.optimizers.OPTIMIZERS`, with Keras' defaults, or an object.
        loss : str or Loss
            A name of `tinycnn.losses.LOSSES`, or an object.
        metrics : sequence of str
            Names of `tinycnn.metrics.METRICS`; a single name will do.
        fuse : bool
            Whether layers may run fused (`tinycnn.execution.fused`). Results differ by rounding only, and
            dropout is the same to the bit.
        """
        self.optimizer, self.loss = optimizers.get(optimizer), losses.get(loss)
        self.metrics = metrics  # type: ignore[assignment]
        self._fuse, self._plans = checks.flag("fuse", fuse), {}
        setup.warn_about_the_last_layer(self._compiled()[1], self.layers)

    # Running: one batch forward, backward, and a training step.

    def plan(self, images: int = LARGE_BATCH, training: bool = True) -> Plan:
        """Return what runs for a batch of `images`; `print` shows it as a table.

        A plan is made when its situation first occurs. Whatever changes the situation leads to another plan.
        """
        one_by_one = self._fuse and not training and 0 < images <= IMAGES_ONE_BY_ONE
        situation = Situation(
            1 if one_by_one else min(images, LARGE_BATCH),
            training,
            self.optimizer is not None,
            self._fuse,
            (CONTEXT.get(), os.environ.get(VARIABLE)),
            tuple(map(SETTINGS, self.layers)),
        )
        plan = self._plans.get(situation)
        if plan is None or (plan.one_by_one and not plan.is_current(self.parameters)):
            if len(self._plans) >= MOST_PLANS:  # settings that change all the time must not fill the memory
                self._plans.clear()
            plan = self._plans[situation] = make_plan(self.layers, situation, self.parameters)
        return plan

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return the output of the last layer, for images (N, H, W, C) of the model's dtype."""
        if not isinstance(x, np.ndarray) or x.shape[1:] != self.input_shape or x.dtype != self.dtype:
            self._first_layer().check_input(x)
        plan = self.plan(len(x), training)
        if plan.one_by_one and len(x) > 1:
            return np.concatenate([self.forward(x[i : i + 1]) for i in range(len(x))])
        y = x
        for runnable in plan.runnables:
            y = runnable.forward(y, training)
        if training:
            self._pending = plan, y
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Assign `gradients` and return dL/dx, given dL/dy of the last training forward."""
        return self._backward(dy, input_gradient=True)

    def train_step(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> list[float]:
        """Take one step of the optimizer; return the loss and the metrics before it."""
        results = self.compute_gradients(x, y, weights)
        results[0] += self.add_penalties(len(x))
        self.apply_gradients(len(x))
        return results

    def compute_gradients(
        self,
        x: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray | None = None,
        share: float = 1.0,
        first_row: int = 0,
    ) -> list[float]:
        """Assign `gradients`; return the loss, without penalties of weights, and the metrics.

        Parameters
        ----------
        x, y, weights
            Images, labels and how much each counts.
        share : float
            What the gradients are multiplied by: for a part of a batch, its share of the batch. The gradients
            of the parts then add up to those of the batch.
        first_row : int
            Of a part, the number of its first image in the batch; dropout and noise are those of the batch.
        """
        optimizer, loss = self.optimizer, self.loss
        if optimizer is None or loss is None:
            _, loss = self._compiled()  # raises
        for layer in self.layers:
            if isinstance(layer, RandomLayer):
                layer.mask_index, layer.first_row = self.steps_trained, first_row
        y_pred = self.forward(x, training=True)
        results = [loss(y, y_pred, weights)]
        for metric in self.metrics.values():
            results.append(metric(y, y_pred))
        dy = loss.gradient(y, y_pred, weights)
        self._backward(dy if share == 1 else dy * dy.dtype.type(share), input_gradient=False)
        return results

    def add_penalties(self, images: int = LARGE_BATCH) -> float:
        """Add the gradients of the penalties of weights to `gradients`; return the penalties.

        Parameters
        ----------
        images : int
            The size of the batch, by which a plan is found.
        """
        penalties = self.plan(images).penalties
        return regularizers.add_gradients(penalties) if penalties else 0.0

    def apply_gradients(self, images: int = LARGE_BATCH) -> None:
        """Take the step of the optimizer along `gradients`; for `images` see `add_penalties`."""
        optimizer = self.optimizer
        if optimizer is None:
            optimizer, _ = self._compiled()  # raises
        optimizer.step(self.parameters, self.gradients, self.plan(images).spans)
        self.steps_trained += 1

    def test_step(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> list[float]:
        """Return the loss and the metrics of a batch, without training on it."""
        _, loss = self._compiled()
        y_pred = self.forward(x)
        penalty = regularizers.total(self.plan(len(x)).penalties)
        return [loss(y, y_pred, weights) + penalty, *(metric(y, y_pred) for metric in self.metrics.values())]

    def _backward(self, dy: np.ndarray, input_gradient: bool) -> np.ndarray:
        """Assign `gradients`; return dL/dx. A training step does without it and releases saved arrays."""
        if self._pending is None:
            raise ValueError(f"{self.name}: call forward(x, training=True) before backward")
        plan, y = self._pending
        if not isinstance(dy, np.ndarray) or dy.shape != y.shape or dy.dtype != y.dtype:
            self.layers[-1].check_gradient(dy, y.shape)
        first, *others = plan.runnables
        for runnable in reversed(others):
            dy = runnable.backward(dy)
            if not input_gradient:
                runnable.release()
        if input_gradient:
            return first.backward(dy)
        first.backward_params(dy)
        first.release()
        self._pending = None
        return dy

    def _first_layer(self) -> Layer:
        if not self.layers:
            raise ValueError(f"{self.name}: expected at least one layer, received none")
        return self.layers[0]

    # One batch, as a user gives it.

    def train_on_batch(
        self,
        x: np.ndarray,
        y: np.ndarray,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
    ) -> float | list[float]:
        """Take one step; return the loss, or [loss, metric, ...] if there are metrics.

        As in Keras, the step is taken even if the loss is not finite: look at it. `fit` looks by itself.
        """
        if self.optimizer is None:
            self._compiled()  # raises
        x, y, weights = self.check_data(x, y, sample_weight)
        if class_weight is not None:
            x, y, weights = setup.weighted((x, y, weights), class_weight)
        results = self.train_step(x, y, weights)
        return results if self.metrics else results[0]

    def test_on_batch(self, x: np.ndarray, y: np.ndarray, sample_weight: Any = None) -> float | list[float]:
        """Return the loss of a batch, or [loss, metric, ...] if there are metrics, without training on it."""
        self._compiled()
        results = self.test_step(*self.check_data(x, y, sample_weight))
        return results if self.metrics else results[0]

    def predict_on_batch(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs for one batch of images."""
        return self(x)

    def __call__(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return the outputs for one batch of images, in training or not."""
        return self.forward(self.check_images(x), training)

    @property
    def metric_names(self) -> list[str]:
        """The names of what `evaluate` and `train_on_batch` return."""
        return ["loss", *self.metrics]

    def _compiled(self) -> tuple[optimizers.Optimizer, losses.Loss]:
        if self.optimizer is None or self.loss is None:
            raise ValueError(f"{self.name}: call model.compile(optimizer, loss) first")
        return self.optimizer, self.loss

    def check_data(
        self, x: Any, y: Any, sample_weight: Any = None, name: str | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return images, labels and weights as arrays, checked.

        Raises
        ------
        ValueError
            When they do not fit the model, or each other; the message begins with `name` if one is given.
        """
        try:
            x = self.check_images(x)
            if not len(x):
                raise ValueError(f"x: expected at least one image, received shape {x.shape}")
            if y is None:
                raise checks.ArgumentTypeError(f"y: expected labels for {len(x)} images, received none")
            y = np.asarray(y)
            if y.ndim == 0 or len(x) != len(y):
                raise ValueError(f"y: expected labels for {len(x)} images, received shape {y.shape}")
            if sample_weight is not None:
                sample_weight = row_weights(sample_weight, len(y))
        except ValueError as error:
            if name is None:
                raise
            raise type(error)(f"{name}: {error}") from error
        return x, y, sample_weight

    def check_images(self, x: Any) -> np.ndarray:
        """Return images in the model's dtype, checked; build the model if that was left to the data.

        Raises
        ------
        ValueError
            For another shape, or numbers that are not floats.
        """
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
            x = images.as_floats(x)
        if self.input_shape is None:
            self.build(x.shape[1:])
        if not self.layers:
            self._first_layer()  # raises
        if x.shape[1:] != self.input_shape:
            images.refuse_shape(x, self.input_shape or ())
        return x.astype(self.dtype, copy=False)
