"""The callbacks of a run as one: every event goes to each of them, in their order.

::

    fit -> CallbackList.session -> on_train_begin ... events ... on_train_end, also after an error
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tinycnn.saving.model import Model
from tinycnn.support import checks
from tinycnn.training.callbacks import Callback


class CallbackList:
    """The progress display and the user's callbacks.

    Parameters
    ----------
    progress : list of Callback
        Come first; a checkpoint does not keep their state.
    callbacks : iterable of Callback, or Callback
        Sorted by `Callback.priority`, the order they were given in decides among equals.
    main : bool
        Whether this is the process that writes files; others leave out each `Callback.main_only`.

    Attributes
    ----------
    callbacks : list of Callback
        The user's, sorted.

    Raises
    ------
    TypeError
        For something that is no callback.
    """

    def __init__(
        self,
        progress: list[Callback],
        callbacks: Iterable[Callback] | Callback | None,
        main: bool = True,
    ) -> None:
        self.progress = progress
        given = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
        for callback in given:
            if not isinstance(callback, Callback):
                raise checks.ArgumentTypeError(
                    f"callbacks: expected objects of tinycnn.training.Callback, received {callback!r}"
                )
        given = [callback for callback in given if main or not callback.main_only]
        self.callbacks = sorted(given, key=lambda callback: callback.priority)
        self._receivers: dict[str, list[Callable[..., Any]]] = {}

    @property
    def shared(self) -> list[Callback]:
        """The user's callbacks that each process of a job has."""
        return [callback for callback in self.callbacks if not callback.main_only]

    def __iter__(self) -> Iterator[Callback]:
        return iter([*self.progress, *self.callbacks])

    @contextmanager
    def session(
        self, model: Model, params: dict[str, Any], what: str = "train"
    ) -> Iterator[dict[str, float]]:
        """Begin the run for each callback, and end it for each that began, whatever happens between.

        It yields the logs of the last event, to be filled.

        Parameters
        ----------
        model : Model
        params : dict
            See `Callback.params`.
        what : "train", "test" or "predict"
        """
        for callback in self:
            callback.set_model(model)
            callback.set_params(params)
        began: list[Callback] = []
        logs: dict[str, float] = {}
        try:
            for callback in self:
                receive(callback, f"on_{what}_begin")
                began.append(callback)
            yield logs
        finally:
            with ExitStack() as ends:  # calls the last first, so they end in their order
                for callback in reversed(began):
                    ends.callback(receive, callback, f"on_{what}_end", logs)

    def notify(self, event: str, *arguments: object) -> None:
        """Call the method `event` of each callback that has one of its own."""
        if event not in self._receivers:
            default = vars(Callback)[event]
            own = [c for c in self if getattr(getattr(c, event), "__func__", None) is not default]
            self._receivers[event] = [_receiver(callback, event, len(arguments)) for callback in own]
        for receiver in self._receivers[event]:
            receiver(*arguments)

    def handle(self, event: str, *arguments: object) -> bool:
        """Call the method `event` of the callbacks that each process has, until one returns True."""
        return any(receive(callback, event, *arguments) is True for callback in self.shared)

    @property
    def interrupted(self) -> bool:
        """Whether a callback interrupts the run, which may go on later."""
        return any(callback.interrupted for callback in self)


def receive(callback: Callback, event: str, *arguments: object) -> Any:
    """Call the method `event` of a callback, and return what it returns."""
    return _receiver(callback, event, len(arguments))(*arguments)


def _receiver(callback: Callback, event: str, count: int) -> Callable[..., Any]:
    """Return the method `event` of a callback, called with `count` arguments or as many as it takes.

    In Keras every event has the argument `logs`, and only ends have figures in it; a method may leave it out.
    """
    method = getattr(callback, event)
    given = count if event.endswith("_end") else count + 1  # and `logs`, which is empty
    try:
        inspect.signature(method).bind(*range(given))
    except ValueError:  # some functions written in C have no signature
        return method
    except TypeError:
        return lambda *arguments: method(*(*arguments, {})[: given - 1])
    return method if given == count else lambda *arguments: method(*arguments, {})
