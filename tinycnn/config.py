"""An object as the arguments it was made with.

::

    Conv2D(32, 3) -> arguments -> {"filters": 32, "kernel_size": (3, 3), ...} -> Conv2D(**...)

Constructors store each argument under its own name (scikit-learn's rule), so the arguments can be read
back from the object, and no class has to list them a second time.
"""

import inspect
from typing import Any


def arguments(thing: Any) -> dict[str, Any]:
    """Return the arguments that make an equal object, JSON-able."""
    return {name: getattr(thing, name) for name in inspect.signature(type(thing)).parameters}


def describe(thing: Any) -> str:
    """Return a call that makes an equal object, without the arguments that are the defaults."""
    defaults = {name: p.default for name, p in inspect.signature(type(thing)).parameters.items()}
    given = [
        f"{name}={value!r}"
        for name, value in arguments(thing).items()
        if value not in (defaults[name], (defaults[name],) * 2)  # a default of 1 may be stored as (1, 1)
    ]
    return f"{type(thing).__name__}({', '.join(given)})"
