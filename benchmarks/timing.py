"""Timing of several functions, in turn.

::

    functions A, B, C -> A A A, B B B, C C C, A A A, ... -> seconds of every call -> median and spread

The speed of a machine drifts with its temperature and its neighbours. In turn, a slow minute affects all
functions, so ratios stay true where milliseconds do not. Before each turn the machine rests, and the function
is called once without timing. Thread pools (OpenBLAS, OpenMP, ONNX Runtime) spin for about 20 ms after their
work, on the cores that the next function needs, and the caches hold the arrays of the previous function.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np

CALLS = 3  # timed calls in one turn
WARM_UP = 3  # calls before the first turn: compilation, and whatever a library does for a new shape
REST = 0.2  # seconds; longer than thread pools spin


def interleaved(
    functions: Sequence[Callable[[], object]],
    rounds: int,
    calls: int = CALLS,
    warm_up: int = WARM_UP,
    rest: float = REST,
) -> list[np.ndarray]:
    """Call functions in turn; return the seconds of every timed call, for each function.

    Parameters
    ----------
    functions : sequence of callable
        Without arguments.
    rounds : int
        Turns of each function.
    calls : int
        Timed calls in one turn.
    warm_up : int
        Calls of each function before the first turn.
    rest : float
        Seconds of sleep before each turn.

    Returns
    -------
    list of ndarray of shape (rounds * calls,)
    """
    seconds: list[list[float]] = [[] for _ in functions]
    for function in functions:
        for _ in range(warm_up):
            function()
    for _ in range(rounds):
        for function, times in zip(functions, seconds, strict=True):
            time.sleep(rest)
            function()
            for _ in range(calls):
                start = time.perf_counter()
                function()
                times.append(time.perf_counter() - start)
    return [np.array(times) for times in seconds]


def summary(seconds: np.ndarray) -> dict[str, float]:
    """Return the median and the spread in milliseconds: "ms", "ms 10 %" and "ms 90 %"."""
    low, median, high = np.percentile(1e3 * seconds, [10, 50, 90])
    return {"ms": float(median), "ms 10 %": float(low), "ms 90 %": float(high)}
