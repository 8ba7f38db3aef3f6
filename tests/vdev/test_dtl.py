"""Sets of txgs, against Python's sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError
from uberblock.pool.vdev.dtl import Dtl, everything, in_more_than

RANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8)).map(lambda r: (r[0], r[0] + r[1])), max_size=6)


def make(ranges: list[tuple[int, int]]) -> Dtl:
    return Dtl([start for start, _ in ranges], [end for _, end in ranges])


def members(ranges: list[tuple[int, int]]) -> set[int]:
    return {txg for start, end in ranges for txg in range(start, end)}


def check(dtl: Dtl, expected: set[int]) -> None:
    assert np.flatnonzero(dtl.contains(np.arange(60, dtype=np.uint64))).tolist() == sorted(expected)
    assert bool(dtl) is bool(expected)
    edges = [edge for part in dtl.ranges() for edge in part]
    assert edges == sorted(set(edges))  # joined, disjoint, none of them empty


@given(RANGES)
def test_ranges(ranges: list[tuple[int, int]]) -> None:
    check(make(ranges), members(ranges))


@given(RANGES, RANGES)
def test_union_and_intersection(one: list[tuple[int, int]], two: list[tuple[int, int]]) -> None:
    check(make(one) | make(two), members(one) | members(two))
    check(make(one) & make(two), members(one) & members(two))
    assert (make(one) == make(two)) is (members(one) == members(two))


@given(st.lists(RANGES, max_size=5), st.integers(0, 4))
def test_in_more_than(sets: list[list[tuple[int, int]]], count: int) -> None:
    expected = {txg for txg in range(60) if sum(txg in members(ranges) for ranges in sets) > count}
    check(in_more_than([make(ranges) for ranges in sets], count), expected)


def test_everything() -> None:
    assert everything().contains(np.array([0, 5, 1 << 63], np.uint64)).all()


def test_mistakes() -> None:
    with pytest.raises(CorruptError):
        Dtl([5], [4])
    with pytest.raises(ValueError):
        Dtl([5], [6, 7])
    assert repr(Dtl([4, 9], [9, 12])) == "Dtl(4..11)"
