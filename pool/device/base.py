"""The contract of a device: bytes at offsets, read and written in batches.

Everything the engine stores goes through this one class: files, block devices, memory, layers of change
over something that must not change, and, in tests, devices that fail on purpose. ``DeviceContract`` in
``testing.py`` holds this page as tests; a new kind of device proves itself by subclassing it.

1.  *Size.* ``size`` is the number of bytes, fixed while the device is open. Offsets run from 0 to ``size``.
2.  *Batches.* ``readv`` and ``writev`` take arrays with one entry for each request, of any integer type,
    and one buffer with the position of each request in it. Requests of one call are done in any order, or
    at the same time; those of one ``writev`` must not overlap each other.
3.  *Results.* Both give one ``errno`` for each request, 0 where it went well: one bad sector never hides
    the other requests' bytes. A request that does not lie within the device fails with ``EIO`` and a short
    read or write is ``EIO`` too; after a failed read its part of the buffer holds nothing one may rely on.
    Only a caller's mistake (arrays of different lengths, a position outside the buffer) raises, namely
    ``ValueError``.
4.  *Empty requests* succeed and touch nothing.
5.  *Durability.* Written bytes are seen by every later read through the same object at once, and are
    durable when the next ``flush`` has returned. What happens to them in a crash before that is open: any,
    all or none, in any order.
6.  *Flush* raises ``DeviceError`` when it fails; then nothing written since the last good flush may be
    relied on.
7.  *Discard* says that a range is not needed: afterwards it reads as zeros or as before, and its neighbours
    are as they were. A device that cannot do so raises ``UnsupportedError``.
8.  *Read-only* devices raise ``ReadOnlyError`` from ``writev``, ``write`` and ``discard``, before anything
    is changed; their ``flush`` does nothing.
9.  *Threads.* Any number of threads may read at the same time; writers do not disturb readers of other
    ranges.
10. *Closing* twice is fine. Any other call on a closed device raises ``DeviceError``.
11. *Short cuts* for kernels that move bytes themselves: ``fileno`` (a descriptor on which ``pread`` and
    ``pwrite`` at the device's offsets do what ``readv`` and ``writev`` do) and ``view`` (the device's bytes
    in memory). A device that watches, changes or refuses requests gives None for both, and so is never
    passed by.
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DeviceError, ReadOnlyError
from .cachemode import CacheMode

Statuses = NDArray[np.int32]
Buffer = bytes | bytearray | memoryview | NDArray[Any]


def as_bytes(buffer: Buffer) -> memoryview:
    """The bytes of any contiguous buffer, not copied.

    Raises:
        ValueError: it is an array whose elements do not lie one behind the other.
    """
    if isinstance(buffer, np.ndarray):
        if not buffer.flags.c_contiguous:
            raise ValueError("the array is not contiguous")
        buffer = buffer.reshape(-1).view(np.uint8)
    return memoryview(cast(bytes, buffer)).cast("B")


def device_error(code: int, what: str, **where: str | int) -> DeviceError:
    """A ``DeviceError`` that carries the operating system's error number and its text."""
    error = DeviceError(f"{what}: {os.strerror(code)}", "", **where)
    error.errno = code
    return error


class Device(ABC):
    """Bytes at offsets; see the contract at the head of this module."""

    name: str  # what messages call it: a path, a label
    size: int  # bytes
    readonly: bool
    cache: CacheMode = "writeback"

    @abstractmethod
    def readv(self, offsets: ArrayLike, lengths: ArrayLike, out: Buffer, dest: ArrayLike) -> Statuses:
        """Read ``lengths[i]`` bytes at ``offsets[i]`` to ``out[dest[i]:]``, for every i.

        Returns:
            an errno for each request, 0 where all bytes were read.
        """

    @abstractmethod
    def writev(self, offsets: ArrayLike, lengths: ArrayLike, data: Buffer, source: ArrayLike) -> Statuses:
        """Write ``lengths[i]`` bytes from ``data[source[i]:]`` at ``offsets[i]``, for every i.

        Returns:
            an errno for each request, 0 where all bytes were written.
        """

    @abstractmethod
    def flush(self) -> None:
        """Return once everything written before is durable."""

    @abstractmethod
    def discard(self, offset: int, length: int) -> None:
        """The range is not needed any more."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what lies below. Does not flush."""

    def read(self, offset: int, length: int) -> bytes:
        """One range, or ``DeviceError`` with its errno."""
        out = bytearray(check_length(self, offset, length))
        code = int(self.readv([offset], [length], out, [0])[0])
        if code:
            raise device_error(code, "cannot read", device=self.name, offset=offset, length=length)
        return bytes(out)

    def write(self, offset: int, data: Buffer) -> None:
        """One range, or ``DeviceError`` with its errno."""
        view = as_bytes(data)
        code = int(self.writev([offset], [len(view)], view, [0])[0])
        if code:
            raise device_error(code, "cannot write", device=self.name, offset=offset, length=len(view))

    def fileno(self) -> int | None:
        """A descriptor for direct ``pread`` and ``pwrite``; None: only through ``readv`` and ``writev``."""
        return None

    def view(self) -> memoryview | None:
        """The device's bytes, where they lie in memory."""
        return None

    def occupy(self, offset: int, length: int) -> None:
        """A range will be written soon, in small pieces with a flush after each: do ahead what makes that faster.

        What is in it does not change, and nothing is promised: an error that this meets, writing will meet, too.
        """
        return

    def write_durable(self, offset: int, data: Buffer) -> bool:
        """Write one range and flush, in one step, where that is faster than one after the other.

        Returns:
            False: it is not, or the write failed: it is yet to be done, as if this had not been called.

        Raises:
            DeviceError: the flush failed: nothing written since the last good one may be relied on.
        """
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        mode = ", readonly" if self.readonly else ""
        return f"{type(self).__name__}({self.name!r}, size={self.size}{mode})"


def check_length(device: Device, offset: int, length: int) -> int:
    """``length``, if the device has so many bytes there: no buffer is made for an absurd request."""
    if offset < 0 or length < 0 or length > device.size - offset:
        raise device_error(errno.EIO, "beyond the end", device=device.name, offset=offset, length=length)
    return length


def check_writable(device: Device) -> None:
    """Raise ``ReadOnlyError`` for a read-only device."""
    if device.readonly:
        raise read_only_error(device)


def read_only_error(device: Device) -> ReadOnlyError:
    """What a write to a read-only device ends with."""
    error = ReadOnlyError("the device is open read-only", device=device.name)
    error.errno = errno.EROFS
    return error


class Batch:
    """The requests of one ``readv`` or ``writev``, checked: what every implementation starts with.

    ``rows`` gives (index, device offset, length, position in the buffer) of every request that lies within
    the device and is not empty; ``status`` has ``EIO`` already for those that do not.
    """

    def __init__(
        self,
        device: Device,
        offsets: ArrayLike,
        lengths: ArrayLike,
        buffer: Buffer,
        positions: ArrayLike,
        *,
        writable: bool,
    ) -> None:
        columns = [_as_integers(values) for values in (offsets, lengths, positions)]
        count = len(columns[0])
        if any(len(column) != count for column in columns):
            raise ValueError("offsets, lengths and positions differ in number")
        self.view = as_bytes(buffer)
        if writable and self.view.readonly:
            raise ValueError("the buffer to read into is read-only")
        self.status: Statuses = np.zeros(count, np.int32)
        self.rows: list[tuple[int, int, int, int]] = []
        room, size = len(self.view), device.size
        for index, (offset, length, position) in enumerate(zip(*columns)):
            if length < 0 or position < 0 or length > room - position:
                raise ValueError(f"request {index}: {length} bytes at {position} of a buffer of {room}")
            if offset < 0 or length > size - offset:
                self.status[index] = errno.EIO
            elif length:
                self.rows.append((index, offset, length, position))


def _as_integers(values: ArrayLike) -> list[int]:
    array: NDArray[Any] = np.asarray(values)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise ValueError("offsets, lengths and positions are one-dimensional arrays of integers")
    result: list[int] = array.tolist()
    return result
