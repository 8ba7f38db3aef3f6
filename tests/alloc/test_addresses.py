"""Address spaces in windows: what is cut, comes back, and belongs to exactly one window."""

from __future__ import annotations

import numpy as np
import pytest
from uberblock.pool.alloc import addresses
from uberblock.pool.alloc.addresses import NOWHERE, AddressSpace, Room
from uberblock.pool.errors import LimitError


@pytest.fixture
def space() -> AddressSpace:
    used = np.array([True, False, True, True])
    return AddressSpace({0: Room(20, 9, used), 2: Room(21, 12, np.ones(3, dtype=bool))}, 3)


def cut(space: AddressSpace, *found: tuple[int, int, int]) -> addresses.Extents:
    table = np.array(found, dtype=np.int64)
    return space.cut(table[:, 0], table[:, 1], table[:, 2])


def test_ranges_are_cut_where_chunks_meet(space: AddressSpace) -> None:
    one = 1 << 20
    found = cut(space, (0, one - 512, one + 512), (2, 0, 4096), (1, 0, 512), (0, 4 * one - 512, 4 * one + 512))
    assert found.row.tolist() == [0, 0, 1, 2, 3]
    assert found.start.tolist() == [one - 512, one, 0, 0, 4 * one - 512]
    assert found.end.tolist() == [one, one + 512, 4096, 512, 4 * one + 512]
    assert found.slot.tolist() == [0, 1, 4, NOWHERE, NOWHERE]
    assert space.in_none(found.slot).tolist() == [False, True, False, True, True]


def test_impossible_addresses_are_nowhere(space: AddressSpace) -> None:
    found = cut(space, (0, -1, 511), (7, 0, 512), (-1, 0, 512), (0, 1 << 61, (1 << 61) + 512))
    assert (found.slot == NOWHERE).all()
    assert (space.slots_of(np.array([0, 9, -1]), np.array([1 << 61, 0, 0])) == NOWHERE).all()


def test_units_and_bytes(space: AddressSpace) -> None:
    (slots,) = space.windows(1 << 30)
    assert space.open(slots) == 3 * 2048 + 3 * 512
    one = 1 << 20
    found = cut(space, (0, 2 * one + 1024, 3 * one + 2048), (2, 4096, 8192), (2, 8000, 8200))
    assert space.in_window(found.slot).all()
    starts, ends = space.units(found)
    assert (ends - starts).tolist() == [2046, 4, 1, 2]
    back = space.bytes((starts[:3], ends[:3]))
    assert (back.vdev.tolist(), back.start.tolist()) == ([0, 0, 2], [2 * one + 1024, 3 * one, 4096])
    assert back.end.tolist() == [3 * one, 3 * one + 2048, 8192]
    # A run over the end of a vdev's chunks is two.
    whole = space.bytes((np.array([0]), np.array([3 * 2048 + 512])))
    assert whole.vdev.tolist() == [0, 0, 0, 2]


@pytest.mark.parametrize("units_max", [1, 2048, 3000, 5000, 1 << 40])
def test_every_chunk_in_use_is_in_one_window(space: AddressSpace, units_max: int) -> None:
    windows = space.windows(units_max)
    assert np.concatenate(windows).tolist() == [0, 2, 3, 4, 5, 6]
    seen = []
    for slots in windows:
        assert space.open(slots) <= max(units_max, 2048)
        seen += list(space.spans())
    assert seen == [(0, 0, 1 << 20), (0, 2 << 20, 3 << 20), (0, 3 << 20, 4 << 20),
                    *((2, n << 21, (n + 1) << 21) for n in range(3))]  # fmt: skip


def test_windows_by_weight(space: AddressSpace) -> None:
    weights = np.array([5, 0, 5, 5, 100, 1, 1])
    assert [slots.tolist() for slots in space.windows(1 << 30, weights, 10)] == [[0, 2], [3], [4], [5, 6]]


def test_large_metaslabs_are_several_chunks() -> None:
    space = AddressSpace({0: Room(36, 9, np.array([True, False]))}, 1)
    assert len(space) == 8
    assert len(space.windows(1 << 25)) == 4
    found = cut(space, (0, 0, 1 << 36))
    assert len(found) == 4


def test_bounds() -> None:
    with pytest.raises(LimitError, match="too many metaslabs"):
        AddressSpace({n: Room(20, 9, np.ones(1 << 20, dtype=bool)) for n in range(5)}, 5)
    many = AddressSpace({0: Room(20, 9, np.ones(1 << 13, dtype=bool))}, 1)
    with pytest.raises(LimitError, match="too large"):
        many.windows(1)


def test_a_pool_without_vdevs() -> None:
    space = AddressSpace({}, 0)
    (slots,) = space.windows(100)
    assert space.open(slots) == 0 and not list(space.spans())
    assert not space.in_window(np.array([NOWHERE])).any() and space.in_none(np.array([NOWHERE])).all()
