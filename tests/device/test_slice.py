"""A part of a device keeps the contract, and leaves what is around it alone."""

from __future__ import annotations

from pathlib import Path

from uberblock.pool.device.base import Device
from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.device.slice import SliceDevice
from uberblock.pool.device.testing import DeviceContract

BEFORE, AFTER = 4096, 1000


class TestSlice(DeviceContract):
    def create(self, tmp_path: Path, content: bytes) -> Device:
        whole = MemoryDevice(bytearray(b"<" * BEFORE + content + b">" * AFTER))
        return SliceDevice(whole, BEFORE, len(content), "part")


class TestReadOnlySlice(DeviceContract):
    writable = False

    def create(self, tmp_path: Path, content: bytes) -> Device:
        whole = MemoryDevice(bytearray(b"<" * BEFORE + content), readonly=True)
        return SliceDevice(whole, BEFORE, len(content), "part")


def test_neighbours_are_left_alone() -> None:
    whole = MemoryDevice(bytearray(b"." * 30))
    part = SliceDevice(whole, 10, 10)
    part.write(0, b"x" * 10)
    assert whole.read(0, 30) == b"." * 10 + b"x" * 10 + b"." * 10
    assert part.readv([9, 10, 5], [1, 1, 6], bytearray(10), [0, 1, 2]).tolist() == [0, 5, 5]
    assert part.name == whole.name


def test_a_slice_beyond_the_end_is_cut() -> None:
    whole = MemoryDevice(bytearray(100))
    assert SliceDevice(whole, 90, 50).size == 10
    assert SliceDevice(whole, 200, 50).size == 0
