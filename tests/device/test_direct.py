"""Files past the page cache: the contract at every alignment, neighbours, and failures."""

from __future__ import annotations

import errno
import os
import random
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from uberblock.pool.device.cachemode import CACHE_MODES, CacheMode, cache_mode
from uberblock.pool.device.direct import TRANSFER, DirectFileDevice
from uberblock.pool.device.file import FileDevice
from uberblock.pool.device.open import open_device
from uberblock.pool.device.testing import DeviceContract
from uberblock.pool.errors import DeviceError, UsageError


def opened(path: Path, readonly: bool = False, cache: CacheMode = "none") -> DirectFileDevice:
    """Direct, or the test is skipped where the file system has no direct I/O."""
    try:
        return DirectFileDevice(path, readonly, cache)
    except DeviceError as error:
        if error.errno == errno.EINVAL:
            pytest.skip("this file system has no direct I/O")
        raise


class TestNone(DeviceContract):
    def create(self, tmp_path: Path, content: bytes) -> DirectFileDevice:
        path = tmp_path / "disk.img"
        path.write_bytes(content)
        return opened(path)


class TestDirectsync(DeviceContract):
    def create(self, tmp_path: Path, content: bytes) -> DirectFileDevice:
        path = tmp_path / "disk.img"
        path.write_bytes(content)
        return opened(path, cache="directsync")


class TestReadOnly(DeviceContract):
    writable = False

    def create(self, tmp_path: Path, content: bytes) -> DirectFileDevice:
        path = tmp_path / "disk.img"
        path.write_bytes(content)
        return opened(path, readonly=True)


@pytest.mark.parametrize("sector", [0, 4096])
def test_any_requests_read_and_write_what_bytes_would(tmp_path: Path, sector: int) -> None:
    rng = random.Random(sector)
    model = bytearray(rng.randbytes((2 << 20) + 1234))
    path = tmp_path / "disk.img"
    path.write_bytes(model)
    with opened(path) as device:
        if sector:
            device.sector = sector
            os.close(device._tail)
            device._tail = os.open(path, os.O_RDWR)
            device._whole = device.size - device.size % sector
        for _ in range(60):
            cuts = sorted(rng.choice((rng.randrange(len(model)), rng.randrange(400) * 4096)) for _ in range(8))
            rows = [(a, min(b - a, 300_000)) for a, b in pairwise(cuts)]
            rng.shuffle(rows)
            offsets, lengths = [a for a, _ in rows], [n for _, n in rows]
            places = [sum(lengths[:at]) for at in range(len(rows))]
            data = rng.randbytes(sum(lengths))
            assert not device.writev(offsets, lengths, data, places).any()
            for offset, length, at in zip(offsets, lengths, places):
                model[offset : offset + length] = data[at : at + length]
            out = bytearray(len(data))
            assert not device.readv(offsets, lengths, out, places).any()
            assert out == data
        device.write(17, model[17 : TRANSFER + 5000])
        assert device.read(0, device.size) == model
    assert path.read_bytes() == model


def test_threads_that_share_a_sector_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(8192))
    with opened(path) as device:

        def write(part: int) -> None:
            for _ in range(30):
                device.write(part * 100, bytes([part + 1]) * 100)

        threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert device.read(0, 500) == b"".join(bytes([part + 1]) * 100 for part in range(4)) + bytes(100)


def test_a_bad_request_hides_no_neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(b"a" * 65536)
    with opened(path) as device:
        fetch = DirectFileDevice._fetch

        def failing(self: DirectFileDevice, offset: int, target: memoryview) -> None:
            if offset < 12288 and offset + len(target) > 8192:
                raise OSError(errno.EIO, "bad sector")
            fetch(self, offset, target)

        monkeypatch.setattr(DirectFileDevice, "_fetch", failing)
        out = bytearray(16384)
        status = device.readv([0, 4096, 8192, 12288], [4096] * 4, out, [0, 4096, 8192, 12288])
        assert status.tolist() == [0, 0, errno.EIO, 0]
        assert out[:8192] == b"a" * 8192 and out[12288:] == b"a" * 4096


def test_kernels_get_no_descriptor_and_a_closed_one_says_so(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(10_000))
    before = len(list(Path("/proc/self/fd").iterdir()))
    device = opened(path)
    assert device.fileno() is None and device.view() is None
    device.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    with pytest.raises(DeviceError):
        device.read(0, 10)


def test_modes_and_classes(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(65536))
    opened(path).close()  # or skip
    for mode in CACHE_MODES:
        with open_device(path, False, mode) as device:
            assert device.cache == mode
            assert isinstance(device, DirectFileDevice) == (mode in ("none", "directsync"))
            assert isinstance(device, FileDevice)
    assert cache_mode("none") == "none"
    with pytest.raises(UsageError, match="writethrough"):
        cache_mode("fast")
    with pytest.raises(ValueError):
        DirectFileDevice(path, cache="writeback")
    with pytest.raises(ValueError):
        FileDevice(path, cache="fast")  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", CACHE_MODES)
def test_what_a_flush_does(tmp_path: Path, mode: CacheMode, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(65536))
    if mode in ("none", "directsync"):
        opened(path).close()
    calls: list[int] = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: calls.append(fd) or real(fd))
    with open_device(path, False, mode) as device:
        device.write(4096, b"x" * 4096)
        device.flush()
        assert len(calls) == (mode in ("writeback", "none"))
        device.discard(0, 4096)  # which no O_DSYNC covers
        device.flush()
        assert len(calls) == {"writeback": 2, "none": 2, "unsafe": 0}.get(mode, 1)
