"""A network: a stack of layers that is built, compiled, trained, evaluated, and saved.

::

    x -> forward -> y_pred -> loss -> gradient -> backward -> optimizer      (one `train_step`)
    fit = train_step over batches and epochs;  evaluate, predict;  save

What runs in a forward or backward pass is decided in `tinycnn.execution.plan`. The parameters are views of
one vector (`tinycnn.parameters`). The loops over batches and epochs are in `tinycnn.training.loop`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np

from tinycnn import layers as layer_classes
from tinycnn import losses, optimizers, saving
from tinycnn import parameters as parameter_vectors
from tinycnn.execution.plan import Plan, Situation, make_plan
from tinycnn.inspection.summary import LINE_LENGTH, summary_text
from tinycnn.kernels.selection import CONTEXT, IMAGES_ONE_BY_ONE, LARGE_BATCH, VARIABLE
from tinycnn.layers import Dropout, Layer
from tinycnn.metrics import Metric
from tinycnn.metrics import get as get_metric
from tinycnn.saving import conversion
from tinycnn.support import checks
from tinycnn.support.randomness import generator, resolve_seed
from tinycnn.training import Callback, History, loop

#: What a plan depends on in each layer.
SETTINGS = attrgetter("algorithm", "trainable")
AnySequential = TypeVar("AnySequential", bound="Sequential")


class Sequential:
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

    Examples
    --------
    >>> from tinycnn.layers import Dense, Flatten
    >>> model = Sequential([Flatten(), Dense(10, activation="softmax")], seed=1, input_shape=(28, 28, 1))
    >>> model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    >>> model.count_params()
    7850
    """

    def __init__(
        self,
        layers: Iterable[Layer] = (),
        seed: int | None = None,
        input_shape: Sequence[int] | None = None,
        dtype: str = "float32",
        name: str = "sequential",
    ) -> None:
        self.layers: list[Layer] = []
        self.seed = resolve_seed(seed)
        self.dtype = checks.float_dtype("dtype", dtype)
        self.name = checks.text("name", name)
        self.input_shape: tuple[int, ...] | None = None
        self.parameters = self.gradients = np.zeros(0, self.dtype)
        self.optimizer: optimizers.Optimizer | None = None
        self.loss: losses.Loss | None = None
        self.metrics: dict[str, Metric] = {}
        self.epochs_trained = self.steps_trained = 0
        self.history = History()
        self.stop_training = False
        self._fuse = False
        self._plans: dict[Situation, Plan] = {}
        self._pending: tuple[Plan, np.ndarray] | None = None  # the last one in training, for `backward`
        for layer in layers:
            self.add(layer)
        if input_shape is not None:
            self.build(input_shape)

    # Building: layers, shapes, parameters.

    def add(self, layer: Layer) -> None:
        """Put a layer on top. One without a name gets its class's and a number: conv2d_1.

        Raises
        ------
        ValueError
            For something that is no layer, a name that is taken, a layer that is used already, or a model
            that is built already.
        """
        if not isinstance(layer, Layer):
            raise ValueError(f"layer: expected a tinycnn.layers.Layer, received {layer!r}")
        if self.built:
            raise ValueError(f"{self.name}: call add before build; make a new Sequential to add {layer!r}")
        if layer.built:
            raise ValueError(
                f"{layer.label}: expected a layer that is not built, received one that is in use; "
                "make a new one with type(layer).from_config(layer.get_config())"
            )
        names = {other.name for other in self.layers}
        if layer.name is None:
            base = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(layer).__name__).lower()
            layer.name = next(n for n in (f"{base}_{i}" for i in range(1, 10**6)) if n not in names)
        if layer.name in names or any(layer is other for other in self.layers):
            raise ValueError(f"layer name: expected one that is not taken, received {layer.name!r} again")
        self.layers.append(layer)

    @property
    def built(self) -> bool:
        """Whether the parameters exist."""
        return self.input_shape is not None

    def build(self, input_shape: Sequence[int]) -> None:
        """Create the parameters for images of one shape, without the batch axis.

        Raises
        ------
        ValueError
            When a layer cannot take what the one before gives; the message names it.
        """
        shape = tuple(checks.whole(f"{self.name}: input_shape", size, 1) for size in input_shape)
        if self.built:
            checks.shape(f"{self.name}: input_shape", shape, self.input_shape or ())
            return
        if not self.layers:
            raise ValueError(f"{self.name}: expected at least one layer, received none")
        input_shapes = [shape, *self._output_shapes(shape)]
        for index, layer in enumerate(self.layers):
            layer.build(input_shapes[index], generator(self.seed, "weights", index), self.dtype)
        self.parameters, self.gradients = parameter_vectors.gather(self.layers, self.dtype)
        self.input_shape = tuple(self.layers[0].built_shape)

    def _output_shapes(self, input_shape: Sequence[int]) -> list[tuple[int, ...]]:
        shapes = []
        shape = tuple(input_shape)
        for layer in self.layers:
            shape = layer.compute_output_shape(shape)
            shapes.append(shape)
        return shapes

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy or a pickle, in which every view has become an array of its own."""
        self.__dict__.update(state)
        self.parameters, self.gradients = parameter_vectors.gather(self.layers, self.dtype)
        self._plans, self._pending = {}, None

    def compile(
        self,
        optimizer: str | optimizers.Optimizer = "adam",
        loss: str | losses.Loss = "sparse_categorical_crossentropy",
        metrics: Sequence[str] = (),
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
            Names of `tinycnn.metrics.METRICS`.
        fuse : bool
            Whether layers may run fused (`tinycnn.execution.fused`). Results differ by rounding only, and
            dropout is the same to the bit.
        """
        if isinstance(metrics, str):
            raise ValueError(f'metrics: expected a list of names such as ["accuracy"], received {metrics!r}')
        self.metrics = {name: get_metric(name) for name in metrics}
        self.loss = losses.get(loss)
        self.optimizer = optimizers.get(optimizer)
        self._fuse, self._plans = checks.flag("fuse", fuse), {}

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

    def train_step(self, x: np.ndarray, y: np.ndarray) -> list[float]:
        """Take one step of the optimizer; return the loss and the metrics before it."""
        optimizer, loss = self._compiled()
        for layer in self.layers:
            if isinstance(layer, Dropout):
                layer.mask_index = self.steps_trained
        y_pred = self.forward(x, training=True)
        results = [loss(y, y_pred)]
        for metric in self.metrics.values():
            results.append(metric(y, y_pred))
        self._backward(loss.gradient(y, y_pred), input_gradient=False)
        optimizer.step(self.parameters, self.gradients, self.plan(len(x)).spans)
        self.steps_trained += 1
        return results

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
        x: np.ndarray,
        y: np.ndarray,
        batch_size: int = 32,
        epochs: int = 1,
        validation_data: tuple[np.ndarray, np.ndarray] | None = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        callbacks: Iterable[Callback] = (),
        verbose: str | int = "auto",
        augment: loop.Augment | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> History:
        """Train.

        Parameters
        ----------
        x : float ndarray of shape (N, H, W, C)
            Images; floats, and in [0, 1] by this library's convention.
        y : ndarray of shape (N,) or (N, classes)
            Class numbers or one-hot rows, as the loss wants them.
        batch_size : int
            The last batch of an epoch may be smaller.
        epochs : int
            How many more. A model that was trained before goes on, with a whole epoch. (With a `checkpoint`:
            how many in all; it goes on in the middle of one.)
        validation_data : (x, y), optional
            Evaluated after each epoch.
        validation_split : float
            Instead: the share of x kept for it, drawn by the seed and in proportion to the classes. (Keras
            takes the last rows instead.)
        shuffle : bool
            Whether each epoch has an order of its own, which follows from the seed and the epoch's number.
        callbacks : iterable of Callback
        verbose : "auto", 0, 1 or 2
            Silence, a bar, one line an epoch; "auto" is a bar where the output is a terminal.
        augment : callable, optional
            Makes variants of the images of each batch, such as `tinycnn.datasets.Augmentation`.
        checkpoint : path, optional
            A folder in which the state of the run is kept, after each epoch and each minute. The same call
            goes on from there, in a new process too (one at a time) if the model has the same `seed`, and
            ends with the same bits.

        Returns
        -------
        History

        Raises
        ------
        ValueError
            Before `compile`, for data that do not fit the model, or a `checkpoint` of another run.
        """
        self._compiled()
        checks.whole("batch_size", batch_size, 1)
        checks.whole("epochs", epochs, 0)
        fraction = checks.real("validation_split", validation_split, 0, 1, below=True)
        if fraction and validation_data is not None:
            raise ValueError("validation: expected validation_data or validation_split, received both")
        data = self._data(x, y)
        kept = validation_data
        if kept is not None:
            kept = self._data(*checks.x_and_y("validation_data", kept))
        checks.flag("shuffle", shuffle)
        settings = loop.Settings(batch_size, epochs, fraction, shuffle, augment, checkpoint)
        return loop.fit(self, data, kept, settings, callbacks, verbose)

    def train_on_batch(self, x: np.ndarray, y: np.ndarray) -> float | list[float]:
        """Take one step; return the loss, or [loss, metric, ...] if there are metrics."""
        self._compiled()
        results = self.train_step(*self._data(x, y))
        return results if self.metrics else results[0]

    def evaluate(
        self, x: np.ndarray, y: np.ndarray, batch_size: int = 128, return_dict: bool = False
    ) -> float | list[float] | dict[str, float]:
        """Return the mean loss, or [loss, metric, ...] if there are metrics, or all of them by name."""
        self._compiled()
        results = loop.evaluate(self, self._data(x, y), checks.whole("batch_size", batch_size, 1))
        if return_dict:
            return results
        return list(results.values()) if self.metrics else results["loss"]

    def predict(self, x: np.ndarray, batch_size: int = 128) -> np.ndarray:
        """Return the outputs for images (N, H, W, C), computed batch by batch.

        After `compile`, a batch of up to 8 images is computed one by one, unless `fuse` is False or an
        algorithm is requested. That can round differently than a larger batch does.
        """
        x = self._images(x)
        if type(batch_size) is not int or batch_size < 1:
            checks.whole("batch_size", batch_size, 1)
        if len(x) <= batch_size:
            return self.forward(x)
        starts = range(0, len(x), batch_size)
        return np.concatenate([self.forward(x[start : start + batch_size]) for start in starts])

    def _compiled(self) -> tuple[optimizers.Optimizer, losses.Loss]:
        if self.optimizer is None or self.loss is None:
            raise ValueError(f"{self.name}: call model.compile(optimizer, loss) first")
        return self.optimizer, self.loss

    def _data(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return images and labels, checked."""
        x, y = self._images(x), np.asarray(y)
        if y.ndim == 0 or len(x) != len(y) or not len(x):
            raise ValueError(f"y: expected labels for {len(x)} images (at least 1), received shape {y.shape}")
        return x, y

    def _images(self, x: np.ndarray) -> np.ndarray:
        """Return images in the model's dtype, checked; build the model if that was left to the data."""
        x = np.asarray(x)
        if x.dtype.kind != "f":
            raise ValueError(
                f"x: expected floats in [0, 1], received {x.dtype}; for pixels from 0 to 255 use "
                "tinycnn.datasets.scale_images"
            )
        if self.input_shape is None:
            self.build(x.shape[1:])
        if x.shape[1:] != self.input_shape:
            checks.shape("x", x.shape, (None, *(self.input_shape or ())))
        return x.astype(self.dtype, copy=False)

    # Weights, files and descriptions.

    @property
    def metric_names(self) -> list[str]:
        """The names of what `evaluate` and `train_on_batch` return."""
        return ["loss", *self.metrics]

    @property
    def parameter_names(self) -> list[str]:
        """The names of all parameters, "layer/parameter", trainable or not, in their order."""
        return [f"{layer.name}/{name}" for layer in self.layers for name in layer.params]

    def named_weights(self) -> list[tuple[str, np.ndarray]]:
        """Return every weight with its name, layer by layer: parameters, then state."""
        return parameter_vectors.named_weights(self.layers)

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all weights, in Keras' order."""
        return [array.copy() for _, array in self.named_weights()]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Copy weights in, in the order of `get_weights`; see `tinycnn.parameters.set_weights`."""
        parameter_vectors.set_weights(self.layers, weights)

    def save(self, path: str | os.PathLike[str], include_optimizer: bool = True) -> None:
        """Write the model to a file: `.h5` (Keras reads it too) or `.npz` (needs NumPy only).

        The optimizer's moments and the position in the run are saved too, so that a model that is loaded
        trains on as if it had never stopped. See `tinycnn.load_model`.
        """
        saving.write(path, conversion.take(self, include_optimizer))

    def count_params(self, input_shape: Sequence[int] | None = None) -> int:
        """Return the number of values in all weights; `input_shape` is for a model that is not built."""
        shape = self.input_shape if input_shape is None else tuple(input_shape)
        if shape is None:
            raise ValueError(f"{self.name}: call model.build(input_shape) first, or give an input_shape")
        shapes = [shape, *self._output_shapes(shape)]
        return sum(layer.count_params(s) for layer, s in zip(self.layers, shapes[:-1], strict=True))

    def summary(self, verbose: bool = False, line_length: int = LINE_LENGTH) -> str:
        """Print the table of the layers, and return it; `verbose` adds the algorithms."""
        if self.input_shape is None:
            raise ValueError(f"{self.name}: call model.build(input_shape) before summary")
        shapes, rows = self._output_shapes(self.input_shape), self.plan().rows() if verbose else None
        text = summary_text(self.layers, shapes, rows, line_length)
        print(text)
        return text

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to make the same model with fresh weights, JSON-able."""
        return {
            "name": self.name,
            "seed": self.seed,
            "dtype": self.dtype.name,
            "input_shape": self.input_shape,
            "layers": [
                {"class_name": type(x).__name__, "config": x.get_config(), "trainable": x.trainable}
                for x in self.layers
            ],
        }

    @classmethod
    def from_config(cls: type[AnySequential], config: dict[str, Any]) -> AnySequential:
        """Return a new model from what `get_config` returned."""
        stack = []
        for entry in config["layers"]:
            layer = layer_classes.from_config(entry["class_name"], entry["config"])
            layer.trainable = entry["trainable"]
            stack.append(layer)
        return cls(stack, config["seed"], config["input_shape"], config["dtype"], config["name"])

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int | slice | str) -> Any:
        """Return a layer by number or name, or a list of layers."""
        if isinstance(index, str):
            by_name = {str(layer.name): layer for layer in self.layers}
            return by_name[checks.choice("layer", index, by_name)]
        return self.layers[index]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __repr__(self) -> str:
        lines = "".join(f"    {layer!r},\n" for layer in self.layers)
        return f"{type(self).__name__}([\n{lines}], seed={self.seed}, input_shape={self.input_shape})"
