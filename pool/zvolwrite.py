"""Volumes that can be written: any bytes at any offset, discarding, another size.

Source: OpenZFS, zvol.c, zvol_os.c.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from .dmu.mutable import MutableDnode
from .dmu.mutableobjset import MutableObjset
from .dmu.mutablezap import MutableZap
from .errors import FileLimitError, ReadOnlyError, UsageError
from .ondisk import zilencode
from .ondisk.zplconst import ZVOL_OBJECT, ZVOL_PROP_OBJECT
from .zpl.file import ObjectFile
from .zpl.filewrite import zero_range
from .zpl.oplog import NoLog, OpLog
from .zvol import MAX_VOLUME, Zvol


class MutableZvol(Zvol):
    """A volume of a pool that is open for writing.

    Args:
        objset: its object set.
        relieve: called after each transaction: the pool may write a txg then.
        readonly: property of this name: its content is not changed.
        log: told of every change.
    """

    objset: MutableObjset

    def __init__(
        self,
        objset: MutableObjset,
        relieve: Callable[[], None] = lambda: None,
        *,
        readonly: bool = False,
        log: OpLog | None = None,
    ) -> None:
        super().__init__(objset)
        self.relieve = relieve
        self.readonly = readonly
        self.log = log or NoLog()

    @property
    def content(self) -> MutableDnode:
        """The object that has the data."""
        return self.objset.dnode(ZVOL_OBJECT)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Changes made inside are made together or not at all."""
        self.objset.make_way()
        with self.objset.tx.transaction() as tx:
            yield
        if not tx.active:
            self.relieve()
            self.log.settle()

    def fsync(self) -> None:
        """Everything that was written is on stable storage when this returns, as after a disk's flush.

        Raises:
            UsageError: inside a transaction. DeviceError, NoSpaceError: nothing can be promised.
        """
        self.log.commit()

    def resize(self, size: int) -> None:
        """Give the volume another size; what lies beyond it is gone.

        Args:
            size: bytes, a multiple of the volblocksize.

        Raises:
            UsageError: no volume can have this size.
        """
        if not 0 < size < MAX_VOLUME or size % self.volblocksize:
            raise UsageError("a volume's size is a multiple of its volblocksize", bytes=size, dataset=self.name)
        with self.transaction():
            self.log.gap()
            blocks, dn = size // self.volblocksize, self.content
            if blocks <= dn.maxblkid:
                dn.free_range(blocks, dn.maxblkid + 1 - blocks)
            MutableZap(self.objset.dnode(ZVOL_PROP_OBJECT)).update("size", size)
            self.objset.tx.note(partial(setattr, self, "size", self.size))
            self.size = size

    def open(self, *, sync: bool = False) -> VolumeFile:
        """The content as a binary file that can be read and written; ``sync``: as ``O_SYNC``."""
        return VolumeFile(self, sync=sync)


class VolumeFile(ObjectFile):
    """A volume's content: a file of a fixed length.

    Args:
        volume: the volume.
        sync: what is written is on stable storage when the call returns (``O_SYNC``).
    """

    mode = "rb+"

    def __init__(self, volume: MutableZvol, *, sync: bool = False) -> None:
        super().__init__(volume.content, volume.size, volume.name)
        self.volume = volume
        self.sync = sync

    def fsync(self) -> None:
        """As ``MutableZvol.fsync``."""
        self._open()
        self.volume.fsync()

    fdatasync = fsync

    def _settle(self) -> None:
        if self.sync and self.volume.objset.tx.active:
            self.volume.log.demand()
        elif self.sync:
            self.volume.fsync()

    def writable(self) -> bool:
        """True."""
        self._open()
        return True

    def write(self, buffer: Any, /) -> int:
        """Write at the position; gives the bytes written, which are fewer at the volume's end."""
        count = self.pwrite(buffer, self._at)
        self._at += count
        return count

    def pwrite(self, buffer: Any, offset: int) -> int:
        """Write at any offset; the position stays. Gives the bytes written, which are fewer at the volume's end.

        Raises:
            NoSpaceError: the pool is full. FileLimitError: nothing of it lies in the volume (ENOSPC, as with a disk).
            ReadOnlyError: the property ``readonly`` forbids it.
        """
        self._open()
        self._check_writable()
        if offset < 0:
            raise UsageError("an offset cannot be negative", offset=offset)
        view = memoryview(buffer).cast("B")
        count = min(len(view), self.volume.size - offset)
        if view and count <= 0:  # a count of 0 would be tried again for ever by what buffers writes
            name, size = self.volume.name, self.volume.size
            raise FileLimitError("the volume ends before this offset", errno.ENOSPC, volume=name, bytes=size, at=offset)
        if count > 0:
            with self.volume.transaction():
                content = self.volume.content
                content.write(offset, view[:count])
                self.volume.log.note_write(content, offset, count, self.volume.size)
            self._settle()
        return max(count, 0)

    def discard(self, offset: int, length: int) -> None:
        """A range is not needed any more: it reads as zeros and takes no space.

        Raises:
            ReadOnlyError; UsageError: it begins before the volume, or has no length.
        """
        self._open()
        self._check_writable()
        if offset < 0 or length < 0:
            raise UsageError("neither offset nor length can be negative", offset=offset, length=length)
        end = min(offset + length, self.volume.size)
        if end <= offset:
            return
        with self.volume.objset.tx.giving_back():
            zero_range(self.volume.content, offset, end, self.volume.size)
            self.volume.log.note_file(ZVOL_OBJECT, zilencode.truncate, ZVOL_OBJECT, offset, end - offset)
        if not self.volume.objset.tx.active:
            self.volume.log.settle()
        self._settle()

    def _check_writable(self) -> None:
        if self.volume.readonly:
            raise ReadOnlyError(f"{self.volume.name} is set read-only", "zfs set readonly=off")

    def pread(self, buffer: Any, offset: int, *, damaged: Any = None) -> int:
        """As ``ObjectFile.pread``, of what is there now."""
        self.size = self.volume.size
        return super().pread(buffer, offset, damaged=damaged)

    def readall(self) -> bytes:
        """Everything from the position on."""
        self.size = self.volume.size
        return super().readall()

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """As ``ObjectFile.seek``, of what is there now."""
        self.size = self.volume.size
        return super().seek(offset, whence)
