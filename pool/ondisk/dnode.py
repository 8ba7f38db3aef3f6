"""Dnodes: 512 bytes (or a multiple, to 16 KiB) that describe one object and root its block tree.

A dnode block holds 32 slots of 512 bytes; a dnode with ``extra_slots`` k takes k more slots of the same block. After
the fixed part come ``nblkptr`` block pointers, then the bonus area; with the spill flag the last 128 bytes of the
last slot are one more block pointer.

In memory the fixed part and the block pointers are little-endian, whatever the block's order; bonus bytes are left as
they lie on disk, since only their type says how to swap them.

Source: OpenZFS, dnode.h (``dnode_phys_t``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError
from . import blkptr
from .blkptr import BLKPTR, BLKPTR_SIZE, BpArray
from .dmutypes import VALID

SLOT_SIZE = 512
BLOCK_SIZE = 16384
SLOTS_PER_BLOCK = BLOCK_SIZE // SLOT_SIZE
FIXED_SIZE = 64
MAX_BLKPTR = 3
MIN_INDBLKSHIFT = 12
MAX_INDBLKSHIFT = 17
#: Block ids need no more bits than a 64-bit offset in blocks of 512 bytes.
MAX_BLKID_BITS = 55
BLKPTR_SHIFT = 7
#: Object numbers end here; the accounting objects have negative ones.
MAX_OBJECT = 1 << 48

FLAG_USED_BYTES = 1
FLAG_USERUSED_ACCOUNTED = 2
FLAG_SPILL_BLKPTR = 4
FLAG_USEROBJUSED_ACCOUNTED = 8

DNODE = np.dtype(
    [
        ("type", "u1"),  # 0   0: free
        ("indblkshift", "u1"),  # 1   log2 of an indirect block's size
        ("nlevels", "u1"),  # 2   1: the pointers below point to data
        ("nblkptr", "u1"),  # 3
        ("bonustype", "u1"),  # 4
        ("checksum", "u1"),  # 5   0: inherit
        ("compress", "u1"),  # 6   0: inherit
        ("flags", "u1"),  # 7
        ("datablkszsec", "<u2"),  # 8   sectors of 512 bytes
        ("bonuslen", "<u2"),  # 10  bytes used of the bonus area
        ("extra_slots", "u1"),  # 12
        ("pad2", "u1", (3,)),  # 13
        ("maxblkid", "<u8"),  # 16
        ("used", "<u8"),  # 24  bytes, or sectors without FLAG_USED_BYTES
        ("pad3", "<u8", (4,)),  # 32
        ("blkptr", BLKPTR, (MAX_BLKPTR,)),  # 64  nblkptr of them; the bonus area follows at once
        ("tail", "u1", (64,)),  # 448
    ]
)
assert DNODE.itemsize == SLOT_SIZE
assert DNODE.fields is not None and DNODE.fields["blkptr"][1] == FIXED_SIZE

_FIXED = struct.Struct("<8B2HB3x2Q32x")  # the same, for one dnode at a time
_FIXED_BIG = struct.Struct(_FIXED.format.replace("<", ">"))
assert _FIXED.size == _FIXED_BIG.size == FIXED_SIZE
EXTRA_SLOTS_AT = 12
assert DNODE.fields["extra_slots"][1] == EXTRA_SLOTS_AT

#: Algorithms that a dnode may name; 0 and 1 leave the choice to the object set.
CHECKSUMS = np.zeros(256, dtype=bool)
CHECKSUMS[[0, 1, 2, 6, 7, 8, 10, 11, 12, 13, 14]] = True
COMPRESSIONS = np.zeros(256, dtype=bool)
COMPRESSIONS[:17] = True

#: Array of dnodes' first slots (dtype ``DNODE``).
DnodeArray = NDArray[Any]

#: What each code of ``problems`` means; 0 is fine.
TEXT = (
    "fine",
    "its object type does not exist",
    "its bonus type does not exist",
    "its indirect block size is out of range",
    "its number of levels is out of range",
    "its number of block pointers is out of range",
    "its data block size is out of range",
    "its slots do not fit into the block",
    "its bonus does not fit",
    "its checksum or compression does not exist",
    "its last block id is beyond what its tree can hold",
    "it has several blocks whose size is not a power of two",
)


@dataclass(slots=True, eq=False)
class DnodePhys:
    """One dnode, decoded. Pointers are in memory order, bonus bytes in the byte order ``order``."""

    type: int
    bonustype: int = 0
    indblkshift: int = MAX_INDBLKSHIFT
    nlevels: int = 1
    checksum: int = 0
    compress: int = 0
    flags: int = 0
    datablksz: int = 512
    extra_slots: int = 0
    maxblkid: int = 0
    used: int = 0
    bonus: bytes = b""
    blkptr: BpArray = field(default_factory=lambda: np.zeros(1, dtype=BLKPTR))
    spill: BpArray | None = None
    order: str = "<"

    @property
    def used_bytes(self) -> int:
        """Allocated bytes that this object is charged for."""
        return self.used if self.flags & FLAG_USED_BYTES else self.used << 9

    @property
    def size(self) -> int:
        """Bytes of the dnode itself."""
        return (self.extra_slots + 1) * SLOT_SIZE

    @property
    def bonus_capacity(self) -> int:
        """Bytes the bonus area can hold."""
        spill = BLKPTR_SIZE if self.flags & FLAG_SPILL_BLKPTR else 0
        return self.size - FIXED_SIZE - BLKPTR_SIZE * len(self.blkptr) - spill


# --- a whole array of dnode blocks --------------------------------------------------------------------------------


def slots_of(buffer: Any, order: str = "<") -> DnodeArray:
    """The slots of dnode blocks (a multiple of 16 KiB) in memory order; with ``<`` they share the buffer's memory.

    Only what ``starts`` calls a dnode means anything.
    """
    slots = np.frombuffer(buffer, dtype=DNODE)
    if order == "<":
        return slots
    raw = np.frombuffer(buffer, dtype=np.uint8).reshape(-1, SLOT_SIZE).copy()
    swapped = raw.view(DNODE).reshape(-1)
    first = starts(swapped)
    rows = raw[first]
    for offset, width in ((8, 2), (10, 2), (16, 8), (24, 8)):
        rows[:, offset : offset + width] = rows[:, offset : offset + width][:, ::-1]
    nblkptr = np.minimum(rows[:, 3], MAX_BLKPTR)
    for index in range(MAX_BLKPTR):
        has = nblkptr > index
        begin = FIXED_SIZE + index * BLKPTR_SIZE
        rows[has, begin : begin + BLKPTR_SIZE] = _swap64(rows[has, begin : begin + BLKPTR_SIZE])
    raw[first] = rows
    spilled = first[(rows[:, 7] & FLAG_SPILL_BLKPTR) != 0]
    last = spilled + raw[spilled, 12]
    # A large dnode's spill pointer may stand where another start was claimed only if the block is corrupt;
    # each slot is swapped once.
    last = np.unique(last[last < len(raw)])
    raw[last, SLOT_SIZE - BLKPTR_SIZE :] = _swap64(raw[last, SLOT_SIZE - BLKPTR_SIZE :])
    return swapped


def _swap64(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    shape = rows.shape
    return np.ascontiguousarray(rows).reshape(*shape[:-1], shape[-1] // 8, 8)[..., ::-1].reshape(shape)


def starts(slots: DnodeArray) -> NDArray[np.int64]:
    """Indices of the slots where an allocated dnode begins; the interiors of large dnodes are skipped."""
    allocated = slots["type"] != 0
    extra = np.where(allocated, slots["extra_slots"], 0).astype(np.int64)
    if not extra.any():
        return np.flatnonzero(allocated)
    step = extra.reshape(-1, SLOTS_PER_BLOCK) + 1
    rows = np.arange(len(step))
    reached = np.zeros(step.shape, dtype=bool)
    cursor = np.zeros(len(step), dtype=np.int64)
    while len(rows):
        reached[rows, cursor] = True
        cursor = cursor + step[rows, cursor]
        inside = cursor < SLOTS_PER_BLOCK
        rows, cursor = rows[inside], cursor[inside]
    return np.flatnonzero(allocated & reached.reshape(-1))


def problems(slots: DnodeArray, room: NDArray[np.int64] | int = SLOTS_PER_BLOCK) -> NDArray[np.uint8]:
    """Code of the first rule each allocated dnode breaks (see ``TEXT``).

    Args:
        slots: first slots of dnodes, shape (n,).
        room: slots from each dnode's first one to the end of its block.
    """
    shift = slots["indblkshift"].astype(np.int64)
    levels = slots["nlevels"].astype(np.int64)
    nblkptr = slots["nblkptr"].astype(np.int64)
    sectors = slots["datablkszsec"].astype(np.int64)
    nslots = slots["extra_slots"].astype(np.int64) + 1
    spill = (slots["flags"] & FLAG_SPILL_BLKPTR).astype(np.int64) * (BLKPTR_SIZE // FLAG_SPILL_BLKPTR)
    capacity = nslots * SLOT_SIZE - FIXED_SIZE - nblkptr * BLKPTR_SIZE - spill
    epbs = np.minimum(np.maximum(shift, MIN_INDBLKSHIFT), MAX_INDBLKSHIFT) - BLKPTR_SHIFT
    bits = np.minimum(np.maximum((levels - 1) * epbs, 0), MAX_BLKID_BITS + 1).astype(np.uint64)
    maxblkid = slots["maxblkid"]
    rules = [
        ~VALID[slots["type"]],
        ~VALID[slots["bonustype"]],
        (shift < MIN_INDBLKSHIFT) | (shift > MAX_INDBLKSHIFT),
        (levels < 1) | (levels > 1 + -(-MAX_BLKID_BITS // epbs)),
        (nblkptr < 1) | (nblkptr > MAX_BLKPTR),
        (sectors < 1) | (sectors > blkptr.MAX_BLOCK // SLOT_SIZE),
        nslots > room,
        capacity < slots["bonuslen"].astype(np.int64),
        ~(CHECKSUMS[slots["checksum"]] & COMPRESSIONS[slots["compress"]]),
        (maxblkid >> bits) >= np.maximum(nblkptr, 1).astype(np.uint64),
        (maxblkid != 0) & (sectors & (sectors - 1) != 0),
    ]
    result = np.zeros(slots.shape, dtype=np.uint8)
    wrong = np.logical_or.reduce(rules)
    if wrong.any():
        result[wrong] = 1 + np.argmax(np.stack(rules)[:, wrong], axis=0)
    return result


# --- one dnode ----------------------------------------------------------------------------------------------------


class DnodeBlock:
    """One dnode block, opened: which of its slots begin a dnode, and whether those are sound.

    Raises:
        CorruptError: the buffer is not a whole dnode block.
    """

    __slots__ = ("_codes", "order", "slots")

    def __init__(self, buffer: Any, order: str = "<") -> None:
        if len(buffer) != BLOCK_SIZE:
            raise CorruptError("a dnode block has a wrong size", size=len(buffer))
        self.order = order
        self.slots = slots_of(buffer, order)
        first = starts(self.slots)
        codes = problems(self.slots[first], SLOTS_PER_BLOCK - first)
        self._codes: dict[int, int] = dict(zip(first.tolist(), codes.tolist()))

    def __iter__(self) -> Iterator[int]:
        """Slots where a dnode begins, rising."""
        return iter(self._codes)

    def __contains__(self, index: int) -> bool:
        return index in self._codes

    def dnode(self, index: int, **where: Any) -> DnodePhys:
        """The dnode that begins at slot ``index``, which must be one of those iterated over.

        Args:
            index: 0..31.
            where: facts for the message.

        Raises:
            CorruptError: the dnode breaks a rule of the format.
        """
        code = self._codes[index]
        if code:
            raise CorruptError(f"a dnode is not valid: {TEXT[code]}", **where)
        return _decode_sound(self.slots, index, self.order)


def _decode_sound(slots: DnodeArray, index: int, order: str) -> DnodePhys:
    raw = slots[index : index + int(slots[index]["extra_slots"]) + 1].tobytes()
    kind, shift, levels, nblkptr, bonustype, checksum, compress, flags, sectors, bonuslen, extra, maxblkid, used = (
        _FIXED.unpack_from(raw)
    )
    pointers_end = FIXED_SIZE + nblkptr * BLKPTR_SIZE
    spill = None
    if flags & FLAG_SPILL_BLKPTR:
        spill = np.frombuffer(raw, dtype=BLKPTR, count=1, offset=len(raw) - BLKPTR_SIZE)[0]
    return DnodePhys(
        type=kind,
        bonustype=bonustype,
        indblkshift=shift,
        nlevels=levels,
        checksum=checksum,
        compress=compress,
        flags=flags,
        datablksz=sectors << 9,
        extra_slots=extra,
        maxblkid=maxblkid,
        used=used,
        bonus=raw[pointers_end : pointers_end + bonuslen],
        blkptr=np.frombuffer(raw, dtype=BLKPTR, count=nblkptr, offset=FIXED_SIZE),
        spill=spill,
        order=order,
    )


def decode(buffer: Any, order: str = "<", **where: Any) -> DnodePhys | None:
    """The dnode at the start of ``buffer``, which holds at least its slots; None if the slot is free.

    Raises:
        CorruptError: too short, or not valid.
    """
    view = memoryview(buffer).cast("B")
    usable = min(len(view), BLOCK_SIZE) // SLOT_SIZE
    if usable == 0:
        raise CorruptError("a dnode ends too early", length=len(view), **where)
    if not view[0]:
        return None
    if view[EXTRA_SLOTS_AT] >= usable:
        raise CorruptError("a dnode is not valid: its slots do not fit into the block", **where)
    block = bytes(view[: usable * SLOT_SIZE]).ljust(BLOCK_SIZE, b"\0")
    return DnodeBlock(block, order).dnode(0, **where)


def encode(dn: DnodePhys) -> bytes:
    """All slots of one dnode in the byte order ``dn.order``."""
    raw = bytearray(dn.size)
    order = dn.order
    fixed = _FIXED if order == "<" else _FIXED_BIG
    fixed.pack_into(
        raw, 0,
        dn.type, dn.indblkshift, dn.nlevels, len(dn.blkptr), dn.bonustype, dn.checksum, dn.compress, dn.flags,
        dn.datablksz >> 9, len(dn.bonus), dn.extra_slots, dn.maxblkid, dn.used,
    )  # fmt: skip
    if len(dn.bonus) > dn.bonus_capacity:
        raise ValueError(f"{len(dn.bonus)} bytes of bonus in a dnode that has room for {dn.bonus_capacity}")
    at = FIXED_SIZE
    pointers = blkptr.to_bytes(dn.blkptr, order)
    raw[at : at + len(pointers)] = pointers
    at += len(pointers)
    raw[at : at + len(dn.bonus)] = dn.bonus
    if dn.flags & FLAG_SPILL_BLKPTR:
        if dn.spill is None:
            raise ValueError("a dnode with the spill flag and no spill pointer")
        raw[-BLKPTR_SIZE:] = blkptr.to_bytes(dn.spill, order)
    return bytes(raw)
