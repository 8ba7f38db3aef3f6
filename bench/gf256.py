"""GF(2^8) over 0x11d for those peers who want matrices: raidz's code written as one.

Row c of the matrix says what column c (parity first, then data) is of the n data columns: unit vectors for data,
2^(i (n-1-j)) for parity i. A lost column is a combination of any n columns that are left whose rows are independent.
"""

from __future__ import annotations

from collections.abc import Sequence

Matrix = list[list[int]]


def multiply(a: int, b: int) -> int:
    result = 0
    while b:
        if b & 1:
            result ^= a
        a = a << 1 ^ (0x11D if a & 0x80 else 0)
        b >>= 1
    return result


def power(a: int, exponent: int) -> int:
    result = 1
    for _ in range(exponent):
        result = multiply(result, a)
    return result


def inverse(matrix: Matrix) -> Matrix:
    """Gauss-Jordan. ValueError: the rows are not independent."""
    size = len(matrix)
    work = [[*row, *(int(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for pivot in range(size):
        lead = next((i for i in range(pivot, size) if work[i][pivot]), None)
        if lead is None:
            raise ValueError("the rows are not independent")
        work[pivot], work[lead] = work[lead], work[pivot]
        scale = power(work[pivot][pivot], 254)
        work[pivot] = [multiply(scale, value) for value in work[pivot]]
        for i in range(size):
            factor = work[i][pivot]
            if i != pivot and factor:
                work[i] = [a ^ multiply(factor, b) for a, b in zip(work[i], work[pivot], strict=True)]
    return [row[size:] for row in work]


def code(ndata: int, nparity: int) -> Matrix:
    """All rows, parity first."""
    parity = [[power(1 << i, ndata - 1 - j) for j in range(ndata)] for i in range(nparity)]
    return parity + [[int(i == j) for j in range(ndata)] for i in range(ndata)]


def rebuilding(ndata: int, nparity: int, sources: Sequence[int], targets: Sequence[int]) -> Matrix:
    """Rows that make the columns ``targets`` of the n columns ``sources``."""
    rows = code(ndata, nparity)
    back = inverse([rows[c] for c in sources])
    result = []
    for target in targets:
        row = [0] * ndata
        for weight, data in zip(rows[target], back, strict=True):
            row = [a ^ multiply(weight, b) for a, b in zip(row, data, strict=True)]
        result.append(row)
    return result
