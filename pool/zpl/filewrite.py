"""The content of regular files: writing, cutting, punching holes.

A file of at most one block has a block just large enough for it, up to the recordsize; the first write beyond that
fixes the block size for good. Whole blocks of a large write go straight into the dirty records.

Source: OpenZFS, zfs_vnops.c (``zfs_write``), zfs_znode.c (``zfs_grow_blocksize``, ``zfs_freesp``).
"""

from __future__ import annotations

import errno
import io
from typing import Any

import numpy as np

from ..dmu.mutable import PATCH_SHARE, MutableDnode
from ..errors import FileLimitError, UsageError
from ..ondisk import zilencode
from .attributes import pack_time
from .file import MAX_SIZE
from .openfile import OpenFile
from .patched import PatchedBlock
from .writable import MutableFilesystem
from .znode import Znode

SECTOR = 512


def grow_block(dn: MutableDnode, end: int, recordsize: int) -> None:
    """Give a file of at most one block the block size it needs to reach to ``end``."""
    size = dn.datablksz
    power = size & (size - 1) == 0
    if dn.maxblkid or end <= size or (power and size >= recordsize):
        return
    limit = 1 << size.bit_length() if size > recordsize else recordsize
    dn.set_block_size(-(-min(end, limit) // SECTOR) * SECTOR)


def write(fs: MutableFilesystem, znode: Znode, offset: int, data: Any) -> Znode:
    """Write bytes at an offset; the file grows if need be. Gives the file as it is then.

    Raises:
        FileLimitError: beyond what a file can have. NoSpaceError: the pool is full.
    """
    source = np.frombuffer(data, dtype=np.uint8)
    count = len(source)
    end = offset + count
    if offset < 0:
        raise UsageError("an offset cannot be negative", offset=offset)
    if end > MAX_SIZE:
        raise FileLimitError("a file cannot be so long", errno.EFBIG, dataset=fs.name, bytes=end)
    if not count:
        return znode
    with fs.transaction():
        dn = fs.mutable(znode.object)
        grow_block(dn, end, fs.recordsize)
        dn.write(offset, source)
        znode = _touched(fs, dn, end)
        fs.log.note_write(dn, offset, count, znode.size)
        return znode


def _touched(fs: MutableFilesystem, dn: MutableDnode, end: int) -> Znode:
    """Times, and size if it has grown; gives the file as it is then."""
    now = pack_time(fs.clock())
    values: dict[str, bytes | None] = {"ZPL_MTIME": now, "ZPL_CTIME": now}
    size = fs.attributes.get(dn.bonus, "ZPL_SIZE")
    if size is None or end > int.from_bytes(size[0], "little"):
        values["ZPL_SIZE"] = end.to_bytes(8, "little")
    fs.attributes.change(dn, values)
    return Znode(fs, dn)


def truncate(fs: MutableFilesystem, znode: Znode, size: int) -> Znode:
    """Cut a file, or make it longer by a hole. Gives the file as it is then.

    Raises:
        FileLimitError: beyond what a file can have.
    """
    if size < 0:
        raise UsageError("a length cannot be negative", bytes=size)
    if size > MAX_SIZE:
        raise FileLimitError("a file cannot have this length", errno.EFBIG, dataset=fs.name, bytes=size)
    with fs.giving_back() if size < znode.size else fs.transaction():
        znode = fs.znode(znode.object)
        dn = fs.mutable(znode.object)
        if size < znode.size:
            cut(dn, size)
        else:
            grow_block(dn, size, fs.recordsize)
        fs.log.note_file(znode.object, zilencode.setattr_, znode.object, zilencode.SIZE, 0, 0, 0, size)
        now = fs.clock()
        return fs.change(znode, {"ZPL_SIZE": size, "ZPL_MTIME": now, "ZPL_CTIME": now})


def cut(dn: MutableDnode, size: int) -> None:
    """Nothing is left behind ``size``: blocks are freed, and the rest of the last one is zero."""
    first = -(-size // dn.datablksz)
    dn.free_range(first, dn.maxblkid + 1 - first)
    if size % dn.datablksz:
        _zero(dn, size, min(first * dn.datablksz, dn.size) - size)


def _zero(dn: MutableDnode, offset: int, length: int) -> None:
    """Zeros within one block, unless it is a hole anyway."""
    blkid, skip = divmod(offset, dn.datablksz)
    if length > 0 and blkid <= dn.maxblkid and dn.next_data_block(blkid) == blkid:
        dn.dirty_block(blkid)[skip : skip + length] = 0


def punch(fs: MutableFilesystem, znode: Znode, offset: int, length: int) -> Znode:
    """Make a hole; the file keeps its length. Gives the file as it is then."""
    if offset < 0 or length < 0:
        raise UsageError("a hole has no negative offset or length", offset=offset, length=length)
    with fs.transaction():
        znode = fs.znode(znode.object)
        end = min(offset + length, znode.size)
        if end <= offset:
            return znode
        zero_range(fs.mutable(znode.object), offset, end, znode.size)
        fs.log.note_file(znode.object, zilencode.truncate, znode.object, offset, end - offset)
        now = fs.clock()
        return fs.change(znode, {"ZPL_MTIME": now, "ZPL_CTIME": now})


def zero_range(dn: MutableDnode, offset: int, end: int, size: int) -> None:
    """``offset`` to ``end`` becomes zeros: whole blocks holes, parts of blocks zeros.

    Args:
        size: of the content; the last block is whole if the range reaches to its end.
    """
    block = dn.datablksz
    first = -(-offset // block)
    last = -(-end // block) if end >= size else end // block
    if first > last:
        _zero(dn, offset, end - offset)
        return
    if offset % block:
        _zero(dn, offset, first * block - offset)
    dn.free_range(first, last - first)
    if end > last * block:
        _zero(dn, last * block, end - last * block)


class MutableFile(OpenFile):
    """A regular file that can be written, as ``io`` knows files.

    Args:
        fs: its file system.
        znode: the file. It stays until it is closed here, even if its last name goes.
        append: every write goes to the end.
        readable: it may be read, too.
        sync: what is written is on stable storage when the call returns (``O_SYNC``).
    """

    def __init__(
        self,
        fs: MutableFilesystem,
        znode: Znode,
        name: str = "",
        *,
        append: bool = False,
        readable: bool = True,
        sync: bool = False,
    ) -> None:
        super().__init__(fs, znode, name)
        self.sync = sync
        self.mode = "rb+" if readable else "ab" if append else "wb"
        self._append = append
        self._readable = readable
        self._patched: PatchedBlock | None = None

    def readable(self) -> bool:
        """It may be read."""
        self._open()
        return self._readable

    def writable(self) -> bool:
        """True."""
        self._open()
        return True

    def pread(self, buffer: Any, offset: int, *, damaged: Any = None) -> int:
        """As ``ZplFile.pread``, of what is there now."""
        if not self._readable:
            raise io.UnsupportedOperation("not readable")
        return super().pread(buffer, offset, damaged=damaged)

    def write(self, buffer: Any, /) -> int:
        """Write at the position (or, when appending, at the end); gives the bytes written: always all."""
        self._open()
        view = memoryview(buffer).cast("B")
        if self._append:
            with self.fs.transaction():
                self._refresh()
                self._at = self.size
                self._put(view, self._at)
        else:
            self._put(view, self._at)
        self._at += len(view)
        self._settle()
        return len(view)

    def pwrite(self, buffer: Any, offset: int) -> int:
        """Write at any offset; the position stays."""
        self._open()
        view = memoryview(buffer).cast("B")
        self._put(view, offset)
        self._settle()
        return len(view)

    def _put(self, view: memoryview, offset: int) -> None:
        if self._patched is not None and self._patched.write(offset, view):
            self.size = self._patched.size
            return
        fs = self.fs
        with fs.transaction():
            self.znode = write(fs, self.znode, offset, view)
            dn = fs.mutable(self.znode.object)
            small = 0 < len(view) <= dn.datablksz // PATCH_SHARE
            self._patched = PatchedBlock.find(fs, dn, offset + len(view) - 1) if small else None
        self.dnode, self.size = dn, self.znode.size

    def _settle(self) -> None:
        """With ``O_SYNC`` what was done is durable now; inside a transaction that is when it is over."""
        if not self.sync:
            return
        if self.fs.tx.active:
            self.fs.log.demand()
        else:
            self.fsync()

    def truncate(self, size: int | None = None, /) -> int:
        """Cut or lengthen; gives the new size."""
        self._open()
        self.znode = truncate(self.fs, self.znode, self._at if size is None else size)
        self.dnode, self.size = self.znode.dnode, self.znode.size
        self._settle()
        return self.size

    def punch(self, offset: int, length: int) -> None:
        """Make a hole."""
        self._open()
        self.znode = punch(self.fs, self.znode, offset, length)
        self._settle()

    def readall(self) -> bytes:
        """Everything from the position on."""
        if not self._readable:
            raise io.UnsupportedOperation("not readable")
        return super().readall()

