"""The contract of a device as tests: subclass ``DeviceContract``, say how to make a device, run pytest.

    class TestMyDevice(DeviceContract):
        def create(self, tmp_path, content):
            return MyDevice(content)

Needs pytest, which nothing else in the package does.
"""

from __future__ import annotations

import errno
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ..errors import DeviceError, ReadOnlyError, UnsupportedError
from .base import Device

SIZE = 3 * 65536 + 512


def pattern(size: int, seed: int = 1) -> bytes:
    """Bytes that no other seed and no shifted range has."""
    return random.Random(seed).randbytes(size)


class DeviceContract:
    """Every test gets a fresh device with ``SIZE`` known bytes."""

    writable = True  # False: the device refuses writes, and the tests of writing are those of refusing

    def create(self, tmp_path: Path, content: bytes) -> Device:
        """A device that holds ``content``."""
        raise NotImplementedError

    @pytest.fixture
    def device(self, tmp_path: Path) -> Device:
        return self.create(tmp_path, pattern(SIZE))

    @pytest.fixture
    def writer(self, device: Device) -> Device:
        if not self.writable:
            pytest.skip("a read-only kind of device")
        return device

    def test_size_and_name(self, device: Device) -> None:
        assert device.size == SIZE
        assert device.name
        assert device.readonly is not self.writable
        assert device.name in repr(device)

    def test_read(self, device: Device) -> None:
        assert device.read(0, SIZE) == pattern(SIZE)
        assert device.read(1000, 3) == pattern(SIZE)[1000:1003]
        assert device.read(SIZE, 0) == b""

    def test_read_beyond_the_end(self, device: Device) -> None:
        for offset, length in ((SIZE - 1, 2), (SIZE, 1), (1 << 62, 9), (-1, 1), (0, SIZE + 1), (0, 1 << 60)):
            with pytest.raises(DeviceError) as caught:
                device.read(offset, length)
            assert caught.value.errno == errno.EIO
            assert device.name in str(caught.value)

    def test_batches(self, device: Device) -> None:
        rng, content = random.Random(2), pattern(SIZE)
        offsets = [rng.randrange(SIZE) for _ in range(60)]
        lengths = [rng.randrange(min(9000, SIZE - offset + 1)) for offset in offsets]
        dest = np.concatenate([[0], np.cumsum(lengths)[:-1]]) + 7
        out = bytearray(b"\xee" * (sum(lengths) + 20))
        status = device.readv(np.array(offsets, np.uint64), np.array(lengths, np.uint32), out, dest)
        assert status.dtype == np.int32
        assert status.tolist() == [0] * 60
        expected = b"".join(content[offset : offset + length] for offset, length in zip(offsets, lengths))
        assert bytes(out) == b"\xee" * 7 + expected + b"\xee" * 13

    def test_one_bad_request_hides_no_other(self, device: Device) -> None:
        out = np.zeros(30, np.uint8)
        offsets = np.array([0, SIZE - 5, (1 << 64) - 1, 20], np.uint64)
        status = device.readv(offsets, [10, 10, 1, 10], out, [0, 10, 10, 20])
        assert status.tolist() == [0, errno.EIO, errno.EIO, 0]
        assert bytes(out[:10]) == pattern(SIZE)[:10]
        assert bytes(out[20:]) == pattern(SIZE)[20:30]

    def test_empty_batches(self, device: Device) -> None:
        assert device.readv([], [], bytearray(), []).tolist() == []
        assert device.readv([5], [0], bytearray(), [0]).tolist() == [0]

    def test_mistakes_of_the_caller(self, device: Device) -> None:
        out = bytearray(10)
        for lengths, dest in (([1, 2], [0]), ([11], [0]), ([5], [6]), ([1], [-1]), ([-1], [0])):
            with pytest.raises(ValueError):
                device.readv([0], lengths, out, dest)
        with pytest.raises(ValueError):
            device.readv([0.5], [1], out, [0])
        with pytest.raises(ValueError):
            device.readv([0], [1], bytes(10), [0])
        assert out == bytearray(10)

    def test_reading_from_many_threads(self, device: Device) -> None:
        content = pattern(SIZE)
        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(lambda at: device.read(at, 512), range(0, SIZE, 512)))
        assert b"".join(parts) == content

    def test_short_cuts_show_the_same_bytes(self, device: Device) -> None:
        view = device.view()
        if view is not None:
            assert len(view) == SIZE
            assert bytes(view) == pattern(SIZE)
            assert view.readonly or self.writable
        descriptor = device.fileno()
        if descriptor is not None:
            assert os.pread(descriptor, 1000, 5) == pattern(SIZE)[5:1005]

    def test_writes_are_seen_at_once(self, writer: Device) -> None:
        model, rng = bytearray(pattern(SIZE)), random.Random(3)
        for _ in range(40):
            offset = rng.randrange(SIZE)
            data = rng.randbytes(rng.randrange(min(20000, SIZE - offset + 1)))
            writer.write(offset, data)
            model[offset : offset + len(data)] = data
            at = rng.randrange(SIZE)
            assert writer.read(at, min(30000, SIZE - at)) == bytes(model[at : at + 30000])
        writer.flush()
        assert writer.read(0, SIZE) == bytes(model)

    def test_batches_of_writes(self, writer: Device) -> None:
        data = np.arange(256, dtype=np.uint8)
        status = writer.writev(np.array([512, SIZE - 4, 70000]), [100, 5, 56], data, [0, 0, 200])
        assert status.tolist() == [0, errno.EIO, 0]
        assert writer.read(511, 102) == pattern(SIZE)[511:512] + bytes(data[:100]) + pattern(SIZE)[612:613]
        assert writer.read(70000, 57) == bytes(data[200:]) + pattern(SIZE)[70056:70057]
        assert writer.read(SIZE - 4, 4) == pattern(SIZE)[-4:]
        with pytest.raises(ValueError):
            writer.writev([0], [257], data, [0])
        with pytest.raises(DeviceError):
            writer.write(SIZE, b"x")

    def test_discard_leaves_the_neighbours_alone(self, writer: Device) -> None:
        try:
            writer.discard(65536, 65536)
        except UnsupportedError:
            pass
        else:
            assert writer.read(65536, 65536) in (bytes(65536), pattern(SIZE)[65536:131072])
            writer.discard(SIZE, 0)
            with pytest.raises(DeviceError):
                writer.discard(SIZE - 10, 20)
        assert writer.size == SIZE
        assert writer.read(0, 65536) == pattern(SIZE)[:65536]
        assert writer.read(131072, SIZE - 131072) == pattern(SIZE)[131072:]

    def test_read_only_devices_refuse(self, device: Device) -> None:
        if self.writable:
            pytest.skip("a kind of device that can be written to")
        with pytest.raises(ReadOnlyError):
            device.write(0, b"x")
        with pytest.raises(ReadOnlyError):
            device.writev([0], [1], b"x", [0])
        with pytest.raises(ReadOnlyError):
            device.discard(0, 4096)
        device.flush()
        assert device.read(0, SIZE) == pattern(SIZE)

    def test_closing(self, tmp_path: Path) -> None:
        with self.create(tmp_path, pattern(SIZE)) as device:
            device.read(0, 1)
        device.close()
        with pytest.raises(DeviceError):
            device.read(0, 1)
        if self.writable:
            with pytest.raises(DeviceError):
                device.write(0, b"x")
            with pytest.raises(DeviceError):
                device.flush()
