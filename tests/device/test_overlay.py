"""Changes over a device that is only read."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike
from uberblock.pool.device.base import Buffer, Statuses
from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.device.overlay import CHUNK, OverlayDevice
from uberblock.pool.device.testing import SIZE, DeviceContract, pattern
from uberblock.pool.errors import DeviceError


class TestOverlayDevice(DeviceContract):
    def create(self, tmp_path: Path, content: bytes) -> OverlayDevice:
        return OverlayDevice(MemoryDevice(content))


class BadSectors(MemoryDevice):
    """Nothing in the first chunks can be read."""

    def readv(self, offsets: ArrayLike, lengths: ArrayLike, out: Buffer, dest: ArrayLike) -> Statuses:
        status = super().readv(offsets, lengths, out, dest)
        status[np.asarray(offsets) < 4 * CHUNK] = errno.EIO
        return status


def test_the_base_is_never_written_to() -> None:
    base = MemoryDevice(pattern(SIZE))
    overlay = OverlayDevice(base)
    overlay.write(SIZE - 100, b"y" * 100)
    overlay.write(5, b"x")
    overlay.discard(65536, 4096)
    assert base.read(0, SIZE) == pattern(SIZE)
    assert overlay.fileno() is None and overlay.view() is None


def test_changes_make_the_base_what_the_overlay_is() -> None:
    target = MemoryDevice(bytearray(pattern(SIZE)))
    overlay = OverlayDevice(MemoryDevice(pattern(SIZE)))
    overlay.write(4000, b"a" * 9000)
    overlay.write(SIZE - 1, b"z")
    for offset, data in overlay.changes():
        target.write(offset, data)
    assert target.read(0, SIZE) == overlay.read(0, SIZE)
    assert sum(len(data) for _, data in overlay.changes()) == 4 * CHUNK + SIZE % CHUNK


def test_bad_sectors_become_good_when_overwritten() -> None:
    overlay = OverlayDevice(BadSectors(pattern(SIZE)))
    with pytest.raises(DeviceError):
        overlay.read(0, 512)
    overlay.write(0, b"n" * CHUNK)
    assert overlay.read(0, 512) == b"n" * 512
    with pytest.raises(DeviceError):
        overlay.read(0, CHUNK + 1)
    with pytest.raises(DeviceError):  # the rest of the chunk cannot be kept
        overlay.write(2 * CHUNK, b"half")
    with pytest.raises(DeviceError):
        overlay.read(2 * CHUNK, 4)
