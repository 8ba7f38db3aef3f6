"""Changes in memory over a device that stays as it is: for repairs on trial, evidence, and tests.

Memory is used for chunks of 4 KiB that were written to, nothing else. A flush has nothing to do: changes
last as long as the object.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator

from numpy.typing import ArrayLike

from .base import Batch, Buffer, Device, Statuses, check_length, device_error

CHUNK = 4096


class OverlayDevice(Device):
    """Copy on write over ``base``, which is only ever read. Closing the overlay closes ``base`` too."""

    readonly = False

    def __init__(self, base: Device, name: str | None = None) -> None:
        self.base = base
        self.size = base.size
        self.name = base.name if name is None else name
        self._chunks: dict[int, bytearray] = {}  # by number; the last one may be short
        self._lock = threading.Lock()
        self._closed = False

    def readv(self, offsets: ArrayLike, lengths: ArrayLike, out: Buffer, dest: ArrayLike) -> Statuses:
        self._check_open()
        batch = Batch(self, offsets, lengths, out, dest, writable=True)
        status = self.base.readv(offsets, lengths, out, dest)
        if self._chunks:
            for index, offset, length, position in batch.rows:
                target = batch.view[position : position + length]
                if self._patch(offset, target) and status[index]:
                    status[index] = 0  # the range below is bad, and no byte of it was asked for
        return status

    def _patch(self, offset: int, target: memoryview) -> bool:
        """Put the changed bytes over what was read; True if they were all of it."""
        complete = True
        for number, start, end, at in _split(offset, len(target)):
            chunk = self._chunks.get(number)
            if chunk is None:
                complete = False
            else:
                target[at : at + end - start] = memoryview(chunk)[start:end]
        return complete

    def writev(self, offsets: ArrayLike, lengths: ArrayLike, data: Buffer, source: ArrayLike) -> Statuses:
        self._check_open()
        batch = Batch(self, offsets, lengths, data, source, writable=False)
        for index, offset, length, position in batch.rows:
            with self._lock:
                batch.status[index] = self._store(offset, batch.view[position : position + length])
        return batch.status

    def _store(self, offset: int, data: memoryview) -> int:
        for number, start, end, at in _split(offset, len(data)):
            chunk = self._chunks.get(number)
            if chunk is None:
                first = number * CHUNK
                size = min(CHUNK, self.size - first)
                chunk = bytearray(size)
                if end - start < size:
                    code = int(self.base.readv([first], [size], chunk, [0])[0])
                    if code:
                        return code
                chunk[start:end] = data[at : at + end - start]
                self._chunks[number] = chunk  # published when complete, so that readers need no lock
            else:
                chunk[start:end] = data[at : at + end - start]
        return 0

    def flush(self) -> None:
        self._check_open()

    def discard(self, offset: int, length: int) -> None:
        self.write(offset, bytes(check_length(self, offset, length)))

    def changes(self) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes) of every changed chunk, ascending: what makes the changes real when written."""
        for number in sorted(self._chunks):
            yield number * CHUNK, bytes(self._chunks[number])

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._chunks.clear()
            self.base.close()

    def _check_open(self) -> None:
        if self._closed:
            raise device_error(errno.EBADF, "the device is closed", device=self.name)


def _split(offset: int, length: int) -> Iterator[tuple[int, int, int, int]]:
    """(chunk number, start and end in it, position in the range) of each chunk that a range touches."""
    at = 0
    while at < length:
        number, start = divmod(offset + at, CHUNK)
        end = min(CHUNK, start + length - at)
        yield number, start, end, at
        at += end - start


class Held(Device):
    """``base``, which stays open when this is closed: for opening a pool twice on the same devices."""

    readonly = False

    def __init__(self, base: Device) -> None:
        self.base = base
        self.name = base.name
        self.size = base.size

    def readv(self, offsets: ArrayLike, lengths: ArrayLike, out: Buffer, dest: ArrayLike) -> Statuses:
        return self.base.readv(offsets, lengths, out, dest)

    def writev(self, offsets: ArrayLike, lengths: ArrayLike, data: Buffer, source: ArrayLike) -> Statuses:
        return self.base.writev(offsets, lengths, data, source)

    def flush(self) -> None:
        self.base.flush()

    def discard(self, offset: int, length: int) -> None:
        self.base.discard(offset, length)

    def close(self) -> None:
        """Nothing is closed."""
