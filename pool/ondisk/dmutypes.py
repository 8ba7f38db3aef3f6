"""The types a DMU object and a block can have.

Numbers below 0x80 were assigned one by one; from 0x80 on the number itself tells how the content is swapped, and
whether it is metadata and encrypted (bit 7 set, bit 6 metadata, bit 5 encrypted, bits 0-4 the swap kind).

Source: OpenZFS, dmu.h (``dmu_object_type_t``, ``dmu_ot``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

NEW_TYPE = 0x80
NEW_METADATA = 0x40
NEW_ENCRYPTED = 0x20
NEW_SWAP_MASK = 0x1F


class Swap(IntEnum):
    """How the content of a block is swapped between byte orders."""

    U8 = 0
    U16 = 1
    U32 = 2
    U64 = 3
    ZAP = 4
    DNODE = 5
    OBJSET = 6
    ZNODE = 7
    OLDACL = 8
    ACL = 9

    @property
    def text(self) -> str:
        """OpenZFS's word for it."""
        return self.name.lower().replace("u", "uint", 1) if self <= Swap.U64 else self.name.lower()


class ObjectType(IntEnum):
    """DMU object types; the names are OpenZFS's without their prefix."""

    NONE = 0
    OBJECT_DIRECTORY = 1
    OBJECT_ARRAY = 2
    PACKED_NVLIST = 3
    PACKED_NVLIST_SIZE = 4
    BPOBJ = 5
    BPOBJ_HDR = 6
    SPACE_MAP_HEADER = 7
    SPACE_MAP = 8
    INTENT_LOG = 9
    DNODE = 10
    OBJSET = 11
    DSL_DIR = 12
    DSL_DIR_CHILD_MAP = 13
    DSL_DS_SNAP_MAP = 14
    DSL_PROPS = 15
    DSL_DATASET = 16
    ZNODE = 17
    OLDACL = 18
    PLAIN_FILE_CONTENTS = 19
    DIRECTORY_CONTENTS = 20
    MASTER_NODE = 21
    UNLINKED_SET = 22
    ZVOL = 23
    ZVOL_PROP = 24
    PLAIN_OTHER = 25
    UINT64_OTHER = 26
    ZAP_OTHER = 27
    ERROR_LOG = 28
    SPA_HISTORY = 29
    SPA_HISTORY_OFFSETS = 30
    POOL_PROPS = 31
    DSL_PERMS = 32
    ACL = 33
    SYSACL = 34
    FUID = 35
    FUID_SIZE = 36
    NEXT_CLONES = 37
    SCAN_QUEUE = 38
    USERGROUP_USED = 39
    USERGROUP_QUOTA = 40
    USERREFS = 41
    DDT_ZAP = 42
    DDT_STATS = 43
    SA = 44
    SA_MASTER_NODE = 45
    SA_ATTR_REGISTRATION = 46
    SA_ATTR_LAYOUTS = 47
    SCAN_XLATE = 48
    DEDUP = 49
    DEADLIST = 50
    DEADLIST_HDR = 51
    DSL_CLONES = 52
    BPOBJ_SUBOBJ = 53
    UINT32_METADATA = 0xC2
    UINT64_METADATA = 0xC3
    ZAP_METADATA = 0xC4


LAST_LEGACY = ObjectType.BPOBJ_SUBOBJ


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """What a type says about its content: zdb's text, swap kind, metadata, encrypted in encrypted datasets."""

    text: str
    swap: Swap
    metadata: bool
    encrypted: bool


def _legacy() -> list[TypeInfo]:
    u8, u64, zap = Swap.U8, Swap.U64, Swap.ZAP
    rows: list[tuple[str, Swap, str]] = [
        ("unallocated", u8, "M"),
        ("object directory", zap, "M"),
        ("object array", u64, "M"),
        ("packed nvlist", u8, "M"),
        ("packed nvlist size", u64, "M"),
        ("bpobj", u64, "M"),
        ("bpobj header", u64, "M"),
        ("SPA space map header", u64, "M"),
        ("SPA space map", u64, "M"),
        ("ZIL intent log", u64, "ME"),
        ("DMU dnode", Swap.DNODE, "ME"),
        ("DMU objset", Swap.OBJSET, "M"),
        ("DSL directory", u64, "M"),
        ("DSL directory child map", zap, "M"),
        ("DSL dataset snap map", zap, "M"),
        ("DSL props", zap, "M"),
        ("DSL dataset", u64, "M"),
        ("ZFS znode", Swap.ZNODE, "M"),
        ("ZFS V0 ACL", Swap.OLDACL, "ME"),
        ("ZFS plain file", u8, "E"),
        ("ZFS directory", zap, "ME"),
        ("ZFS master node", zap, "M"),
        ("ZFS delete queue", zap, "ME"),
        ("zvol object", u8, "E"),
        ("zvol prop", zap, "M"),
        ("other uint8[]", u8, "E"),
        ("other uint64[]", u64, "E"),
        ("other ZAP", zap, "M"),
        ("persistent error log", zap, "M"),
        ("SPA history", u8, "M"),
        ("SPA history offsets", u64, "M"),
        ("Pool properties", zap, "M"),
        ("DSL permissions", zap, "M"),
        ("ZFS ACL", Swap.ACL, "ME"),
        ("ZFS SYSACL", u8, "ME"),
        ("FUID table", u8, "ME"),
        ("FUID table size", u64, "M"),
        ("DSL dataset next clones", zap, "M"),
        ("scan work queue", zap, "M"),
        ("ZFS user/group/project used", zap, "ME"),
        ("ZFS user/group/project quota", zap, "ME"),
        ("snapshot refcount tags", zap, "M"),
        ("DDT ZAP algorithm", zap, "M"),
        ("DDT statistics", zap, "M"),
        ("System attributes", u8, "ME"),
        ("SA master node", zap, "ME"),
        ("SA attr registration", zap, "ME"),
        ("SA attr layouts", zap, "ME"),
        ("scan translations", zap, "M"),
        ("deduplicated block", u8, "E"),
        ("DSL deadlist map", zap, "M"),
        ("DSL deadlist map hdr", u64, "M"),
        ("DSL dir clones", zap, "M"),
        ("bpobj subobj", u64, "M"),
    ]
    return [TypeInfo(text, swap, "M" in marks, "E" in marks) for text, swap, marks in rows]


_LEGACY = _legacy()
assert len(_LEGACY) == LAST_LEGACY + 1


def type_is_valid(number: int) -> bool:
    """True for a type number that OpenZFS assigns a meaning to."""
    if number & NEW_TYPE:
        return number <= 0xFF and (number & NEW_SWAP_MASK) <= Swap.ACL
    return 0 <= number <= LAST_LEGACY


def type_info(number: int) -> TypeInfo:
    """Facts about a type.

    Raises:
        ValueError: the number has no meaning; callers check ``type_is_valid`` first or turn this into their error.
    """
    if not type_is_valid(number):
        raise ValueError(f"no DMU object type has number {number}")
    if number & NEW_TYPE:
        swap = Swap(number & NEW_SWAP_MASK)
        metadata, encrypted = bool(number & NEW_METADATA), bool(number & NEW_ENCRYPTED)
        text = f"bswap {swap.text} {'metadata' if metadata else 'data'}"
        return TypeInfo(text + (" (encrypted)" if encrypted else ""), swap, metadata, encrypted)
    return _LEGACY[number]


def _table(pick: str) -> np.ndarray:
    flags = [bool(getattr(type_info(n), pick)) if type_is_valid(n) else False for n in range(256)]
    return np.array(flags, dtype=bool)


#: Indexed by type number (0..255): valid, metadata, encrypted in encrypted datasets.
VALID = np.array([type_is_valid(n) for n in range(256)], dtype=bool)
METADATA = _table("metadata")
ENCRYPTED = _table("encrypted")
