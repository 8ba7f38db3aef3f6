"""What a dataset looks like as a file system, once for every adapter: paths, attributes, listings, files.

Paths are text between slashes from the dataset's root; bytes that are no UTF-8 are lone surrogates (Python's
surrogateescape). Nothing here writes. Errors are this package's, which are also the built-in ones a Python
programmer expects (``NotFoundError`` is a ``FileNotFoundError`` ...).

As with ``os.lstat``, what is said of a symbolic link is said of the link unless following is asked for.
"""

from __future__ import annotations

import os
import posixpath
import stat as statmodule
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from .dsl import props
from .dsl.dataset import DslDataset
from .errors import (
    CorruptError,
    FileLimitError,
    IsADirectoryInPoolError,
    LimitError,
    NoAttributeError,
    NotADirectoryInPoolError,
    NotFoundError,
    PoolError,
    ReadOnlyError,
    UsageError,
)
from .zpl import directory, xattr
from .zpl.acl import Acl
from .zpl.directory import printable
from .zpl.file import ZplFile
from .zpl.filesystem import MAX_DEPTH, Filesystem
from .zpl.znode import Znode

#: A path in a dataset.
Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]

#: Told of what cannot be read: path, error.
Damaged = Callable[[str, PoolError], None]

SECTOR = 512
SORTED_MAX = 1 << 15  # files of one directory that are held at a time to bring them in order


def text_of(path: Path) -> str:
    """A path as text; bytes that are no UTF-8 become lone surrogates."""
    plain = os.fspath(path)
    return plain if isinstance(plain, str) else plain.decode("utf-8", "surrogateescape")


class PoolPath(NamedTuple):
    """A file in a pool: dataset (with its snapshot), and the path in it."""

    dataset: str
    path: str

    @property
    def pool(self) -> str:
        """Name of the pool."""
        return self.dataset.partition("/")[0].partition("@")[0]

    def __str__(self) -> str:
        return f"{self.dataset}:{self.path}"


def is_path(text: str) -> bool:
    """True for ``DATASET:/PATH`` and ``DATASET:``, false for the mere name of a dataset (which may have colons)."""
    return ":/" in text or text.endswith(":")


def parse_path(text: str) -> PoolPath:
    """Split ``POOL/DATASET[@SNAPSHOT]:/PATH``. Without a path, or with an empty one, it is ``/``.

    A dataset's name may have colons in it: the path begins behind the first colon that a slash follows.

    Raises:
        UsageError: no dataset, or a path that does not begin with a slash.
    """
    dataset, colon, path = text.partition(":/")
    if colon:
        path = "/" + path
    elif text.endswith(":"):
        dataset, path = text[:-1], "/"
    else:
        dataset, path = text, "/"
    name, _, snapshot = dataset.partition("@")
    if not name or not all(name.split("/")) or ("@" in dataset and not snapshot) or "@" in snapshot:
        raise UsageError(f"{text!r} names no dataset", "write POOL/DATASET[@SNAPSHOT]:/path")
    return PoolPath(dataset, path)


@dataclass(frozen=True, slots=True)
class Stat:
    """Attributes of a file, as ``os.stat_result`` has them (also under its names)."""

    mode: int
    object: int
    nlink: int
    uid: int
    gid: int
    size: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    birthtime_ns: int
    rdev: tuple[int, int] | None  # major, minor
    used_bytes: int
    slots: int  # of its dnode
    block_size: int
    gen: int
    flags: int

    @property
    def type(self) -> str:
        """``file``, ``dir``, ``symlink``, ``fifo``, ``socket``, ``char``, ``block`` or ``unknown``."""
        return _type_name(self.mode)

    @property
    def st_mode(self) -> int:
        """Type and permissions."""
        return self.mode

    @property
    def st_ino(self) -> int:
        """Object number."""
        return self.object

    @property
    def st_nlink(self) -> int:
        """Links."""
        return self.nlink

    @property
    def st_uid(self) -> int:
        """Owner."""
        return self.uid

    @property
    def st_gid(self) -> int:
        """Group."""
        return self.gid

    @property
    def st_size(self) -> int:
        """Bytes."""
        return self.size

    @property
    def st_atime_ns(self) -> int:
        """Last read, ns."""
        return self.atime_ns

    @property
    def st_mtime_ns(self) -> int:
        """Last change of the content, ns."""
        return self.mtime_ns

    @property
    def st_ctime_ns(self) -> int:
        """Last change of the attributes, ns."""
        return self.ctime_ns

    @property
    def st_atime(self) -> float:
        """Last read, seconds."""
        return self.atime_ns / 1e9

    @property
    def st_mtime(self) -> float:
        """Last change of the content, seconds."""
        return self.mtime_ns / 1e9

    @property
    def st_ctime(self) -> float:
        """Last change of the attributes, seconds."""
        return self.ctime_ns / 1e9

    @property
    def st_birthtime(self) -> float:
        """Creation, seconds."""
        return self.birthtime_ns / 1e9

    @property
    def st_rdev(self) -> int:
        """Device number; 0 for what is no device."""
        return device_number(*self.rdev) if self.rdev else 0

    @property
    def st_blksize(self) -> int:
        """Bytes of a block."""
        return self.block_size

    @property
    def st_blocks(self) -> int:
        """Space used in units of 512 bytes, the dnode included, as OpenZFS counts it."""
        return (self.used_bytes + SECTOR // 2) // SECTOR + self.slots


def device_number(major: int, minor: int) -> int:
    """A device number as Linux has it in ``st_rdev``; any 32 bits of each will do."""
    return (major & ~0xFFF) << 32 | (major & 0xFFF) << 8 | (minor & ~0xFF) << 12 | (minor & 0xFF)


_TYPES = {
    statmodule.S_IFREG: "file",
    statmodule.S_IFDIR: "dir",
    statmodule.S_IFLNK: "symlink",
    statmodule.S_IFIFO: "fifo",
    statmodule.S_IFSOCK: "socket",
    statmodule.S_IFCHR: "char",
    statmodule.S_IFBLK: "block",
}


def _type_name(mode: int) -> str:
    return _TYPES.get(statmodule.S_IFMT(mode), "unknown")


class Entry:
    """An entry of a directory, with what the directory says of it; the rest is read when asked for."""

    __slots__ = ("_vfs", "_znode", "name", "object", "path", "type_bits")

    def __init__(self, vfs: Vfs, path: str, item: directory.DirEntry) -> None:
        self._vfs = vfs
        self._znode: Znode | None = None
        self.name = item.name
        self.path = path
        self.object = item.object
        self.type_bits = item.type

    def __repr__(self) -> str:
        return f"<Entry {self.path!r}>"

    @property
    def znode(self) -> Znode:
        """The file. Raises: NotFoundError, CorruptError: a damaged directory."""
        if self._znode is None:
            self._znode = self._vfs.filesystem.znode(self.object)
        return self._znode

    def stat(self) -> Stat:
        """Attributes. Raises: as ``znode``."""
        return self._vfs.stat_of(self.znode)

    @property
    def type(self) -> str:
        """As ``Stat.type``; file systems of ZPL version 1 need the file to be read for it."""
        return _type_name(self.type_bits << 12 if self.type_bits else self.znode.mode)

    def is_dir(self) -> bool:
        """A directory."""
        return self.type == "dir"

    def is_file(self) -> bool:
        """A regular file."""
        return self.type == "file"

    def is_symlink(self) -> bool:
        """A symbolic link."""
        return self.type == "symlink"


class Vfs:
    """The files of a file system or a snapshot.

    Args:
        filesystem: what is to be shown.
        posix_acls: show POSIX ACLs among the extended attributes, as OpenZFS does with acltype=posix.
        snapdir: the root has one link more, for ``.zfs``, as OpenZFS counts with snapdir=visible. (It is not listed.)
    """

    def __init__(self, filesystem: Filesystem, *, posix_acls: bool = True, snapdir: bool = False) -> None:
        self.filesystem = filesystem
        self.posix_acls = posix_acls
        self.snapdir = snapdir

    @classmethod
    def of(cls, dataset: DslDataset) -> Vfs:
        """The files of a dataset.

        Raises:
            KeyUnavailableError: it is encrypted and its key is not loaded; UsageError: it is a volume.
        """
        filesystem = Filesystem(dataset.objset())
        return cls(
            filesystem,
            posix_acls=props.get(dataset, "acltype").exact == "posix",
            snapdir=not dataset.is_snapshot and props.get(dataset, "snapdir").exact == "visible",
        )

    def __repr__(self) -> str:
        return f"<Vfs {self.name}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("files of an open pool cannot be pickled; open the pool where they are needed")

    @property
    def name(self) -> str:
        """Name of the dataset."""
        return self.filesystem.name

    # ---- one file -------------------------------------------------------------------------------------------------

    def znode(self, path: Path = "/", *, follow: bool = False) -> Znode:
        """The file at a path.

        Args:
            path: from the dataset's root; text, bytes, or a path object.
            follow: what a symbolic link at the end of the path leads to.

        Raises:
            NotFoundError, NotADirectoryInPoolError; FileLimitError: a loop of symbolic links.
        """
        return self.filesystem.lookup(text_of(path), follow=follow)

    def stat(self, path: Path = "/", *, follow: bool = False) -> Stat:
        """Attributes. Args and errors: as ``znode``."""
        return self.stat_of(self.znode(path, follow=follow))

    def stat_of(self, znode: Znode) -> Stat:
        """Attributes of a file at hand."""
        dnode = znode.dnode
        return Stat(
            znode.mode, znode.object, self.nlink(znode), znode.uid, znode.gid, znode.size,
            znode.atime, znode.mtime, znode.ctime, znode.crtime, znode.rdev,
            dnode.used_bytes, dnode.extra_slots + 1, dnode.datablksz, znode.gen, int(znode.flags),
        )  # fmt: skip

    def nlink(self, znode: Znode) -> int:
        """Links of a file, as OpenZFS shows them."""
        return znode.nlink + (self.snapdir and znode.object == self.filesystem.root_object)

    def exists(self, path: Path) -> bool:
        """There is something at the path (a symbolic link that leads nowhere, too)."""
        try:
            self.znode(path)
        except (NotFoundError, NotADirectoryInPoolError, FileLimitError):
            return False
        return True

    def is_dir(self, path: Path) -> bool:
        """A directory, or a link to one."""
        try:
            return self.znode(path, follow=True).is_dir
        except (NotFoundError, NotADirectoryInPoolError, FileLimitError):
            return False

    def is_file(self, path: Path) -> bool:
        """A regular file, or a link to one."""
        try:
            return self.znode(path, follow=True).type == "file"
        except (NotFoundError, NotADirectoryInPoolError, FileLimitError):
            return False

    def open(self, path: Path, mode: str = "rb") -> ZplFile:
        """A regular file for reading bytes; symbolic links are followed.

        Raises:
            ReadOnlyError: a mode that writes; IsADirectoryInPoolError and UsageError: it is no regular file.
        """
        path = text_of(path)
        if set(mode) - {"r", "b", "t"}:
            raise ReadOnlyError("files in a pool are read-only", path=printable(path), mode=mode)
        if mode != "rb":
            raise UsageError("files in a pool are read as bytes (rb)", "io.TextIOWrapper makes text of them", mode=mode)
        znode = self.znode(path, follow=True)
        if znode.is_dir:
            raise IsADirectoryInPoolError("a directory has no content to read", dataset=self.name, path=printable(path))
        return ZplFile(znode, path)

    def read_bytes(self, path: Path) -> bytes:
        """The content of a file."""
        with self.open(path) as file:
            return file.readall()

    def readlink(self, path: Path) -> str:
        """Target of a symbolic link. Raises: UsageError: it is none."""
        return directory.text(self.znode(path).target())

    def acl(self, path: Path, *, follow: bool = False) -> Acl:
        """NFSv4 access control list."""
        return self.znode(path, follow=follow).acl()

    # ---- extended attributes --------------------------------------------------------------------------------------

    def xattrs(self, path: Path, *, follow: bool = False) -> dict[str, bytes]:
        """Extended attributes by name, as Linux shows them."""
        return self.xattrs_of(self.znode(path, follow=follow))

    def xattrs_of(self, znode: Znode) -> dict[str, bytes]:
        """The same for a file at hand."""
        found = znode.xattrs()
        if not self.posix_acls:
            for name in xattr.POSIX_ACLS:
                found.pop(name, None)
        return found

    def listxattr(self, path: Path, *, follow: bool = False) -> list[str]:
        """Names of extended attributes."""
        names = xattr.names(self.znode(path, follow=follow))
        return [name for name in names if self.posix_acls or name not in xattr.POSIX_ACLS]

    def getxattr(self, path: Path, name: str, *, follow: bool = False) -> bytes:
        """One extended attribute. Raises: NotFoundError."""
        if name in xattr.POSIX_ACLS and not self.posix_acls:
            shown = printable(text_of(path))
            raise NoAttributeError(f"no extended attribute {name}", "acltype is not posix", path=shown)
        return xattr.read(self.znode(path, follow=follow), name)

    # ---- directories ----------------------------------------------------------------------------------------------

    def listdir(self, path: Path = "/") -> list[str]:
        """Names in a directory, in no particular order; a symbolic link to one is followed."""
        return [item.name for item in self.znode(path, follow=True).entries()]

    def scandir(self, path: Path = "/") -> Iterator[Entry]:
        """Entries of a directory; a symbolic link to one is followed."""
        path = text_of(path)
        for item in directory.iterate(self.znode(path, follow=True)):
            yield Entry(self, posixpath.join(path, item.name), item)

    def walk(self, path: Path = "/") -> Iterator[tuple[str, list[str], list[str]]]:
        """As ``os.walk`` from the top: (folder, names of folders in it, other names), names sorted.

        What is taken out of the list of folders is not gone into. Symbolic links are not followed.
        """
        top = self.znode(path, follow=True)
        guard = _Guard(self.name)
        stack = [(text_of(path), top)]
        while stack:
            folder, znode = stack.pop()
            guard.enter(znode, folder)
            folders: dict[str, Entry] = {}
            files = []
            for item in sorted(directory.iterate(znode)):
                entry = Entry(self, posixpath.join(folder, item.name), item)
                if entry.is_dir():
                    folders[entry.name] = entry
                else:
                    files.append(entry.name)
            names = list(folders)
            yield folder, names, files
            stack += [(folders[name].path, folders[name].znode) for name in reversed(names) if name in folders]

    def tree(self, path: Path = "/", *, damaged: Damaged | None = None) -> Iterator[tuple[str, Znode]]:
        """A file or directory and everything below it: paths relative to it (its own: ``.``), in sorted order.

        A directory comes before what it holds. Symbolic links are not followed. Of very large directories the
        order is that of object numbers.

        Args:
            path: where to begin.
            damaged: if given, it is told the path and the error of what cannot be read, and the walk goes on.

        Raises:
            CorruptError: a directory that can be reached twice, or what else is damaged.
        """
        report = damaged or _raise
        guard = _Guard(self.name)
        try:
            top = self.znode(path)
        except PoolError as error:
            report(".", error)
            return
        stack: list[Iterator[tuple[str, Znode]]] = [iter([(".", top)])]
        while stack:
            found = next(stack[-1], None)
            if found is None:
                stack.pop()
                continue
            name, znode = found
            yield name, znode
            if znode.is_dir:
                try:
                    guard.enter(znode, name)
                except PoolError as error:
                    report(name, error)
                else:
                    stack.append(self._children(znode, name, report))

    def _children(self, folder: Znode, path: str, report: Damaged) -> Iterator[tuple[str, Znode]]:
        """What a directory holds, read in the order of object numbers: that is how it lies on disk."""
        items: list[directory.DirEntry] = []
        try:
            items.extend(directory.iterate(folder, damaged=lambda error: report(path, error)))
        except PoolError as error:
            report(path, error)
        items.sort(key=lambda item: item.object)
        prefix = "" if path == "." else path + "/"
        found: list[tuple[str, Znode]] = []
        numbers = [item.object for item in items]
        for item, (_, znode) in zip(items, self.filesystem.many(numbers)):
            name = prefix + item.name
            if isinstance(znode, PoolError):
                report(name, znode)
            elif len(items) > SORTED_MAX:
                yield name, znode
            else:
                found.append((name, znode))
        yield from sorted(found, key=lambda pair: pair[0])


def _raise(path: str, error: PoolError) -> None:
    raise error


class _Guard:
    """Keeps a walk from going round in circles: a directory has one place, and trees have an end."""

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self.seen: set[int] = set()

    def enter(self, znode: Znode, path: str) -> None:
        if znode.object in self.seen:
            where: dict[str, Any] = {"dataset": self.dataset, "path": printable(path), "object": znode.object}
            raise CorruptError("a directory is in two places", **where)
        if path.count("/") > MAX_DEPTH:
            raise LimitError(f"more than {MAX_DEPTH} directories below each other", dataset=self.dataset)
        self.seen.add(znode.object)

