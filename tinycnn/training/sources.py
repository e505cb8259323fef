"""Sources of batches: arrays, or any iterable of batches, behind one interface.

::

    x, y, weights (arrays)                 -> Arrays  -> epoch(number) -> Batch, Batch, ...
    iterable of (x, y) or (x, y, weights)  -> Batches -> epoch(number) -> Batch, Batch, ...

An iterable is a generator, an object with `__iter__` such as a PyTorch DataLoader, or one with `__len__` and
`__getitem__` such as Keras' Sequence. Of an endless one no batch more is taken than is used.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tinycnn.support import checks
from tinycnn.training.batches import epoch_order

END = object()  # of an iterable


class Batch(NamedTuple):
    """A batch of images.

    Attributes
    ----------
    x, y : ndarray
        Images and labels.
    weights : ndarray of shape (N,) or None
        How much each image counts; None means 1.
    samples : ndarray of shape (N,) of int64
        The numbers of the images in the data.
    """

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None
    samples: np.ndarray


class Arrays:
    """Batches of arrays.

    Parameters
    ----------
    data : (x, y, weights)
        Arrays of one length, at least 1; weights may be None.
    batch_size : int
        The last batch of an epoch may be smaller.
    seed : int, optional
        If given, each epoch has an order of its own, which follows from the seed and the epoch's number.
    steps : int, optional
        Batches in an epoch; by default those that all images fill, and never more.
    rows : ndarray of shape (N,), optional
        Where the images are a part of the user's arrays, their numbers there, for messages.

    Attributes
    ----------
    samples, steps : int
        Images, at most, and batches in an epoch.
    exhausted : False
        See `Batches`.
    """

    exhausted = False

    def __init__(
        self,
        data: tuple[np.ndarray, np.ndarray, np.ndarray | None],
        batch_size: int,
        seed: int | None = None,
        steps: int | None = None,
        rows: np.ndarray | None = None,
    ) -> None:
        self.data, self.batch_size, self.seed, self._rows = data, batch_size, seed, rows
        images = len(data[0])
        self._most = -(-images // batch_size)
        if steps is not None and steps > self._most:
            raise ValueError(
                f"steps: expected at most {self._most}, as {images} images in batches of {batch_size} give, "
                f"received {steps}"
            )
        self.steps = self._most if steps is None else steps
        self.samples = min(images, self.steps * batch_size)

    def first(self, epoch: int) -> Batch:
        """Return the first image as a batch, to look at."""
        x, y, weights = self.data
        return Batch(x[:1], y[:1], None if weights is None else weights[:1], np.arange(1))

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, without the first `skip` ones.

        With fewer steps than fill all images, an epoch begins where the one before ended, as in Keras. After
        the last images the first ones follow, in another order if there is a seed.
        """
        x, y, weights = self.data
        cycle, order = -1, np.arange(0)
        for step in range(number * self.steps + skip, (number + 1) * self.steps):
            if cycle != step // self._most:
                cycle = step // self._most
                order = np.arange(len(x)) if self.seed is None else epoch_order(self.seed, cycle, len(x))
            start = step % self._most * self.batch_size
            samples = order[start : start + self.batch_size]
            # a slice is a view, rows in another order are a copy
            rows = slice(start, start + len(samples)) if self.seed is None else samples
            yield Batch(x[rows], y[rows], None if weights is None else weights[rows], samples)

    def names(self, array: str, batch: Batch, rows: np.ndarray) -> list[str]:
        """Return the elements of a user's array that rows of a batch are, as "x[7]"."""
        numbers = batch.samples[rows] if self._rows is None else self._rows[batch.samples[rows]]
        return [f"{array}[{number}]" for number in numbers]


class Batches:
    """Batches of an iterable.

    Parameters
    ----------
    name : str
        That of the argument, for messages.
    batches : iterable
        Of (x, y) or (x, y, weights).
    check : callable
        (x, y, weights) -> the three as arrays, checked.
    seed : int, optional
        If given, and `batches` has `__len__` and `__getitem__`, each epoch has its own order of batches.
    steps : int, optional
        Batches in an epoch. An epoch then begins where the one before ended, and an iterable that ends begins
        again. By default an epoch is one iteration.

    Attributes
    ----------
    samples : None
        Images in an epoch: unknown.
    steps : int or None
        Batches in an epoch, if it is known.
    exhausted : bool
        Whether the iterable has ended too early, and cannot begin again.

    Raises
    ------
    TypeError
        For something that gives no batches.
    """

    samples = None
    exhausted = False

    def __init__(
        self,
        name: str,
        batches: Any,
        check: Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray | None]],
        seed: int | None = None,
        steps: int | None = None,
    ) -> None:
        self.name, self.batches, self._check, self.seed = name, batches, check, seed
        self._indexed = hasattr(batches, "__getitem__") and hasattr(batches, "__len__")
        self._in_steps = steps is not None
        self._running: Iterator[Any] | None = None
        self.steps = steps if steps is not None else _length(batches)

    @property
    def only_once(self) -> bool:
        """Whether the iterable is a generator, or another iterator, which cannot begin again."""
        return isinstance(self.batches, Iterator)

    def first(self, epoch: int) -> Batch:
        """Return the first batch of the first epoch, to look at; `epoch` will yield it too."""
        running = self._items(epoch)
        for item in running:
            self._running = itertools.chain([item], running)
            return self._batch(item, 0)
        raise ValueError(f"{self.name}: expected at least one batch, received none")

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch. There are fewer, with a warning, when a generator ends early."""
        if self._running is None:
            self._running = self._items(number)
        count = samples = 0
        restarted = False
        while not self._in_steps or count < (self.steps or 0):
            item = next(self._running, END)
            if item is END:
                self._running = None
                if not self._in_steps and count:
                    break
                if not self._in_steps or self.only_once or restarted:
                    self.exhausted = True
                    expected = f"{self.steps} batches" if self._in_steps else "at least one batch"
                    warnings.warn(
                        f"{self.name}: expected {expected}, received {count} before the end; "
                        "give fewer steps or epochs, or an object that can be iterated again",
                        UserWarning,
                        stacklevel=2,
                    )
                    return
                self._running, restarted = self._items(number), True
                continue
            restarted = False
            batch = self._batch(item, samples)
            count, samples = count + 1, samples + len(batch.x)
            yield batch
        ended = getattr(self.batches, "on_epoch_end", None)
        if callable(ended):  # a Keras Sequence shuffles itself there
            ended()

    def names(self, array: str, batch: Batch, rows: np.ndarray) -> list[str]:
        """Return rows of a batch, as "x[7] of the batch"."""
        return [f"{array}[{row}] of the batch" for row in rows]

    def _items(self, epoch: int) -> Iterator[Any]:
        if not self._indexed or isinstance(self.batches, Iterator):
            return iter(self.batches)
        count = len(self.batches)
        order = range(count) if self.seed is None else epoch_order(self.seed, epoch, count)
        return (self.batches[int(index)] for index in order)

    def _batch(self, item: Any, start: int) -> Batch:
        if not isinstance(item, tuple | list) or not 2 <= len(item) <= 3:
            received = f"{len(item)} items" if isinstance(item, tuple | list) else type(item).__name__
            raise checks.ArgumentTypeError(
                f"{self.name}: expected batches (x, y) or (x, y, weights), received {received}"
            )
        x, y, weights = self._check(*item)
        return Batch(x, y, weights, np.arange(start, start + len(x)))


def gives_batches(x: Any) -> bool:
    """Return whether an argument is an iterable of batches rather than an array or a list of numbers."""
    if hasattr(x, "shape") or isinstance(x, str | bytes | dict):
        return False
    if isinstance(x, tuple | list):
        return bool(x) and isinstance(x[0], tuple | list) and any(hasattr(part, "shape") for part in x[0])
    return hasattr(x, "__iter__") or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))


def _length(batches: Any) -> int | None:
    try:
        return len(batches)
    except TypeError:  # a generator; a DataLoader over an endless data set
        return None


def class_weights(y: np.ndarray, class_weight: Any) -> np.ndarray:
    """Return the weight of each image by its class.

    Parameters
    ----------
    y : ndarray of shape (N,), (N, 1) or (N, classes)
        Class numbers, or one-hot rows.
    class_weight : dict of int to float
        A class that is not in it has weight 1.

    Returns
    -------
    ndarray of shape (N,) of float64
    """
    if not isinstance(class_weight, dict):
        raise checks.ArgumentTypeError(
            f"class_weight: expected a dictionary from class numbers to weights, received {class_weight!r}"
        )
    labels = y.argmax(axis=1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(-1)
    weights = np.ones(len(labels))
    for number, weight in class_weight.items():
        weights[labels == checks.whole("class_weight: class", number, 0)] = checks.real(
            "class_weight", weight, 0
        )
    return weights
