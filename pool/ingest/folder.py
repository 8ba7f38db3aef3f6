"""Files and folders of this machine into a dataset: content with its holes, modes, times, owners, links, attributes.

Names are taken in order, so that the same folder gives the same tree. Links are copied, never followed; a file that
cannot be read is told and left out.

Source: POSIX, ``lseek`` with SEEK_DATA (Linux).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from ..errors import PoolError, UsageError
from ..extract.content import Progress, Told
from ..vfswrite import MutableVfs
from ..zpl import directory
from ..zpl.directory import printable, text
from .maker import PIECE, Adapt, Folder, Maker, Owner, Source

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SPECIAL = (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)


def copy_in(
    vfs: MutableVfs,
    source: str | os.PathLike[str],
    path: str,
    *,
    owner: Owner = None,
    progress: Progress | None = None,
    keep_going: bool = False,
    adapt: Adapt | None = None,
    reproducible: bool = False,
) -> Told:
    """Copy a file, or a folder with everything below it.

    Args:
        vfs: the dataset.
        source: what is copied; a link is copied as it is.
        path: in the dataset: a file is copied to this name, or into it if it is a directory; what a folder holds is
            put into the directory of this name, which is made if need be.
        owner: uid and gid that everything gets; None: those it has.
        progress: called with the bytes of content done since the last call.
        keep_going: go on after what cannot be read; it is told in what is returned.
        adapt, reproducible: as for ``Maker``.

    Returns:
        A sentence for everything that could not be copied as it is.

    Raises:
        OSError: the source cannot be read. NotFoundError ...: there is no such place in the dataset.
        NoSpaceError: the pool is full.
    """
    raw = os.fsencode(source)
    status = os.lstat(raw)
    with Maker(
        vfs, owner=owner, progress=progress, unique=True, adapt=adapt, reproducible=reproducible
    ) as maker:
        copy = _Copy(maker, keep_going)
        if stat.S_ISDIR(status.st_mode):
            if not vfs.exists(path):
                vfs.mkdir(path)
            copy.tree(raw.rstrip(b"/") or b"/", status, maker.open(vfs.znode(path, follow=True)))
        else:
            if vfs.is_dir(path):
                folder, name = path, raw.rpartition(b"/")[2]
            else:
                folder, _, last = path.rpartition("/")
                name = directory.raw(last)
            copy.one(maker.open(vfs.znode(folder or "/", follow=True)), name, raw, status)
    return maker.told()


class _Copy:
    """One copy: the links it has seen, and what it could not do."""

    def __init__(self, maker: Maker, keep_going: bool) -> None:
        self.maker = maker
        self.keep_going = keep_going
        self.linked: dict[tuple[int, int], int] = {}

    # --- the tree ---------------------------------------------------------------------------------------------------

    def tree(self, raw: bytes, status: os.stat_result, folder: Folder) -> None:
        """Copy what is in a folder, and all below it."""
        levels = [(folder, self.source(raw, status), raw, iter(self.names(raw)))]
        while levels:
            folder, source, path, names = levels[-1]
            name, regular = next(names, (b"", False))
            if not name:
                levels.pop()
                self.maker.leave(folder, source)
                continue
            inner = path + b"/" + name
            try:
                if regular:
                    self.file(folder, name, inner)
                    continue
                status = os.lstat(inner)
                if stat.S_ISDIR(status.st_mode):
                    listed = self.names(inner)
                    below = self.source(inner, status)
                    made = self.maker.folder(folder, name, below)
                    levels.append((made, below, inner, iter(listed)))
                else:
                    self.one(folder, name, inner, status)
            except OSError as error:
                self._failed(inner, error)

    def names(self, path: bytes) -> list[tuple[bytes, bool]]:
        """What is in a folder, in order, and whether it is known to be a regular file."""
        with os.scandir(path) as entries:
            return sorted((entry.name, entry.is_file(follow_symlinks=False)) for entry in entries)

    def _failed(self, path: bytes, error: OSError) -> None:
        """What the source does not give may be left out; what the pool does not take ends everything."""
        if not self.keep_going or isinstance(error, PoolError):
            raise error
        self.maker.failures.append(f"{printable(text(path))}: {error.strerror or error}")

    # --- one entry ----------------------------------------------------------------------------------------------------

    def source(self, path: bytes, status: os.stat_result, descriptor: int | None = None) -> Source:
        """Attributes of something; ``descriptor``: of it, if it is open."""
        return Source(
            mode=status.st_mode,
            uid=status.st_uid,
            gid=status.st_gid,
            atime_ns=status.st_atime_ns,
            mtime_ns=status.st_mtime_ns,
            xattrs=self._xattrs(path if descriptor is None else descriptor),
        )

    def _xattrs(self, path: bytes | int) -> dict[str, bytes]:
        follow = isinstance(path, int)
        try:
            names = os.listxattr(path, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.EACCES):
                raise
            return {}
        found = {}
        for name in names:
            try:
                found[name] = os.getxattr(path, name, follow_symlinks=follow)
            except OSError as error:
                self.maker.lost[f"an extended attribute could not be read: {error.strerror}"] += 1
        return found

    def one(self, folder: Folder, name: bytes, path: bytes, status: os.stat_result) -> None:
        """Copy what is no folder: a file, link, device, socket or pipe, or another name of one."""
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFREG:
            self.file(folder, name, path)
            return
        if self._linked(folder, name, status):
            return
        if kind == stat.S_IFLNK:
            link = self.source(path, status)
            link.target = os.readlink(path)  # noqa: PTH115 (bytes)
            number = self.maker.node(folder, name, link)
        elif kind in _SPECIAL:
            special = self.source(path, status)
            if kind in (stat.S_IFCHR, stat.S_IFBLK):
                special.device = (os.major(status.st_rdev), os.minor(status.st_rdev))
            number = self.maker.node(folder, name, special)
        else:
            raise UsageError("something of no known type", path=printable(text(path)))
        if status.st_nlink > 1:
            self.linked[status.st_dev, status.st_ino] = number

    def _linked(self, folder: Folder, name: bytes, status: os.stat_result) -> bool:
        """Enter another name of something that was copied before; False: it is met for the first time."""
        number = self.linked.get((status.st_dev, status.st_ino)) if status.st_nlink > 1 else None
        if number is None:
            return False
        self.maker.link(folder, name, number)
        return True

    def file(self, folder: Folder, name: bytes, path: bytes) -> None:
        """Copy a regular file, or another name of one."""
        descriptor = os.open(path, _OPEN)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.ESTALE, "it was replaced while it was looked at", path)
            if self._linked(folder, name, status):
                return
            size = status.st_size
            sparse = status.st_blocks * 512 < size
            ranges = data_ranges(descriptor, size) if sparse else iter([(0, size)])
            number = self.maker.file(
                folder, name, self.source(path, status, descriptor), size, _pieces(descriptor, ranges, path, self.maker)
            )
            if status.st_nlink > 1:
                self.linked[status.st_dev, status.st_ino] = number
        finally:
            os.close(descriptor)


def data_ranges(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Offset and length of what is no hole."""
    at = 0
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        at = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, min(at, size) - start


def _pieces(
    descriptor: int, ranges: Iterator[tuple[int, int]], path: bytes, maker: Maker
) -> Iterator[tuple[int, bytes | memoryview]]:
    """The content of ranges. A file that became shorter meanwhile ends early, and is told."""
    buffer = bytearray()
    for start, length in ranges:
        at, end = start, start + length
        while at < end:
            want = min(PIECE, end - at)
            if want < PIECE:
                piece: bytes | memoryview = os.pread(descriptor, want, at)
            else:
                buffer = buffer or bytearray(PIECE)
                piece = memoryview(buffer)[: os.preadv(descriptor, [buffer], at)]
            if not piece:
                maker.failures.append(f"{printable(text(path))}: it became shorter while it was read")
                return
            yield at, piece
            at += len(piece)
