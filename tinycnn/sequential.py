"""A network: a stack of layers that runs, is trained and evaluated, and is saved.

::

    x -> forward -> y_pred -> loss -> gradient -> backward -> optimizer      (one `train_step`)
    fit = train_step over batches and epochs;  evaluate, predict;  save

What runs in a forward or backward pass is decided in `tinycnn.execution.plan`. The parameters are views of
one vector (`tinycnn.parameters`). The loops over batches and epochs are in `tinycnn.training.loop`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from tinycnn import losses, optimizers, regularizers, saving
from tinycnn.execution.plan import Plan, Situation, make_plan
from tinycnn.inspection.activations import activations
from tinycnn.inspection.summary import LINE_LENGTH, summary_text
from tinycnn.kernels.selection import CONTEXT, IMAGES_ONE_BY_ONE, LARGE_BATCH, VARIABLE
from tinycnn.layers import Dropout, Layer
from tinycnn.metrics import Metric, name_of
from tinycnn.metrics import get as get_metric
from tinycnn.saving import conversion
from tinycnn.stack import Stack
from tinycnn.support import checks
from tinycnn.support.assignment import Converted
from tinycnn.support.weights import row_weights
from tinycnn.training import Callback, History, loop, progress, setup
from tinycnn.training.callback_list import CallbackList
from tinycnn.training.sources import Arrays, gives_batches

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


class Sequential(Stack):
    """A stack of layers.

    Parameters
    ----------
    layers : iterable of Layer
    seed : int, optional
        Determines initial weights, dropout and shuffling: the same seed gives the same run, to the last bit.
        None draws one, which the attribute records.
    input_shape : tuple of int, optional
        Of one image, (H, W, C). With it the model is built at once, without it by `build` or `fit`.
    dtype : "float32" or "float64"
    name : str

    Attributes
    ----------
    layers : list of Layer
    parameters, gradients : ndarray of shape (count,)
        Every parameter and its gradient; the layers hold views.
    seed, epochs_trained, steps_trained : int
    history : History
        Of the last `fit`.
    stop_training : bool
        A callback sets it to end `fit` after the current batch.
    input_check : callable or None
        Called with the images that `predict` and `evaluate` are given, to warn of others. It is not saved.

    Examples
    --------
    >>> from tinycnn.layers import Dense, Flatten
    >>> model = Sequential([Flatten(), Dense(10, activation="softmax")], seed=1, input_shape=(28, 28, 1))
    >>> model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    >>> model.count_params()
    7850
    """

    optimizer: optimizers.Optimizer | None = Converted(_own_optimizer)  # type: ignore[assignment]
    loss: losses.Loss | None = Converted(_loss)  # type: ignore[assignment]
    metrics: dict[str, Metric] = Converted(_metrics)  # type: ignore[assignment]

    def __init__(
        self,
        layers: Iterable[Layer] = (),
        seed: int | None = None,
        input_shape: Sequence[int] | None = None,
        dtype: str = "float32",
        name: str = "sequential",
    ) -> None:
        self.metrics = {}
        self.epochs_trained = self.steps_trained = 0
        self.history = History()
        self.stop_training = False
        self.input_check: Callable[[np.ndarray], None] | None = None
        self._fuse = False
        self._forget_plans()
        super().__init__(layers, seed, input_shape, dtype, name)
        self._known = frozenset(vars(self))

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
        optimizer, loss = self.optimizer, self.loss
        if optimizer is None or loss is None:
            optimizer, loss = self._compiled()  # raises
        for layer in self.layers:
            if isinstance(layer, Dropout):
                layer.mask_index = self.steps_trained
        y_pred = self.forward(x, training=True)
        results = [loss(y, y_pred, weights)]
        for metric in self.metrics.values():
            results.append(metric(y, y_pred))
        self._backward(loss.gradient(y, y_pred, weights), input_gradient=False)
        plan = self.plan(len(x))
        if plan.penalties:
            results[0] += regularizers.add_gradients(plan.penalties)
        optimizer.step(self.parameters, self.gradients, plan.spans)
        self.steps_trained += 1
        return results

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

    # Training, evaluating, predicting: many batches.

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        validation_data: Any = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        callbacks: Iterable[Callback] | Callback | None = (),
        verbose: str | int = "auto",
        augment: loop.Augment | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        *,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        initial_epoch: int | None = None,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
    ) -> History:
        """Train.

        Parameters
        ----------
        x : float ndarray of shape (N, H, W, C), or iterable
            Images; floats, and in [0, 1] by this library's convention. Or, without `y`, an iterable of
            batches (x, y) or (x, y, weights): see `tinycnn.training.sources`.
        y : ndarray of shape (N,) or (N, classes)
            Class numbers or one-hot rows, as the loss wants them.
        batch_size : int, optional
            By default 32. The last batch of an epoch may be smaller.
        epochs : int
            The epochs of this run. A model that was trained before continues counting. A run that is resumed
            from a `checkpoint` has had some of them. With `initial_epoch`, as in Keras, the number of the
            last one.
        validation_data : (x, y), (x, y, weights) or iterable of batches, optional
            Evaluated after each epoch.
        validation_split : float
            Instead: the share of x kept for it, drawn by the seed and in proportion to the classes. (Keras
            takes the last rows instead.)
        shuffle : bool
            Whether each epoch has an order of its own, which follows from the seed and the epoch's number.
            Of iterables only those with `__len__` and `__getitem__` can be shuffled, batch by batch.
        callbacks : Callback, or iterable of Callback
        verbose : "auto", 0, 1 or 2
            Silence, a bar, one line an epoch; "auto" is a bar where the output is a terminal or a notebook.
        augment : callable, optional
            Makes variants of the images of each batch, such as `tinycnn.datasets.Augmentation`.
        checkpoint : path, optional
            A folder in which the state of the run is kept, after each epoch and each minute. The same call
            goes on from there, in a new process too (one at a time) if the model has the same `seed`, and
            ends with the same bits. The data must be arrays.
        sample_weight : ndarray of shape (N,), optional
            How much the loss of each image counts: with 2, its gradient is that of the image twice. Metrics
            are not weighted.
        class_weight : dict of int to float, optional
            The same by class. A class that it does not name has weight 1.
        initial_epoch : int, optional
            The number of the first epoch, from 0; by default it follows those of the model's earlier runs.
        steps_per_epoch, validation_steps : int, optional
            Batches in an epoch, and of a validation: necessary for endless iterables.

        Returns
        -------
        History

        Raises
        ------
        ValueError
            Before `compile`, for data that do not fit the model, or a `checkpoint` of another run.
        TypeError
            For arguments of another type.

        Warns
        -----
        UserWarning
            When nothing can be learned, the loss is no longer finite, or a generator ends early.
        """
        self._compiled()
        checks.whole("epochs", epochs, 0)
        fraction = checks.real("validation_split", validation_split, 0, 1, below=True)
        if fraction and validation_data is not None:
            raise ValueError("validation: expected validation_data or validation_split, received both")
        source, validation, arrays = setup.sources(
            self,
            x,
            y,
            validation_data,
            batch_size=batch_size,
            validation_split=fraction,
            shuffle=checks.flag("shuffle", shuffle),
            sample_weight=sample_weight,
            class_weight=class_weight,
            steps=steps_per_epoch,
            validation_steps=validation_steps,
        )
        if checkpoint is not None and not arrays:
            raise ValueError("checkpoint: expected arrays, by which a run is recognised, received batches")
        if initial_epoch is not None:
            self.epochs_trained = checks.whole("initial_epoch", initial_epoch, 0)
            epochs = max(epochs - initial_epoch, 0)
        if epochs:
            setup.check_before_the_first_step(self, source, validation)
        size = source.batch_size if isinstance(source, Arrays) else None
        settings = loop.Settings(epochs, size, fraction, shuffle, augment, checkpoint, arrays)
        return loop.fit(self, source, validation, settings, callbacks, verbose)

    def train_on_batch(
        self,
        x: np.ndarray,
        y: np.ndarray,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
    ) -> float | list[float]:
        """Take one step; return the loss, or [loss, metric, ...] if there are metrics."""
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

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        return_dict: bool = False,
        *,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Iterable[Callback] | Callback | None = (),
    ) -> float | list[float] | dict[str, float]:
        """Return the mean loss, or [loss, metric, ...] if there are metrics, or all of them by name.

        Parameters
        ----------
        x, y, sample_weight, callbacks
            See `fit`.
        batch_size : int, optional
            By default 128.
        return_dict : bool
        verbose : "auto", 0, 1 or 2
            Silence, a bar, one line; "auto" is a bar for work of some seconds, in a terminal or a notebook.
        steps : int, optional
            Batches, of an endless iterable.
        """
        self._compiled()
        checks.flag("return_dict", return_dict)
        source = setup.evaluation(self, x, y, sample_weight, batch_size, steps)
        if self.input_check is not None and isinstance(source, Arrays):
            self.input_check(source.data[0])
        events = CallbackList(progress.choose_for("evaluate", verbose), callbacks)
        with events.session(self, {"steps": source.steps, "samples": source.samples}, "test") as results:
            results |= loop.evaluate(self, source, events)
        if return_dict:
            return results
        return list(results.values()) if self.metrics else results["loss"]

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Iterable[Callback] | Callback | None = (),
    ) -> np.ndarray:
        """Return the outputs for images, computed batch by batch.

        After `compile`, a batch of up to 8 images is computed one by one, unless `fuse` is False or an
        algorithm is requested. That can round differently than a larger batch does.

        Parameters
        ----------
        x : float ndarray of shape (N, H, W, C), or iterable
            Images; or an iterable of batches of images, or of (x, y), of which y is left out.
        batch_size, verbose, steps, callbacks
            See `evaluate`.
        """
        if not isinstance(x, np.ndarray) and gives_batches(x):
            if batch_size is not None:
                raise ValueError(f"batch_size: expected none, since x gives batches, received {batch_size!r}")
            return self._predict(setup.images(self, x, steps), steps, verbose, callbacks)
        x = self.check_images(x)
        if self.input_check is not None:
            self.input_check(x)
        size = 128 if batch_size is None else checks.whole("batch_size", batch_size, 1)
        if len(x) <= size and not callbacks:
            y = self.forward(x)
            return y.copy() if np.may_share_memory(y, x) else y  # a stack of Flatten alone returns a view
        count = -(-len(x) // size) if steps is None else steps
        batches = (x[start : start + size] for start in range(0, min(len(x), count * size), size))
        return self._predict(batches, count, verbose, callbacks)

    def _predict(
        self, batches: Iterable[np.ndarray], count: int | None, verbose: str | int, callbacks: Any
    ) -> np.ndarray:
        events = CallbackList(progress.choose_for("predict", verbose), callbacks)
        with events.session(self, {"steps": count}, "predict"):
            return loop.predict(self, batches, events)

    def predict_on_batch(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs for one batch of images."""
        return self(x)

    def __call__(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return the outputs for one batch of images, in training or not."""
        return self.forward(self.check_images(x), training)

    def activations(
        self, x: np.ndarray, layers: Iterable[str | int | Layer] | None = None, batch_size: int = 128
    ) -> dict[str, np.ndarray]:
        """Return the outputs of layers by their names; see `tinycnn.inspection.activations`."""
        return activations(self, x, layers, batch_size)

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
            x, y = self.check_images(x), np.asarray(y)
            if y.ndim == 0 or len(x) != len(y) or not len(x):
                raise ValueError(
                    f"y: expected labels for {len(x)} images (at least 1), received shape {y.shape}"
                )
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
        x = np.asarray(x)
        if x.dtype.kind != "f":
            raise checks.ArgumentTypeError(
                f"x: expected floats in [0, 1], received {x.dtype}; for pixels from 0 to 255 use "
                "tinycnn.datasets.scale_images"
            )
        if self.input_shape is None:
            self.build(x.shape[1:])
        if x.shape[1:] != self.input_shape:
            checks.shape("x", x.shape, (None, *(self.input_shape or ())))
        return x.astype(self.dtype, copy=False)

    # Files and descriptions.

    @property
    def metric_names(self) -> list[str]:
        """The names of what `evaluate` and `train_on_batch` return."""
        return ["loss", *self.metrics]

    def save(self, path: str | os.PathLike[str], include_optimizer: bool = True) -> None:
        """Write the model to a file: `.h5` (Keras reads it too) or `.npz` (needs NumPy only).

        The optimizer's moments and the position in the run are saved too, so that a model that is loaded
        trains on as if it had never stopped. See `tinycnn.load_model`.
        """
        saving.write(path, conversion.take(self, include_optimizer))

    def summary(self, verbose: bool = False, line_length: int = LINE_LENGTH) -> str:
        """Print the table of the layers, and return it; `verbose` adds the algorithms."""
        if self.input_shape is None:
            raise ValueError(f"{self.name}: call model.build(input_shape) before summary")
        shapes, rows = self._output_shapes(self.input_shape), self.plan().rows() if verbose else None
        text = summary_text(self.layers, shapes, rows, line_length)
        print(text)
        return text
