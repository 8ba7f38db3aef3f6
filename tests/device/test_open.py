"""Opening by path."""

from __future__ import annotations

from pathlib import Path

from uberblock.pool.device.file import FileDevice
from uberblock.pool.device.open import open_device


def test_a_path_gives_a_file_device(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(b"content")
    with open_device(path) as device:
        assert isinstance(device, FileDevice)
        assert device.readonly and device.read(0, 7) == b"content"
    with open_device(str(path), readonly=False) as device:
        assert not device.readonly
