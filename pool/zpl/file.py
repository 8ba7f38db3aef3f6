"""Files as Python knows them: ``io.RawIOBase`` over an object's data.

Reads go straight into the caller's buffer. ``seek`` knows SEEK_DATA and SEEK_HOLE; past the last block everything is
a hole up to the file's size.

Source: OpenZFS, zfs_vnops.c.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from ..dmu.dnode import Damaged, Dnode
from ..errors import CorruptError, LimitError, PoolError, UsageError, printable

if TYPE_CHECKING:
    from .znode import Znode

MAX_SIZE = (1 << 63) - 1  # what an offset can be
MAX_READALL = 1 << 40  # bytes; what no machine can hold in memory anyway


class ObjectFile(io.RawIOBase):
    """An object's data as a read-only binary file of ``size`` bytes."""

    mode = "rb"

    def __init__(self, dnode: Dnode, size: int, name: str = "") -> None:
        self.dnode = dnode
        self.size = size
        self.name = name
        self._at = 0

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.size} bytes"
        dataset = self.dnode.objset.name
        place = dataset if self.name in ("", dataset) else f"{dataset}:{self.name}"
        return f"<{type(self).__name__} {place!r} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an open file of a pool cannot be pickled; open the pool where it is needed")

    def _open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on a closed file")

    def readable(self) -> bool:
        """True."""
        self._open()
        return True

    def seekable(self) -> bool:
        """True."""
        self._open()
        return True

    def write(self, buffer: Any, /) -> int:
        """Refused. Raises: io.UnsupportedOperation."""
        raise io.UnsupportedOperation("files in a pool are read-only")

    def tell(self) -> int:
        """Position in bytes."""
        self._open()
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move; gives the new position.

        Args:
            offset: bytes.
            whence: SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA or SEEK_HOLE.

        Raises:
            OSError: ENXIO, no data behind ``offset`` (SEEK_DATA), or beyond the end; EINVAL, a negative position.
        """
        self._open()
        if whence == os.SEEK_CUR:
            offset += self._at
        elif whence == os.SEEK_END:
            offset += self.size
        elif whence in (os.SEEK_DATA, os.SEEK_HOLE):
            offset = self._next(offset, whence)
        elif whence != os.SEEK_SET:
            raise ValueError(f"seek does not know whence {whence}")
        if offset < 0:
            raise OSError(errno.EINVAL, "seek to before the beginning")
        self._at = offset
        return offset

    def _next(self, offset: int, whence: int) -> int:
        if not 0 <= offset < self.size:
            raise OSError(errno.ENXIO, "seek to beyond the end")
        if whence == os.SEEK_HOLE:
            return min(self.dnode.next_hole(offset), self.size)
        found = self.dnode.next_data(offset)
        if found is None or found >= self.size:
            raise OSError(errno.ENXIO, "no data from here on")
        return max(found, offset)

    def readinto(self, buffer: Any, /) -> int:
        """Read into a writable buffer from the position on; gives the bytes read, 0 at the end.

        Raises:
            ChecksumError, DeviceError ...: the data cannot be read.
        """
        self._open()
        view = memoryview(buffer).cast("B")
        count = self.pread(view, self._at)
        self._at += count
        return count

    def pread(self, buffer: Any, offset: int, *, damaged: Damaged | None = None) -> int:
        """As ``readinto``, from any offset; the position stays. Safe in several threads at a time.

        Args:
            buffer: writable.
            offset: bytes.
            damaged: if given, what cannot be read becomes zeros and is told to it (offset, length, error).
        """
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self.size - offset))
        if count:
            try:
                done = self.dnode.readinto(view[:count], offset, damaged=damaged)
            except PoolError as error:
                error.where = {**self._place(), **error.where}
                raise
            if done < count:
                view[done:count] = bytes(count - done)
        return count

    def _place(self) -> dict[str, object]:
        """Whose data it is, for messages."""
        return {"dataset": self.dnode.objset.name, "object": self.dnode.number}

    def readall(self) -> bytes:
        """Everything from the position on. Raises: LimitError: more than memory can hold."""
        self._open()
        count = max(0, self.size - self._at)
        if count > MAX_READALL:
            raise LimitError("a file is too large to be read at once", "read it in parts", bytes=count)
        try:
            data = bytearray(count)
        except MemoryError:
            raise LimitError("a file is too large to be read at once", "read it in parts", bytes=count) from None
        self.readinto(data)
        return bytes(data)

    def data_ranges(self) -> Iterator[tuple[int, int]]:
        """(offset, length) of what is not a hole, in order; lengths end at the file's size.

        They come one by one: a file can be in more pieces than memory holds.
        """
        at = 0
        while at < self.size:
            start = self.dnode.next_data(at)
            if start is None or start >= self.size:
                break
            start = max(start, at)
            end = min(self.dnode.next_hole(start), self.size)
            yield start, end - start
            at = end


class ZplFile(ObjectFile):
    """A regular file of a file system.

    Args:
        znode: the file.

    Raises:
        UsageError: it is not a regular file; CorruptError: its size is impossible.
    """

    def __init__(self, znode: Znode, name: str = "") -> None:
        if znode.type != "file":
            raise UsageError(f"only regular files have content, this is a {znode.type}", object=znode.object)
        if znode.size > MAX_SIZE:
            raise CorruptError("a file of an impossible size", object=znode.object, bytes=znode.size)
        super().__init__(znode.dnode, znode.size, name)
        self.znode = znode

    def _place(self) -> dict[str, object]:
        path = printable(self.name) if self.name else None
        return {"dataset": self.dnode.objset.name, "path": path, "object": self.dnode.number}
