"""Functions that one thread at a time may run, also in a forked child.

::

    @one_at_a_time -> other threads wait            fork -> the child has a new lock

A forked child has none of its parent's other threads. A lock that one of them held would stay held.
"""

import os
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def one_at_a_time(function: Function) -> Function:
    """Let threads wait while another one runs the function, for whatever arguments. Use as a decorator."""
    lock = threading.RLock()

    def renew() -> None:
        nonlocal lock
        lock = threading.RLock()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=renew)

    @wraps(function)
    def wait_and_run(*given: Any, **named: Any) -> Any:
        with lock:
            return function(*given, **named)

    return wait_and_run  # type: ignore[return-value]
