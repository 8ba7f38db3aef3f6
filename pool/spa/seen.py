"""Which blocks were verified a moment ago: a table of fixed size.

Deduplicated and cloned blocks are pointed to from many places, and reading them once is enough. The table holds the
last key that fell on each slot, so its memory does not grow with the pool; a forgotten block is merely read again.
"""

from __future__ import annotations

import numpy as np

from ..ondisk import blkptr
from ..ondisk.blkptr import BoolArray, BpArray

SLOTS = 1 << 17
_MIX = np.uint64(0x9E3779B97F4A7C15)


class SeenBlocks:
    """A direct-mapped table of block identities (DVAs 0 and its physical birth)."""

    def __init__(self, slots: int = SLOTS) -> None:
        if slots & (slots - 1):
            raise ValueError("the number of slots must be a power of two")
        self._keys = np.zeros((slots, 3), dtype=np.uint64)
        self._shift = np.uint64(64 - slots.bit_length() + 1)

    def add(self, bps: BpArray) -> BoolArray:
        """Enter the blocks; True for each that was in the table already, or stands earlier in ``bps``."""
        if len(bps) == 0:
            return np.zeros(0, dtype=bool)
        keys = np.stack([bps["dva"][:, 0, 0], bps["dva"][:, 0, 1], blkptr.physical_birth(bps)], axis=1)
        slot = ((keys[:, 0] * _MIX) ^ (keys[:, 1] * _MIX)) * _MIX >> self._shift
        known = (self._keys[slot] == keys).all(axis=1)
        embedded = blkptr.is_embedded(bps)
        _, first = np.unique(keys, axis=0, return_index=True)
        repeated = np.ones(len(bps), dtype=bool)
        repeated[first] = False
        self._keys[slot[~embedded]] = keys[~embedded]
        result: BoolArray = (known | repeated) & ~embedded
        return result
