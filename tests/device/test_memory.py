"""Memory as a device."""

from __future__ import annotations

from pathlib import Path

from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.device.testing import DeviceContract


class TestMemoryDevice(DeviceContract):
    def create(self, tmp_path: Path, content: bytes) -> MemoryDevice:
        return MemoryDevice(bytearray(content))


class TestMemoryDeviceReadOnly(DeviceContract):
    writable = False

    def create(self, tmp_path: Path, content: bytes) -> MemoryDevice:
        return MemoryDevice(content)


def test_content_is_used_in_place() -> None:
    buffer = bytearray(1000)
    MemoryDevice(buffer).write(10, b"abc")
    assert buffer[10:13] == b"abc"
    device = MemoryDevice(buffer, readonly=True)
    assert device.readonly and device.view().readonly
    buffer[0] = 5
    assert device.read(0, 1) == b"\x05"


def test_zeros_by_number() -> None:
    device = MemoryDevice(5000, name="blank")
    assert device.size == 5000 and device.read(0, 5000) == bytes(5000)
