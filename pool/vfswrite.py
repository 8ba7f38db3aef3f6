"""A file system as it can be changed, once for every adapter: paths in, one transaction for each call.

As ``vfs`` says of reading: paths are text (or bytes, or path objects) from the dataset's root, errors are this
package's and the built-in ones a Python programmer expects. Calls have the names of ``os``.
"""

from __future__ import annotations

import errno
import posixpath
import stat as statmodule
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Literal, overload

from .dmu.mutable import PLACE_BYTES
from .dmu.tx import TxManager
from .errors import (
    ExistsError,
    FileUsageError,
    IsADirectoryInPoolError,
    NotADirectoryInPoolError,
    NotFoundError,
    UsageError,
)
from .ondisk.zplconst import rdev_of
from .vfs import Entry, Path, Vfs, text_of
from .zpl import directory, filewrite, xattrwrite
from .zpl.attributes import NewFile
from .zpl.bulk import NewFiles
from .zpl.directory import printable
from .zpl.file import ZplFile
from .zpl.filewrite import MutableFile
from .zpl.openfile import OpenFile, note_read
from .zpl.writable import MutableFilesystem
from .zpl.znode import Znode

#: Modes of ``open``: may read, may write, must exist, must not exist, cut, append.
_MODES = {
    "rb": (True, False),
    "rb+": (True, True),
    "wb": (False, True),
    "wb+": (True, True),
    "xb": (False, True),
    "xb+": (True, True),
    "ab": (False, True),
    "ab+": (True, True),
}

#: Those of them that may write; ``+`` and ``b`` go in any order.
WritingMode = Literal["rb+", "r+b", "wb", "wb+", "w+b", "xb", "xb+", "x+b", "ab", "ab+", "a+b"]

#: Content of fewer bytes is made together with its file.
SMALL = PLACE_BYTES


class MutableVfs(Vfs):
    """The files of a head file system of a pool that is open for writing.

    Args:
        filesystem: what is to be shown and changed.
        xattr_packed: property xattr is ``sa``.
        uid, gid: owner of new files, unless a call says otherwise.
    """

    filesystem: MutableFilesystem

    def __init__(
        self,
        filesystem: MutableFilesystem,
        *,
        posix_acls: bool = True,
        snapdir: bool = False,
        xattr_packed: bool = True,
        uid: int = 0,
        gid: int = 0,
    ) -> None:
        super().__init__(filesystem, posix_acls=posix_acls, snapdir=snapdir)
        self.xattr_packed = xattr_packed
        self.uid = uid
        self.gid = gid
        self._new_files = NewFiles(filesystem)

    def transaction(self) -> AbstractContextManager[TxManager]:
        """Everything done inside, here or in other datasets of the pool, is done together or not at all."""
        return self.filesystem.transaction()

    # --- places -------------------------------------------------------------------------------------------------------

    def _place(self, path: Path) -> tuple[Znode, bytes]:
        """The directory a path lies in, and its last component.

        Raises:
            FileUsageError: the path names the root, or ends with a dot.
        """
        plain = text_of(path)
        if not plain:
            raise NotFoundError("no such file or directory", dataset=self.name, path="''")
        head, tail = posixpath.split(plain.rstrip("/"))
        if tail in ("", ".", ".."):
            where = {"dataset": self.name, "path": printable(plain)}
            raise FileUsageError("this path cannot be made, moved or removed", errno.EBUSY, **where)
        folder = self.filesystem.lookup(head, follow=True)
        if not folder.is_dir:
            raise NotADirectoryInPoolError("not a directory", dataset=self.name, path=printable(head))
        return folder, directory.raw(tail)

    def _place_for_new(self, path: Path, *, is_dir: bool) -> tuple[Znode, bytes]:
        """The same, of something that is not there yet.

        Raises:
            ExistsError: the path names the root, or ends with a dot. NotFoundError: it ends with a slash, which only
                directories may.
        """
        plain = text_of(path)
        where = {"dataset": self.name, "path": printable(plain)}
        if plain and posixpath.basename(plain.rstrip("/")) in ("", ".", ".."):
            self.znode(path)  # or what is on the way is missing
            raise ExistsError("the name is taken", **where)
        if plain.endswith("/") and not is_dir:
            raise NotFoundError("only a directory can be named with a slash at the end", **where)
        return self._place(path)

    def _make(
        self,
        path: Path,
        mode: int,
        *,
        uid: int | None = None,
        gid: int | None = None,
        rdev: int | None = None,
        target: bytes | None = None,
        times_ns: tuple[int, int] | None = None,
    ) -> Znode:
        folder, name = self._place_for_new(path, is_dir=statmodule.S_ISDIR(mode))
        new = self._new_file(folder, mode, uid=uid, gid=gid, rdev=rdev, target=target, times_ns=times_ns)
        return self.filesystem.make(folder, name, new)

    def _new_file(
        self,
        folder: Znode,
        mode: int,
        *,
        uid: int | None = None,
        gid: int | None = None,
        rdev: int | None = None,
        target: bytes | None = None,
        times_ns: tuple[int, int] | None = None,
        size: int = 0,
    ) -> NewFile:
        fs = self.filesystem
        return NewFile(
            mode=mode,
            uid=self.uid if uid is None else uid,
            gid=self.gid if gid is None else gid,
            parent=folder.object,
            gen=fs.tx.txg,
            now_ns=fs.clock(),
            rdev=rdev,
            target=target,
            projid=fs.new_projid,
            atime_ns=times_ns[0] if times_ns else None,
            mtime_ns=times_ns[1] if times_ns else None,
            size=size,
        )

    # --- making -------------------------------------------------------------------------------------------------------

    def mkdir(self, path: Path, mode: int = 0o755, *, uid: int | None = None, gid: int | None = None) -> None:
        """Make a directory. Raises: ExistsError, NotFoundError ..."""
        self._make(path, statmodule.S_IFDIR | statmodule.S_IMODE(mode), uid=uid, gid=gid)

    def makedirs(self, path: Path, mode: int = 0o755, *, exist_ok: bool = False) -> None:
        """Make a directory and those above it that are missing. Raises: ExistsError."""
        plain = text_of(path).rstrip("/") or "/"
        with self.transaction():
            head = posixpath.dirname(plain)
            if head not in ("", "/") and not self.exists(head):
                self.makedirs(head, mode, exist_ok=True)
            if exist_ok and self.is_dir(plain):
                return
            self.mkdir(plain, mode)

    def symlink(self, target: Path, path: Path, *, uid: int | None = None, gid: int | None = None) -> None:
        """Make a symbolic link at ``path`` that leads to ``target``."""
        raw = directory.raw(text_of(target))
        self._make(path, statmodule.S_IFLNK | 0o777, uid=uid, gid=gid, target=raw)

    def mknod(
        self, path: Path, mode: int, device: tuple[int, int] = (0, 0), *, uid: int | None = None, gid: int | None = None
    ) -> None:
        """Make a device, a named pipe or a socket.

        Args:
            mode: type and permissions. device: major and minor number.
        """
        kind = statmodule.S_IFMT(mode)
        if kind in (statmodule.S_IFCHR, statmodule.S_IFBLK):
            self._make(path, mode, uid=uid, gid=gid, rdev=rdev_of(*device))
        elif kind in (statmodule.S_IFIFO, statmodule.S_IFSOCK, statmodule.S_IFREG):
            self._make(path, mode, uid=uid, gid=gid)
        else:
            raise UsageError("mknod makes devices, pipes, sockets and files", dataset=self.name, mode=oct(mode))

    def link(self, source: Path, path: Path) -> None:
        """Another name for a file (of a symbolic link: for the link)."""
        with self.transaction():
            folder, name = self._place_for_new(path, is_dir=False)
            self.filesystem.link(self.znode(source), folder, name)

    @overload
    def open(self, path: Path, mode: WritingMode, *, permissions: int = 0o644, sync: bool = False) -> MutableFile: ...

    @overload
    def open(self, path: Path, mode: str = "rb", *, permissions: int = 0o644, sync: bool = False) -> ZplFile: ...

    def open(self, path: Path, mode: str = "rb", *, permissions: int = 0o644, sync: bool = False) -> ZplFile:
        """A regular file: ``rb``, ``rb+``, ``wb``, ``wb+``, ``xb``, ``xb+``, ``ab``, ``ab+``.

        Files are bytes, and not buffered: ``io.BufferedRandom`` gathers small writes, ``io.TextIOWrapper`` makes text.

        Args:
            permissions: of a file that is made.
            sync: what is written is on stable storage when the call returns, as with ``O_SYNC``.

        Raises:
            NotFoundError, ExistsError, IsADirectoryInPoolError; UsageError: another mode.
        """
        wanted = "".join(sorted(mode.replace("t", "?"), key="rwxab+".find))
        if wanted not in _MODES:
            raise UsageError("files in a pool are opened as bytes (rb, wb, ab, xb, with or without +)", mode=mode)
        readable, writable = _MODES[wanted]
        if not writable:
            with self.filesystem.tx.lock:  # nobody removes it between here and its being held
                znode = self.znode(path, follow=True)
                if znode.is_dir:
                    raise IsADirectoryInPoolError("is a directory", dataset=self.name, path=printable(text_of(path)))
                return OpenFile(self.filesystem, znode, text_of(path))
        with self.transaction():
            znode = self._for_writing(path, wanted[0], permissions)
            if wanted[0] == "w" and znode.size:
                znode = filewrite.truncate(self.filesystem, znode, 0)
            append = wanted[0] == "a"
            return MutableFile(
                self.filesystem, znode, text_of(path), append=append, readable=readable, sync=sync
            )

    def _for_writing(self, path: Path, kind: str, permissions: int) -> Znode:
        try:
            znode = self.znode(path, follow=True)
        except NotFoundError:
            plain = text_of(path)
            if kind == "r":
                raise
            if plain.endswith("/"):
                raise IsADirectoryInPoolError("is a directory", dataset=self.name, path=printable(plain)) from None
            if kind != "x" and (target := self._dangling(plain)) is not None:
                return self._for_writing(target, kind, permissions)
            return self._make(path, statmodule.S_IFREG | statmodule.S_IMODE(permissions))
        if kind == "x":
            raise ExistsError("the file is there already", dataset=self.name, path=printable(text_of(path)))
        if znode.is_dir:
            raise IsADirectoryInPoolError("is a directory", dataset=self.name, path=printable(text_of(path)))
        return znode

    def _dangling(self, path: str) -> str | None:
        """Where the symbolic link of this path leads to; None: it is none."""
        folder, name = self._place(path)
        number = self.filesystem.find(folder, name)
        if number is None:
            return None
        target = directory.text(self.filesystem.znode(number).target())
        return posixpath.join(posixpath.dirname(path), target)

    def write_bytes(self, path: Path, data: Any, *, permissions: int = 0o644) -> None:
        """Make a file with this content, or replace the content of one that is there, in one go."""
        content = memoryview(data).cast("B")
        with self.transaction():
            if len(content) < SMALL and self._write_new(path, content, permissions):
                return
            with self.open(path, "wb", permissions=permissions) as file:
                file.write(content)

    def _write_new(self, path: Path, content: memoryview, permissions: int) -> bool:
        """Make a small file with its content in one step. Returns: False: it is there already, or no such file."""
        fs = self.filesystem
        if len(content) > fs.recordsize or posixpath.basename(text_of(path)) in ("", ".", ".."):
            return False
        folder, name = self._place(path)
        if fs.find(folder, name) is not None:
            return False
        mode = statmodule.S_IFREG | statmodule.S_IMODE(permissions)
        self._new_files.make(folder, name, self._new_file(folder, mode, size=len(content)), content)
        return True

    # --- reading ----------------------------------------------------------------------------------------------------

    def listdir(self, path: Path = "/") -> list[str]:
        """As ``Vfs.listdir``; that the directory was read is noted."""
        znode = self.znode(path, follow=True)
        names = [item.name for item in znode.entries()]
        note_read(self.filesystem, znode.object)
        return names

    def scandir(self, path: Path = "/") -> Iterator[Entry]:
        """As ``Vfs.scandir``; that the directory was read is noted when all of it was."""
        number = self.znode(path, follow=True).object
        yield from super().scandir(path)
        note_read(self.filesystem, number)

    # --- stable storage ---------------------------------------------------------------------------------------------

    def fsync(self, path: Path) -> None:
        """Make a file or directory durable: its content and attributes, and all changes of names made before.

        Those are all in this dataset; they are on stable storage when this returns. Files whose content was not asked
        for may lag behind until their txg is written. With the property ``sync=disabled`` nothing is done.

        Raises:
            NotFoundError; UsageError: inside a transaction. DeviceError, NoSpaceError: nothing can be promised.
        """
        self.filesystem.log.commit(self.znode(path, follow=True).object)

    fdatasync = fsync

    def syncfs(self) -> None:
        """Make everything in this dataset durable. Raises: as ``fsync``."""
        self.filesystem.log.commit()

    # --- removing and moving --------------------------------------------------------------------------------------

    def unlink(self, path: Path) -> None:
        """Take a file's name away; with its last name the file goes, when nobody has it open."""
        with self.filesystem.giving_back():
            folder, name = self._place(path)
            self._check_slash(path)
            self.filesystem.unlink(folder, name)

    remove = unlink

    def rmdir(self, path: Path) -> None:
        """Remove an empty directory. Raises: NotEmptyError ..."""
        with self.filesystem.giving_back():
            folder, name = self._place(path)
            self.filesystem.rmdir(folder, name)

    def rmtree(self, path: Path) -> None:
        """Remove a directory with all that is in it, in one transaction."""
        with self.filesystem.giving_back():
            for entry in list(self.scandir(path)):
                if entry.is_dir():
                    self.rmtree(entry.path)
                else:
                    self.unlink(entry.path)
            self.rmdir(path)

    def rename(self, source: Path, target: Path) -> None:
        """Move a file or directory; what has the name already is replaced if it is of the same kind."""
        self._rename(source, target, replace=True)

    replace = rename

    def rename_noreplace(self, source: Path, target: Path) -> None:
        """The same, if nothing has the name. Raises: ExistsError."""
        self._rename(source, target, replace=False)

    def _rename(self, source: Path, target: Path, *, replace: bool) -> None:
        with self.transaction():
            folder, name = self._place(source)
            new_folder, new_name = self._place(target)
            self._check_slash(source)
            self._check_slash(target, source)
            self.filesystem.rename(folder, name, new_folder, new_name, replace=replace)

    def _check_slash(self, path: Path, source: Path | None = None) -> None:
        """A path that ends with a slash names a directory (or will name one: ``source``)."""
        if text_of(path).endswith("/"):
            plain = text_of(path if source is None else source).rstrip("/")
            if not self.znode(plain).is_dir:
                raise NotADirectoryInPoolError("not a directory", dataset=self.name, path=printable(plain))

    def exchange(self, one: Path, other: Path) -> None:
        """Two names change places (as ``renameat2`` with RENAME_EXCHANGE)."""
        with self.transaction():
            places = (*self._place(one), *self._place(other))
            self._check_slash(one)
            self._check_slash(other)
            self.filesystem.exchange(*places)

    # --- attributes -------------------------------------------------------------------------------------------------

    def _change(self, path: Path, follow: bool, change: Callable[[Znode], Any]) -> None:
        with self.transaction():
            change(self.znode(path, follow=follow))

    def chmod(self, path: Path, mode: int, *, follow: bool = True) -> None:
        """Set permissions."""
        self._change(path, follow, lambda znode: self.filesystem.setattr(znode, mode=mode))

    def chown(self, path: Path, uid: int, gid: int, *, follow: bool = True) -> None:
        """Set owner and group; -1 leaves one as it is."""
        new_uid, new_gid = (None if uid == -1 else uid), (None if gid == -1 else gid)
        self._change(path, follow, lambda znode: self.filesystem.setattr(znode, uid=new_uid, gid=new_gid))

    def utime(
        self,
        path: Path,
        times: tuple[float, float] | None = None,
        *,
        ns: tuple[int, int] | None = None,
        follow: bool = True,
    ) -> None:
        """Set times of last read and last change, in seconds or nanoseconds; without any, now."""
        if times is not None and ns is not None:
            raise UsageError("times are given in seconds or in nanoseconds, not in both")
        now = self.filesystem.clock()
        pair = ns or ((int(times[0] * 1e9), int(times[1] * 1e9)) if times is not None else (now, now))
        self._change(
            path, follow, lambda znode: self.filesystem.setattr(znode, atime_ns=pair[0], mtime_ns=pair[1])
        )

    def truncate(self, path: Path, size: int) -> None:
        """Cut a file, or make it longer by a hole."""
        self._change(path, True, lambda znode: filewrite.truncate(self.filesystem, _regular(znode), size))

    def punch(self, path: Path, offset: int, length: int) -> None:
        """Make a hole in a file; its length stays."""
        self._change(path, True, lambda znode: filewrite.punch(self.filesystem, _regular(znode), offset, length))

    def setxattr(
        self,
        path: Path,
        name: str,
        value: bytes,
        how: Literal["", "create", "replace"] = "",
        *,
        follow: bool = True,
    ) -> None:
        """Set an extended attribute; ``create``: it must not be there, ``replace``: it must."""
        self._change(
            path,
            follow,
            lambda znode: xattrwrite.set_xattr(
                self.filesystem,
                znode,
                name,
                bytes(value),
                packed=self.xattr_packed,
                create=how == "create",
                replace=how == "replace",
            ),
        )

    def removexattr(self, path: Path, name: str, *, follow: bool = True) -> None:
        """Remove an extended attribute. Raises: NotFoundError."""
        self._change(path, follow, lambda znode: xattrwrite.remove_xattr(self.filesystem, znode, name))


def _regular(znode: Znode) -> Znode:
    if znode.is_dir:
        raise IsADirectoryInPoolError("is a directory", object=znode.object)
    if znode.type != "file":
        raise UsageError(f"only regular files have content, this is a {znode.type}", object=znode.object)
    return znode

