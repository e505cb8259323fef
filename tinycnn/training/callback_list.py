"""The callbacks of a run as one: every event goes to each of them, in their order.

::

    fit -> CallbackList.session -> on_train_begin ... events ... on_train_end, also after an error
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from tinycnn.saving.model import Model
from tinycnn.training.callbacks import Callback


class CallbackList:
    """The progress display and the user's callbacks.

    Parameters
    ----------
    progress : list of Callback
        Come first; a checkpoint does not keep their state.
    callbacks : iterable of Callback
        Sorted by `Callback.priority`, the order they were given in decides among equals.

    Attributes
    ----------
    callbacks : list of Callback
        The user's, sorted.
    """

    def __init__(self, progress: list[Callback], callbacks: Iterable[Callback]) -> None:
        self.progress = progress
        self.callbacks = sorted(callbacks, key=lambda callback: callback.priority)

    def __iter__(self) -> Iterator[Callback]:
        return iter([*self.progress, *self.callbacks])

    @contextmanager
    def session(self, model: Model, params: dict[str, int]) -> Iterator[None]:
        """Begin the run for each callback, and end it for each that began, whatever happens between."""
        for callback in self:
            callback.model, callback.params = model, params
        began: list[Callback] = []
        try:
            for callback in self:
                callback.on_train_begin()
                began.append(callback)
            yield
        finally:
            with ExitStack() as ends:  # calls the last first, so they end in their order
                for callback in reversed(began):
                    ends.callback(callback.on_train_end)

    def notify(self, event: str, *arguments: object) -> None:
        """Call the method `event` of each callback."""
        for callback in self:
            getattr(callback, event)(*arguments)

    @property
    def interrupted(self) -> bool:
        """Whether a callback interrupts the run, which may go on later."""
        return any(callback.interrupted for callback in self)
