"""Intent log records as bytes: what ``zilrecord`` decodes, the other way round, as a Linux host writes them.

Records are made without their txg and number, which they get when they are put into a block (``stamp``).

Source: OpenZFS, zil.h, zfs_log.c.
"""

from __future__ import annotations

import struct

from ..errors import LimitError
from . import blkptr
from .blkptr import BpArray
from .zilrecord import OBJECT_MASK, WRITE_HEADER, XVATTR_LINUX, TxType

NS = 10**9
#: Bits of SETATTR's mask.
MODE, UID, GID, SIZE, ATIME, MTIME, CTIME = 0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x40
#: Words of the bitmap of extended attributes, and those that are written.
XVATTR_WORDS = 3
XAT_PROJID = 0x40000

_HEAD = struct.Struct("<4Q")
_STAMP = struct.Struct("<2Q")
_CREATE = struct.Struct("<6QqQQ")  # directory, object, mode, uid, gid, gen, time of making, rdev
_RENAME = struct.Struct("<2Q")
_WRITE = struct.Struct("<4Q128s")
_WRITE_DATA = struct.Struct("<7Q")
_SETATTR = struct.Struct("<6QqQqQ")  # object, mask, mode, uid, gid, size, times of last read and last change
_XVATTR = struct.Struct(f"<I{XVATTR_WORDS}IQqQ32s")
assert _HEAD.size + _CREATE.size == 104 and _HEAD.size + _SETATTR.size == 112 and _HEAD.size + _WRITE.size == 192
assert _XVATTR.size == 8 + 4 * (XVATTR_WORDS - 1) + 56


def _record(kind: int, *parts: bytes) -> bytearray:
    length = _HEAD.size + sum(map(len, parts))
    whole = -(-length // 8) * 8
    record = bytearray(_HEAD.pack(kind, whole, 0, 0))
    for part in parts:
        record += part
    record += bytes(whole - length)
    return record


def stamp(record: bytearray, txg: int, seq: int) -> None:
    """Give a record its txg and its number in the log."""
    _STAMP.pack_into(record, 16, txg, seq)


def _name(name: bytes) -> bytes:
    return name + b"\0"


def create(
    kind: int,
    directory: int,
    number: int,
    slots: int,
    mode: int,
    uid: int,
    gid: int,
    gen: int,
    crtime_ns: int,
    rdev: int,
    name: bytes,
    target: bytes | None = None,
) -> bytearray:
    """CREATE, MKDIR, MKXATTR or SYMLINK (with a ``target``).

    Args:
        directory: object of the directory, or of the file that gets a hidden one.
        number, slots: of the new object, and slots of its dnode (1 to 32).
        crtime_ns: time of making, nanoseconds since 1970.
    """
    body = _CREATE.pack(
        directory, number & OBJECT_MASK | slots - 1 << 56, mode, uid, gid, gen, *divmod(crtime_ns, NS), rdev
    )
    return _record(kind, body, _name(name), b"" if target is None else _name(target))


def remove(kind: int, directory: int, name: bytes) -> bytearray:
    """REMOVE or RMDIR."""
    return _record(kind, directory.to_bytes(8, "little"), _name(name))


def link(directory: int, number: int, name: bytes) -> bytearray:
    """LINK."""
    return _record(TxType.LINK, _RENAME.pack(directory, number), _name(name))


def rename(kind: int, source_directory: int, target_directory: int, source: bytes, target: bytes) -> bytearray:
    """RENAME or RENAME_EXCHANGE."""
    return _record(kind, _RENAME.pack(source_directory, target_directory), _name(source), _name(target))


def write(number: int, offset: int, size: int) -> tuple[bytearray, memoryview]:
    """WRITE with its data, zeros as yet; and the place where the data belongs."""
    whole = WRITE_HEADER + -(-size // 8) * 8
    record = bytearray(whole)
    _WRITE_DATA.pack_into(record, 0, TxType.WRITE, whole, 0, 0, number, offset, size)
    return record, memoryview(record)[WRITE_HEADER : WRITE_HEADER + size]


def write_indirect(number: int, offset: int, size: int, bp: BpArray) -> bytearray:
    """WRITE of bytes that are in a block which was written already, and that covers them.

    Args:
        bp: the block's pointer, one element; a hole stands for zeros.
    """
    raw = bytes(128) if bool(blkptr.is_hole(bp).all()) else bp.tobytes()
    record = _record(TxType.WRITE, _WRITE.pack(number, offset, size, 0, raw))
    assert len(record) == WRITE_HEADER
    return record


def truncate(number: int, offset: int, size: int) -> bytearray:
    """TRUNCATE: a range becomes a hole."""
    return _record(TxType.TRUNCATE, struct.pack("<3Q", number, offset, size))


def setattr_(
    number: int,
    mask: int,
    mode: int = 0,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    atime_ns: int = 0,
    mtime_ns: int = 0,
    projid: int | None = None,
) -> bytearray:
    """SETATTR: those attributes that ``mask`` names (``MODE`` ...), and the project if there is one."""
    if projid is not None:
        mask |= XVATTR_LINUX
    body = _SETATTR.pack(number, mask, mode, uid, gid, size, *divmod(atime_ns, NS), *divmod(mtime_ns, NS))
    if projid is None:
        return _record(TxType.SETATTR, body)
    scan = projid.to_bytes(8, "little") + bytes(24)
    extended = _XVATTR.pack(XVATTR_WORDS, XAT_PROJID, 0, 0, XAT_PROJID, 0, 0, scan)
    return _record(TxType.SETATTR, body, extended)


def setsaxattr(number: int, name: bytes, value: bytes | None) -> bytearray:
    """SETSAXATTR: a packed extended attribute, or None to remove it.

    Raises:
        LimitError: an empty value, which would be taken for a removal.
    """
    if value is not None and not value:
        raise LimitError("an empty extended attribute cannot be told to an intent log")
    body = struct.pack("<QQ", number, len(value or b""))
    return _record(TxType.SETSAXATTR, body, _name(name), value or b"")
