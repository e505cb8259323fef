"""The classifier: scikit-learn's contract around `Sequential`.

::

    fit: X, y -> checked -> network (networks.py) -> compile, Sequential.fit on a share of the cores -> model_
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.class_weight import compute_class_weight
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as missing:
    raise ImportError(
        f'tinycnn.sklearn needs scikit-learn 1.6 or newer: pip install "tinycnn[sklearn]" ({missing})'
    ) from missing

from tinycnn import Sequential, optimizers
from tinycnn.kernels.runtime.availability import obstacle
from tinycnn.sklearn import data, networks
from tinycnn.sklearn.networks import PREFIX
from tinycnn.support import checks
from tinycnn.support.sample_weights import row_weights
from tinycnn.training import Callback, EarlyStopping, LambdaCallback


class CNNClassifier(ClassifierMixin, BaseEstimator):
    """A network of this library as a classifier of scikit-learn.

    Parameters
    ----------
    model : None, "mnist_cnn" or callable
        None is `small_network`. A function (input_shape, classes, ...) returns a list of layers or a
        `Sequential`, of any layers that end with a softmax over the classes. A `Sequential` whose weights
        were loaded or trained keeps them, and its seed; any other has initial weights by `random_state`.
    image_shape : tuple of int, optional
        (H, W) or (H, W, C) of one image, for X with one row an image; (features,) for rows that are no
        images. By default, images have the axes of X; rows of 64 or more features, a square number, are
        square grey images; other rows are no images.
    optimizer : str or Optimizer
        An object is copied for each fit.
    learning_rate : float or Schedule, optional
        By default the optimizer's own.
    batch_size, epochs : int
    early_stopping : bool
        Whether to keep a share of the data for validation, in proportion to the classes, end when its loss
        has not become lower for some epochs, and return to the weights of the best epoch.
    validation_fraction : float
        That share.
    n_iter_no_change : int
        These epochs.
    class_weight : dict of label to float, or "balanced", optional
    random_state : int, RandomState or None
        Decides initial weights, dropout, the order of images and the split for validation.
    warm_start : bool
        Whether `fit` trains on from where the last one ended.
    verbose : int
        0 is silence, 1 a bar, 2 a line for each epoch.
    n_threads : int, optional
        Threads of kernels; by default a share of the cores, by which fits at the same time share them.
    **model__arguments
        With `model__` before their names, such as `model__filters=32`: keyword arguments of the function
        `model`. A grid may search them.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
    n_features_in_ : int
        The values of one image.
    feature_names_in_ : ndarray of str
        The columns, if X was a DataFrame whose columns have names.
    image_shape_ : tuple of int
        The input shape of the network: (H, W, C), or (features,).
    pixels_ : bool
        Whether X was of uint8, and so was divided by 255.
    model_ : Sequential
        The trained network.
    history_ : dict of str to list of float
        Figures of the last fit by epoch: "loss", "accuracy"; with early stopping also "val_loss" and so on.
    n_iter_ : int
        The epochs of the last fit.

    Notes
    -----
    Arrays of uint8 are pixels, and are divided by 255. No other values are changed, so that the parts of a
    cross-validation are treated alike; scale them in a pipeline. A classifier that was fitted on uint8
    predicts for uint8 only, and one that was not, for none. Weights of samples count in proportion to each
    other. Networks compute in float32.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from tinycnn.sklearn import CNNClassifier
    >>> classifier = CNNClassifier(epochs=3, random_state=0)
    >>> search = GridSearchCV(classifier, {"learning_rate": [0.001, 0.003], "model__filters": [8, 16]})
    >>> search.get_params()["estimator__model__units"]
    64
    """

    def __init__(
        self,
        model: str | Callable[..., Any] | None = None,
        *,
        image_shape: tuple[int, ...] | None = None,
        optimizer: str | optimizers.Optimizer = "adam",
        learning_rate: Any = None,
        batch_size: int = 64,
        epochs: int = 50,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        class_weight: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        n_threads: int | None = None,
        **model__arguments: Any,
    ) -> None:
        self.model = model
        self.image_shape = image_shape
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.n_threads = n_threads
        for name in model__arguments:
            if not name.startswith(PREFIX):
                raise TypeError(f"CNNClassifier has no argument {name!r}")
        self.__dict__.update(model__arguments)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> CNNClassifier:
        """Train a network, or with `warm_start` the network of the last fit.

        Parameters
        ----------
        X : array_like of shape (N, features), (N, H, W) or (N, H, W, C), or DataFrame
        y : array_like of shape (N,)
            Labels of any type that can be sorted.
        sample_weight : array_like of shape (N,), optional
            How much each image counts, beside `class_weight`.

        Returns
        -------
        CNNClassifier
            Itself.

        Raises
        ------
        ValueError
            For data that are no numbers, labels of fewer than two classes, or a parameter that does not fit.
        """
        continued = checks.flag("warm_start", self.warm_start) and hasattr(self, "model_")
        rows, y = self._checked(X, y, reset=not continued)
        classes = np.unique(y)
        if continued and not np.array_equal(classes, self.classes_):
            raise ValueError(f"y: expected the classes {self.classes_} with warm_start, received {classes}")
        weights = self._weights(y, classes, sample_weight)
        if weights is not None:
            data.check_classes(np.unique(y[weights > 0]), " with a weight above 0")
            weights = weights * (len(weights) / weights.sum())
        model = self.model_ if continued else self._new_model(classes)
        epochs, validation = checks.whole("epochs", self.epochs, 1), self._validation(len(y))
        return self._train(model, rows, y, classes, weights, epochs, validation)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> CNNClassifier:
        """Train for one epoch on a part of the data; the first call makes the network.

        Parameters
        ----------
        X, y, sample_weight
            See `fit`. Here weights are not scaled, since a part says nothing about the others.
        classes : array_like, optional
            All labels that will come; necessary in the first call.
        """
        first = not hasattr(self, "model_")
        rows, y = self._checked(X, y, reset=first)
        if first and classes is None:
            raise ValueError("classes: expected all labels in the first call of partial_fit, received none")
        known = np.unique(classes) if first else self.classes_
        if classes is not None and not np.array_equal(np.unique(classes), known):
            raise ValueError(f"classes: expected {known}, as in the first call, received {classes}")
        unknown = np.setdiff1d(y, known)
        if unknown.size:
            raise ValueError(f"y: expected labels of {known}, received {unknown}")
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight: expected a dictionary for partial_fit, received {self.class_weight!r}; "
                "a part of the data does not show how frequent the classes are"
            )
        weights = self._weights(y, known, sample_weight)
        model = self._new_model(known) if first else self.model_
        return self._train(model, rows, y, known, weights)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of the classes, of shape (N, classes) and float64; see `fit` for X."""
        check_is_fitted(self, "model_")
        rows, _ = self._checked(X, reset=False)
        with _share(self.n_threads):
            outputs = self.model_.predict(self._inputs(rows, self.model_), verbose=0).astype(np.float64)
        return outputs / outputs.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable label of each image; see `fit` for X."""
        most_probable = self.predict_proba(X).argmax(axis=1)
        return self.classes_[most_probable]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; if `deep`, also those that the function `model` has defaults for."""
        own = {name: value for name, value in vars(self).items() if name.startswith(PREFIX)}
        defaults = networks.defaults(self.model) if deep else {}
        return {**super().get_params(deep=deep), **defaults, **own}

    def set_params(self, **params: Any) -> CNNClassifier:
        """Set parameters by name; raise ValueError for one that does not exist."""
        own = {name: params.pop(name) for name in list(params) if name.startswith(PREFIX)}
        super().set_params(**params)
        networks.check_arguments(self.model, own)
        self.__dict__.update(own)
        return self

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn asks: images may have three axes and more."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _checked(self, X: Any, *labels: Any, reset: bool) -> tuple[np.ndarray, Any]:
        """Return rows (N, features), and labels if given, checked; `reset` is for those of a new network."""
        rows, axes = data.flattened(X, () if reset else self.image_shape_)
        if labels:
            rows, y = validate_data(self, rows, *labels, dtype="numeric", reset=reset)
            check_classification_targets(y)
        else:
            rows, y = validate_data(self, rows, dtype="numeric", reset=reset), None
        pixels = rows.dtype == np.uint8
        if reset:
            self.image_shape_: tuple[int, ...] = data.input_shape(axes or rows.shape[1:], self.image_shape)
            self.pixels_ = pixels
        if pixels != self.pixels_:
            wanted = "uint8, as in fit, which divided it by 255" if self.pixels_ else "no uint8, as in fit"
            raise ValueError(f"X: expected {wanted}, received {rows.dtype}")
        if axes and axes != self.image_shape_ and (*axes, 1) != self.image_shape_:
            raise ValueError(f"X: expected images of shape {self.image_shape_}, received {axes}")
        return rows, y

    def _inputs(self, rows: np.ndarray, model: Sequential) -> np.ndarray:
        """Return rows as a model takes them."""
        return data.numbers(rows, model.dtype).reshape(-1, *self.image_shape_)

    def _new_model(self, classes: np.ndarray) -> Sequential:
        """Return a network for images of `image_shape_`, compiled."""
        data.check_classes(classes, "")
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        own = {name: value for name, value in vars(self).items() if name.startswith(PREFIX)}
        model = networks.network(self.model, self.image_shape_, len(classes), own, seed)
        optimizer = optimizers.get(copy.deepcopy(self.optimizer))
        if self.learning_rate is not None:
            optimizer.learning_rate = copy.deepcopy(self.learning_rate)
        model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
        return model

    def _weights(self, y: np.ndarray, classes: np.ndarray, sample_weight: Any) -> np.ndarray | None:
        """Return the weight of each image by itself and by its class; None if all count alike."""
        weights = None if sample_weight is None else row_weights(sample_weight, len(y))
        if weights is not None and not (weights.min() >= 0 and weights.any()):
            raise ValueError(
                "sample_weight: expected numbers >= 0, and at least one non-zero number, received "
                f"{weights.min()} to {weights.max()}"
            )
        if self.class_weight is None:
            return weights
        if isinstance(self.class_weight, dict):
            for weight in self.class_weight.values():
                checks.real("class_weight", weight, 0)
        by_class = compute_class_weight(self.class_weight, classes=classes, y=y)
        by_image = by_class[np.searchsorted(classes, y)]
        return by_image if weights is None else by_image * weights

    def _validation(self, count: int) -> float:
        """Return the share of `count` images that early stopping watches; 0 without it."""
        if not checks.flag("early_stopping", self.early_stopping):
            return 0.0
        checks.whole("n_iter_no_change", self.n_iter_no_change, 1)
        fraction = checks.real("validation_fraction", self.validation_fraction, 0, 1, below=True)
        if not 0 < round(fraction * count) < count:
            raise ValueError(
                f"validation_fraction: expected an image on each side, received {fraction} of {count}"
            )
        return fraction

    def _train(
        self,
        model: Sequential,
        rows: np.ndarray,
        y: np.ndarray,
        classes: np.ndarray,
        weights: np.ndarray | None,
        epochs: int = 1,
        validation: float = 0.0,
    ) -> CNNClassifier:
        """Train a model, and then become its classifier."""
        with _share(self.n_threads) as share:
            callbacks: list[Callback] = []
            if share is not None:
                callbacks.append(LambdaCallback(on_batch_begin=lambda batch, logs: share.renew()))
            if validation:
                callbacks.append(EarlyStopping(patience=self.n_iter_no_change))
            history = model.fit(
                self._inputs(rows, model),
                np.searchsorted(classes, y),
                batch_size=self.batch_size,
                epochs=epochs,
                validation_split=validation,
                sample_weight=weights,
                callbacks=callbacks,
                verbose=int(self.verbose),
            )
        self.classes_, self.model_ = classes, model
        self.history_, self.n_iter_ = history.history, len(history.epoch)
        return self


def _share(count: int | None) -> AbstractContextManager[Any]:
    """Return a block that runs on a share of the cores; it gives None where nothing can be compiled."""
    if count is not None:
        checks.whole("n_threads", count, 1)
    if obstacle():
        return nullcontext()
    from tinycnn.kernels.runtime.shares import Share  # brings Numba

    return Share(count)
