"""Sets of ranges against sets of numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.alloc.ranges import RangeSet, sweep
from uberblock.pool.errors import CorruptError

PAIRS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=12)
TOP = (1 << 64) - 1


def made(pairs: list[tuple[int, int]]) -> RangeSet:
    return RangeSet([a for a, _ in pairs], [a + n for a, n in pairs])


def model(pairs: list[tuple[int, int]]) -> set[int]:
    return {x for a, n in pairs for x in range(a, a + n)}


def cells(ranges: RangeSet) -> set[int]:
    assert all(a < b for a, b in ranges)
    assert all(x[1] < y[0] for x, y in zip(list(ranges), list(ranges)[1:]))
    return {x for a, b in ranges for x in range(a, b)}


@given(PAIRS, PAIRS, st.integers(0, 80), st.integers(0, 80))
def test_as_sets_of_numbers(a: list[tuple[int, int]], b: list[tuple[int, int]], start: int, end: int) -> None:
    x, y, p, q = made(a), made(b), model(a), model(b)
    assert cells(x) == p and x.total == len(p) and bool(x) == bool(p)
    assert cells(x | y) == p | q and cells(x & y) == p & q and cells(x - y) == p - q
    assert (x == y) == (p == q)
    end = max(start, end)
    inside = set(range(start, end))
    assert cells(x.clip(start, end)) == p & inside and cells(x.gaps(start, end)) == inside - p
    assert cells(x.shift(7)) == {n + 7 for n in p}
    starts, ends = [n for n, _ in b], [n + k for n, k in b]
    parts = [set(range(n, m)) for n, m in zip(starts, ends)]
    assert x.contains(starts, ends).tolist() == [part <= p for part in parts]
    assert x.overlaps(starts, ends).tolist() == [bool(part & p) for part in parts]


def test_the_ends_of_the_address_space() -> None:
    whole = RangeSet([0], [TOP])
    assert whole.total == TOP and whole.contains([0, TOP - 1], [TOP, TOP]).tolist() == [True, True]
    assert whole.overlaps([TOP], [TOP]).tolist() == [False]
    with pytest.raises(CorruptError, match="beyond"):
        whole.shift(1)
    with pytest.raises(CorruptError, match="before it starts"):
        RangeSet([5], [4])
    with pytest.raises(ValueError, match="number"):
        RangeSet([5], [])
    assert RangeSet().total == 0 and not RangeSet() and RangeSet() == RangeSet([3], [3])
    assert RangeSet() != 5 and "0x5..0x6" in repr(RangeSet([5], [6]))
    assert not (RangeSet() - whole) and (RangeSet() | whole) == whole


def test_depths() -> None:
    starts, ends = np.array([0, 5, 5], dtype=np.uint64), np.array([10, 7, 20], dtype=np.uint64)
    edges, depths = sweep(starts, ends, [1, 1, -1])
    assert edges.tolist() == [0, 5, 7, 10, 20] and depths.tolist() == [1, 1, 0, -1, 0]


def test_many_ranges() -> None:
    rng = np.random.default_rng(3)
    starts = rng.integers(0, 1 << 40, 200_000).astype(np.uint64) << np.uint64(12)
    some = RangeSet(starts, starts + np.uint64(4096))
    assert some.total == 4096 * len(np.unique(starts))
    assert some.contains(starts, starts + np.uint64(4096)).all()
    assert (some - some).total == 0
