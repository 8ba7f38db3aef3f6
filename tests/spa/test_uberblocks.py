"""Choosing among the uberblocks of a pool: the newest that verifies, whatever label it is in."""

from __future__ import annotations

import dataclasses

import pytest
from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.ondisk import label, uberblock
from uberblock.pool.spa.scan import scan
from uberblock.pool.spa.uberblocks import read_rings


@pytest.fixture
def disk(pools) -> bytearray:
    return bytearray(pools("mirror").images[0].read_bytes())


def rings_of(disk: bytearray):
    (found,) = scan([MemoryDevice(disk, name="disk")])
    (member,) = found.best()
    return read_rings([(member, member.source.open())])


def put(disk: bytearray, index: int, slot: int, ub, ashift: int) -> int:
    at = label.offset(len(disk), index) + label.RING_OFFSET + slot * uberblock.slot_size(ashift)
    data = uberblock.encode_slot(ub, at, ashift)
    disk[at : at + len(data)] = data
    return at


def test_the_newest_wins(disk) -> None:
    rings = rings_of(disk)
    best = rings.best()
    txgs = [found.txg for found in rings.newest_first()]
    assert txgs == sorted(txgs, reverse=True) and best.txg == txgs[0]
    limit = txgs[-1]
    assert rings.best(limit).txg == limit and rings.best(limit - 1) is None
    assert [f.txg for f, _ in rings.distinct()] == sorted(set(txgs), reverse=True)
    assert all(count == 4 for _, count in rings.distinct())


@pytest.mark.parametrize("ashift", [9, 12, 13])
@pytest.mark.parametrize("order", ["<", ">"])
def test_ties_are_decided_by_time_then_heartbeat(disk, ashift: int, order: str) -> None:
    best = rings_of(disk).best().uberblock
    later = dataclasses.replace(best, timestamp=best.timestamp + 1, order=order)
    put(disk, 2, 1, later, ashift)
    assert rings_of(disk).best().uberblock == later
    beat = dataclasses.replace(later, mmp_delay=1, mmp_config=2 | 7 << 32)
    at = put(disk, 3, 15, beat, ashift)
    found = rings_of(disk).best()
    assert (found.uberblock, found.label, found.offset) == (beat, 3, at)
    disk[at + 250] ^= 1
    assert rings_of(disk).best().uberblock == later


def test_enormous_txgs_are_no_problem(disk) -> None:
    best = rings_of(disk).best().uberblock
    put(disk, 0, 3, dataclasses.replace(best, txg=(1 << 64) - 1, timestamp=(1 << 64) - 1), 9)
    rings = rings_of(disk)
    assert rings.best().txg == (1 << 64) - 1
    assert rings.best((1 << 64) - 2).txg == best.txg


def test_no_uberblock_at_all(disk) -> None:
    for index in range(4):
        at = label.offset(len(disk), index) + label.RING_OFFSET
        disk[at : at + label.RING_SIZE] = bytes(label.RING_SIZE)
    rings = rings_of(disk)
    assert rings.best() is None and rings.distinct() == []
