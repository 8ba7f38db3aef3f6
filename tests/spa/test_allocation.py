"""Bits of allocated space: the same ranges that whole metaslabs in memory have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from uberblock.pool import import_pool
from uberblock.pool.alloc.addresses import AddressSpace, Room
from uberblock.pool.alloc.ranges import RangeSet
from uberblock.pool.errors import CorruptError
from uberblock.pool.spa import allocation, metaslabs
from uberblock.pool.spa.allocation import AllocationMaps, Complaints
from uberblock.pool.spa.findings import Fault, Segments
from uberblock.pool.spa.metaslabs import VdevMaps, allocations, holds_data


def made(spa: Any) -> AllocationMaps:
    maps = {top.id: VdevMaps(spa.mos, top) for top in spa.tree.tops if holds_data(top)}
    rooms = {n: Room(one.geometry.shift, one.top.ashift, one.in_use) for n, one in maps.items()}
    return AllocationMaps(spa, AddressSpace(rooms, len(spa.tree.tops)), maps, {})


def complaints() -> tuple[Complaints, list[str]]:
    told: list[str] = []
    return Complaints(Segments(Fault.MAP), told.append, lambda what, error: told.append(f"{what}: {error}")), told


def ranges(one: AllocationMaps, units: int, to: Complaints | None) -> dict[int, RangeSet]:
    """What is allocated by vdev, looked at in windows of some units."""
    parts: dict[int, list[np.ndarray]] = {}
    for slots in one.space.windows(units):
        for found in one.bits(one.space.open(slots), to).runs():
            where = one.space.bytes(found)
            for vdev in np.unique(where.vdev).tolist():
                here = where.pick(where.vdev == vdev)
                parts.setdefault(vdev, []).append(np.stack([here.start, here.end]))
    return {vdev: RangeSet(*np.concatenate(some, axis=1)) for vdev, some in parts.items()}


@pytest.mark.parametrize("kind", ["mirror", "draid", "removal", "checkpoint", "version28", "log-spacemap"])
@pytest.mark.parametrize("units", [1 << 30, 1])
def test_bits_are_what_metaslabs_have(pools, kind: str, units: int) -> None:
    with import_pool(search=pools(kind).dir) as pool:
        spa = pool.spa
        to, told = complaints()
        found = ranges(made(spa), units, to)
        whole = allocations(spa.mos, spa.directory, spa.tree.tops)
        assert found == {one.vdev.id: one.allocated - one.checkpoint for one in whole}
        assert not told and not to.segments
        assert kind != "checkpoint" or any(one.checkpoint for one in whole)


def test_contradictions_are_told(pools, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every map is read twice over: all that is allocated is allocated again."""
    read = metaslabs.map_batches

    def twice(*args: Any) -> Any:
        yield from read(*args)
        yield from read(*args)

    with import_pool(search=pools("version28").dir) as pool:
        one = made(pool.spa)
        before = ranges(one, 1 << 30, None)
        monkeypatch.setattr(allocation, "map_batches", twice)
        to, told = complaints()
        assert ranges(one, 1 << 30, to) == before
        # What was freed in the course of a batch cancels out in it; the rest does not.
        assert to.segments.bytes >= sum(found.total for found in before.values()) and len(told) == 3
        assert all("header" in text for text in told)


def test_what_cannot_be_read_is_told(pools, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise CorruptError("broken")

    with import_pool(search=pools("mirror").dir) as pool:
        one = made(pool.spa)
        monkeypatch.setattr(allocation, "map_batches", broken)
        to, told = complaints()
        assert ranges(one, 1 << 30, to) == {}
        assert {text.split(" of ")[0].rstrip("0123456789: broken") for text in told} >= {"space map"}
        assert any(text.startswith("log space map") for text in told)
        assert ranges(one, 1 << 30, None) == {}
