"""A network that can be trained: the public face of the library.

::

    x -> forward -> y_pred -> loss -> gradient -> backward -> optimizer      (one `train_step`)
    fit = train_step over batches and epochs;  evaluate, predict;  save

The stack of layers itself, and how its numbers are held, is in `tinycnn.network`; the loops over batches
and epochs are in `tinycnn.training.loop`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np

from tinycnn import chains, checks, losses, optimizers, saving, snapshots
from tinycnn.kernels.explanation import INPUT_GRADIENT, Pass
from tinycnn.layers import Dropout, Layer
from tinycnn.metrics import Metric
from tinycnn.metrics import get as get_metric
from tinycnn.network import Network
from tinycnn.optimizers import Part
from tinycnn.stages import Runnable, group
from tinycnn.training import Callback, History, loop


class Sequential(Network):
    """A stack of layers.

    Parameters
    ----------
    layers : iterable of Layer
    seed : int, optional
        From it follow the initial weights, dropout and shuffling: the same seed gives the same run, to the
        last bit. None draws one; `seed` records it.
    input_shape : tuple of int, optional
        Of one image, (H, W, C). When given, the model is built at once; else by `build` or `fit`.
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
        A callback sets it to end `fit` after the batch in hand.

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
        super().__init__(layers, seed, input_shape, dtype, name)
        self.optimizer: optimizers.Optimizer | None = None
        self.metrics: dict[str, Metric] = {}
        self.epochs_trained = self.steps_trained = 0
        self.history = History()
        self.stop_training = False
        self._fuse = False
        self._stages: list[Runnable] | None = None
        self._parts = chains.Parts(self)

    def compile(
        self,
        optimizer: str | optimizers.Optimizer = "adam",
        loss: str | losses.Loss = "sparse_categorical_crossentropy",
        metrics: Sequence[str] = (),
        fuse: bool = True,
    ) -> None:
        """Choose how to train. A second time begins with a fresh optimizer, unless one is given.

        Parameters
        ----------
        optimizer : str or Optimizer
            A name of `tinycnn.optimizers.OPTIMIZERS`, with Keras' defaults, or an object.
        loss : str or Loss
            A name of `tinycnn.losses.LOSSES`, or an object.
        metrics : sequence of str
            Names of `tinycnn.metrics.METRICS`.
        fuse : bool
            Whether layers that can run together do (`tinycnn.stages`); the numbers are the same but for
            rounding, and dropout the same to the bit.
        """
        if isinstance(metrics, str):
            raise ValueError(f'metrics: expected a list of names such as ["accuracy"], received {metrics!r}')
        self.metrics = {name: get_metric(name) for name in metrics}
        self.loss = losses.get(loss)
        self.optimizer = optimizers.get(optimizer)
        self._fuse, self._stages = checks.flag("fuse", fuse), None

    def add(self, layer: Layer) -> None:
        """See `Network.add`."""
        super().add(layer)
        self._stages = None  # it may run together with what was the last

    @property
    def stages(self) -> Sequence[Runnable]:
        """What runs, one after the other: layers, and once compiled, stages of several."""
        if not self._fuse:
            return self.layers
        if self._stages is None:
            self._stages = group(self.layers)
        return self._stages

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """See `Network.forward`. Once compiled, few images run one by one (`tinycnn.chains`)."""
        few = not training and self._fuse and self._parts.take(x)
        return self._parts.forward(x) if few else super().forward(x, training)

    def train_step(self, x: np.ndarray, y: np.ndarray) -> list[float]:
        """Take one step of the optimizer; return the loss and the metrics before it."""
        optimizer = self._compiled()
        self._set_step(self.steps_trained)
        y_pred = self.forward(x, training=True)
        figures = [self.loss(y, y_pred), *(metric(y, y_pred) for metric in self.metrics.values())]
        self._assign_gradients(self.loss.gradient(y, y_pred))
        optimizer.step(self.parameters, self.gradients, self.trainable_parts())
        self.steps_trained += 1
        return figures

    def _assign_gradients(self, dy: np.ndarray) -> None:
        """Assign `gradients` as `backward` does, for a step: no dx of the images, and memory given back."""
        for stage in reversed(self.stages[1:]):
            dy = stage.backward(dy)
            stage.forget()
        for stage in self.stages[:1]:
            stage.backward_params(dy)
            stage.forget()

    def passes(self) -> list[Pass]:
        """See `Network.passes`. Once compiled, it is those of a step, as `_assign_gradients` takes it."""
        rows = super().passes()
        unneeded = () if self.optimizer is None else (self.layers[0].name, INPUT_GRADIENT)
        reason = "nobody needs the gradient of the images"
        return [row._replace(algorithm="none", reason=reason) if row[:2] == unneeded else row for row in rows]

    def notes(self) -> list[str]:
        """See `Network.notes`."""
        return [*super().notes(), *(self._parts.notes() if self._fuse else [])]

    def _set_step(self, step: int) -> None:
        """Name the dropout masks of the next training forward."""
        for layer in self.layers:
            if isinstance(layer, Dropout):
                layer.step = step

    def trainable_parts(self) -> list[Part]:
        """Return the stretches of `parameters` that belong to trainable layers, one for each weight."""
        parts: list[Part] = []
        start = 0
        for layer in self.layers:
            for name, array in layer.params.items():
                if layer.trainable:
                    parts.append(Part(slice(start, start + array.size), f"{layer.name}/{name}"))
                start += array.size
        return parts

    @property
    def metric_names(self) -> list[str]:
        """The names of what `evaluate` and `train_on_batch` return."""
        return ["loss", *self.metrics]

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
        kept = None if validation_data is None else self._data(*validation_data)
        checks.flag("shuffle", shuffle)
        settings = loop.Settings(batch_size, epochs, fraction, shuffle, augment, checkpoint)
        return loop.fit(self, data, kept, settings, callbacks, verbose)

    def train_on_batch(self, x: np.ndarray, y: np.ndarray) -> float | list[float]:
        """Take one step; return the loss, or [loss, metric, ...] when there are metrics."""
        self._compiled()
        figures = self.train_step(*self._data(x, y))
        return figures if self.metrics else figures[0]

    def evaluate(
        self, x: np.ndarray, y: np.ndarray, batch_size: int = 128, return_dict: bool = False
    ) -> float | list[float] | dict[str, float]:
        """Return the mean loss, or [loss, metric, ...] when there are metrics, or both by name."""
        self._compiled()
        figures = loop.evaluate(self, self._data(x, y), checks.whole("batch_size", batch_size, 1))
        if return_dict:
            return figures
        return list(figures.values()) if self.metrics else figures["loss"]

    def predict(self, x: np.ndarray, batch_size: int = 128) -> np.ndarray:
        """Return the outputs for images (N, H, W, C), computed batch by batch."""
        x = self._images(x)
        starts = range(0, max(len(x), 1), checks.whole("batch_size", batch_size, 1))
        return np.concatenate([self.forward(x[start : start + batch_size]) for start in starts])

    def _compiled(self) -> optimizers.Optimizer:
        if self.optimizer is None:
            raise ValueError(f"{self.name}: expected compile(optimizer, loss) first, received none")
        return self.optimizer

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
        if not self.built:
            self.build(x.shape[1:])
        checks.shape("x", x.shape, (None, *(self.input_shape or ())))
        return x.astype(self.dtype, copy=False)

    def save(self, path: str | os.PathLike[str], include_optimizer: bool = True) -> None:
        """Write the model to a file: `.h5` (Keras reads it too) or `.npz` (needs NumPy only).

        The optimizer's moments and the position in the training travel too, so that a model that is loaded
        trains on as if it had never stopped. See `tinycnn.load_model`.
        """
        saving.write(path, snapshots.take(self, include_optimizer))
