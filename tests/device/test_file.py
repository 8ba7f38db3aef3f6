"""Files as devices: the contract, opening, locking, discarding."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from uberblock.pool.device.file import FileDevice, create_file
from uberblock.pool.device.testing import DeviceContract
from uberblock.pool.errors import DeviceBusyError, DeviceError, UnsupportedError


class TestFileDevice(DeviceContract):
    def create(self, tmp_path: Path, content: bytes) -> FileDevice:
        path = tmp_path / "disk.img"
        path.write_bytes(content)
        return FileDevice(path, readonly=False)


class TestFileDeviceReadOnly(DeviceContract):
    writable = False

    def create(self, tmp_path: Path, content: bytes) -> FileDevice:
        path = tmp_path / "disk.img"
        path.write_bytes(content)
        path.chmod(0o400)
        return FileDevice(path)


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        FileDevice(tmp_path / "none")
    assert caught.value.errno == errno.ENOENT
    assert "none" in str(caught.value)
    with pytest.raises(DeviceError):
        FileDevice(tmp_path)
    with pytest.raises(DeviceError):
        FileDevice("/dev/null")
    with pytest.raises(DeviceError):
        FileDevice("a\0b")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DeviceError):
        FileDevice(tmp_path / "pipe")


def test_nothing_stays_open_after_a_refusal(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(DeviceError):
            FileDevice("/dev/null")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_readers_share_and_writers_do_not(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(4096))
    with FileDevice(path) as first, FileDevice(path) as second:
        assert first.locked and second.locked
        with pytest.raises(DeviceBusyError) as caught:
            FileDevice(path, readonly=False)
        assert caught.value.errno == errno.EBUSY
    with FileDevice(path, readonly=False):
        for readonly in (True, False):
            with pytest.raises(DeviceBusyError):
                FileDevice(path, readonly=readonly)
    FileDevice(path, readonly=False).close()


def test_the_lock_holds_against_other_processes(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(4096))
    code = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with FileDevice(path, readonly=False):
        assert subprocess.run([sys.executable, "-c", code, path], stderr=subprocess.DEVNULL).returncode == 1
    assert subprocess.run([sys.executable, "-c", code, path]).returncode == 0


def test_descriptors_are_not_inherited(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(4096))
    with FileDevice(path) as device:
        descriptor = device.fileno()
        assert descriptor is not None
        assert not os.get_inheritable(descriptor)
        assert os.get_blocking(descriptor)


def test_discarded_ranges_give_their_space_back(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(b"x" * (1 << 20))
    with FileDevice(path, readonly=False) as device:
        device.flush()
        before = path.stat().st_blocks
        try:
            device.discard(0, 1 << 19)
        except UnsupportedError:
            pytest.skip("this file system cannot punch holes")
        assert path.stat().st_blocks < before
        assert device.read(0, 1 << 19) == bytes(1 << 19)
        assert path.stat().st_size == 1 << 20


def test_a_file_that_was_cut_short_gives_errors_not_zeros(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(8192))
    with FileDevice(path) as device:
        os.truncate(path, 4096)
        status = device.readv([0, 2048, 4096], [4096, 4096, 1], bytearray(10000), [0, 4096, 8192])
        assert status.tolist() == [0, errno.EIO, errno.EIO]


def test_a_write_that_is_durable_at_once(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    create_file(path, 1 << 20)
    with FileDevice(path, readonly=False) as device:
        assert device.write_durable(4096, b"x" * 512) and device.read(4000, 1000)[96:608] == b"x" * 512
        assert not device.write_durable((1 << 20) - 100, bytes(512)), "beyond its end nothing is written"
    with FileDevice(path, readonly=False, cache="unsafe") as device:
        assert not device.write_durable(0, bytes(512))
    with FileDevice(path) as device:
        assert not device.write_durable(0, bytes(512))
    device = FileDevice(path, readonly=False)
    os.close(device.fileno())  # type: ignore[arg-type]
    assert not device.write_durable(0, bytes(512)), "not written"
    with pytest.raises(DeviceError, match="cannot flush"):
        device.write_durable(0, b"")
    device._fd = -1


def test_holes_are_filled_and_data_is_not(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    create_file(path, 4 << 20)
    with FileDevice(path, readonly=False) as device:
        device.write(1 << 20, b"x" * 4096)
        device.occupy((1 << 20) - 4096, 8192)  # not a hole altogether: left alone
        assert device.read(1 << 20, 4096) == b"x" * 4096
        device.flush()
        before = path.stat().st_blocks
        device.occupy(2 << 20, 1 << 20)
        device.occupy(4 << 20, 4096)
        device.flush()
        assert path.stat().st_blocks >= before + (1 << 20) // 512 and path.stat().st_size == 4 << 20
        assert not any(device.read(2 << 20, 1 << 20))
        device.write(2 << 20, b"y" * 512)
        device.occupy(2 << 20, 4096)
        assert device.read(2 << 20, 512) == b"y" * 512
