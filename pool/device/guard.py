"""A device behind glass: whatever lies below can be read and not written."""

from __future__ import annotations

from numpy.typing import ArrayLike

from .base import Buffer, Device, Statuses, read_only_error


class ReadOnlyDevice(Device):
    """``base``, read-only. Closing it closes ``base`` too."""

    readonly = True

    def __init__(self, base: Device) -> None:
        self.base = base
        self.name = base.name
        self.size = base.size

    def readv(self, offsets: ArrayLike, lengths: ArrayLike, out: Buffer, dest: ArrayLike) -> Statuses:
        return self.base.readv(offsets, lengths, out, dest)

    def writev(self, offsets: ArrayLike, lengths: ArrayLike, data: Buffer, source: ArrayLike) -> Statuses:
        raise read_only_error(self)

    def flush(self) -> None:
        self.base.flush()

    def discard(self, offset: int, length: int) -> None:
        raise read_only_error(self)

    def view(self) -> memoryview | None:
        view = self.base.view()
        return None if view is None else view.toreadonly()

    def close(self) -> None:
        self.base.close()
