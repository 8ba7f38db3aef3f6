"""A file, directory, link or device: its attributes, wherever the file system's age has put them.

Attributes are in the dnode's bonus as system attributes (ZPL 5), continued in a spill block when they do not fit, or in
the fixed znode of older versions. Everything is read when it is asked for; a ``Znode`` never changes.

Source: OpenZFS, zfs_znode.c, zfs_sa.c.
"""

from __future__ import annotations

import errno
import stat
import struct
from typing import TYPE_CHECKING

from ..dmu.dnode import Dnode
from ..errors import CorruptError, FileUsageError
from ..ondisk import znode as legacy
from ..ondisk.dmutypes import ObjectType
from ..ondisk.fuid import Fuid
from ..ondisk.zplconst import MAX_SYMLINK, PFlags, rdev_parts
from .sa import Fields

if TYPE_CHECKING:
    from .acl import Acl
    from .directory import DirEntry
    from .file import ZplFile
    from .filesystem import Filesystem

_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}


class Znode:
    """One object of a file system that has file attributes.

    Times are nanoseconds since 1970; ``uid`` and ``gid`` are POSIX ids, ``owner`` and ``group`` the FUIDs they are of.
    """

    __slots__ = ("_fields", "_legacy", "_spill", "dnode", "fs")

    def __init__(self, fs: Filesystem, dnode: Dnode) -> None:
        """
        Raises:
            CorruptError: the object has no file attributes, or damaged ones.
        """
        self.fs = fs
        self.dnode = dnode
        self._spill: bytes | None = None
        self._legacy: legacy.ZnodePhys | None = None
        if dnode.bonustype == ObjectType.SA:
            buffer = dnode.bonus
            self._fields = fs.sa.plan(buffer).fields(buffer)
        elif dnode.bonustype == ObjectType.ZNODE:
            self._legacy = legacy.decode(dnode.bonus, dnode.order)
            self._fields = _fields_of(self._legacy)
        else:
            raise CorruptError(
                f"object {dnode.number} of {fs.name} has no file attributes", bonus_type=dnode.bonustype
            )

    def __repr__(self) -> str:
        return f"<Znode {self.fs.name} object {self.object} {self.type}>"

    # ---- the usual attributes -------------------------------------------------------------------------------------

    @property
    def object(self) -> int:
        """Object number (st_ino)."""
        return self.dnode.number

    @property
    def mode(self) -> int:
        """st_mode, type included."""
        return self._fields.mode & 0xFFFF

    @property
    def type(self) -> str:
        """``file``, ``dir``, ``symlink``, ``fifo``, ``socket``, ``char``, ``block``, or ``unknown``."""
        return _TYPES.get(stat.S_IFMT(self.mode), "unknown")

    @property
    def is_dir(self) -> bool:
        """A directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def size(self) -> int:
        """Bytes; of a directory: entries and two."""
        return self._fields.size

    @property
    def nlink(self) -> int:
        """Number of links."""
        return self._fields.links

    @property
    def uid(self) -> int:
        """Owner's id, without its domain."""
        return self._fields.uid & 0xFFFFFFFF

    @property
    def gid(self) -> int:
        """Group's id, without its domain."""
        return self._fields.gid & 0xFFFFFFFF

    @property
    def owner(self) -> Fuid:
        """Owner with its domain."""
        return Fuid.of(self._fields.uid)

    @property
    def group(self) -> Fuid:
        """Group with its domain."""
        return Fuid.of(self._fields.gid)

    @property
    def gen(self) -> int:
        """Txg in which it was created."""
        return self._fields.gen

    @property
    def parent(self) -> int:
        """Object of the (last) directory it was put into; of an xattr directory or file: what it belongs to."""
        return self._fields.parent

    @property
    def flags(self) -> PFlags:
        """Flags."""
        return PFlags(self._fields.flags)

    @property
    def atime(self) -> int:
        """Last read, ns."""
        return self._fields.atime_s * 10**9 + self._fields.atime_n

    @property
    def mtime(self) -> int:
        """Last change of content, ns."""
        return self._fields.mtime_s * 10**9 + self._fields.mtime_n

    @property
    def ctime(self) -> int:
        """Last change of attributes, ns."""
        return self._fields.ctime_s * 10**9 + self._fields.ctime_n

    @property
    def crtime(self) -> int:
        """Creation, ns."""
        return self._fields.crtime_s * 10**9 + self._fields.crtime_n

    @property
    def rdev(self) -> tuple[int, int] | None:
        """Major and minor number of a device; None for everything else."""
        if stat.S_IFMT(self.mode) not in (stat.S_IFCHR, stat.S_IFBLK):
            return None
        return rdev_parts(self._number(self._fields.rdev, "ZPL_RDEV"))

    @property
    def projid(self) -> int:
        """Project id; 0 is the default project."""
        return self._number(self._fields.projid, "ZPL_PROJID") if self._fields.flags & PFlags.PROJID else 0

    @property
    def xattr_object(self) -> int:
        """Object of the directory with extended attributes, or 0."""
        return self._number(self._fields.xattr, "ZPL_XATTR")

    # ---- any attribute --------------------------------------------------------------------------------------------

    def attribute(self, name: str) -> tuple[bytes, str] | None:
        """An attribute's bytes and their byte order, from bonus or spill block; None where it has none.

        A legacy znode gives only ZPL_ZNODE_ACL.

        Raises:
            CorruptError, ChecksumError: attributes that cannot be read.
        """
        if self._legacy is not None:
            if name != "ZPL_ZNODE_ACL":
                return None
            return self.dnode.bonus[176 : legacy.ZNODE_SIZE], self.dnode.order
        found = self.fs.sa.get(self.dnode.bonus, name)
        if found is None and (spilled := self._spilled()):
            found = self.fs.sa.get(spilled, name)
        return found

    def attribute_names(self) -> list[str]:
        """Names of all attributes, in the order they are stored."""
        if self._legacy is not None:
            return []
        spilled = self._spilled()
        return self.fs.sa.names(self.dnode.bonus) + (self.fs.sa.names(spilled) if spilled else [])

    def _spilled(self) -> bytes:
        if self._spill is None:
            self._spill = self.dnode.read_spill()[0] if self.dnode.has_spill else b""
        return self._spill

    def _number(self, value: int | None, name: str) -> int:
        """An attribute of one word, which may have been spilled; 0 where there is none."""
        if value is not None or not self.dnode.has_spill:
            return value or 0
        found = self.attribute(name)
        if found is None:
            return 0
        raw, order = found
        if len(raw) != 8:
            raise CorruptError(f"the attribute {name} has a wrong length", object=self.object, length=len(raw))
        number: int = struct.unpack(order + "Q", raw)[0]
        return number

    # ---- what hangs on it -----------------------------------------------------------------------------------------

    def target(self) -> bytes:
        """Target of a symbolic link.

        Raises:
            UsageError: it is none; CorruptError: too long, or not where it must be.
        """
        if not stat.S_ISLNK(self.mode):
            raise FileUsageError("not a symbolic link", errno.EINVAL, object=self.object)
        if not 0 < self.size <= MAX_SYMLINK:
            raise CorruptError("the target of a symbolic link has an impossible length", object=self.object)
        target = self._target()
        if len(target) != self.size or b"\0" in target:
            raise CorruptError("a symbolic link without its target", object=self.object)
        return target

    def _target(self) -> bytes:
        found = self.attribute("ZPL_SYMLINK")
        if found is not None:
            return found[0][: self.size]
        if self._legacy is not None and legacy.ZNODE_SIZE + self.size <= len(self.dnode.bonus):
            return self.dnode.bonus[legacy.ZNODE_SIZE : legacy.ZNODE_SIZE + self.size]
        return self.dnode.read(0, self.size)

    def entries(self) -> list[DirEntry]:
        """A directory's entries, in the order of its ZAP. Raises: as ``directory.entries``."""
        from . import directory

        return directory.entries(self)

    def open(self) -> ZplFile:
        """The content as a binary file. Raises: UsageError: not a regular file."""
        from .file import ZplFile

        return ZplFile(self)

    def xattrs(self) -> dict[str, bytes]:
        """Extended attributes by name, those in system attributes before those in a directory."""
        from . import xattr

        return xattr.read_all(self)

    def acl(self) -> Acl:
        """The NFSv4 access control list."""
        from . import acl

        return acl.read(self)


def _fields_of(old: legacy.ZnodePhys) -> Fields:
    return Fields(
        old.mode, old.size, old.gen, old.uid, old.gid, old.parent, old.flags, old.links,
        *divmod(old.atime_ns, 10**9), *divmod(old.mtime_ns, 10**9), *divmod(old.ctime_ns, 10**9),
        *divmod(old.crtime_ns, 10**9), old.xattr, old.rdev, None,
    )  # fmt: skip
