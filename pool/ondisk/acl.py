"""Access control entries (NFSv4), in both forms that are on disk.

Old ACEs (znodes of ACL version 0) have 12 bytes each. FUID ACEs (ZPL 3 and later) have 8 bytes for the owner, the
group and everyone, 16 with the FUID of a named user or group, and 48 for object ACEs.

Source: OpenZFS, zfs_acl.h (``zfs_oldace_t``, ``zfs_ace_hdr_t``, ``zfs_ace_t``, ``zfs_object_ace_t``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any

from ..errors import CorruptError, LimitError

MAX_ACES = 1024  # what OpenZFS allows in one ACL
MAX_ACL_BYTES = 64 << 10

_OLD = "IIHH"  # 0 who, 4 mask, 8 flags, 10 type
assert struct.calcsize("<" + _OLD) == 12
_HEADER = "HHI"  # 0 type, 2 flags, 4 mask; then, if named, a u64 FUID; then, of object ACEs, two 16-byte types
assert struct.calcsize("<" + _HEADER) == 8


class AceType(IntEnum):
    """What an ACE does."""

    ALLOW = 0
    DENY = 1
    AUDIT = 2
    ALARM = 3
    ALLOW_COMPOUND = 4
    ALLOW_OBJECT = 5
    DENY_OBJECT = 6
    AUDIT_OBJECT = 7
    ALARM_OBJECT = 8


class AceFlags(IntFlag):
    """Inheritance, and whom an ACE is for."""

    FILE_INHERIT = 0x1
    DIRECTORY_INHERIT = 0x2
    NO_PROPAGATE = 0x4
    INHERIT_ONLY = 0x8
    SUCCESSFUL_ACCESS = 0x10
    FAILED_ACCESS = 0x20
    IDENTIFIER_GROUP = 0x40
    INHERITED = 0x80
    OWNER = 0x1000
    GROUP = 0x2000
    EVERYONE = 0x4000


class AceMask(IntFlag):
    """Rights."""

    READ_DATA = 0x1
    WRITE_DATA = 0x2
    APPEND_DATA = 0x4
    READ_NAMED_ATTRS = 0x8
    WRITE_NAMED_ATTRS = 0x10
    EXECUTE = 0x20
    DELETE_CHILD = 0x40
    READ_ATTRIBUTES = 0x80
    WRITE_ATTRIBUTES = 0x100
    DELETE = 0x10000
    READ_ACL = 0x20000
    WRITE_ACL = 0x40000
    WRITE_OWNER = 0x80000
    SYNCHRONIZE = 0x100000


WHO_FLAGS = AceFlags.OWNER | AceFlags.GROUP | AceFlags.EVERYONE
_ABSTRACT = (AceFlags.OWNER, AceFlags.GROUP | AceFlags.IDENTIFIER_GROUP, AceFlags.EVERYONE)
_OBJECT_TYPES = frozenset(range(AceType.ALLOW_OBJECT, AceType.ALARM_OBJECT + 1))


@dataclass(frozen=True, slots=True)
class Ace:
    """One entry. ``who`` is the FUID of a named user or group, None for owner, group and everyone."""

    type: int
    flags: int
    mask: int
    who: int | None = None
    object_type: bytes = b""
    inherit_type: bytes = b""


def _is_abstract(flags: int) -> bool:
    return flags & (WHO_FLAGS | AceFlags.IDENTIFIER_GROUP) in _ABSTRACT


def decode_aces(buffer: Any, order: str, count: int | None = None) -> list[Ace]:
    """FUID ACEs that fill a buffer.

    Args:
        count: how many there must be (ZPL_DACL_COUNT), or None.

    Raises:
        CorruptError: an ACE is cut off, or their number is another one; LimitError: too many.
    """
    data = memoryview(buffer).cast("B")
    aces: list[Ace] = []
    at = 0
    while at < len(data) and (count is None or len(aces) < count):
        if len(aces) >= MAX_ACES:
            raise LimitError(f"an ACL with more than {MAX_ACES} entries")
        if at + 8 > len(data):
            raise CorruptError("an ACL entry is cut off", offset=at, length=len(data))
        kind, flags, mask = struct.unpack_from(order + _HEADER, data, at)
        size = 48 if kind in _OBJECT_TYPES else 8 if _is_abstract(flags) else 16
        if at + size > len(data):
            raise CorruptError("an ACL entry is cut off", offset=at, length=len(data))
        who = None
        if not _is_abstract(flags) and size >= 16:
            (who,) = struct.unpack_from(order + "Q", data, at + 8)
        types = (bytes(data[at + 16 : at + 32]), bytes(data[at + 32 : at + 48])) if size == 48 else (b"", b"")
        aces.append(Ace(kind, flags, mask, who, *types))
        at += size
    if count is not None and len(aces) != count:
        raise CorruptError("an ACL has fewer entries than it says", count=count, found=len(aces))
    return aces


def encode_aces(aces: Iterable[Ace], order: str) -> bytes:
    """FUID ACEs, back to back."""
    out = bytearray()
    for ace in aces:
        out += struct.pack(order + _HEADER, ace.type, ace.flags, ace.mask)
        if ace.type in _OBJECT_TYPES:
            out += struct.pack(order + "Q16s16s", ace.who or 0, ace.object_type, ace.inherit_type)
        elif not _is_abstract(ace.flags):
            out += struct.pack(order + "Q", ace.who or 0)
    return bytes(out)


def decode_old_aces(buffer: Any, order: str, count: int) -> list[Ace]:
    """``count`` old ACEs from the start of a buffer.

    Raises:
        CorruptError: the buffer is too short; LimitError: too many.
    """
    if count > MAX_ACES:
        raise LimitError(f"an ACL with more than {MAX_ACES} entries", count=count)
    data = memoryview(buffer).cast("B")
    if 12 * count > len(data):
        raise CorruptError("an ACL is cut off", count=count, length=len(data))
    aces = []
    for who, mask, flags, kind in struct.iter_unpack(order + _OLD, data[: 12 * count]):
        aces.append(Ace(kind, flags, mask, None if _is_abstract(flags) else who))
    return aces


def decode_system_aces(buffer: Any, order: str, count: int) -> list[Ace]:
    """ACEs as system calls take them (``ace_t``), which is how intent logs have them: 12 bytes each, object ACEs 44.

    Raises:
        CorruptError: the buffer is too short; LimitError: too many.
    """
    if count > MAX_ACES:
        raise LimitError(f"an ACL with more than {MAX_ACES} entries", count=count)
    data = memoryview(buffer).cast("B")
    aces: list[Ace] = []
    at = 0
    while len(aces) < count:
        if at + 12 > len(data):
            raise CorruptError("an ACL entry is cut off", offset=at, length=len(data))
        who, mask, flags, kind = struct.unpack_from(order + _OLD, data, at)
        size = 44 if kind in _OBJECT_TYPES else 12
        if at + size > len(data):
            raise CorruptError("an ACL entry is cut off", offset=at, length=len(data))
        types = (bytes(data[at + 12 : at + 28]), bytes(data[at + 28 : at + 44])) if size == 44 else (b"", b"")
        aces.append(Ace(kind, flags, mask, None if _is_abstract(flags) else who, *types))
        at += size
    return aces


def encode_old_aces(aces: Iterable[Ace], order: str) -> bytes:
    """Old ACEs, back to back; owner, group and everyone have the id -1."""
    return b"".join(
        struct.pack(order + _OLD, 0xFFFFFFFF if a.who is None else a.who, a.mask, a.flags, a.type) for a in aces
    )


# The compact letters of ``ls -V`` with the bit each stands for.
_RIGHTS = (
    ("r", AceMask.READ_DATA), ("w", AceMask.WRITE_DATA), ("x", AceMask.EXECUTE), ("p", AceMask.APPEND_DATA),
    ("d", AceMask.DELETE), ("D", AceMask.DELETE_CHILD), ("a", AceMask.READ_ATTRIBUTES),
    ("A", AceMask.WRITE_ATTRIBUTES), ("R", AceMask.READ_NAMED_ATTRS), ("W", AceMask.WRITE_NAMED_ATTRS),
    ("c", AceMask.READ_ACL), ("C", AceMask.WRITE_ACL), ("o", AceMask.WRITE_OWNER), ("s", AceMask.SYNCHRONIZE),
)  # fmt: skip
_INHERIT = (
    ("f", AceFlags.FILE_INHERIT), ("d", AceFlags.DIRECTORY_INHERIT), ("i", AceFlags.INHERIT_ONLY),
    ("n", AceFlags.NO_PROPAGATE), ("S", AceFlags.SUCCESSFUL_ACCESS), ("F", AceFlags.FAILED_ACCESS),
    ("I", AceFlags.INHERITED),
)  # fmt: skip


def ace_text(ace: Ace) -> str:
    """An entry in the compact form of ``ls -V``: ``owner@:rw-p--aARWcCos:-------:allow``."""
    if ace.flags & AceFlags.OWNER:
        who = "owner@"
    elif ace.flags & AceFlags.GROUP:
        who = "group@"
    elif ace.flags & AceFlags.EVERYONE:
        who = "everyone@"
    else:
        who = f"{'group' if ace.flags & AceFlags.IDENTIFIER_GROUP else 'user'}:{ace.who}"
    rights = "".join(letter if ace.mask & bit else "-" for letter, bit in _RIGHTS)
    inherit = "".join(letter if ace.flags & bit else "-" for letter, bit in _INHERIT)
    try:
        kind = AceType(ace.type).name.lower()
    except ValueError:
        kind = f"type-{ace.type}"
    return f"{who}:{rights}:{inherit}:{kind}"
