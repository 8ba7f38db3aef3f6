"""A part of a device, such as a partition of a disk image, as a device of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .base import Batch, Buffer, Device, Statuses, check_length, check_writable


class SliceDevice(Device):
    """``length`` bytes of ``base`` from ``start`` on. Closing it closes ``base`` too."""

    def __init__(self, base: Device, start: int, length: int, name: str | None = None) -> None:
        self.base = base
        self.start = start
        self.size = max(0, min(length, base.size - start))
        self.name = base.name if name is None else name
        self.readonly = base.readonly
        self.cache = base.cache

    def readv(self, offsets: ArrayLike, lengths: ArrayLike, out: Buffer, dest: ArrayLike) -> Statuses:
        batch = Batch(self, offsets, lengths, out, dest, writable=True)
        if not batch.rows:
            return batch.status
        index, at, size, position = np.array(batch.rows, dtype=np.int64).T
        batch.status[index] = self.base.readv(at + self.start, size, out, position)
        return batch.status

    def writev(self, offsets: ArrayLike, lengths: ArrayLike, data: Buffer, source: ArrayLike) -> Statuses:
        check_writable(self)
        batch = Batch(self, offsets, lengths, data, source, writable=False)
        if not batch.rows:
            return batch.status
        index, at, size, position = np.array(batch.rows, dtype=np.int64).T
        batch.status[index] = self.base.writev(at + self.start, size, data, position)
        return batch.status

    def flush(self) -> None:
        self.base.flush()

    def discard(self, offset: int, length: int) -> None:
        check_writable(self)
        if check_length(self, offset, length):
            self.base.discard(self.start + offset, length)

    def occupy(self, offset: int, length: int) -> None:
        if check_length(self, offset, length):
            self.base.occupy(self.start + offset, length)

    def view(self) -> memoryview | None:
        view = self.base.view()
        return None if view is None else view[self.start : self.start + self.size]

    def close(self) -> None:
        self.base.close()
