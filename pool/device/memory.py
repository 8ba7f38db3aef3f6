"""Devices in memory: for tests, for short-lived pools, and for images that were read whole."""

from __future__ import annotations

import errno

from numpy.typing import ArrayLike

from .base import Batch, Buffer, Device, Statuses, as_bytes, check_length, check_writable, device_error


class MemoryDevice(Device):
    """A device over a buffer.

    Args:
        content: a number of bytes (zeros are made), or a buffer, which is used as it is and not copied. A
            buffer that cannot be written to makes a read-only device.
        name: what messages call it.
        readonly: refuse writes even if the buffer could take them.
    """

    def __init__(self, content: int | Buffer, name: str = "memory", readonly: bool = False) -> None:
        view = as_bytes(bytearray(content) if isinstance(content, int) else content)
        self.readonly = readonly or view.readonly
        self._view: memoryview | None = view.toreadonly() if self.readonly else view
        self.name = name
        self.size = len(view)

    def readv(self, offsets: ArrayLike, lengths: ArrayLike, out: Buffer, dest: ArrayLike) -> Statuses:
        view = self.view()
        batch = Batch(self, offsets, lengths, out, dest, writable=True)
        for _, offset, length, position in batch.rows:
            batch.view[position : position + length] = view[offset : offset + length]
        return batch.status

    def writev(self, offsets: ArrayLike, lengths: ArrayLike, data: Buffer, source: ArrayLike) -> Statuses:
        check_writable(self)
        view = self.view()
        batch = Batch(self, offsets, lengths, data, source, writable=False)
        for _, offset, length, position in batch.rows:
            view[offset : offset + length] = batch.view[position : position + length]
        return batch.status

    def flush(self) -> None:
        self.view()

    def discard(self, offset: int, length: int) -> None:
        check_writable(self)
        view = self.view()
        check_length(self, offset, length)
        view[offset : offset + length] = bytes(length)

    def view(self) -> memoryview:
        if self._view is None:
            raise device_error(errno.EBADF, "the device is closed", device=self.name)
        return self._view

    def close(self) -> None:
        self._view = None
