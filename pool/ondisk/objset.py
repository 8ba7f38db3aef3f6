"""The objset block: root of one object set (the MOS, a file system, a volume).

It holds the metadnode, whose data is the array of all dnodes, the header of the intent log, and three more dnodes that
account for space by user, group and project. There are three sizes; what an older, smaller one lacks is absent.

Source: OpenZFS, dmu_objset.h (``objset_phys_t``), zil.h (``zil_header_t``, decoded elsewhere).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from ..errors import CorruptError
from . import dnode
from .dnode import DnodePhys

SIZE_V1 = 1024  # pool version below 15
SIZE_V2 = 2048  # with user and group accounting
SIZE_V3 = 4096  # with project accounting
SIZES = (SIZE_V1, SIZE_V2, SIZE_V3)

METADNODE_AT = 0
ZIL_HEADER_AT = 512
ZIL_HEADER_SIZE = 192
TYPE_AT = 704
PORTABLE_MAC_AT = 720
LOCAL_MAC_AT = 752
MAC_SIZE = 32
USERUSED_AT = 1024
GROUPUSED_AT = 1536
PROJECTUSED_AT = 2048

#: Object numbers of the dnodes that lie in the objset block.
METADNODE = 0
USERUSED = -1
GROUPUSED = -2
PROJECTUSED = -3
PLACES = {METADNODE: METADNODE_AT, USERUSED: USERUSED_AT, GROUPUSED: GROUPUSED_AT, PROJECTUSED: PROJECTUSED_AT}

FLAG_USERACCOUNTING_COMPLETE = 1
FLAG_USEROBJACCOUNTING_COMPLETE = 2
FLAG_PROJECTQUOTA_COMPLETE = 4

_TYPE_FLAGS = struct.Struct("<2Q")
assert TYPE_AT + _TYPE_FLAGS.size == PORTABLE_MAC_AT
assert ZIL_HEADER_AT + ZIL_HEADER_SIZE == TYPE_AT
assert PROJECTUSED_AT + dnode.SLOT_SIZE <= SIZE_V3
assert dnode.DNODE.itemsize == USERUSED_AT - METADNODE_AT - 512


class ObjsetType(IntEnum):
    """What an object set is."""

    NONE = 0
    META = 1
    ZFS = 2
    ZVOL = 3
    OTHER = 4


@dataclass(slots=True, eq=False)
class ObjsetPhys:
    """One objset block, decoded. ``zil_header`` is as on disk, in the byte order ``order``."""

    type: int
    flags: int
    metadnode: DnodePhys
    zil_header: bytes = bytes(ZIL_HEADER_SIZE)
    userused: DnodePhys | None = None
    groupused: DnodePhys | None = None
    projectused: DnodePhys | None = None
    portable_mac: bytes = bytes(MAC_SIZE)
    local_mac: bytes = bytes(MAC_SIZE)
    size: int = SIZE_V3
    order: str = "<"

    def accounting(self) -> dict[int, DnodePhys]:
        """The accounting dnodes that are allocated, by object number."""
        found = {USERUSED: self.userused, GROUPUSED: self.groupused, PROJECTUSED: self.projectused}
        return {number: dn for number, dn in found.items() if dn is not None}


def decode(buffer: Any, order: str = "<", **where: Any) -> ObjsetPhys:
    """Decode a whole objset block.

    Args:
        buffer: the block's logical bytes: 1024, 2048 or 4096 of them.
        order: byte order of the block.
        where: facts for messages.

    Raises:
        CorruptError: the size or the type does not exist, or one of the dnodes is not valid.
    """
    raw = bytes(buffer)
    if len(raw) not in SIZES:
        raise CorruptError("an objset block has a size that does not exist", size=len(raw), **where)
    kind, flags = struct.unpack_from(order + "2Q", raw, TYPE_AT)
    if kind not in ObjsetType._value2member_map_:
        raise CorruptError("an objset has a type that does not exist", type=kind, **where)
    dnodes = {
        number: dnode.decode(raw[at : at + dnode.SLOT_SIZE], order, **{**where, "object": number})
        for number, at in PLACES.items()
        if at + dnode.SLOT_SIZE <= len(raw)
    }
    metadnode = dnodes[METADNODE]
    if metadnode is None:
        raise CorruptError("an objset block has no metadnode", **where)
    if metadnode.datablksz != dnode.BLOCK_SIZE:
        raise CorruptError(
            "an objset's dnode blocks have a wrong size", size=metadnode.datablksz, **where
        )
    return ObjsetPhys(
        type=kind,
        flags=flags,
        metadnode=metadnode,
        zil_header=raw[ZIL_HEADER_AT : ZIL_HEADER_AT + ZIL_HEADER_SIZE],
        userused=dnodes.get(USERUSED),
        groupused=dnodes.get(GROUPUSED),
        projectused=dnodes.get(PROJECTUSED),
        portable_mac=raw[PORTABLE_MAC_AT : PORTABLE_MAC_AT + MAC_SIZE],
        local_mac=raw[LOCAL_MAC_AT : LOCAL_MAC_AT + MAC_SIZE],
        size=len(raw),
        order=order,
    )


def encode(phys: ObjsetPhys) -> bytes:
    """The bytes of an objset block in the byte order ``phys.order``, which all its dnodes must share."""
    raw = bytearray(phys.size)
    for number, dn in {METADNODE: phys.metadnode, **phys.accounting()}.items():
        at = PLACES[number]
        image = dnode.encode(dn)
        if at + len(image) > phys.size or len(image) != dnode.SLOT_SIZE or dn.order != phys.order:
            raise ValueError(f"dnode {number} does not fit into an objset block of {phys.size} bytes")
        raw[at : at + len(image)] = image
    raw[ZIL_HEADER_AT : ZIL_HEADER_AT + ZIL_HEADER_SIZE] = phys.zil_header
    struct.pack_into(phys.order + "2Q", raw, TYPE_AT, phys.type, phys.flags)
    raw[PORTABLE_MAC_AT : PORTABLE_MAC_AT + MAC_SIZE] = phys.portable_mac
    raw[LOCAL_MAC_AT : LOCAL_MAC_AT + MAC_SIZE] = phys.local_mac
    return bytes(raw)


def dnodes_of(buffer: Any, order: str = "<") -> dict[int, np.ndarray]:
    """The allocated dnodes of an objset block as arrays of one slot (memory order), by object number.

    For walks that treat all dnodes alike; nothing but presence is checked.
    """
    raw = np.frombuffer(bytes(buffer), dtype=np.uint8)
    result = {}
    for number, at in PLACES.items():
        if at + dnode.SLOT_SIZE <= len(raw):
            block = np.zeros(dnode.BLOCK_SIZE, dtype=np.uint8)
            block[: dnode.SLOT_SIZE] = raw[at : at + dnode.SLOT_SIZE]
            slot = dnode.slots_of(block, order)[:1]
            if slot["type"][0]:
                result[number] = slot
    return result
