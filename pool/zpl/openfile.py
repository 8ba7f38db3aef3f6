"""Files of a file system that can change, while they are open: they outlive their names, and reading them is noted.

The time of last read (property ``atime``) is written when a file that was read is closed, or a directory was listed;
with ``relatime`` only if the file changed since, or a day has passed. It is the one change that is dropped where it
cannot be made: on a full or suspended pool reading goes on.

Source: OpenZFS, zfs_znode.c (``zfs_tstamp_update_setup``), zfs_vnops_os.c (``zfs_relatime_need_update``,
``zfs_inactive``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import NoSpaceError, NotFoundError
from .file import ZplFile

if TYPE_CHECKING:
    from .writable import MutableFilesystem
    from .znode import Znode

#: With relatime, a time of last read so old is renewed: nanoseconds.
DAY = 24 * 3600 * 10**9


def wants_atime(fs: MutableFilesystem, znode: Znode, now: int) -> bool:
    """Whether reading a file at ``now`` (nanoseconds since 1970) changes its time of last read."""
    if not fs.atime or fs.readonly or fs.tx.broken:
        return False
    if not fs.relatime:
        return True
    return znode.atime <= max(znode.mtime, znode.ctime) or now - znode.atime >= DAY


def note_read(fs: MutableFilesystem, number: int) -> None:
    """The file or directory with this object number was read."""
    now = fs.clock()
    try:
        if wants_atime(fs, fs.znode(number), now):
            with fs.transaction():
                fs.log.ignore()
                fs.change(fs.znode(number), {"ZPL_ATIME": now})
    except (NoSpaceError, NotFoundError):
        pass  # the pool is full, or what was read is gone meanwhile


class OpenFile(ZplFile):
    """A regular file, open for reading, as it is at each moment.

    Args:
        fs: its file system.
        znode: the file. It stays until it is closed here, even if its last name goes.
    """

    def __init__(self, fs: MutableFilesystem, znode: Znode, name: str = "") -> None:
        super().__init__(znode, name)
        self.fs = fs
        self._was_read = False
        fs.hold(znode.object)

    def close(self) -> None:
        """Let go of the file."""
        if not self.closed:
            super().close()
            try:
                if self._was_read:
                    note_read(self.fs, self.znode.object)
            finally:
                self.fs.release(self.znode.object)

    def fsync(self) -> None:
        """Everything that was written to this file, by whomever, is on stable storage when this returns.

        With it is every change of names in the dataset that came before.

        Raises:
            UsageError: inside a transaction. DeviceError, NoSpaceError: nothing can be promised.
        """
        self._open()
        self.fs.log.commit(self.znode.object)

    fdatasync = fsync

    def _refresh(self) -> None:
        self.znode = self.fs.znode(self.dnode.number)
        self.dnode = self.znode.dnode
        self.size = self.znode.size

    def pread(self, buffer: Any, offset: int, *, damaged: Any = None) -> int:
        """As ``ZplFile.pread``, of what is there now."""
        self._refresh()
        self._was_read = True
        return super().pread(buffer, offset, damaged=damaged)

    def readall(self) -> bytes:
        """Everything from the position on."""
        self._refresh()
        return super().readall()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """As ``ZplFile.seek``, of what is there now."""
        self._refresh()
        return super().seek(offset, whence)
