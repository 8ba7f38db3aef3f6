"""Which blocks were met a moment ago: a table of fixed size.

Two uses. Deduplicated and cloned blocks are pointed to from many places, and reading them once is enough. Blocks of
pointers and of dnodes, however, stand in one place of an object set: one that is met again was forged to lead a walk
in circles, through more blocks than there are atoms.

The table holds the last key that fell on each slot, so its memory does not grow with the pool; a forgotten block is
merely not recognized. Where a key falls nobody can know beforehand.
"""

from __future__ import annotations

import secrets

import numpy as np

from ..ondisk import blkptr
from ..ondisk.blkptr import BoolArray, BpArray

SLOTS = 1 << 17


class SeenBlocks:
    """A direct-mapped table of block identities (DVAs 0 and its physical birth)."""

    def __init__(self, slots: int = SLOTS) -> None:
        if slots & (slots - 1):
            raise ValueError("the number of slots must be a power of two")
        self._keys = np.zeros((slots, 3), dtype=np.uint64)
        self._shift = np.uint64(64 - slots.bit_length() + 1)
        self._factors = [np.uint64(secrets.randbits(64) | 1) for _ in range(3)]

    def add(self, bps: BpArray) -> BoolArray:
        """Enter the blocks; True for each that was in the table already, or stands earlier in ``bps``."""
        if len(bps) == 0:
            return np.zeros(0, dtype=bool)
        keys = np.stack([bps["dva"][:, 0, 0], bps["dva"][:, 0, 1], blkptr.physical_birth(bps)], axis=1)
        first, second, third = self._factors
        mixed = ((keys[:, 0] * first) ^ (keys[:, 1] * second) ^ keys[:, 2]) * third
        slot = mixed >> self._shift
        known = (self._keys[slot] == keys).all(axis=1)
        embedded = blkptr.is_embedded(bps)
        if len(bps) > 1:
            _, earliest = np.unique(mixed, return_index=True)
            repeated = np.ones(len(bps), dtype=bool)
            repeated[earliest] = False
            known |= repeated
        self._keys[slot[~embedded]] = keys[~embedded]
        known &= ~embedded
        result: BoolArray = known
        return result
