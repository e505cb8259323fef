"""Winograd's transforms: derived from interpolation points, written as straight lines of vector code.

::

    points -> matrices A^T, G, B^T of F(m, r) -> transform2d -> Y = T X T^T, a vector of channels at a time

The matrices are those of Toom and Cook's product of polynomials, transposed: a filter of r taps and an
output of m values are evaluated at alpha - 1 points and at infinity, alpha = m + r - 1. (Lavin & Gray,
arXiv 1509.09308; Barabasz et al., "Error analysis and improving the accuracy of Winograd convolution",
arXiv 1803.10986, on the choice of points.) Points of equal size and opposite sign make rows that differ in
signs alone, which halves the arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tinycnn.kernels.primitives.operand import Operand, unpack
from tinycnn.kernels.primitives.simd import Simd

POINTS = [Fraction(n, d) for n, d in ((0, 1), (1, 1), (-1, 1), (2, 1), (-2, 1), (1, 2), (-1, 2))]


def matrices(m: int, r: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return A^T (m, alpha), G (alpha, r) and B^T (alpha, alpha) of F(m, r), alpha = m + r - 1."""
    points = POINTS[: m + r - 2]
    alpha = m + r - 1
    at, g, bt = np.zeros((m, alpha)), np.zeros((alpha, r)), np.zeros((alpha, alpha))
    for j, a in enumerate(points):
        others = points[:j] + points[j + 1 :]
        norm = Fraction(1)
        for other in others:
            norm *= a - other
        at[:, j] = [float(a**i) for i in range(m)]
        g[j] = [float(a**k / norm) for k in range(r)]
        bt[j, : alpha - 1] = _from_roots(others)
    at[m - 1, -1] = g[-1, r - 1] = 1
    bt[-1] = _from_roots(points)
    return at, g, bt


def _from_roots(roots: list[Fraction]) -> list[float]:
    """Return the coefficients of the product of (x - root), from that of x**0 up."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        scaled = [*(-root * c for c in coefficients), Fraction(0)]
        coefficients = [s + t for s, t in zip(shifted, scaled, strict=True)]
    return [float(c) for c in coefficients]


def transform2d(table: Mapping[tuple[int, ...], np.ndarray]) -> Any:
    """Return the intrinsic for Y = T X T^T, where every element of X and Y is a vector of channels.

    It takes (key, x, y): a key of the table, as a tuple of integers, which picks T; and the first vectors of
    X and Y, as `Operand`s with the distances `row` between their rows and `inner` between their columns.
    """

    @intrinsic
    def transform(typingctx, key, x, y):
        """Y (p, p) = T X T^T of X (q, q), for T (p, q) = table[key]."""

        def codegen(context, builder, signature, args):
            key, x, y = args
            simd = Simd(context, builder, signature.args[1].types[0].dtype)
            x, y = unpack(builder, x), unpack(builder, y)
            write = {sizes: (lambda t=t: _transform(simd, t, x, y)) for sizes, t in table.items()}
            simd.switch(cgutils.unpack_tuple(builder, key), write)
            return context.get_dummy_value()

        return types.void(types.UniTuple(types.int64, len(key)), x, y), codegen

    return transform


def _transform(simd: Simd, t: np.ndarray, x: Operand, y: Operand) -> None:
    """Write the code for one matrix T (p, q)."""
    p, q = t.shape
    rows = []
    for i in range(q):
        row = simd.at(x.start, simd.times(x.row, i))
        rows.append([simd.load(simd.at(row, simd.times(x.inner, j))) for j in range(q)])
    columns = [product(simd, t, [rows[i][j] for i in range(q)]) for j in range(q)]
    for i in range(p):
        row = simd.at(y.start, simd.times(y.row, i))
        for j, value in enumerate(product(simd, t, [columns[k][i] for k in range(q)])):
            simd.store(value, simd.at(row, simd.times(y.inner, j)))


def product(simd: Simd, t: np.ndarray, v: list[Any]) -> list[Any]:
    """Return T v. Rows that differ in signs alone, as those of points a and -a do, share their sums."""
    pairs = sign_pairs(t)
    if not pairs and (columns := sign_pairs(t.T)):
        return _by_columns(simd, t, v, columns)
    y: list[Any] = [None] * len(t)
    for i, j in pairs:
        same = t[i] == t[j]
        even, odd = combine(simd, t[i] * same, v), combine(simd, t[i] * ~same, v)
        y[i], y[j] = (
            simd.builder.fadd(even, odd, flags=["contract"]),
            simd.builder.fsub(even, odd, flags=["contract"]),
        )
    return [combine(simd, t[i], v) if value is None else value for i, value in enumerate(y)]


def _by_columns(simd: Simd, t: np.ndarray, v: list[Any], pairs: list[tuple[int, int]]) -> list[Any]:
    """Return T v, where pairs of columns differ in signs alone: first their elements' sum and difference."""
    t, v = t.copy(), list(v)
    for i, j in pairs:
        same = t[:, i] == t[:, j]
        v[i], v[j] = (
            simd.builder.fadd(v[i], v[j], flags=["contract"]),
            simd.builder.fsub(v[i], v[j], flags=["contract"]),
        )
        t[:, i], t[:, j] = t[:, i] * same, t[:, i] * ~same
    return [combine(simd, row, v) for row in t]


def sign_pairs(t: np.ndarray) -> list[tuple[int, int]]:
    """Return pairs of rows with equal magnitudes and at least two elements, of which some differ in sign."""
    pairs, free = [], list(range(len(t)))
    for i in range(len(t)):
        for j in range(i + 1, len(t)):
            alike = np.array_equal(np.abs(t[i]), np.abs(t[j])) and np.count_nonzero(t[i]) > 1
            if alike and i in free and j in free:
                pairs.append((i, j))
                free.remove(i)
                free.remove(j)
    return pairs


def combine(simd: Simd, coefficients: np.ndarray, v: list[Any]) -> Any:
    """Return the sum of coefficients times vectors, those of 1 and -1 without a multiplication."""
    builder = simd.builder
    terms = sorted((abs(c) != 1, i) for i, c in enumerate(coefficients) if c)
    total = None
    for _, i in terms:
        c = coefficients[i]
        if total is None:
            total = v[i] if c == 1 else builder.fmul(simd.constant(c), v[i])
        elif abs(c) == 1:
            total = builder.fadd(total, v[i]) if c == 1 else builder.fsub(total, v[i])
        else:
            total = simd.fma(simd.constant(c), v[i], total)
    return simd.constant(0) if total is None else total
