"""Attributes of a file, put together for writing.

A file's attributes are kept in one order, which accounting and other readers rely on: the first ones always stand in
the same places. Attributes that come later (a link's target, extended attributes) follow behind.

Source: OpenZFS, zfs_znode.c (``zfs_mknode``), zfs_sa.h.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from ..ondisk.zplconst import PFlags
from .aclwrite import trivial_acl

#: A time as stored: seconds and nanoseconds.
_TIME = struct.Struct("<qQ")
_WORD = struct.Struct("<Q")
NS = 10**9
#: Plain numbers: members of an enumeration are slow to put together.
_USUAL = int(PFlags.ACL_TRIVIAL | PFlags.ARCHIVE | PFlags.AV_MODIFIED)
_TRIVIAL = int(PFlags.ACL_TRIVIAL)
_FOLDERS, _PROJID = int(PFlags.ACL_AUTO_INHERIT), int(PFlags.PROJID)
_NO_EXECS_DENIED = int(PFlags.NO_EXECS_DENIED)
#: Directories count two entries more than they have. Source: zfs_znode.c.
EMPTY_DIRECTORY = 2

#: Attributes with one number each.
NUMBERS = frozenset(
    {
        "ZPL_MODE", "ZPL_SIZE", "ZPL_GEN", "ZPL_UID", "ZPL_GID", "ZPL_PARENT", "ZPL_FLAGS", "ZPL_LINKS", "ZPL_XATTR",
        "ZPL_RDEV", "ZPL_PROJID", "ZPL_DACL_COUNT",
    }
)  # fmt: skip
TIMES = frozenset({"ZPL_ATIME", "ZPL_MTIME", "ZPL_CTIME", "ZPL_CRTIME"})


def pack_time(ns: int) -> bytes:
    """A time in nanoseconds since 1970 as stored; before 1970 the seconds are negative."""
    return _TIME.pack(*divmod(ns, NS))


def pack(name: str, value: int | bytes) -> bytes:
    """The stored bytes of an attribute."""
    if isinstance(value, bytes):
        return value
    return pack_time(value) if name in TIMES else _WORD.pack(value)


@dataclass(slots=True)
class NewFile:
    """What a new file, directory, link or device is to be.

    Attributes:
        mode: type and permissions. uid, gid: owner.
        parent: object of the directory.
        gen: txg it is made in. now_ns: time of making.
        rdev: device number as stored. target: of a symbolic link. size: of a file, if its content comes with it.
        flags: beside those that follow from the rest; atime_ns, mtime_ns, ctime_ns, crtime_ns: times, if not now.
        projid: None where the file system does not count projects.
        acl: number and bytes of entries that say more than the mode does.
        number, dnode_size: a certain object number, and bytes of its dnode; None, 0: as the file system likes.
    """

    mode: int
    uid: int
    gid: int
    parent: int
    gen: int
    now_ns: int
    rdev: int | None = None
    target: bytes | None = None
    flags: int = 0
    projid: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None
    ctime_ns: int | None = None
    crtime_ns: int | None = None
    size: int = 0
    acl: tuple[int, bytes] | None = None
    number: int | None = None
    dnode_size: int = 0

    def attributes(self) -> dict[str, bytes]:
        """All attributes as stored, in their order."""
        folder = stat.S_ISDIR(self.mode)
        count, aces = self.acl or trivial_acl(self.mode)
        size = EMPTY_DIRECTORY if folder else len(self.target or b"") or self.size
        found: dict[str, bytes] = {
            "ZPL_MODE": _WORD.pack(self.mode),
            "ZPL_SIZE": _WORD.pack(size),
            "ZPL_GEN": _WORD.pack(self.gen),
            "ZPL_UID": _WORD.pack(self.uid),
            "ZPL_GID": _WORD.pack(self.gid),
            "ZPL_PARENT": _WORD.pack(self.parent),
            "ZPL_FLAGS": _WORD.pack(self.all_flags),
        }
        times = {"ATIME": self.atime_ns, "MTIME": self.mtime_ns, "CTIME": self.ctime_ns, "CRTIME": self.crtime_ns}
        for name, ns in times.items():
            found[f"ZPL_{name}"] = pack_time(self.now_ns if ns is None else ns)
        found["ZPL_LINKS"] = _WORD.pack(2 if folder else 1)
        if self.projid is not None:
            found["ZPL_PROJID"] = _WORD.pack(self.projid)
        if self.rdev is not None:
            found["ZPL_RDEV"] = _WORD.pack(self.rdev)
        found["ZPL_DACL_COUNT"] = _WORD.pack(count)
        found["ZPL_DACL_ACES"] = aces
        if self.target is not None:
            found["ZPL_SYMLINK"] = self.target
        return found

    @property
    def all_flags(self) -> int:
        """Flags of the file: those asked for, and those that follow from what it is."""
        flags = self.flags | (_USUAL if self.acl is None else _USUAL & ~_TRIVIAL)
        if stat.S_ISDIR(self.mode):
            flags |= _FOLDERS
        if self.projid is not None:
            flags |= _PROJID
        return flags | no_execs_denied(self.mode)


def no_execs_denied(mode: int) -> int:
    """The flag that spares a look at the ACL: everybody may search or execute."""
    return _NO_EXECS_DENIED if mode & 0o111 == 0o111 else 0


def packed(values: Mapping[str, int | bytes]) -> dict[str, bytes]:
    """Attributes as stored."""
    return {name: pack(name, value) for name, value in values.items()}
