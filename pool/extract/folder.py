"""A file or a tree of a dataset into a folder: content with its holes, modes, times, links, attributes, owners.

Every step goes through descriptors of folders made or checked here, never through a path that a link could bend, and
an entry that is in the way is replaced, not followed. What is not kept is told: content by file, attributes and owners
in one sentence for each kind.

Invariants: owner, then mode, then attributes, then times, since each spoils what comes after it; a folder's times are
set when nothing more is put into it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import PoolError, UsageError
from ..vfs import Vfs, device_number
from ..zpl import directory
from ..zpl.batch import Pieces
from ..zpl.file import ZplFile
from ..zpl.znode import Znode
from .content import Copier, Progress, Told, ahead, check_name, no_progress
from .image import pwrite_all

PERMISSIONS = 0o7777
MAX_OPEN = 64  # descriptors of folders below each other
SET_ID = stat.S_ISUID | stat.S_ISGID
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ABOUT_THIS_NAME = (
    errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EPERM, errno.EISDIR, errno.EEXIST, errno.EFBIG,
)  # fmt: skip
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_out(
    vfs: Vfs,
    path: str,
    target: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
    keep_going: bool = False,
    follow: bool = False,
) -> Told:
    """Copy a file, or a directory with everything below it.

    Args:
        vfs: the dataset.
        path: in it.
        target: a file is copied to this name, or into it if it is a folder; what a directory holds is put into the
            folder of this name, which is made if need be.
        progress: called with the bytes of content done since the last call.
        keep_going: go on after what cannot be read: it becomes zeros, and is told in what is returned.
        follow: of a symbolic link at the end of the path copy the file it leads to (never a directory).

    Returns:
        A sentence for everything that could not be copied as it is.

    Raises:
        NotFoundError ...: no such source; ChecksumError ...: it cannot be read; OSError: the target cannot be written.
    """
    copy = _Copy(vfs, keep_going, progress or no_progress)
    goal = Path(target)
    source = vfs.znode(path, follow=follow)
    if source.is_dir and follow:
        source = vfs.znode(path)
    if not source.is_dir:
        name = path.rstrip("/").rpartition("/")[2]
        if goal.is_dir():
            check_name(name)
            folder = os.open(goal, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        else:
            folder = os.open(goal.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            name = goal.name
        try:
            copy.top = folder
            copy.other(folder, source, name, name)
        finally:
            os.close(folder)
        return copy.told()
    goal.mkdir(exist_ok=True)
    copy.top = os.open(goal, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        copy.tree(path)
        copy.leave(0)
    finally:
        copy.close()
    return copy.told()


class _Folder:
    """A folder we are in; its descriptor is -1 while it is far away."""

    __slots__ = ("_identity", "descriptor", "path", "znode")

    def __init__(self, path: str, znode: Znode, descriptor: int) -> None:
        self.path = path
        self.znode = znode
        self.descriptor = descriptor
        self._identity = (0, 0)

    def shut(self) -> None:
        """Give the descriptor back: very deep trees would use up what a process may have."""
        if self.descriptor >= 0:
            status = os.fstat(self.descriptor)
            self._identity = (status.st_dev, status.st_ino)
            os.close(self.descriptor)
            self.descriptor = -1

    def reopen(self, child: int) -> None:
        """Come back from a folder in it. Raises: UsageError: somebody has moved that meanwhile."""
        descriptor = os.open("..", _FOLDER, dir_fd=child)
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) != self._identity:
            os.close(descriptor)
            raise UsageError("a folder was moved while it was being filled", path=directory.printable(self.path))
        self.descriptor = descriptor


class _Copy:
    """One copy: the folders it is in, the links it has made, and what it could not do."""

    def __init__(self, vfs: Vfs, keep_going: bool, progress: Progress) -> None:
        self.vfs = vfs
        self.keep_going = keep_going
        self.failures: list[str] = []
        self.lost: Counter[str] = Counter()
        self.copier = Copier(keep_going, self.failures.append, progress)
        self.top = -1
        self.root = os.geteuid() == 0
        self.linked: dict[int, str] = {}
        #: The folders we are in, outermost first.
        self.open: list[_Folder] = []

    def told(self) -> Told:
        """Everything that was not copied as it is."""
        return Told(self.failures, [f"{count} x {what}" for what, count in sorted(self.lost.items())])

    # ---- the tree ------------------------------------------------------------------------------------------------

    def tree(self, path: str) -> None:
        """Copy what is below a directory into ``top``."""
        damaged = self._damaged if self.keep_going else None
        skipped: str | None = None
        for name, znode, content in ahead(self.vfs.tree(path, damaged=damaged)):
            if skipped is not None and name.startswith(skipped):
                continue
            skipped = None
            parent, _, last = name.rpartition("/")
            try:
                if name == ".":
                    self.open.append(_Folder("", znode, os.dup(self.top)))
                    continue
                check_name(last)
                self.leave_to(parent)
                if znode.is_dir:
                    self.folder(self.open[-1].descriptor, znode, last, name)
                else:
                    self.other(self.open[-1].descriptor, znode, last, name, content)
            except (PoolError, OSError) as error:
                if not self._may_go_on(error):
                    raise
                self.failures.append(f"{directory.printable(name)}: {error}")
                if znode.is_dir:
                    skipped = name + "/"

    def _may_go_on(self, error: Exception) -> bool:
        """A full or vanished target ends everything; a name it cannot hold, or lost content, does not have to."""
        if isinstance(error, PoolError):
            return self.keep_going
        return isinstance(error, OSError) and error.errno in _ABOUT_THIS_NAME

    def _damaged(self, path: str, error: PoolError) -> None:
        self.failures.append(f"{directory.printable(path)}: {error}")

    def leave_to(self, path: str) -> None:
        """Leave folders until we are in the one of this path."""
        while self.open[-1].path != path:
            self.leave(len(self.open) - 1)

    def leave(self, depth: int) -> None:
        """Leave all but the outermost ``depth`` folders: they get their attributes and times."""
        while len(self.open) > depth:
            folder = self.open.pop()
            try:
                self.attributes(folder.descriptor, folder.znode, folder.path or ".")
                self.times(folder.znode, folder.descriptor)
                if self.open and self.open[-1].descriptor < 0:
                    self.open[-1].reopen(folder.descriptor)
            finally:
                os.close(folder.descriptor)

    def close(self) -> None:
        """Close every descriptor."""
        for folder in self.open:
            if folder.descriptor >= 0:
                os.close(folder.descriptor)
        self.open.clear()
        os.close(self.top)

    def folder(self, parent: int, znode: Znode, last: str, name: str) -> None:
        """Make a folder, or take the one that is there, and go into it."""
        self._make(parent, last, lambda: os.mkdir(last, 0o700, dir_fd=parent), folder=True)
        self.open.append(_Folder(name, znode, os.open(last, _FOLDER, dir_fd=parent)))
        if len(self.open) > MAX_OPEN:
            self.open[-MAX_OPEN].shut()

    # ---- everything else --------------------------------------------------------------------------------------------

    def other(self, parent: int, znode: Znode, last: str, name: str, content: Pieces | None = None) -> None:
        """Copy what is no directory: a file, link, device, socket or pipe, or another name of one."""
        first = self.linked.get(znode.object)
        if first is not None:
            ends = {"src_dir_fd": self.top, "dst_dir_fd": parent}
            self._make(parent, last, lambda: os.link(first, last, **ends, follow_symlinks=False))
            return
        if znode.type == "file":
            self.file(parent, znode, last, name, content)
        elif znode.type == "symlink":
            text = directory.text(znode.target())
            self._make(parent, last, lambda: os.symlink(text, last, dir_fd=parent))
            self._by_name(parent, znode, last, link=True)
        elif not self.special(parent, znode, last):
            return
        if znode.nlink > 1:
            self.linked[znode.object] = name

    def file(self, parent: int, znode: Znode, last: str, name: str, content: Pieces | None) -> None:
        """Copy a regular file, whose content may have been read already."""
        file = ZplFile(znode, name)
        descriptor = self._make(parent, last, lambda: os.open(last, _NEW_FILE, 0o600, dir_fd=parent))
        try:
            for at, piece in content or ():
                pwrite_all(descriptor, piece, at)
                self.copier.progress(len(piece))
            for start, length in self.copier.ranges(file, name) if content is None else ():
                for at, piece in self.copier.pieces(file, start, length, name):
                    pwrite_all(descriptor, piece, at)
            os.ftruncate(descriptor, file.size)
            self.attributes(descriptor, znode, name)
            self.times(znode, descriptor)
        finally:
            os.close(descriptor)

    def special(self, parent: int, znode: Znode, last: str) -> bool:
        """Make a device, socket or pipe; False if that is not possible."""
        kind = stat.S_IFMT(znode.mode)
        device = device_number(*znode.rdev) if znode.rdev else 0
        if device and not self.root:
            self.lost[f"a {znode.type} device was left out: only root can make devices"] += 1
            return False
        if kind not in (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK):
            self.lost["an object of no known type was left out"] += 1
            return False
        try:
            self._make(parent, last, lambda: os.mknod(last, kind | 0o600, device, dir_fd=parent))
        except (PermissionError, OverflowError) as error:
            self.lost[f"a {znode.type} was left out: {_why(error)}"] += 1
            return False
        self._by_name(parent, znode, last, link=False)
        return True

    def _make(self, parent: int, last: str, make: Callable[[], int | None], *, folder: bool = False) -> int:
        """Create an entry. Whatever is there that is no folder makes way; a folder may stay where one is wanted."""
        try:
            return make() or 0
        except FileExistsError:
            there = os.stat(last, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(there.st_mode):
                if folder:
                    return 0
                raise
            os.unlink(last, dir_fd=parent)
            return make() or 0

    # ---- attributes -------------------------------------------------------------------------------------------------

    def attributes(self, descriptor: int, znode: Znode, name: str) -> None:
        """Owner, mode and extended attributes of an open file or folder."""
        mode = znode.mode & PERMISSIONS
        if self.root:
            try:
                os.fchown(descriptor, znode.uid, znode.gid)
            except (OSError, OverflowError) as error:
                self.lost[f"an owner was not kept: {_why(error)}"] += 1
                mode &= ~SET_ID
        elif mode & SET_ID and (znode.uid, znode.gid) != (os.geteuid(), os.getegid()):
            self.lost["a set-id bit was not kept: the owner is another one"] += 1
            mode &= ~SET_ID
        os.fchmod(descriptor, mode)
        self.xattrs(descriptor, znode, name)

    def xattrs(self, descriptor: int, znode: Znode, name: str) -> None:
        """Extended attributes of an open file or folder."""
        try:
            found = self.vfs.xattrs_of(znode)
        except PoolError as error:
            if not self.keep_going:
                raise
            self.failures.append(f"{directory.printable(name)}: {error}")
            return
        for attribute, value in found.items():
            try:
                os.setxattr(descriptor, os.fsencode(attribute), value)
            except (OSError, ValueError) as error:
                space = attribute.partition(".")[0]
                self.lost[f"an extended attribute of {space!r} was not kept: {_why(error)}"] += 1

    def _by_name(self, parent: int, znode: Znode, last: str, *, link: bool) -> None:
        """Owner, mode and times of what cannot be opened."""
        if self.root:
            try:
                os.chown(last, znode.uid, znode.gid, dir_fd=parent, follow_symlinks=False)
            except (OSError, OverflowError) as error:
                self.lost[f"an owner was not kept: {_why(error)}"] += 1
        if not link:
            os.chmod(last, znode.mode & PERMISSIONS & ~SET_ID, dir_fd=parent)
        self.times(znode, last, dir_fd=parent, follow_symlinks=False)

    def times(self, znode: Znode, where: int | str, **how: Any) -> None:
        """Last read and last change. A pool can hold times that nothing else can."""
        try:
            os.utime(where, ns=(znode.atime, znode.mtime), **how)
        except OverflowError as error:
            self.lost[f"a time was not kept: {_why(error)}"] += 1


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
