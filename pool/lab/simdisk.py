"""A disk that exists only in memory, and remembers what was done to it.

Like a real disk it has a volatile cache: a write is seen by every later read at once, and is durable only when a later
flush has ended. The journal knows which writes those are, so what a power cut would leave can be built from it at any
time (``crash.py``); the disk itself holds what reads see while the power is on. Without a journal it is just a sparse
disk, which is how a crash state is handed to an import.

It gives kernels no short cut: every read and every write passes through it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from numpy.typing import ArrayLike

from ..device.base import Batch, Buffer, Device, Statuses, check_length, check_writable, device_error
from ..device.cachemode import CACHE_MODES, SYNCHRONOUS, CacheMode
from .journal import SECTOR, Journal
from .pages import Pages

#: Told of every range that is read: offset, length.
Watcher = Callable[[int, int], None]


class SimDisk(Device):
    """A simulated disk.

    Args:
        content: what is on it (used, not copied), or its size in bytes.
        name: what messages call it.
        journal: where everything is noted.
        sector: bytes that a power cut leaves whole.
        cache: what writes and flushes mean, see ``cachemode``: in ``writethrough`` and ``directsync`` every write
            is durable when it returns, in ``unsafe`` flushes are answered and nothing is done.
        readonly: refuse writes.

    Attributes:
        content: what reads see.
        number: the disk's number in the journal.
        watcher: told of every range that is read.
    """

    def __init__(
        self,
        content: Pages | int,
        name: str = "disk",
        journal: Journal | None = None,
        *,
        sector: int = SECTOR,
        cache: CacheMode = "writeback",
        readonly: bool = False,
    ) -> None:
        if cache not in CACHE_MODES:
            raise ValueError(f"no cache mode {cache!r}")
        if sector < SECTOR or sector & (sector - 1):
            raise ValueError(f"a sector of {sector} bytes")
        self.content = Pages(content) if isinstance(content, int) else content
        self.size = self.content.size
        self.name = name
        self.readonly = readonly
        self.cache = cache
        self.journal = Journal() if journal is None else journal
        self._noted = journal is not None
        self.number = self.journal.attach(name, self.content, sector) if journal is not None else -1
        self.watcher: Watcher | None = None
        self._closed = False

    def readv(self, offsets: ArrayLike, lengths: ArrayLike, out: Buffer, dest: ArrayLike) -> Statuses:
        self._check_open()
        batch = Batch(self, offsets, lengths, out, dest, writable=True)
        content, watcher = self.content, self.watcher
        for _, offset, length, position in batch.rows:
            if watcher is not None:
                watcher(offset, length)
            content.read_into(offset, batch.view[position : position + length])
        return batch.status

    def writev(self, offsets: ArrayLike, lengths: ArrayLike, data: Buffer, source: ArrayLike) -> Statuses:
        self._check_open()
        check_writable(self)
        batch = Batch(self, offsets, lengths, data, source, writable=False)
        for _, offset, length, position in batch.rows:
            # Copied: the caller may use the buffer for something else now.
            payload = bytes(batch.view[position : position + length])
            with self.journal.lock:
                if self._noted:
                    self.journal.write(self.number, offset, payload)
                self.content.write(offset, payload)
        if self.cache in SYNCHRONOUS and batch.rows:
            self._barrier()
        return batch.status

    def write_durable(self, offset: int, data: Buffer) -> bool:
        if self.cache != "writeback" or self.readonly:
            return False
        self.write(offset, data)
        self.flush()
        return True

    def flush(self) -> None:
        self._check_open()
        if self.readonly:
            return
        if self.cache == "unsafe":
            self.lose_flush()
        else:
            self._barrier()

    def lose_flush(self) -> None:
        """Note a flush that was answered and not done."""
        if self._noted:
            self.journal.flush_lost(self.number)

    def _barrier(self) -> None:
        if self._noted:
            begin = self.journal.flush_begin(self.number)
            self.journal.flush_end(begin)

    def discard(self, offset: int, length: int) -> None:
        self._check_open()
        check_writable(self)
        if not check_length(self, offset, length):
            return
        with self.journal.lock:
            if self._noted:
                self.journal.discard(self.number, offset, length)
            self.content.zero(offset, length)
        if self.cache in SYNCHRONOUS:
            self._barrier()

    def close(self) -> None:
        self._closed = True

    def twin(self) -> SimDisk:
        """A disk with the same content that can be written and has no journal; reads of it are reads of this one."""
        result = SimDisk(self.content.fork(), self.name)
        result.watcher = self.watcher
        return result

    def reopen(self) -> None:
        """Let a closed disk be used again: whoever opens a pool twice closes its disks in between."""
        self._closed = False

    def _check_open(self) -> None:
        if self._closed:
            raise device_error(errno.EBADF, "the device is closed", device=self.name)
