"""Cutting a vdev into metaslabs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.alloc.metaslab import Metaslab, choose_shift, geometry
from uberblock.pool.alloc.ranges import RangeSet
from uberblock.pool.errors import CorruptError, LimitError


@pytest.mark.parametrize(
    ("asize", "shift", "count"),
    [(263716864, 24, 15), (1318584320, 27, 9), (1582301184, 27, 11), (1744830464, 27, 13), (2109734912, 27, 15)],
)
def test_sizes_openzfs_chose(asize: int, shift: int, count: int) -> None:
    assert choose_shift(asize) == shift
    cut = geometry(asize, shift)
    assert len(cut) == count
    assert cut.starts.tolist() == [i << shift for i in range(count)] and set(cut.sizes.tolist()) == {1 << shift}


@given(st.integers(64 << 20, 1 << 62))
def test_every_size_can_be_cut(asize: int) -> None:
    shift = choose_shift(asize)
    assert shift >= 24 and asize >> shift <= 1 << 18
    assert shift <= 34 or asize >> 34 > 131072


@given(st.integers(24, 30), st.integers(1, 60), st.integers(1, 1 << 20))
def test_rows(shift: int, count: int, stripe: int) -> None:
    cut = geometry((count << shift) + 12345, shift, stripe)
    assert len(cut) == count
    for i in range(count):
        start, size = int(cut.starts[i]), int(cut.sizes[i])
        assert start % stripe == 0 and size % stripe == 0
        assert i << shift <= start < (i << shift) + stripe and start + size <= (i + 1) << shift
        assert (i + 1 << shift) - (start + size) < stripe


def test_a_row_longer_than_a_metaslab() -> None:
    assert geometry(1 << 26, 24, 5 << 23).sizes.tolist() == [0, 0, 0, 0]


def test_impossible_shifts() -> None:
    for shift in (0, 16, 45, 200):
        with pytest.raises(CorruptError, match="impossible"):
            geometry(1 << 40, shift, vdev="d0")
    with pytest.raises(LimitError, match="too many"):
        geometry(1 << 60, 24)


def test_free_space() -> None:
    one = Metaslab(1, 1000, 500, 7, 0, RangeSet([1000, 1300], [1100, 1400]))
    assert (one.allocated_bytes, one.free_bytes) == (200, 300)
    assert list(one.free()) == [(1100, 1300), (1400, 1500)]
