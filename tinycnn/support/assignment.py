"""Assignment to the attributes of an object that is finished: it acts everywhere, or it is refused.

::

    layer.rate = 0.3        -> Argument  -> checked as the constructor checks it, then stored
    model.layers = [...]    -> Fixed     -> ValueError, which says what to do instead
    model.optimizer = opt   -> Converted -> converted, then stored
    model.parameters = v    -> CopiedInto -> copied into the array that is there

The four are data descriptors without `__get__`. So Python finds the value in the object's own dictionary at
full speed when it is read, and calls `__set__` when it is assigned.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinycnn.support import checks, constructor

#: What a user of Keras may give to a constructor, and where it belongs here.
HABITS = {
    "batch_input_shape": "give input_shape, without the batch axis, to Sequential",
    "data_format": "images are (N, H, W, C), the channels last",
    "decay": "give a schedule of tinycnn.optimizers.schedules as learning_rate",
    "dtype": "give it to Sequential",
    "input_dim": "give input_shape to Sequential",
    "input_shape": "give it to Sequential",
    "lr": "it is called learning_rate",
    "seed": "give it to Sequential",
}


class Constructed:
    """Base class of objects whose constructor arguments may be assigned later.

    An assignment makes a second object, with the one argument changed, and takes the argument from it. So the
    constructor's checks and conversions are those of assignment too. A class must compute what follows from
    an argument when it is needed, not store it.
    """

    #: The attributes that an object has when its constructor ends.
    _finished: frozenset[str] = frozenset()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__init__" in vars(cls):
            cls.__init__ = _finishing(cls.__init__)  # type: ignore[method-assign]
        for name in constructor.names(cls):
            if not hasattr(getattr(cls, name, None), "__set__"):
                setattr(cls, name, Argument(name))

    def _with_argument(self, name: str, value: Any) -> Any:
        """Return a new object with one constructor argument changed.

        It may be an argument of a base class alone, such as the name of a layer whose constructor takes none.
        """
        kind = type(self)
        if name in constructor.names(kind):
            return kind(**{**constructor.arguments(self), name: value})
        base: Any = next(cls for cls in kind.__mro__ if name in constructor.names(cls))
        changed = object.__new__(kind)
        vars(changed).update((key, kept) for key, kept in vars(self).items() if key != "_finished")
        given = {other: getattr(self, other) for other in constructor.names(base)}
        base.__init__(changed, **{**given, name: value})
        return changed

    def _accept(self, name: str, changed: Any) -> None:
        """Raise ValueError when an argument cannot change to what the object `changed` has."""


def _finishing(init: Callable[..., None]) -> Callable[..., None]:
    """Return a constructor that ends by marking the object as finished."""
    parameters = inspect.signature(init).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())

    @functools.wraps(init)
    def finishing(self: Any, *args: Any, **kwargs: Any) -> None:
        if not takes_any and not kwargs.keys() <= parameters.keys():
            _refuse_argument(
                type(self).__name__, next(name for name in kwargs if name not in parameters), parameters
            )
        init(self, *args, **kwargs)
        if type(self).__init__ is finishing:  # not when a subclass calls its base's constructor
            vars(self)["_finished"] = frozenset(vars(self))

    return finishing


def _refuse_argument(owner: str, name: str, known: Iterable[str]) -> None:
    """Raise TypeError for an argument that a constructor does not have; say what may be meant."""
    known = [other for other in known if other != "self"]
    close = difflib.get_close_matches(name, known, 1)
    expected = f"did you mean {close[0]!r}?" if close else f"expected {', '.join(known) or 'no arguments'}"
    raise TypeError(f"{owner}: unexpected argument {name!r}; {HABITS.get(name, expected)}")


def unknown_attributes(thing: Any, known: Iterable[str]) -> list[str]:
    """Return the attributes that were assigned to an object of this library and mean nothing to it.

    An object of a class of one's own may have any.
    """
    if not type(thing).__module__.startswith(__name__.partition(".")[0] + "."):
        return []
    return [name for name in vars(thing) if name not in known and not name.startswith("_")]


class Argument:
    """Descriptor of a constructor argument."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __set__(self, thing: Any, value: Any) -> None:
        """Store the value; check it first when the object is finished."""
        name = self.name
        if "_finished" in vars(thing) and constructor.is_complete(thing):
            changed = thing._with_argument(name, value)
            thing._accept(name, changed)
            value = getattr(changed, name)
        vars(thing)[name] = value


class Fixed:
    """Descriptor of an attribute that is stored once.

    Parameters
    ----------
    cure : str
        What to do instead of assigning.
    until : callable, optional
        Of the object: whether it may be assigned still.
    """

    def __init__(self, cure: str, until: Callable[[Any], bool] | None = None) -> None:
        self.cure, self.until = cure, until

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __set__(self, thing: Any, value: Any) -> None:
        """Store the first value; raise ValueError for others."""
        if self.name in vars(thing) and not (self.until and self.until(thing)):
            raise ValueError(f"{type(thing).__name__}.{self.name} cannot be replaced: {self.cure}")
        vars(thing)[self.name] = value


class Converted:
    """Descriptor of an attribute that is converted, and so checked, whenever it is assigned.

    Parameters
    ----------
    convert : callable
        (object, value) -> the value to store.
    """

    def __init__(self, convert: Callable[[Any, Any], Any]) -> None:
        self.convert = convert

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __set__(self, thing: Any, value: Any) -> None:
        """Store the converted value."""
        vars(thing)[self.name] = self.convert(thing, value)


class CopiedInto:
    """Descriptor of an array that others hold views of: an assignment copies values into it."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __set__(self, thing: Any, value: Any) -> None:
        """Copy the values; raise ValueError for another shape."""
        array: np.ndarray = vars(thing)[self.name]
        checks.shape(self.name, np.shape(value), array.shape)
        array[...] = value


class Owned:
    """Base class of objects that belong to one model at most.

    Two models that shared a layer or an optimizer would take turns in changing it, and neither would notice.
    """

    _owner: Any = None  # a weak reference

    def _claim(self, owner: Any, used: bool, cure: str) -> None:
        """Record the owner; raise ValueError when another model owns the object, or has left it `used`."""
        previous = self._owner and self._owner()
        if previous is not owner and (previous is not None or (self._owner is not None and used)):
            raise ValueError(f"{self!r} belongs to another model; {cure}")
        self._owner = weakref.ref(owner)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle takes along: everything except the owner."""
        return {name: value for name, value in vars(self).items() if name != "_owner"}

    def __copy__(self) -> Any:
        """Return a deep copy: a shallow one would share arrays."""
        import copy

        return copy.deepcopy(self)


def own(array: Any) -> Any:
    """Return an array that can be written to: itself, or a copy if it is read-only or mapped from a file.

    Copies that come from another process, as joblib's do, are read-only.
    """
    if isinstance(array, np.ndarray) and (type(array) is not np.ndarray or not array.flags.writeable):
        return np.array(array)
    return array
