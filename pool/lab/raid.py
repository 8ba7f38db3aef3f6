"""RAID-5 and RAID-6 as every textbook has them: left-symmetric, changed in place, no journal.

A small write reads the old data and the old parity, and writes the new data and the new parity to where the old ones
were. Between these writes the stripe contradicts itself, and nothing on the disks says so: the write hole. The model is
here to be compared with raidz (``writehole.py``), not to keep anybody's data.

Of ``n`` disks, row ``r`` has its parity P on disk ``n - 1 - r % n``; RAID-6 has Q on the next disk. Data chunks follow
that, in order, around the disks::

    RAID-5, 4 disks     RAID-6, 5 disks
    D0  D1  D2  P       Q   D0  D1  D2  P
    D4  D5  P   D3      D3  D4  D5  P   Q
    D8  P   D6  D7      D7  D8  P   Q   D6

P is the sum of the data chunks, Q the sum of chunk i times 2 to the i, in the field with 256 elements of x^8 + x^4 +
x^3 + x^2 + 1.

Source: Linux, Documentation/admin-guide/md.rst; H. Peter Anvin, The mathematics of RAID-6.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..device.base import Batch, Buffer, Device, Statuses, check_length, check_writable, device_error
from ..errors import DeviceError, UnsupportedError, UsageError

CHUNK = 16 << 10
POLYNOMIAL = 0x11D

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Row:
    """Which disks a row's chunks lie on. ``parity``: P, and Q if there is one."""

    data: tuple[int, ...]
    parity: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Geometry:
    """How an array is laid out.

    Attributes:
        level: 5 or 6.
        disks: how many.
        chunk: bytes.
    """

    level: int
    disks: int
    chunk: int = CHUNK

    @property
    def parities(self) -> int:
        """Disks that may be lost."""
        return self.level - 4

    @property
    def width(self) -> int:
        """Data bytes of a row."""
        return (self.disks - self.parities) * self.chunk

    def row(self, number: int) -> Row:
        """Where the chunks of a row lie."""
        first = self.disks - 1 - number % self.disks
        order = [(first + at) % self.disks for at in range(self.disks)]
        return Row(tuple(order[self.parities :]), tuple(order[: self.parities]))


class RaidDevice(Device):
    """An array as one device.

    Args:
        disks: all of one size; None: it is lost. With a disk lost the array can only be read.
        geometry: of the array.
        size: bytes of it that are used.

    Raises:
        UsageError: more are lost than parity makes up for, or the shape makes no array.
    """

    def __init__(
        self, disks: Sequence[Device | None], geometry: Geometry, *, size: int | None = None, name: str = ""
    ) -> None:
        there = [disk for disk in disks if disk is not None]
        if geometry.level not in (5, 6) or geometry.disks != len(disks) or len(disks) < geometry.parities + 2:
            raise UsageError(f"{len(disks)} disks are no RAID-{geometry.level}")
        if len(there) < len(disks) - geometry.parities:
            raise UsageError(f"{len(disks) - len(there)} of {len(disks)} disks are lost: too many")
        self.disks = list(disks)
        self.geometry = geometry
        self.name = name or f"raid{geometry.level}"
        room = min(disk.size for disk in there) // geometry.chunk * geometry.width
        self.size = room if size is None else size
        if not 0 <= self.size <= room:
            raise UsageError(f"the array has {room} bytes")
        self.degraded = len(there) < len(disks)
        self.readonly = any(disk.readonly for disk in there)
        self._lock = threading.Lock()  # a row is changed by one writer at a time
        self._closed = False

    # --- reading ------------------------------------------------------------------------------------------------------

    def readv(self, offsets: ArrayLike, lengths: ArrayLike, out: Buffer, dest: ArrayLike) -> Statuses:
        self._check_open()
        batch = Batch(self, offsets, lengths, out, dest, writable=True)
        for index, offset, length, position in batch.rows:
            try:
                for row, chunk, start, at, count in self._pieces(offset, length):
                    data = self.column(row, chunk, start, count)
                    batch.view[position + at : position + at + count] = data.tobytes()
            except DeviceError as error:
                batch.status[index] = error.errno or errno.EIO
        return batch.status

    def _pieces(self, offset: int, length: int) -> list[tuple[int, int, int, int, int]]:
        """(row, chunk in it, start in that, position in the range, bytes) of each chunk that a range touches."""
        found, at = [], 0
        while at < length:
            row, within = divmod(offset + at, self.geometry.width)
            chunk, start = divmod(within, self.geometry.chunk)
            count = min(self.geometry.chunk - start, length - at)
            found.append((row, chunk, start, at, count))
            at += count
        return found

    def column(self, row: int, chunk: int, start: int, count: int) -> Bytes:
        """Bytes of a data chunk, worked out from the others if its disk is lost.

        Raises:
            DeviceError: a disk does not give what is needed.
        """
        place = self.geometry.row(row)
        if self.disks[place.data[chunk]] is not None:
            return self._raw(place.data[chunk], row, start, count)
        known: dict[int, Bytes] = {}
        for other, disk in enumerate(place.data):
            if self.disks[disk] is not None:
                known[other] = self._raw(disk, row, start, count)
        parity = [
            None if self.disks[disk] is None else self._raw(disk, row, start, count) for disk in place.parity
        ]  # fmt: skip
        return _solve(len(place.data), known, parity)[chunk]

    def _raw(self, disk: int, row: int, start: int, count: int) -> Bytes:
        device = self.disks[disk]
        assert device is not None
        return np.frombuffer(device.read(row * self.geometry.chunk + start, count), np.uint8)

    # --- writing ------------------------------------------------------------------------------------------------------

    def writev(self, offsets: ArrayLike, lengths: ArrayLike, data: Buffer, source: ArrayLike) -> Statuses:
        self._check_open()
        check_writable(self)
        if self.degraded:
            raise UnsupportedError("writing to an array that lacks a disk", device=self.name)
        batch = Batch(self, offsets, lengths, data, source, writable=False)
        for index, offset, length, position in batch.rows:
            view = batch.view[position : position + length]
            rows: dict[int, list[tuple[int, int, Bytes]]] = {}
            for row, chunk, start, at, count in self._pieces(offset, length):
                piece = np.frombuffer(view[at : at + count], np.uint8)
                rows.setdefault(row, []).append((chunk, start, piece))
            try:
                for row, pieces in rows.items():
                    with self._lock:
                        self._write_row(row, pieces)
            except DeviceError as error:
                batch.status[index] = error.errno or errno.EIO
        return batch.status

    def _write_row(self, row: int, pieces: Sequence[tuple[int, int, Bytes]]) -> None:
        """Read, modify, write: the old data and parity tell the new parity."""
        place = self.geometry.row(row)
        low = min(start for _, start, _ in pieces)
        high = max(start + len(piece) for _, start, piece in pieces)
        parity = [self._raw(disk, row, low, high - low).copy() for disk in place.parity]
        for chunk, start, piece in pieces:
            change = self._raw(place.data[chunk], row, start, len(piece)) ^ piece
            for power, column in enumerate(parity):
                column[start - low : start - low + len(piece)] ^= _times(chunk * power)[change]
        for chunk, start, piece in pieces:
            self._put(place.data[chunk], row, start, piece)
        for disk, column in zip(place.parity, parity):
            self._put(disk, row, low, column)

    def _put(self, disk: int, row: int, start: int, data: Bytes) -> None:
        device = self.disks[disk]
        assert device is not None
        device.write(row * self.geometry.chunk + start, data)

    def flush(self) -> None:
        self._check_open()
        for disk in self.disks:
            if disk is not None:
                disk.flush()

    def discard(self, offset: int, length: int) -> None:
        self._check_open()
        check_writable(self)
        check_length(self, offset, length)
        raise UnsupportedError("this device cannot discard", device=self.name)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            for disk in self.disks:
                if disk is not None:
                    disk.close()

    def _check_open(self) -> None:
        if self._closed:
            raise device_error(errno.EBADF, "the device is closed", device=self.name)

    def contradictions(self) -> list[int]:
        """Rows whose parity is not that of their data: what a scrub would find, and not know whom to believe.

        Raises:
            UsageError: a disk is lost.
        """
        if self.degraded:
            raise UsageError("without all disks nothing can be compared")
        rows = -(-self.size // self.geometry.width)
        return [row for row in range(rows) if not self._consistent(row)]

    def _consistent(self, row: int) -> bool:
        place, chunk = self.geometry.row(row), self.geometry.chunk
        data = {number: self._raw(disk, row, 0, chunk) for number, disk in enumerate(place.data)}
        return all(
            np.array_equal(_parity(data, power), self._raw(disk, row, 0, chunk))
            for power, disk in enumerate(place.parity)
        )


# --- arithmetic -------------------------------------------------------------------------------------------------------


@cache
def _times(power: int) -> Bytes:
    """A table: every byte times 2 to ``power``."""
    table = np.arange(256)
    for _ in range(power % 255):
        table = (table << 1) ^ np.where(table & 0x80, POLYNOMIAL, 0)
    return table.astype(np.uint8)


def _parity(data: Mapping[int, Bytes], power: int) -> Bytes:
    """P (power 0) or Q (power 1) of the chunks that are given; the others count as zeros."""
    columns = [_times(number * power)[column] for number, column in data.items()]
    result = np.zeros_like(columns[0])
    for column in columns:
        result ^= column
    return result


def _solve(count: int, known: Mapping[int, Bytes], parity: Sequence[Bytes | None]) -> dict[int, Bytes]:
    """The chunks that are not known: one from P or Q, two from both."""
    lost = [number for number in range(count) if number not in known]
    if len(lost) == 1:
        power = 0 if parity[0] is not None else 1
        column = parity[power]
        assert column is not None
        rest = column ^ _parity(known, power) if known else column
        return {lost[0]: _times(-lost[0] * power)[rest]}
    first, second = lost
    p, q = parity
    assert p is not None and q is not None
    sums = (p ^ _parity(known, 0), q ^ _parity(known, 1)) if known else (p, q)
    # a + b = p and 2^first a + 2^second b = q give a (2^first + 2^second) = q + 2^second p.
    value = sums[1] ^ _times(second)[sums[0]]
    factor = int(_times(first)[1] ^ _times(second)[1])
    a = _times(-_log(factor))[value]
    return {first: a, second: a ^ sums[0]}


def _log(value: int) -> int:
    return next(power for power in range(255) if _times(power)[1] == value)
