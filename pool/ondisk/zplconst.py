"""Numbers that the ZPL stores: versions, file types, flags of a file, its standard attributes.

Source: OpenZFS, zfs_znode.h, zfs_sa.h, zfs_znode_impl.h.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

MASTER_NODE_OBJECT = 1
ZVOL_OBJECT = 1
ZVOL_PROP_OBJECT = 2

ZPL_VERSION_INITIAL = 1
ZPL_VERSION_DIRENT_TYPE = 2  # type in directory entries
ZPL_VERSION_FUID = 3  # FUIDs, case-insensitivity, normalization, system attributes of files
ZPL_VERSION_USERSPACE = 4  # user and group accounting
ZPL_VERSION_SA = 5
ZPL_VERSION_MAX = ZPL_VERSION_SA

MAX_NAME = 1023  # bytes, with feature longname; else 255
MAX_SYMLINK = 4096  # bytes

DIRENT_OBJECT_BITS = 48
DIRENT_OBJECT_MASK = (1 << DIRENT_OBJECT_BITS) - 1
DIRENT_TYPE_SHIFT = 60


class Case(IntEnum):
    """Property casesensitivity, as the master node has it."""

    SENSITIVE = 0
    INSENSITIVE = 1
    MIXED = 2


class PFlags(IntFlag):
    """Flags of a file (ZPL_FLAGS)."""

    XATTR = 0x1  # an xattr directory or a file in one
    INHERIT_ACE = 0x2
    ACL_TRIVIAL = 0x4
    ACL_OBJ_ACE = 0x8
    ACL_PROTECTED = 0x10
    ACL_DEFAULTED = 0x20
    ACL_AUTO_INHERIT = 0x40
    BONUS_SCANSTAMP = 0x80
    NO_EXECS_DENIED = 0x100
    READONLY = 1 << 32
    HIDDEN = 1 << 33
    SYSTEM = 1 << 34
    ARCHIVE = 1 << 35
    IMMUTABLE = 1 << 36
    NOUNLINK = 1 << 37
    APPENDONLY = 1 << 38
    NODUMP = 1 << 39
    OPAQUE = 1 << 40
    AV_QUARANTINED = 1 << 41
    AV_MODIFIED = 1 << 42
    REPARSE = 1 << 43
    OFFLINE = 1 << 44
    SPARSE = 1 << 45
    PROJINHERIT = 1 << 46
    PROJID = 1 << 47


def rdev_parts(rdev: int) -> tuple[int, int]:
    """Major and minor number of a device.

    Linux stores its own device number (20 bits of minor), other platforms 32 bits of each; with a major number of
    0 the latter cannot be told from the former.
    """
    if rdev >> 32:
        return rdev >> 32, rdev & 0xFFFFFFFF
    return rdev >> 20, rdev & 0xFFFFF


def rdev_of(major: int, minor: int) -> int:
    """A device's numbers as Linux stores them; those that do not fit its 32 bits, as other platforms do."""
    if major < 1 << 12 and minor < 1 << 20:
        return major << 20 | minor
    return major << 32 | minor
