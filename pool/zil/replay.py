"""Replaying the log of a file system: each record is made again as the operation that it tells of.

Records about a file that is gone in the end are left out, as far as they only change the file: the one that removed it
was made, or its removal follows. Objects get the very numbers they had.

Times: a record of something new has the time of its making; other changes have the time of the replay, as in OpenZFS.

Source: OpenZFS, zfs_replay.c, zil.c (``zil_replay_log_record``).
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence

from ..errors import CorruptError, KeyUnavailableError, NotFoundError, UnsupportedError
from ..ondisk import zilrecord
from ..ondisk.acl import Ace, encode_aces
from ..ondisk.zilrecord import (
    CloneRange,
    Create,
    Link,
    Record,
    Remove,
    Rename,
    Sealed,
    SetAcl,
    SetAttr,
    SetSaXattr,
    Truncate,
    TxType,
    Unknown,
    Write,
    XvAttr,
)
from ..ondisk.zplconst import Case, PFlags
from ..zpl import filewrite, xattr
from ..zpl.aclwrite import mode_of
from ..zpl.attributes import NewFile, no_execs_denied
from ..zpl.fuidwrite import domain_index
from ..zpl.writable import MutableFilesystem
from ..zpl.xattrwrite import pack
from ..zpl.znode import Znode
from .content import cloned, written

#: Types that change a file which may be gone by now. Source: zil.h (``TX_OOO``).
_OF_ONE_FILE = (Write, Truncate, SetAttr, SetAcl, SetSaXattr, CloneRange)
#: Bits of extended attributes, and the flags they are kept as. Source: zil.h (``XAT0_*``).
XVATTR_FLAGS = {
    0x2: PFlags.ARCHIVE, 0x4: PFlags.SYSTEM, 0x8: PFlags.READONLY, 0x10: PFlags.HIDDEN, 0x20: PFlags.NOUNLINK,
    0x40: PFlags.IMMUTABLE, 0x80: PFlags.APPENDONLY, 0x100: PFlags.NODUMP, 0x200: PFlags.OPAQUE,
    0x400: PFlags.AV_QUARANTINED, 0x800: PFlags.AV_MODIFIED, 0x2000: PFlags.REPARSE, 0x8000: PFlags.OFFLINE,
    0x10000: PFlags.SPARSE, 0x20000: PFlags.PROJINHERIT,
}  # fmt: skip
XAT_CREATETIME, XAT_SCANSTAMP, XAT_PROJID = 0x1, 0x1000, 0x40000
#: Bits of SETATTR's mask by platform: mode, uid, gid, size, atime, mtime. Source: vnode.h of Linux and of FreeBSD.
LINUX_MASK = (0x1, 0x2, 0x4, 0x8, 0x10, 0x20)
OTHER_MASK = (0x2, 0x4, 0x8, 0x80, 0x100, 0x200)
#: Bits that only Linux sets (mode, both times, ctime, file, XVATTR), and those that only others set (size, both
#: times, ctime, XVATTR). Linux keeps no others of its attributes' bits; FreeBSD refuses to set what its 0x70 mean.
_ONLY_LINUX = 0x1 | 0x10 | 0x20 | 0x40 | 0x2000 | zilrecord.XVATTR_LINUX
_ONLY_OTHER = 0x80 | 0x100 | 0x200 | 0x400 | zilrecord.XVATTR_OTHER
#: What FreeBSD has for a size that is not to be set; no file has it. Source: its VNOVAL.
NO_SIZE = (1 << 64) - 1
ACL_FLAGS = {1: PFlags.ACL_AUTO_INHERIT, 2: PFlags.ACL_PROTECTED, 4: PFlags.ACL_DEFAULTED}
#: In a record with FUIDs, ids from this on are no ids but stand for those FUIDs, one after the other (illumos). Without
#: FUIDs they are ids like any other (Linux, FreeBSD).
EPHEMERAL = 1 << 31
MODE_MAX = 0xFFFF
_FOLDERS = (TxType.MKDIR, TxType.MKDIR_ACL, TxType.MKDIR_ATTR, TxType.MKDIR_ACL_ATTR, TxType.MKXATTR)


class FileReplay:
    """Applies records to a file system.

    Args:
        fs: the file system, open for writing.
    """

    def __init__(self, fs: MutableFilesystem) -> None:
        self.fs = fs
        self._clock = fs.clock
        self._reaching: set[int] = set()  # files with blocks that may hold more than the file
        self._makers: dict[type[Record], Callable[..., None]] = {
            Create: self._create, Remove: self._remove, Link: self._link, Rename: self._rename, Write: self._write,
            Truncate: self._truncate, SetAttr: self._setattr, SetAcl: self._set_acl, SetSaXattr: self._set_xattr,
            CloneRange: self._clone,
        }  # fmt: skip

    def note(self, record: Record) -> None:
        """See ``recovery.Target``."""
        if isinstance(record, Write) and record.bp is not None:
            self._reaching.add(record.object)

    def apply(self, record: Record) -> None:
        """Make the change of one record, in a transaction.

        Raises:
            KeyUnavailableError: it is encrypted. UnsupportedError: nobody knows its type.
            PoolError: it cannot be made as things are.
        """
        if isinstance(record, Sealed):
            raise KeyUnavailableError("a record of an encrypted intent log", "load the dataset's key")
        if isinstance(record, Unknown):
            raise UnsupportedError(f"records of type {record.type} are not known")
        if isinstance(record, _OF_ONE_FILE) and not self._exists(record.object & zilrecord.OBJECT_MASK):
            return
        fs, case, readonly = self.fs, self.fs.case, self.fs.readonly
        try:
            fs.readonly = False  # what was set since does not undo what had been promised
            if record.case_insensitive and case == Case.MIXED:
                fs.case = Case.INSENSITIVE
            self._makers[type(record)](record)
        finally:
            fs.case, fs.readonly, fs.clock = case, readonly, self._clock

    def finish(self) -> None:
        """Blocks written as they lay in memory may hold what lies behind the end of their file: that goes."""
        for number in sorted(self._reaching):
            if self._exists(number):
                znode = self.fs.znode(number)
                if znode.type == "file":
                    filewrite.cut(self.fs.mutable(number), znode.size)

    def _exists(self, number: int) -> bool:
        try:
            self.fs.objset.dnode(number)
        except NotFoundError:
            return False
        return True

    def _folder(self, number: int) -> Znode:
        return self.fs.znode(number)

    def _owner(self, value: int, domains: Sequence[bytes]) -> int:
        """An owner as this file system numbers domains; a record numbers those it names, from 1."""
        index = value >> 32
        if not index:
            return value
        if index > len(domains):
            raise CorruptError("an owner in an intent log record lacks its domain", owner=f"{value:x}")
        name = domains[index - 1].decode("utf-8", "surrogateescape")
        return domain_index(self.fs, name) << 32 | value & 0xFFFFFFFF

    # --- names ------------------------------------------------------------------------------------------------------

    def _create(self, record: Create) -> None:
        fs = self.fs
        _check_kind(record)
        fs.clock = lambda: record.crtime_ns
        parent = self._folder(record.directory)
        if record.type == TxType.MKXATTR:
            self._make_hidden(record, parent)
            return
        znode = fs.make(parent, record.name, self._new(record, parent))
        if record.xvattr is not None:
            self._set_extended(znode, record.xvattr)

    def _new(self, record: Create, parent: Znode) -> NewFile:
        fs, kind = self.fs, stat.S_IFMT(record.mode)
        inherits = bool(parent.flags & PFlags.PROJINHERIT)
        projid = fs.new_projid if not inherits or fs.new_projid is None else parent.projid
        flags = int(parent.flags & PFlags.XATTR)
        if inherits and kind == stat.S_IFDIR:
            flags |= PFlags.PROJINHERIT
        uid = self._owner(record.uid, record.domains)
        gid = self._owner(record.gid, record.domains)
        acl = None
        if record.aces is not None:
            aces = self._aces(record.aces, record.fuids, record.domains)
            acl = (len(aces), encode_aces(aces, "<"))
            flags |= _acl_flags(record.acl_flags)
        return NewFile(
            mode=record.mode,
            uid=uid,
            gid=gid,
            parent=parent.object,
            gen=record.gen,
            now_ns=record.crtime_ns,
            rdev=record.rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else None,
            target=record.target,
            flags=flags,
            projid=projid,
            acl=acl,
            number=record.object,
            dnode_size=record.dnode_slots * 512,
        )

    def _make_hidden(self, record: Create, owner: Znode) -> None:
        """The directory of extended attributes of a file."""
        fs = self.fs
        if owner.xattr_object:
            raise CorruptError("a file has a directory of extended attributes already", object=owner.object)
        new = NewFile(
            mode=record.mode, uid=record.uid, gid=record.gid, parent=owner.object, gen=record.gen,
            now_ns=record.crtime_ns, flags=PFlags.XATTR, projid=fs.new_projid, number=record.object,
            dnode_size=record.dnode_slots * 512,
        )  # fmt: skip
        made = fs.allocate(new)
        fs.change(owner, {"ZPL_XATTR": made.number, "ZPL_CTIME": record.crtime_ns})

    def _remove(self, record: Remove) -> None:
        folder = self._folder(record.directory)
        (self.fs.rmdir if record.type == TxType.RMDIR else self.fs.unlink)(folder, record.name)

    def _link(self, record: Link) -> None:
        self.fs.link(self.fs.znode(record.object), self._folder(record.directory), record.name)

    def _rename(self, record: Rename) -> None:
        fs = self.fs
        source, target = self._folder(record.source_directory), self._folder(record.target_directory)
        if record.type == TxType.RENAME_EXCHANGE:
            fs.exchange(source, record.source, target, record.target)
            return
        fs.rename(source, record.source, target, record.target)
        if record.whiteout is not None:
            packed, mode, uid, gid, gen, seconds, nanoseconds, rdev = record.whiteout
            if mode > MODE_MAX or not stat.S_ISCHR(mode):
                raise CorruptError("a whiteout in an intent log record is no device", mode=f"{mode:o}")
            new = NewFile(
                mode=mode, uid=uid, gid=gid, parent=source.object, gen=gen,
                now_ns=seconds * 10**9 + nanoseconds, rdev=rdev, projid=fs.new_projid,
                number=packed & zilrecord.OBJECT_MASK, dnode_size=((packed >> 56) + 1) * 512,
            )  # fmt: skip
            fs.make(self._folder(source.object), record.source, new)

    # --- content ----------------------------------------------------------------------------------------------------

    def _file(self, number: int) -> Znode:
        znode = self.fs.znode(number)
        if znode.type != "file":
            raise CorruptError(f"an intent log record writes to a {znode.type}", object=number)
        return znode

    def _write(self, record: Write) -> None:
        znode = self._file(record.object)
        end = record.offset + record.size
        if record.type == TxType.WRITE2:
            if end > znode.size:
                filewrite.truncate(self.fs, znode, end)
            return
        offset, body = written(self.fs.objset, record)
        self._put(znode, offset, body, end)

    def _put(self, znode: Znode, offset: int, body: bytes, end: int) -> None:
        """Write bytes, of which those from ``end`` on are not the file's yet."""
        fs, size = self.fs, znode.size
        znode = filewrite.write(fs, znode, offset, body)
        if znode.size > max(size, end):
            fs.change(znode, {"ZPL_SIZE": max(size, end)})

    def _truncate(self, record: Truncate) -> None:
        znode = self._file(record.object)
        if record.size == 0 or record.offset > znode.size:
            filewrite.truncate(self.fs, znode, record.offset + (record.size if record.offset > znode.size else 0))
            return
        end = record.offset + record.size
        filewrite.punch(self.fs, znode, record.offset, record.size)
        if end > znode.size:
            filewrite.truncate(self.fs, self.fs.znode(record.object), end)

    def _clone(self, record: CloneRange) -> None:
        """Cloned blocks are copied: what they cost in space is what a copy costs."""
        znode = self._file(record.object)
        for offset, body in cloned(self.fs.objset, record):
            self._put(self.fs.znode(znode.object), offset, body, offset + len(body))

    # --- attributes -------------------------------------------------------------------------------------------------

    def _setattr(self, record: SetAttr) -> None:
        fs = self.fs
        mode, uid, gid, size, atime, mtime = (
            bool(record.mask & bit) for bit in (OTHER_MASK if _foreign(record) else LINUX_MASK)
        )
        znode = fs.znode(record.object)
        if mode and record.mode > MODE_MAX:
            raise CorruptError("an intent log record sets an impossible mode", mode=f"{record.mode:o}")
        new_uid = self._owner(record.uid, record.domains) if uid else None
        new_gid = self._owner(record.gid, record.domains) if gid else None
        if size:
            znode = filewrite.truncate(fs, self._file(record.object), record.size)
        if mode or uid or gid or atime or mtime or not size:
            znode = fs.setattr(
                znode,
                mode=record.mode if mode else None,
                uid=new_uid,
                gid=new_gid,
                atime_ns=record.atime_ns if atime else None,
                mtime_ns=record.mtime_ns if mtime else None,
            )
        if record.xvattr is not None:
            self._set_extended(znode, record.xvattr)

    def _set_extended(self, znode: Znode, extended: XvAttr) -> None:
        fs, flags = self.fs, int(znode.flags)
        for bit, flag in XVATTR_FLAGS.items():
            if extended.requested & bit:
                flags = flags | flag if extended.values & bit else flags & ~flag
        if extended.requested & XAT_PROJID and fs.new_projid is not None:
            fs.setattr(znode, projid=int.from_bytes(extended.scanstamp[:8], "little"))
            flags |= PFlags.PROJID
        elif extended.requested & XAT_SCANSTAMP:
            fs.change(znode, {"ZPL_SCANSTAMP": extended.scanstamp})
            flags |= PFlags.BONUS_SCANSTAMP
        values: dict[str, int | bytes | None] = {"ZPL_FLAGS": flags}
        if extended.requested & XAT_CREATETIME:
            values["ZPL_CRTIME"] = extended.crtime_ns
        fs.change(fs.znode(znode.object), values)

    def _set_acl(self, record: SetAcl) -> None:
        fs = self.fs
        znode = fs.znode(record.object)
        aces = self._aces(record.aces, record.fuids, record.domains)
        mode = mode_of(znode.mode, aces, znode.uid, znode.gid)
        kept = int(znode.flags) & ~(PFlags.ACL_TRIVIAL | PFlags.NO_EXECS_DENIED | PFlags.INHERIT_ACE)
        if record.type == TxType.ACL:
            kept &= ~(PFlags.ACL_AUTO_INHERIT | PFlags.ACL_PROTECTED | PFlags.ACL_DEFAULTED)
        flags = kept | _acl_flags(record.acl_flags) | no_execs_denied(mode)
        fs.change(
            znode,
            {
                "ZPL_MODE": mode, "ZPL_FLAGS": flags, "ZPL_CTIME": fs.clock(),
                "ZPL_DACL_COUNT": len(aces), "ZPL_DACL_ACES": encode_aces(aces, "<"),
            },
        )  # fmt: skip

    def _aces(self, aces: Sequence[Ace], fuids: Sequence[int], domains: Sequence[bytes]) -> list[Ace]:
        """Entries with the owners they stand for."""
        waiting = list(fuids)
        result = []
        for ace in aces:
            who = ace.who
            if fuids and who is not None and who >= EPHEMERAL:
                if not waiting:
                    raise CorruptError("an ACL in an intent log record lacks an owner", owner=f"{who:x}")
                who = self._owner(waiting.pop(0), domains)
            result.append(Ace(ace.type, ace.flags, ace.mask, who, ace.object_type, ace.inherit_type))
        return result

    def _set_xattr(self, record: SetSaXattr) -> None:
        fs = self.fs
        znode = fs.znode(record.object)
        name = record.name.decode("utf-8", "surrogateescape")
        stored = {key: value for key, value in xattr.packed(znode).items() if key != name}
        if record.value is not None:
            stored[name] = record.value
        fs.change(znode, {"ZPL_DXATTR": pack(stored), "ZPL_CTIME": fs.clock()})


def _check_kind(record: Create) -> None:
    """The mode of something new is of the kind that the record's type makes."""
    if record.mode <= MODE_MAX:
        kind = stat.S_IFMT(record.mode)
        if record.type in _FOLDERS or record.type == TxType.SYMLINK:
            fits = kind == (stat.S_IFLNK if record.type == TxType.SYMLINK else stat.S_IFDIR)
        else:
            fits = kind in (stat.S_IFREG, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK)
        if fits:
            return
    raise CorruptError(f"the mode of an intent log record does not fit {record.name_of_type}", mode=f"{record.mode:o}")


def _foreign(record: SetAttr) -> bool:
    """A mask is not of Linux. Where the bits leave it open (mode, owner, group), the field of the size tells it."""
    if record.mask & _ONLY_LINUX:
        return False
    return bool(record.mask & _ONLY_OTHER) or record.size == NO_SIZE


def _acl_flags(value: int) -> int:
    flags = 0
    for bit, flag in ACL_FLAGS.items():
        if value & bit:
            flags |= flag
    return flags
