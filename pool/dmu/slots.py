"""Which slots of an object set's dnode blocks are in use, and where a new object finds room.

Slots that were freed since the pool was opened come first, the lowest of them. Then holes that earlier sessions left:
the metadnode's block pointers tell how many dnodes lie below them, so only blocks with enough room are read, a few at
a time, when a number is wanted. Then come the numbers behind the last one in use. OpenZFS, too, leaves blocks alone
that are nearly full: for a slot here and there a block is not worth reading.

Invariants: once a block has been looked at, its bits here are what counts, changes of open transactions included; the
search for holes goes over every block once.

Source: OpenZFS, dmu_object.c (``dmu_object_alloc_impl``).
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from ..errors import LimitError
from ..ondisk import blkptr
from ..ondisk.dnode import BLKPTR_SHIFT, MAX_OBJECT, SLOTS_PER_BLOCK

if TYPE_CHECKING:
    from .mutableobjset import MutableObjset

_FULL = (1 << SLOTS_PER_BLOCK) - 1
#: A block is worth reading if at least this part of its slots is free.
WORTH = SLOTS_PER_BLOCK // 4
#: After so many blocks read in vain (their dnodes have several slots) the rest below one pointer is left alone.
IN_VAIN = 8


class Slots:
    """The slots of one object set.

    Args:
        objset: whose metadnode is looked at.
    """

    def __init__(self, objset: MutableObjset) -> None:
        self._objset = objset
        self._bits: dict[int, int] = {}  # dnode block -> bits of the slots in use
        self._end = -1  # the block that new numbers come from
        self._freed: list[int] = []  # blocks in which slots were freed, a heap ...
        self._waiting: set[int] = set()  # ... and the same as a set
        self._scanned = 0  # blocks before this one were searched for holes
        self._limit = 0  # and those before this one are to be
        self._holes: list[int] = []  # blocks with room that were found, the lowest last
        self._vain = 0  # blocks read one after the other that had none

    def used(self, blkid: int) -> int:
        """Bits of the slots in use in a dnode block."""
        bits = self._bits.get(blkid)
        if bits is None:
            meta = self._objset.meta
            block = self._objset._block(blkid) if blkid <= meta.maxblkid and not meta.fresh else None
            bits = 0
            if block is not None:
                for index in block:
                    bits |= ((1 << (int(block.slots[index]["extra_slots"]) + 1)) - 1) << index
            self._bits[blkid] = bits
        return bits

    def find(self, slots: int) -> int:
        """A free object number with so many slots, now taken.

        Raises:
            LimitError: there is none left. CorruptError ...: dnode blocks that cannot be read.
        """
        while self._freed:
            number = self._take(self._freed[0], slots)
            if number is not None:
                return number
            self._waiting.discard(heappop(self._freed))
        if self._end < 0:
            meta = self._objset.meta
            self._end = self._limit = 0 if meta.fresh else meta.maxblkid
        while self._holes or self._scanned < self._limit:
            if not self._holes:
                self._scan(slots)
                continue
            number = self._take(self._holes[-1], slots)
            if number is not None:
                self._vain = -1
                return number
            self._holes.pop()
            self._vain += 1
            if self._vain >= IN_VAIN:
                self._holes = []
        while True:
            if self._end * SLOTS_PER_BLOCK >= MAX_OBJECT:
                raise LimitError("the dataset has no object numbers left", dataset=self._objset.name or None)
            number = self._take(self._end, slots)
            if number is not None:
                return number
            self._end += 1

    def _take(self, blkid: int, slots: int) -> int | None:
        """A free number in a block, now taken."""
        used = self.used(blkid) | (blkid == 0)
        index = gap(used, slots)
        if index is None:
            return None
        self._bits[blkid] = used | ((1 << slots) - 1) << index
        return blkid * SLOTS_PER_BLOCK + index

    def _scan(self, slots: int) -> None:
        """Look for blocks with room below the next pointer of level 1."""
        meta = self._objset.meta
        span = 1 << (meta.indblkshift - BLKPTR_SHIFT)
        first = self._scanned
        count = min(span - first % span, self._limit - first)
        self._scanned = first + count
        if meta.phys.nlevels > 1 and not first % span:
            above = meta.tree.pointers(1, first // span, 1)
            dnodes = 0 if bool(blkptr.is_hole(above)[0]) else int(above["fill"][0])
            if dnodes > count * SLOTS_PER_BLOCK - WORTH:
                return
        below = meta.tree.pointers(0, first, count)
        dnodes_in = np.where(blkptr.is_hole(below), np.uint64(0), below["fill"])
        worth = np.flatnonzero(dnodes_in <= np.uint64(SLOTS_PER_BLOCK - max(WORTH, slots))) + first
        self._holes = worth[::-1].tolist()
        self._vain = 0

    def claim(self, number: int, slots: int) -> bool:
        """Take a certain number. Returns: False: it cannot be had."""
        blkid, index = divmod(number, SLOTS_PER_BLOCK)
        mask = ((1 << slots) - 1) << index
        if number <= 0 or mask > _FULL or self.used(blkid) & mask:
            return False
        self._bits[blkid] |= mask
        return True

    def release(self, number: int, slots: int) -> None:
        """Slots are free again, and may be given out."""
        blkid, index = divmod(number, SLOTS_PER_BLOCK)
        self._bits[blkid] = self.used(blkid) & ~(((1 << slots) - 1) << index)
        if blkid not in self._waiting:
            self._waiting.add(blkid)
            heappush(self._freed, blkid)


def gap(used: int, slots: int) -> int | None:
    """Index of the first run of so many free slots; None: there is none."""
    free = ~used & _FULL
    for shift in range(1, slots):
        free &= (~used & _FULL) >> shift
    if not free:
        return None
    index = (free & -free).bit_length() - 1
    return index if index + slots <= SLOTS_PER_BLOCK else None
