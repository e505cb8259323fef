"""A model: a network that is trained, evaluated and used on many batches, and is saved.

::

    fit = train_step over batches and epochs;  evaluate, predict, activations;  save, summary

What happens with one batch is in `tinycnn.network`, the layers and their weights are in `tinycnn.stack`. The
loops over batches and epochs are in `tinycnn.training.loop`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn import saving
from tinycnn.inspection.activations import activations
from tinycnn.inspection.blocks import network_html
from tinycnn.inspection.costs import cost_text, costs
from tinycnn.inspection.summary import LINE_LENGTH, summary_text
from tinycnn.layers import Layer
from tinycnn.network import Network
from tinycnn.saving import conversion
from tinycnn.support import checks
from tinycnn.training import Callback, History, loop, progress, setup
from tinycnn.training.callback_list import CallbackList
from tinycnn.training.sources import Arrays, gives_batches

if TYPE_CHECKING:
    from tinycnn.inspection.image_explanation import ImageExplanation


class Sequential(Network):
    """A stack of layers.

    Parameters
    ----------
    layers : iterable of Layer
        An `InputLayer` may come first, instead of `input_shape`.
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

    def _start(self) -> None:
        """See `Stack`."""
        super()._start()
        self.history = History()
        self.stop_training = False
        self.input_check: Callable[[np.ndarray], None] | None = None

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
            goes on from there, in a new process too if the model has the same `seed`, and ends with the same
            bits. One run at a time has the folder. On Ctrl-C or SIGTERM the step is finished and saved before
            the signal has its effect. The data must be arrays.
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
        NonFiniteError
            Before a step whose loss or gradients are NaN or infinite, unless a callback handles it.
        OSError
            When the first or the last state of the run cannot be written to the `checkpoint`.

        Warns
        -----
        UserWarning
            When nothing can be learned, the loss of the validation is not finite, or a generator ends early.
        """
        self._compiled()
        checks.whole("epochs", epochs, 0)
        if augment is not None and not callable(augment):
            raise checks.ArgumentTypeError(
                f"augment: expected a tinycnn.datasets.Augmentation or a function, received {augment!r}"
            )
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

    def activations(
        self, x: np.ndarray, layers: Iterable[str | int | Layer] | None = None, batch_size: int = 128
    ) -> dict[str, np.ndarray]:
        """Return the outputs of layers by their names; see `tinycnn.inspection.activations`."""
        return activations(self, x, layers, batch_size)

    # Files and descriptions.

    def save(self, path: str | os.PathLike[str], include_optimizer: bool = True) -> None:
        """Write the model: `.h5`, `.keras` (Keras reads both), `.npz`, `.safetensors`, `.onnx`.

        Except in `.onnx`, the optimizer's moments and the position in the run are saved too, so that a model
        that is loaded trains on as if it had never stopped. See `tinycnn.load_model`.
        """
        saving.write(path, conversion.take(self, include_optimizer))

    def export(
        self, path: str | os.PathLike[str], format: str = "onnx", data_format: str = "channels_last"
    ) -> None:
        """Write what predicts for other tools; see `tinycnn.saving.export`."""
        saving.export(path, conversion.take(self, include_optimizer=False), format, data_format)

    def summary(
        self,
        verbose: bool = False,
        line_length: int = LINE_LENGTH,
        *,
        cost: bool = False,
        batch_size: int = 32,
    ) -> str:
        """Print the table of the layers, and return it.

        Parameters
        ----------
        verbose : bool
            Add the algorithms.
        line_length : int
            Characters in the first three columns.
        cost : bool
            Instead, show what each layer costs, with measured times; see `tinycnn.inspection.costs`.
        batch_size : int
            Images in each pass that is timed.
        """
        if self.input_shape is None:
            raise ValueError(f"{self.name}: call model.build(input_shape) before summary")
        if checks.flag("cost", cost):
            text = cost_text(costs(self, batch_size), batch_size)
            print(text)
            return text
        shapes, rows = self._shapes(self.input_shape)[1:], self.plan().rows() if verbose else None
        text = summary_text(self.layers, shapes, rows, line_length)
        print(text)
        return text

    def explain_image(self, x: np.ndarray, label: int | None = None) -> ImageExplanation:
        """Return what the model makes of one image; a notebook shows it as pictures.

        Parameters
        ----------
        x : ndarray of shape (H, W, C) or (1, H, W, C)
        label : int, optional
            The class that loss and saliency are of; by default the one that is predicted.

        Raises
        ------
        ValueError
            See `tinycnn.inspection.image_explanation.ImageExplanation`.
        """
        from tinycnn.inspection.image_explanation import ImageExplanation  # not for those who only train

        return ImageExplanation(self, x, label)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a picture, and the layers in a table."""
        return network_html(self)
