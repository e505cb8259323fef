"""Two pools of threads on the same cores: Numba's, which runs the kernels, and BLAS's, behind NumPy's `@`.

::

    with quiet_blas(): kernels on all cores, products of NumPy on one

After a product, OpenBLAS's threads do not sleep: they spin for some 20 milliseconds, waiting for the next
one, on the cores that the kernels need. With BLAS on one thread nobody spins, and a training step of the
documented network takes about half the time (docs/performance.md).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController  # it looks through all loaded libraries: once is enough

    np.ones((2, 2)) @ np.ones((2, 2))  # NumPy's BLAS is loaded now, if it was not
    return ThreadpoolController()


@contextmanager
def quiet_blas() -> Iterator[None]:
    """Keep BLAS to one thread inside a with-block, and give it back what it had."""
    with _controller().limit(limits=1, user_api="blas"):
        yield
