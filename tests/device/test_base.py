"""Errors of devices carry the operating system's number and say where."""

from __future__ import annotations

import errno

from uberblock.pool.device.base import device_error
from uberblock.pool.device.memory import MemoryDevice


def test_errors_have_an_errno_and_a_place() -> None:
    error = device_error(errno.EIO, "cannot read", device="/dev/x", offset=512)
    assert error.errno == errno.EIO
    assert isinstance(error, OSError)
    assert "/dev/x" in str(error) and "512" in str(error)


def test_absurd_requests_allocate_nothing() -> None:
    device = MemoryDevice(1000)
    try:
        device.read(0, 1 << 50)
    except OSError as error:
        assert error.errno == errno.EIO
    else:
        raise AssertionError("a petabyte was read from a kilobyte")
