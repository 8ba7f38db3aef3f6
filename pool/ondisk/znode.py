"""The legacy znode: what describes a file in ZPL versions 1 to 4 (bonus type 17).

264 bytes of fixed layout, followed in the bonus by the target of a short symbolic link or by a virus scanner's stamp.

Source: OpenZFS, zfs_znode_impl.h (``znode_phys_t``), zfs_acl.h (``zfs_acl_phys_t``).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from ..errors import CorruptError

ZNODE_SIZE = 264
ZNODE_ACL_SIZE = 88
ACL_INLINE = 72  # bytes of ACEs within the znode
SCANSTAMP_SIZE = 32

# 0 atime, 16 mtime, 32 ctime, 48 crtime (each: i64 seconds, u64 nanoseconds), 64 gen, 72 mode, 80 size, 88 parent,
# 96 links, 104 xattr directory, 112 rdev, 120 flags, 128 uid, 136 gid, 144 zap, 152 padding, 176 ACL
_FIELDS = "qQqQqQqQQQQQQQQQQQQ24x"
LITTLE = struct.Struct("<" + _FIELDS)
BIG = struct.Struct(">" + _FIELDS)
assert LITTLE.size == ZNODE_SIZE - ZNODE_ACL_SIZE == 176

# 0 object with more ACEs, 8 size in bytes (version 0: count of ACEs), 12 version, 14 count, 16 ACEs
_ACL_FIELDS = "QIHH72s"
assert struct.calcsize("<" + _ACL_FIELDS) == ZNODE_ACL_SIZE


@dataclass(frozen=True, slots=True)
class ZnodeAcl:
    """The ACL part of a znode. ``version`` 0: old ACEs; 1: FUID ACEs. ``external``: object that holds them, or 0."""

    external: int
    size: int
    version: int
    count: int
    aces: bytes


@dataclass(frozen=True, slots=True)
class ZnodePhys:
    """A decoded znode. Times are in nanoseconds since 1970 (negative: before); uid and gid are FUIDs."""

    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    crtime_ns: int
    gen: int
    mode: int
    size: int
    parent: int
    links: int
    xattr: int
    rdev: int
    flags: int
    uid: int
    gid: int
    zap: int
    acl: ZnodeAcl


def decode_acl(buffer: Any, order: str) -> ZnodeAcl:
    """Read the 88 bytes of ZPL_ZNODE_ACL. Raises: CorruptError."""
    if len(buffer) < ZNODE_ACL_SIZE:
        raise CorruptError("a znode's ACL is too short", length=len(buffer))
    return ZnodeAcl(*struct.unpack_from(order + _ACL_FIELDS, buffer))


def encode_acl(acl: ZnodeAcl, order: str) -> bytes:
    """The 88 bytes of ZPL_ZNODE_ACL."""
    return struct.pack(order + _ACL_FIELDS, acl.external, acl.size, acl.version, acl.count, acl.aces)


def decode(buffer: Any, order: str) -> ZnodePhys:
    """Read a znode from the start of a bonus buffer in byte order ``order``.

    Raises:
        CorruptError: the buffer is too short.
    """
    if len(buffer) < ZNODE_SIZE:
        raise CorruptError("a znode is too short", length=len(buffer), needed=ZNODE_SIZE)
    fields = (LITTLE if order == "<" else BIG).unpack_from(buffer)
    atime, mtime, ctime, crtime = (fields[n] * 10**9 + fields[n + 1] for n in range(0, 8, 2))
    acl = decode_acl(memoryview(buffer)[176:ZNODE_SIZE], order)
    gen, mode, size, parent, links, xattr, rdev, flags, uid, gid, zap = fields[8:]
    return ZnodePhys(
        atime, mtime, ctime, crtime, gen, mode, size, parent, links, xattr, rdev, flags, uid, gid, zap, acl
    )


def encode(znode: ZnodePhys, order: str) -> bytes:
    """The 264 bytes of a znode."""
    times: list[int] = []
    for stamp in (znode.atime_ns, znode.mtime_ns, znode.ctime_ns, znode.crtime_ns):
        times += divmod(stamp, 10**9)
    z = znode
    body = (LITTLE if order == "<" else BIG).pack(
        *times, z.gen, z.mode, z.size, z.parent, z.links, z.xattr, z.rdev, z.flags, z.uid, z.gid, z.zap
    )
    return body + encode_acl(z.acl, order)
