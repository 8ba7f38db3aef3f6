"""Files and block devices without the host's page cache (``O_DIRECT``): cache modes ``none`` and ``directsync``.

Direct transfers have offsets, lengths and memory in whole sectors. Requests that lie one behind the other are moved
together through an aligned buffer, and what begins or ends within a sector is read, changed and written back under a
lock. A sector that the file has only a part of goes through the page cache, as no direct write can end there.

Kernels get no descriptor, since their buffers are not aligned: all bytes come through ``readv`` and ``writev``.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
from collections.abc import Callable, Iterator, Sequence

from numpy.typing import ArrayLike

from ..errors import DeviceError
from .base import Batch, Buffer, Statuses, check_writable, device_error
from .cachemode import DIRECT, CacheMode
from .file import FileDevice

#: Sectors that are tried, in bytes.
SECTORS = (512, 4096)
#: Bytes moved by one system call.
TRANSFER = 1 << 20

Row = tuple[int, int, int, int]  # as ``Batch.rows``: index, offset, length, position in the buffer


class DirectFileDevice(FileDevice):
    """A regular file or a block device, past the page cache.

    Args:
        path, readonly: as for ``FileDevice``.
        cache: ``none`` or ``directsync``.

    Attributes:
        sector: bytes of which transfers are made.

    Raises:
        DeviceError: as ``FileDevice``; or its file system has no direct I/O.
    """

    def __init__(self, path: str | os.PathLike[str], readonly: bool = True, cache: CacheMode = "none") -> None:
        if cache not in DIRECT:
            raise ValueError(f"cache mode {cache!r} uses the page cache")
        self._buffers = threading.local()
        self._edges = threading.Lock()  # held while a part of a sector is changed
        self._tail = -1  # descriptor for the last part of a sector
        super().__init__(path, readonly, cache)
        try:
            self.sector = self._sector()
            self._whole = self.size - self.size % self.sector
            if self._whole < self.size:
                flags = (os.O_RDONLY if readonly else os.O_RDWR) | os.O_CLOEXEC
                self._tail = os.open(self.path, flags | self._sync_flag())
        except OSError as error:
            self.close()
            if isinstance(error, DeviceError):
                raise
            raise device_error(error.errno or errno.EIO, "cannot open the device", device=self.name) from error

    def _open_flags(self) -> int:
        return super()._open_flags() | os.O_DIRECT

    def _sector(self) -> int:
        """The smallest sector that the device takes. What is too short to be asked gets the largest."""
        if self.size < 2 * SECTORS[0]:
            return SECTORS[-1]
        for size in SECTORS:
            try:
                os.preadv(self._fd, [self._buffer()[:size]], size)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    break  # a bad sector says nothing of alignment
            else:
                return size
        return SECTORS[-1]

    def _buffer(self) -> memoryview:
        """Aligned memory of this thread, for a transfer and the sectors that it begins and ends in."""
        found: memoryview | None = getattr(self._buffers, "view", None)
        if found is None:
            found = self._buffers.view = memoryview(mmap.mmap(-1, TRANSFER + 2 * SECTORS[-1]))
        return found

    def fileno(self) -> int | None:
        self._descriptor()
        return None

    def close(self) -> None:
        tail, self._tail = self._tail, -1
        if tail >= 0:
            os.close(tail)
        super().close()

    # --- reading ------------------------------------------------------------------------------------------------------

    def readv(self, offsets: ArrayLike, lengths: ArrayLike, out: Buffer, dest: ArrayLike) -> Statuses:
        batch = Batch(self, offsets, lengths, out, dest, writable=True)
        self._descriptor()
        _in_runs(batch, self._read_run)
        return batch.status

    def _read_run(self, view: memoryview, rows: Sequence[Row]) -> None:
        """Read neighbours. Raises: OSError."""
        start, end = rows[0][1], rows[-1][1] + rows[-1][2]
        first = start - start % self.sector
        buffer = self._buffer()
        self._fetch(first, buffer[: self._rounded(end) - first])
        for _, offset, length, position in rows:
            view[position : position + length] = buffer[offset - first : offset - first + length]

    def _rounded(self, end: int) -> int:
        """The end of the sector that ends with or after this place, or of the device."""
        return min(end + -end % self.sector, self.size)

    def _fetch(self, offset: int, target: memoryview) -> None:
        cut = max(0, min(len(target), self._whole - offset))
        _whole(os.preadv, self._fd, target[:cut], offset)
        _whole(os.preadv, self._tail, target[cut:], offset + cut)

    # --- writing ------------------------------------------------------------------------------------------------------

    def writev(self, offsets: ArrayLike, lengths: ArrayLike, data: Buffer, source: ArrayLike) -> Statuses:
        check_writable(self)
        batch = Batch(self, offsets, lengths, data, source, writable=False)
        self._descriptor()
        _in_runs(batch, self._write_run)
        return batch.status

    def _write_run(self, view: memoryview, rows: Sequence[Row]) -> None:
        """Write neighbours. Raises: OSError."""
        start, end = rows[0][1], rows[-1][1] + rows[-1][2]
        first, last = start - start % self.sector, self._rounded(end)
        buffer = self._buffer()[: last - first]
        if first == start and last == end:
            self._store(first, _filled(buffer, view, rows, first))
            return
        # Two writes into one sector must not each put back what the other has just changed.
        with self._edges:
            self._fetch(first, buffer[: min(self.sector, len(buffer))])
            if len(buffer) > self.sector:
                at = len(buffer) - (len(buffer) % self.sector or self.sector)
                self._fetch(first + at, buffer[at:])
            self._store(first, _filled(buffer, view, rows, first))

    def _store(self, offset: int, data: memoryview) -> None:
        cut = max(0, min(len(data), self._whole - offset))
        _whole(os.pwritev, self._fd, data[:cut], offset)
        _whole(os.pwritev, self._tail, data[cut:], offset + cut)


def _in_runs(batch: Batch, move: Callable[[memoryview, Sequence[Row]], None]) -> None:
    """Move all requests in runs of neighbours; of a run that fails, each by itself, so that one hides no other."""
    for rows in _runs(batch.rows):
        try:
            move(batch.view, rows)
        except OSError as error:
            if len(rows) == 1:
                batch.status[rows[0][0]] = error.errno or errno.EIO
                continue
            for row in rows:
                try:
                    move(batch.view, [row])
                except OSError as single:
                    batch.status[row[0]] = single.errno or errno.EIO


def _runs(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Requests that lie one behind the other, no run longer than a transfer. Long requests come in pieces."""
    run: list[Row] = []
    size = 0
    for index, offset, length, position in sorted(rows, key=lambda row: row[1]):
        while length:
            if run and (offset != run[-1][1] + run[-1][2] or size >= TRANSFER):
                yield run
                run, size = [], 0
            part = min(length, TRANSFER - size)
            run.append((index, offset, part, position))
            size += part
            offset, length, position = offset + part, length - part, position + part
    if run:
        yield run


def _filled(buffer: memoryview, view: memoryview, rows: Sequence[Row], first: int) -> memoryview:
    for _, offset, length, position in rows:
        buffer[offset - first : offset - first + length] = view[position : position + length]
    return buffer


def _whole(call: Callable[[int, list[memoryview], int], int], fd: int, view: memoryview, offset: int) -> None:
    """Move all of a buffer. Raises: OSError; EIO: it came to an end before."""
    done = 0
    while done < len(view):
        count = call(fd, [view[done:]], offset + done)
        if count == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        done += count
