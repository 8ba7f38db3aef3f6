"""Which blocks were met a moment ago: a table of fixed size.

Two uses. Deduplicated and cloned blocks are pointed to from many places, and reading them once is enough. Blocks of
pointers and of dnodes, however, stand in one place of an object set: one that is met again was forged to lead a walk
in circles, through more blocks than there are atoms.

The table holds the last key that fell on each slot. It begins small and grows up to a limit, so its memory does not
grow with the pool; a forgotten block is merely not recognized. Where a key falls nobody can know beforehand.
"""

from __future__ import annotations

import secrets

import numpy as np
from numpy.typing import NDArray

from ..ondisk import blkptr
from ..ondisk.blkptr import BoolArray, BpArray

U64Array = NDArray[np.uint64]

SLOTS = 1 << 17
SLOTS_FIRST = 1 << 10  # a walk through a small object set should not pay for a large table


class SeenBlocks:
    """A direct-mapped table of block identities (DVAs 0 and its physical birth)."""

    def __init__(self, slots: int = SLOTS) -> None:
        if slots & (slots - 1):
            raise ValueError("the number of slots must be a power of two")
        self._most = slots
        self._added = 0
        self._keys = np.zeros((min(slots, SLOTS_FIRST), 3), dtype=np.uint64)
        self._factors = [np.uint64(secrets.randbits(64) | 1) for _ in range(3)]

    def _mix(self, keys: U64Array) -> U64Array:
        first, second, third = self._factors
        result: U64Array = ((keys[:, 0] * first) ^ (keys[:, 1] * second) ^ keys[:, 2]) * third
        return result

    def _slots(self, mixed: U64Array) -> U64Array:
        return mixed >> np.uint64(64 - len(self._keys).bit_length() + 1)

    def _grow(self) -> None:
        """Make room, so that at most every fourth slot is taken, as long as the limit allows."""
        wanted = min(self._most, 1 << (4 * self._added - 1).bit_length())
        if wanted > len(self._keys):
            kept = self._keys[self._keys.any(axis=1)]
            self._keys = np.zeros((wanted, 3), dtype=np.uint64)
            self._keys[self._slots(self._mix(kept))] = kept

    def add(self, bps: BpArray) -> BoolArray:
        """Enter the blocks; True for each that was in the table already, or stands earlier in ``bps``."""
        if len(bps) == 0:
            return np.zeros(0, dtype=bool)
        self._added += len(bps)
        self._grow()
        keys = np.stack([bps["dva"][:, 0, 0], bps["dva"][:, 0, 1], blkptr.physical_birth(bps)], axis=1)
        mixed = self._mix(keys)
        slot = self._slots(mixed)
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
