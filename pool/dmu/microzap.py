"""The entries of a micro ZAP being changed: by name, by hash, and the slots that are free.

The block is the truth; this is what has been worked out of it, kept in step with each change. Hashes are not stored in
a micro ZAP and are worked out when first needed.

Invariants: no two entries of one hash have the same collision differentiator (cd); a free slot is all zeros.

Layout: ondisk/zap.py. Source: OpenZFS, zap_micro.c.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from uberblock.kernels import zaphash

from ..errors import CorruptError
from ..ondisk.zap import MICRO_ENTRY_SIZE, MicroZap, ZapEntry, leaf_shape
from .textprep import normalize

_ENTRY = struct.Struct("<QIH50s")
_VALUE = struct.Struct("<Q")
assert _ENTRY.size == MICRO_ENTRY_SIZE

#: Bits of a hash that count (ondisk/zap.py: a ZAP without flags uses 28).
HASH_MASK = (1 << 64) - (1 << 36)
#: Entries with one hash must fit into one leaf of a fat ZAP of the usual block size, should it become one: an entry
#: with a name of a micro ZAP takes at most five chunks. Source: zap_micro.c.
CHUNKS_PER_ENTRY = 5
CHUNKS_PER_LEAF = leaf_shape(1 << 14)[1]
assert CHUNKS_PER_LEAF == 638
MAX_CD = 0xFFFF


class MicroEntries:
    """Entries of a micro ZAP.

    Args:
        block: its block. zap: the same, decoded.

    Raises:
        CorruptError: a name stands in it twice.
    """

    def __init__(self, block: Any, zap: MicroZap) -> None:
        self.salt, self.normflags = zap.salt, zap.normflags
        raw = np.frombuffer(block, dtype=np.uint8).reshape(-1, MICRO_ENTRY_SIZE)[1:]
        used = raw[:, 14] != 0
        slots = np.flatnonzero(used).tolist()
        self._names = {entry.name: (slot, entry) for slot, entry in zip(slots, zap.entries, strict=True)}
        if len(self._names) != len(slots):
            raise CorruptError("a micro ZAP has two entries of one name")
        # The lowest slot is taken first: from the end of the list.
        self._free = np.flatnonzero(~used)[::-1].tolist()
        self._slots = len(raw)
        self._hashes: dict[int, list[ZapEntry]] | None = None

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: bytes) -> bool:
        return name in self._names

    @property
    def full(self) -> bool:
        """No slot is free."""
        return not self._free

    def all(self) -> list[ZapEntry]:
        """All entries."""
        return [entry for _, entry in self._names.values()]

    def hash(self, name: bytes) -> int:
        """The masked hash of a name."""
        if self.normflags:
            name = normalize(name, self.normflags)
        return zaphash.hash_name(self.salt, name) & HASH_MASK

    def find(self, name: bytes, flags: int) -> ZapEntry | None:
        """The entry with a name or, with normalization flags, the oldest one equal to it after normalization."""
        if not flags:
            found = self._names.get(name)
            return None if found is None else found[1]
        wanted = normalize(name, flags)
        same = self._by_hash().get(self.hash(name), [])
        return min((e for e in same if normalize(e.name, flags) == wanted), key=lambda e: e.cd, default=None)

    def _by_hash(self) -> dict[int, list[ZapEntry]]:
        hashes = self._hashes
        if hashes is None:
            entries = self.all()
            numbers = np.zeros(len(entries), dtype=np.uint64)
            zaphash.hash_names(self.salt, [normalize(e.name, self.normflags) for e in entries], numbers)
            hashes = {}
            for entry, hashed in zip(entries, (numbers & np.uint64(HASH_MASK)).tolist()):
                hashes.setdefault(hashed, []).append(entry)
            self._hashes = hashes
        return hashes

    def leaf_can_hold_one_more(self, hashed: int) -> bool:
        """Entries of this hash, and one more, fit into one leaf of a fat ZAP, and there is a cd for it."""
        return (len(self._by_hash().get(hashed, ())) + 1) * CHUNKS_PER_ENTRY < CHUNKS_PER_LEAF

    def leaves_can_hold(self, hashes: Sequence[int]) -> bool:
        """The same for many new entries."""
        if len(set(hashes)) == len(hashes):
            return all(self.leaf_can_hold_one_more(hashed) for hashed in hashes)
        there = self._by_hash()
        most = CHUNKS_PER_LEAF - 1
        return all(
            (len(there.get(hashed, ())) + count) * CHUNKS_PER_ENTRY <= most for hashed, count in Counter(hashes).items()
        )

    def grow(self, size: int) -> None:
        """The block has ``size`` bytes now."""
        slots = size // MICRO_ENTRY_SIZE - 1
        self._free[:0] = range(slots - 1, self._slots - 1, -1)
        self._slots = slots

    # --- changing; ``block``: the whole block, writable --------------------------------------------------------------

    def add(self, name: bytes, value: int, hashed: int, block: Any) -> None:
        """Add an entry whose name is not there, in a free slot, with the lowest cd its hash does not have yet."""
        same = self._by_hash().setdefault(hashed, [])
        cd = 0
        if same:
            used = {entry.cd for entry in same}
            while cd in used:
                cd += 1
        slot = self._free.pop()
        entry = ZapEntry(name, 8, (value,), cd)
        _ENTRY.pack_into(block, MICRO_ENTRY_SIZE * (slot + 1), value, cd, 0, name)
        same.append(entry)
        self._names[name] = (slot, entry)

    def replace(self, name: bytes, value: int, block: Any) -> None:
        """Give an entry another value."""
        slot, old = self._names[name]
        entry = ZapEntry(name, 8, (value,), old.cd)
        _VALUE.pack_into(block, MICRO_ENTRY_SIZE * (slot + 1), value)
        self._names[name] = (slot, entry)
        if self._hashes is not None:
            same = self._hashes[self.hash(name)]
            same[same.index(old)] = entry

    def remove(self, entry: ZapEntry, block: Any) -> None:
        """Remove an entry."""
        slot, _ = self._names.pop(entry.name)
        at = MICRO_ENTRY_SIZE * (slot + 1)
        memoryview(block)[at : at + MICRO_ENTRY_SIZE] = bytes(MICRO_ENTRY_SIZE)
        self._free.append(slot)
        if self._hashes is not None:
            hashed = self.hash(entry.name)
            self._hashes[hashed].remove(entry)
            if not self._hashes[hashed]:
                del self._hashes[hashed]
