"""raidz by its definition, as slowly and plainly as it can be said; what the kernels are compared with.

Field elements are polynomials over GF(2) modulo x^8 + x^4 + x^3 + x^2 + 1. Nothing here is shared with the
kernels: products come from long multiplication, reconstruction from Gaussian elimination over all equations.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

POLYNOMIAL = 0x11D
Bytes = NDArray[np.uint8]


def multiply(a: int, b: int) -> int:
    """a * b in the field."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= POLYNOMIAL
        b >>= 1
    return product


@cache
def table(c: int) -> Bytes:
    """c times every element."""
    return np.array([multiply(c, x) for x in range(256)], np.uint8)


def power(base: int, exponent: int) -> int:
    result = 1
    for _ in range(exponent):
        result = multiply(result, base)
    return result


@cache
def inverse(a: int) -> int:
    return next(x for x in range(1, 256) if multiply(a, x) == 1)


def coefficient(parity: int, column: int, ndata: int) -> int:
    """What data column ``column`` of ``ndata`` counts in parity 0 (P), 1 (Q), 2 (R)."""
    return power(1 << parity, ndata - 1 - column)


def padded(column: Sequence[int] | Bytes | bytes, height: int) -> Bytes:
    result = np.zeros(height, np.uint8)
    given = np.frombuffer(bytes(column), np.uint8)
    result[: given.size] = given
    return result


def parity(data: Sequence[Bytes | bytes], nparity: int, height: int | None = None) -> list[Bytes]:
    """P, Q, R of the data columns, each ``height`` bytes (default: the longest column's)."""
    height = max(len(column) for column in data) if height is None else height
    result = [np.zeros(height, np.uint8) for _ in range(nparity)]
    for j, column in enumerate(data):
        for i in range(nparity):
            result[i] ^= table(coefficient(i, j, len(data)))[padded(column, height)]
    return result


def solve(equations: list[list[int]], values: list[Bytes]) -> list[Bytes]:
    """The unknowns of a square system, by elimination with row exchanges."""
    rows, sums = [list(row) for row in equations], [value.copy() for value in values]
    size = len(rows)
    for k in range(size):
        pivot = next(r for r in range(k, size) if rows[r][k])
        rows[k], rows[pivot] = rows[pivot], rows[k]
        sums[k], sums[pivot] = sums[pivot], sums[k]
        scale = inverse(rows[k][k])
        rows[k] = [multiply(scale, x) for x in rows[k]]
        sums[k] = table(scale)[sums[k]]
        for r in range(size):
            if r != k and rows[r][k]:
                factor = rows[r][k]
                rows[r] = [x ^ multiply(factor, y) for x, y in zip(rows[r], rows[k], strict=True)]
                sums[r] = sums[r] ^ table(factor)[sums[k]]
    return sums


def rebuild(columns: Sequence[Bytes], nparity: int, missing: Sequence[int]) -> dict[int, Bytes]:
    """The missing columns (parity first), all of equal length, from the others."""
    ndata, height = len(columns) - nparity, len(columns[0])
    unknown = [c - nparity for c in missing if c >= nparity]
    known = [i for i in range(nparity) if i not in missing][: len(unknown)]
    kept = [
        np.zeros(height, np.uint8) if j in unknown else np.asarray(columns[nparity + j]) for j in range(ndata)
    ]
    syndromes = [columns[i] ^ parity(kept, nparity)[i] for i in known]
    found = solve([[coefficient(i, x, ndata) for x in unknown] for i in known], syndromes)
    for x, column in zip(unknown, found, strict=True):
        kept[x] = column
    again = parity(kept, nparity)
    return {c: again[c] if c < nparity else kept[c - nparity] for c in missing}
