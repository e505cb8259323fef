"""The product of two matrices: what a dense layer is made of.

::

    matmul(a, b) -> selection.choose_matmul -> NumPy, or `blocked` -> a @ b
"""

import numpy as np

from tinycnn.kernels.argument_checks import check_same_dtype
from tinycnn.kernels.selection import choose_matmul
from tinycnn.support import checks


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return a (M, K) @ b (K, N).

    Parameters
    ----------
    a, b : ndarray of shape (M, K) and (K, N)
        Both float32 or both float64; views with any strides, such as transposes.
    out : ndarray of shape (M, N), optional
        Where to write the result; contiguous, and not overlapping with a or b.

    Raises
    ------
    ValueError
        For shapes or dtypes that do not fit, or an `out` that is not contiguous or overlaps a or b.
    """
    (M, K), N = a.shape, b.shape[-1]
    if b.shape != (K, N):
        checks.shape("b", b.shape, (K, None))
    check_same_dtype(a=a, b=b, out=out)
    if out is not None:
        if out.shape != (M, N):
            checks.shape("out", out.shape, (M, N))
        if not out.flags.c_contiguous or np.may_share_memory(out, a) or np.may_share_memory(out, b):
            raise ValueError(
                "out: expected a contiguous array that does not overlap a or b; "
                "pass np.empty((M, N), a.dtype)"
            )
    if choose_matmul(M * K * N).algorithm == "numpy":
        return np.matmul(a, b, out=out)
    from tinycnn.kernels.dense import blocked

    return blocked.matmul(a, b, out)
