"""Any device, made read-only."""

from __future__ import annotations

from pathlib import Path

from uberblock.pool.device.guard import ReadOnlyDevice
from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.device.testing import DeviceContract


class TestReadOnlyDevice(DeviceContract):
    writable = False

    def create(self, tmp_path: Path, content: bytes) -> ReadOnlyDevice:
        return ReadOnlyDevice(MemoryDevice(bytearray(content)))
