"""The textbook's RAID: the contract of a device, its layout, every loss that parity makes up for, and its hole."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from uberblock.pool.device.testing import DeviceContract
from uberblock.pool.errors import UnsupportedError, UsageError
from uberblock.pool.lab.pages import Pages
from uberblock.pool.lab.raid import Geometry, RaidDevice
from uberblock.pool.lab.simdisk import SimDisk


def array(level: int, disks: int, size: int, chunk: int = 4096) -> RaidDevice:
    geometry = Geometry(level, disks, chunk)
    each = -(-size // geometry.width) * chunk
    return RaidDevice([SimDisk(each, f"d{n}") for n in range(disks)], geometry, size=size)


class TestRaid5(DeviceContract):
    def create(self, tmp_path: Path, content: bytes) -> RaidDevice:
        device = array(5, 4, len(content))
        device.write(0, content)
        return device


class TestRaid6(DeviceContract):
    def create(self, tmp_path: Path, content: bytes) -> RaidDevice:
        device = array(6, 5, len(content))
        device.write(0, content)
        return device


class TestRaid5ReadOnly(DeviceContract):
    writable = False

    def create(self, tmp_path: Path, content: bytes) -> RaidDevice:
        device = array(5, 3, len(content))
        device.write(0, content)
        for disk in device.disks:
            assert disk is not None
            disk.readonly = True
        return RaidDevice(device.disks, device.geometry, size=device.size)


def test_the_layout_is_left_symmetric() -> None:
    """As md's documentation draws it: the parity moves left, and data begins right of it."""
    five = [Geometry(5, 4).row(number) for number in range(5)]
    assert [row.parity for row in five] == [(3,), (2,), (1,), (0,), (3,)]
    assert [row.data for row in five] == [(0, 1, 2), (3, 0, 1), (2, 3, 0), (1, 2, 3), (0, 1, 2)]
    six = [Geometry(6, 5).row(number) for number in range(3)]
    assert [row.parity for row in six] == [(4, 0), (3, 4), (2, 3)]
    assert [row.data for row in six] == [(1, 2, 3), (0, 1, 2), (4, 0, 1)]


@pytest.mark.parametrize(("level", "disks"), [(5, 3), (5, 5), (6, 4), (6, 6)])
def test_whatever_parity_makes_up_for_is_read(level: int, disks: int) -> None:
    rng = random.Random(disks)
    device = array(level, disks, 20 * 4096 * (disks - level + 4))
    model = bytearray(device.size)
    for _ in range(120):
        offset = rng.randrange(device.size)
        data = rng.randbytes(rng.choice((1, 700, 4096, 30_000)))[: device.size - offset]
        device.write(offset, data)
        model[offset : offset + len(data)] = data
    assert device.contradictions() == []
    for count in range(1, level - 3):
        for lost in itertools.combinations(range(disks), count):
            left = [None if number in lost else disk for number, disk in enumerate(device.disks)]
            degraded = RaidDevice(left, device.geometry)
            assert degraded.read(0, degraded.size) == model, lost
            with pytest.raises(UnsupportedError, match="lacks a disk"):
                degraded.write(0, b"x")
    with pytest.raises(UsageError, match="too many"):
        RaidDevice([None] * (level - 3) + device.disks[level - 3 :], device.geometry)


def test_the_hole() -> None:
    """New data beside old parity: all reads well until another disk is lost, whose chunk nobody had written to."""
    device = array(5, 4, 3 * 4096)
    for chunk in range(3):
        device.write(chunk * 4096, bytes([chunk + 1]) * 4096)
    (parity,) = device.geometry.row(0).parity
    old = device.disks[parity].read(0, 4096)  # type: ignore[union-attr]
    device.write(0, b"\xff" * 4096)
    device.disks[parity].write(0, old)  # type: ignore[union-attr]
    assert device.read(0, 3 * 4096) == b"\xff" * 4096 + b"\2" * 4096 + b"\3" * 4096
    assert device.contradictions() == [0]
    degraded = RaidDevice([device.disks[0], None, *device.disks[2:]], device.geometry)
    assert degraded.read(4096, 4096) != b"\2" * 4096
    with pytest.raises(UsageError):
        degraded.contradictions()


def test_shapes_that_are_no_array() -> None:
    for level, disks in ((5, 2), (6, 3), (4, 5)):
        with pytest.raises(UsageError):
            RaidDevice([SimDisk(Pages(8192)) for _ in range(disks)], Geometry(level, disks))
    with pytest.raises(UsageError):
        array(5, 3, 8192, chunk=4096).__class__([SimDisk(8192)] * 3, Geometry(5, 3, 4096), size=1 << 20)
