"""Constructor arguments, read back from an object.

::

    Conv2D(32, 3) -> arguments -> {"filters": 32, "kernel_size": (3, 3), ...} -> Conv2D(**...)

Constructors store each argument in an attribute of its name, as scikit-learn's do. So the arguments can be
read back, and no class lists them a second time. Unlike in scikit-learn, a constructor may normalise a value
before it stores it: `strides=1` becomes (1, 1).
"""

import inspect
from typing import Any


def names(cls: Any) -> tuple[str, ...]:
    """Return the names of a class's constructor arguments, without `*args` and `**kwargs`."""
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(cls).parameters.items()
    return tuple(name for name, parameter in parameters if parameter.kind not in variable)


def arguments(thing: Any) -> dict[str, Any]:
    """Return the constructor arguments that make an equal object, as they are stored.

    Raises
    ------
    TypeError
        When a class of the user's does not store one.
    """
    missing = [name for name in names(type(thing)) if not _is_stored(thing, name)]
    if missing:
        kind, name = type(thing).__name__, missing[0]
        raise TypeError(
            f"{kind}: expected the constructor to store its argument {name!r} as self.{name}, so that an "
            "equal object can be made"
        )
    return {name: getattr(thing, name) for name in names(type(thing))}


def _is_stored(thing: Any, name: str) -> bool:
    return name in vars(thing) or isinstance(getattr(type(thing), name, None), property)


def is_complete(thing: Any) -> bool:
    """Return whether an object has stored every argument, as the classes of this library do."""
    return all(_is_stored(thing, name) for name in names(type(thing)))


def describe(thing: Any) -> str:
    """Return a constructor call that makes an equal object, without arguments that equal their defaults."""
    if not is_complete(thing):
        return f"{type(thing).__name__}(...)"  # of a class that does not store all its arguments
    everything = arguments(thing)
    given = [f"{name}={value!r}" for name, value in everything.items() if not _is_default(thing, name)]
    return f"{type(thing).__name__}({', '.join(given)})"


def _is_default(thing: Any, name: str) -> bool:
    """Return whether leaving the argument out makes an equal object.

    A default may be stored in another form, such as 1 as (1, 1), or follow from other arguments, such as the
    strides of a pool. So an object is made without the argument and compared.
    """
    everything = arguments(thing)
    value = everything.pop(name)
    try:
        return bool(getattr(type(thing)(**everything), name) == value)
    except TypeError:  # an argument without a default
        return False
