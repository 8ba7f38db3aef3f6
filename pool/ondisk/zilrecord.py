"""Intent log records: one dataclass for each kind of operation.

Every record begins with type, length, txg and sequence number (8 bytes each); the rest depends on the type. Names end
in a NUL, records are padded to eight bytes. Records of an encrypted log whose key is not at hand decode to ``Sealed``,
types this module does not know to ``Unknown``: a reader shows them, only a replay must refuse them.

Source: OpenZFS, zil.h, zfs_log.c, zfs_replay.c.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from ..errors import CorruptError, LimitError
from . import acl, blkptr
from .blkptr import BLKPTR_SIZE, BpArray

CASE_INSENSITIVE = 1 << 63
OBJECT_MASK = (1 << 48) - 1
MAX_XVATTR_WORDS = 16
WRITE_HEADER = 192
CLONE_HEADER = 72
XVATTR_LINUX = 0x80000000
XVATTR_OTHER = 0x10000  # FreeBSD and illumos


class TxType(IntEnum):
    """Kinds of records."""

    COMMIT = 0  # never on disk
    CREATE = 1
    MKDIR = 2
    MKXATTR = 3
    SYMLINK = 4
    REMOVE = 5
    RMDIR = 6
    LINK = 7
    RENAME = 8
    WRITE = 9
    TRUNCATE = 10
    SETATTR = 11
    ACL_V0 = 12
    ACL = 13
    CREATE_ACL = 14
    CREATE_ATTR = 15
    CREATE_ACL_ATTR = 16
    MKDIR_ACL = 17
    MKDIR_ATTR = 18
    MKDIR_ACL_ATTR = 19
    WRITE2 = 20
    SETSAXATTR = 21
    RENAME_EXCHANGE = 22
    RENAME_WHITEOUT = 23
    CLONE_RANGE = 24


T = TxType
_TYPE_NAMES = {int(kind): kind.name for kind in TxType}
_WITH_ACL = frozenset((T.CREATE_ACL, T.CREATE_ACL_ATTR, T.MKDIR_ACL, T.MKDIR_ACL_ATTR))
_WITH_XVATTR = frozenset((T.CREATE_ATTR, T.CREATE_ACL_ATTR, T.MKDIR_ATTR, T.MKDIR_ACL_ATTR))


@dataclass(frozen=True, slots=True)
class Record:
    """What every record has. ``type`` is without the case bit, which is ``case_insensitive``."""

    type: int
    length: int
    txg: int
    seq: int
    case_insensitive: bool

    @property
    def name_of_type(self) -> str:
        """``TX_CREATE`` and so on."""
        return f"TX_{_TYPE_NAMES.get(self.type, self.type)}"


@dataclass(frozen=True, slots=True)
class XvAttr:
    """Extended attributes of a file in a log record: which are requested, their values, and their two long ones."""

    requested: int
    values: int
    crtime_ns: int
    scanstamp: bytes


@dataclass(frozen=True, slots=True)
class Create(Record):
    """A new file, directory, symbolic link (``target``) or device; times in nanoseconds."""

    directory: int
    object: int
    dnode_slots: int
    mode: int
    uid: int
    gid: int
    gen: int
    crtime_ns: int
    rdev: int
    name: bytes
    target: bytes | None
    xvattr: XvAttr | None
    aces: tuple[acl.Ace, ...] | None
    acl_flags: int
    fuids: tuple[int, ...]
    domains: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Remove(Record):
    """A name is removed (REMOVE, RMDIR)."""

    directory: int
    name: bytes


@dataclass(frozen=True, slots=True)
class Link(Record):
    """Another name for a file."""

    directory: int
    object: int
    name: bytes


@dataclass(frozen=True, slots=True)
class Rename(Record):
    """RENAME and RENAME_EXCHANGE; with ``whiteout`` fields set, RENAME_WHITEOUT."""

    source_directory: int
    target_directory: int
    source: bytes
    target: bytes
    whiteout: tuple[int, ...] | None  # object with slots, mode, uid, gid, gen, crtime seconds, nanoseconds, rdev


@dataclass(frozen=True, slots=True)
class Write(Record):
    """WRITE: ``data``, or, of an indirect one, ``bp`` of the block written in place. WRITE2: the size alone."""

    object: int
    offset: int
    size: int
    bp: BpArray | None
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Truncate(Record):
    """A range is freed; size 0: to the end."""

    object: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class SetAttr(Record):
    """Attributes are set; ``mask`` has the bits of the platform that wrote it."""

    object: int
    mask: int
    mode: int
    uid: int
    gid: int
    size: int
    atime_ns: int
    mtime_ns: int
    xvattr: XvAttr | None
    domains: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SetAcl(Record):
    """An ACL is set (ACL_V0, ACL)."""

    object: int
    aces: tuple[acl.Ace, ...]
    acl_flags: int
    fuids: tuple[int, ...]
    domains: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SetSaXattr(Record):
    """An extended attribute in the SA form is set, or removed (``value`` None)."""

    object: int
    name: bytes
    value: bytes | None


@dataclass(frozen=True, slots=True)
class CloneRange(Record):
    """Blocks of another file are cloned into this one."""

    object: int
    offset: int
    size: int
    block_size: int
    bps: BpArray


@dataclass(frozen=True, slots=True)
class Sealed(Record):
    """A record of an encrypted log whose key is not loaded; pointers are in clear in WRITE and CLONE_RANGE."""

    bps: BpArray | None


@dataclass(frozen=True, slots=True)
class Unknown(Record):
    """A record of a type nobody has defined yet."""

    body: bytes


class _Cursor:
    """A position in one record; every step is checked against its end."""

    def __init__(self, record: Any, order: str) -> None:
        self.data = memoryview(record).cast("B")
        self.order = order
        self.at = 32

    def take(self, letters: str) -> tuple[Any, ...]:
        form = self.order + letters
        size = struct.calcsize(form)
        self.need(size)
        values = struct.unpack_from(form, self.data, self.at)
        self.at += size
        return values

    def need(self, size: int) -> None:
        if size < 0 or size > len(self.data) - self.at:
            raise CorruptError("an intent log record is cut off", offset=self.at, needed=size, length=len(self.data))

    def raw(self, size: int) -> bytes:
        self.need(size)
        chunk = bytes(self.data[self.at : self.at + size])
        self.at += size
        return chunk

    def string(self) -> bytes:
        rest = bytes(self.data[self.at :])
        length = rest.find(b"\0")
        if length < 0:
            raise CorruptError("a name in an intent log record does not end", offset=self.at)
        self.at += length + 1
        return rest[:length]

    def time(self) -> int:
        seconds, nanoseconds = self.take("qQ")
        return int(seconds * 10**9 + nanoseconds)

    def xvattr(self) -> XvAttr:
        (words,) = self.take("I")
        if not 1 <= words <= MAX_XVATTR_WORDS:
            raise LimitError("extended attributes in a log record with an impossible mask", words=words)
        bitmap = self.take(f"{words}I")
        (values,) = self.take("Q")
        return XvAttr(bitmap[0], values, self.time(), self.raw(32))

    def domains(self, count: int) -> tuple[bytes, ...]:
        if count > len(self.data):
            raise LimitError("a log record with an impossible count of domains", count=count)
        return tuple(self.string() for _ in range(count))

    def fuids(self, count: int) -> tuple[int, ...]:
        self.need(8 * min(count, 1 << 40))
        return self.take(f"{count}Q")

    def aces(self, size: int, count: int) -> tuple[acl.Ace, ...]:
        """ACEs as a system call had them; the cursor moves on to the next multiple of eight."""
        raw = self.raw(size)
        self.raw(-size % 8)
        return tuple(acl.decode_system_aces(raw, self.order, count))

    def pointers(self, count: int) -> BpArray:
        self.need(BLKPTR_SIZE * min(count, 1 << 40))
        return blkptr.from_bytes(self.raw(BLKPTR_SIZE * count), self.order)


def _named_domains(uid: int, gid: int) -> int:
    """How many domain strings a record carries for its owner and group."""
    return len({uid >> 32, gid >> 32} - {0})


Head = tuple[int, int, int, int, bool]


def _create(head: Head, c: _Cursor) -> Create:
    kind = head[0]
    directory, packed, mode, uid, gid, gen = c.take("6Q")
    crtime = c.time()
    (rdev,) = c.take("Q")
    counts = c.take("5Q") if kind in _WITH_ACL else None
    xvattr = c.xvattr() if kind in _WITH_XVATTR else None
    aces: tuple[acl.Ace, ...] | None = None
    fuids: tuple[int, ...] = ()
    flags = 0
    if counts is not None:
        ace_count, domain_count, fuid_count, ace_bytes, flags = counts
        aces = c.aces(ace_bytes, ace_count)
        fuids = c.fuids(fuid_count)
        domains = c.domains(domain_count)
    else:
        domains = c.domains(_named_domains(uid, gid))
    name = c.string()
    target = c.string() if kind == T.SYMLINK else None
    return Create(
        *head, directory, packed & OBJECT_MASK, (packed >> 56) + 1, mode, uid, gid, gen, crtime, rdev, name, target,
        xvattr, aces, flags, fuids, domains,
    )  # fmt: skip


def _remove(head: Head, c: _Cursor) -> Remove:
    (directory,) = c.take("Q")
    return Remove(*head, directory, c.string())


def _link(head: Head, c: _Cursor) -> Link:
    directory, obj = c.take("QQ")
    return Link(*head, directory, obj, c.string())


def _rename(head: Head, c: _Cursor) -> Rename:
    source, target = c.take("QQ")
    whiteout = c.take("8Q") if head[0] == T.RENAME_WHITEOUT else None
    return Rename(*head, source, target, c.string(), c.string(), whiteout)


def _write(head: Head, c: _Cursor) -> Write:
    obj, offset, size, _block_offset = c.take("4Q")
    bp = c.pointers(1)[0]
    if head[0] == T.WRITE2:
        return Write(*head, obj, offset, size, None, None)
    if head[1] > WRITE_HEADER:
        return Write(*head, obj, offset, size, None, c.raw(size))
    return Write(*head, obj, offset, size, bp, None)


def _truncate(head: Head, c: _Cursor) -> Truncate:
    return Truncate(*head, *c.take("3Q"))


def _setattr(head: Head, c: _Cursor) -> SetAttr:
    obj, mask, mode, uid, gid, size = c.take("6Q")
    atime, mtime = c.time(), c.time()
    # The bit of the other platforms means something else on Linux, where it comes without the block.
    has = mask & XVATTR_LINUX or (mask & XVATTR_OTHER and len(c.data) - c.at >= 64)
    xvattr = c.xvattr() if has else None
    return SetAttr(
        *head, obj, mask, mode, uid, gid, size, atime, mtime, xvattr, c.domains(_named_domains(uid, gid))
    )


def _acl_v0(head: Head, c: _Cursor) -> SetAcl:
    obj, count = c.take("QQ")
    return SetAcl(*head, obj, tuple(acl.decode_old_aces(c.data[c.at :], c.order, count)), 0, (), ())


def _acl(head: Head, c: _Cursor) -> SetAcl:
    obj, ace_count, domain_count, fuid_count, ace_bytes, flags = c.take("6Q")
    aces = c.aces(ace_bytes, ace_count)
    fuids = c.fuids(fuid_count)
    return SetAcl(*head, obj, aces, flags, fuids, c.domains(domain_count))


def _setsaxattr(head: Head, c: _Cursor) -> SetSaXattr:
    obj, size = c.take("QQ")
    name = c.string()
    return SetSaXattr(*head, obj, name, c.raw(size) if size else None)


def _clone_range(head: Head, c: _Cursor) -> CloneRange:
    obj, offset, size, block_size, count = c.take("5Q")
    return CloneRange(*head, obj, offset, size, block_size, c.pointers(count))


_DECODERS: dict[int, Callable[[Head, _Cursor], Record]] = {
    **dict.fromkeys((T.CREATE, T.MKDIR, T.MKXATTR, T.SYMLINK, *_WITH_ACL, *_WITH_XVATTR), _create),
    **dict.fromkeys((T.REMOVE, T.RMDIR), _remove),
    T.LINK: _link,
    **dict.fromkeys((T.RENAME, T.RENAME_EXCHANGE, T.RENAME_WHITEOUT), _rename),
    **dict.fromkeys((T.WRITE, T.WRITE2), _write),
    T.TRUNCATE: _truncate,
    T.SETATTR: _setattr,
    T.ACL_V0: _acl_v0,
    T.ACL: _acl,
    T.SETSAXATTR: _setsaxattr,
    T.CLONE_RANGE: _clone_range,
}


def decode(record: Any, order: str, *, sealed: bool = False) -> Record:
    """Decode one complete record.

    Args:
        record: its bytes, as many as its length says.
        order: byte order of the log block.
        sealed: the record's body is encrypted.

    Raises:
        CorruptError, LimitError: a field does not fit the record.
    """
    if len(record) < 32:
        raise CorruptError("an intent log record is cut off", length=len(record))
    kind, length, txg, seq = struct.unpack_from(order + "4Q", record)
    head = (kind & ~CASE_INSENSITIVE, length, txg, seq, bool(kind & CASE_INSENSITIVE))
    cursor = _Cursor(record, order)
    if sealed:
        return Sealed(*head, _clear_pointers(head[0], cursor))
    decoder = _DECODERS.get(head[0])
    return decoder(head, cursor) if decoder else Unknown(*head, bytes(cursor.data[32:]))


def _clear_pointers(kind: int, cursor: _Cursor) -> BpArray | None:
    room = len(cursor.data)
    if kind == T.WRITE and room >= WRITE_HEADER:
        cursor.at = WRITE_HEADER - BLKPTR_SIZE
        return cursor.pointers(1)
    if kind == T.CLONE_RANGE and room >= CLONE_HEADER:
        cursor.at = CLONE_HEADER
        return cursor.pointers((room - CLONE_HEADER) // BLKPTR_SIZE)
    return None
